//! Words with tags, from a CoNLL file to entities: teacher, student, evaluation, predictions, a search.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::own_data::{teach, works};
use crate::support::{pocket_folder, run};

const FILLERS: [&str; 4] = ["the", "was", "a", "and"];

/// Sentence `n`. `good` begins an entity before `soup` alone, and `soup` is in one behind `good` alone: no word has one tag everywhere.
fn sentence(n: usize) -> Vec<(&'static str, &'static str)> {
    let filler = |k: usize| (FILLERS[(n / 4 + k * k + n * k) % FILLERS.len()], "O");
    let pair = match n % 4 {
        0 => [("good", "B-FOOD"), ("soup", "I-FOOD")],
        1 => [("good", "O"), ("music", "B-ART")],
        2 => [("great", "O"), ("soup", "O")],
        _ => [("good", "O"), ("service", "O")],
    };
    let mut words = vec![filler(1); n / 4 % 2];
    words.extend(pair);
    words.extend([filler(2), filler(3)]);
    words
}

/// A file of sentences with a column between word and tag.
fn conll(sentences: impl Iterator<Item = usize>) -> String {
    let mut text = "-DOCSTART- -X- O\n\n".to_owned();
    for n in sentences {
        sentence(n).into_iter().for_each(|(word, tag)| writeln!(text, "{word} X {tag}").unwrap());
        text.push('\n');
    }
    text
}

fn config(dir: &Path, model: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(model).join("config.json")).unwrap()).unwrap()
}

#[test]
fn tags_of_a_conll_file_become_entities_of_plain_text() {
    let dir = pocket_folder(&[]);
    std::fs::write(dir.path().join("food.conll"), conll(0..240)).unwrap();
    let [teacher, student] = teach(dir.path(), &["--train", "food.conll"]);
    for done in [&teacher, &student] {
        let metrics = done["metrics"].as_object().unwrap();
        let names: Vec<&String> = metrics.keys().filter(|name| name.starts_with("food/")).collect();
        assert_eq!(
            names,
            ["food/accuracy", "food/entity-f1", "food/entity-f1-strict", "food/entity-precision", "food/entity-recall"]
        );
        assert_eq!(
            (&done["score"], done["majority"][0]["answer"].as_str().unwrap()),
            (&metrics["food/entity-f1"], "each word's most frequent tag")
        );
    }
    let tags = json!(["B-ART", "B-FOOD", "I-FOOD", "O"]);
    assert_eq!(
        config(dir.path(), "student")["task_heads"],
        json!([{ "task": "food", "kind": "tags", "labels": tags }])
    );
    // `transformers` knows the class of the teacher.
    let teacher = config(dir.path(), "teacher");
    assert_eq!(teacher["architectures"], json!(["BertForTokenClassification"]));
    assert_eq!(teacher["id2label"]["3"], json!("O"));

    // The same sentences are held out for the evaluation.
    let eval = ["eval", "--model", "student", "--train", "food.conll", "--max-len", "12", "--json"];
    let scored = run(dir.path(), &eval).json();
    assert_eq!(scored["metrics"]["entity-f1"], student["metrics"]["food/entity-f1"]);
    assert_eq!(scored["examples"], json!(24));

    // Words alone are answered, with the tags beside them.
    std::fs::write(dir.path().join("new.conll"), "the\ngood\nsoup\nwas\n\ngreat\nsoup\nwas\na\n").unwrap();
    let predictions = ["eval", "--model", "student", "--test", "new.conll", "--predictions", "p.conll"];
    works(run(dir.path(), &predictions));
    let found = std::fs::read_to_string(dir.path().join("p.conll")).unwrap();
    assert_eq!(found, "the\tO\ngood\tB-FOOD\nsoup\tI-FOOD\nwas\tO\n\ngreat\tO\nsoup\tO\nwas\tO\na\tO\n\n");
    // Words behind the cut are said, and in no entity.
    let cut = works(run(dir.path(), &[&predictions[..], &["--max-len", "4"]].concat()));
    assert!(cut.stderr.contains("4 words of 2 texts are not seen"), "{}", cut.stderr);
    let found = std::fs::read_to_string(dir.path().join("p.conll")).unwrap();
    assert!(found.lines().nth(2) == Some("soup\tO") && found.lines().count() == 10, "{found}");

    let answer = works(run(dir.path(), &["predict", "--model", "student", "The good soup was a"])).stdout;
    assert!(answer.starts_with("FOOD 4-13 0.") && answer.ends_with(" good soup\n"), "{answer}");
    let answer = run(dir.path(), &["predict", "--model", "student", "--json", "the good music was"]).json();
    let entity = &answer["answers"][0]["entities"][0];
    assert_eq!((&entity["kind"], &entity["text"]), (&json!("ART"), &json!("music")));
    assert_eq!((&entity["start"], &entity["end"]), (&json!(9), &json!(14)));
    let none = works(run(dir.path(), &["predict", "--model", "student", "great soup was a"])).stdout;
    assert_eq!(none, "(none)\n");
    run(dir.path(), &["predict", "--model", "student", "the soup", "was good"])
        .fails_with(1, &["tags the words of one"]);
}

/// The logits of each word of the sentences, by a program that knows the tags.
fn logits(sentences: usize) -> String {
    let tags = ["B-ART", "B-FOOD", "I-FOOD", "O"];
    let word = |tag: &str| tags.map(|known| if known == tag { 4.0 } else { -1.0 });
    let row = |n: usize| {
        let words: Vec<_> = sentence(n).iter().map(|(_, tag)| word(tag)).collect();
        json!({ "row": n, "logits": words }).to_string() + "\n"
    };
    (0..sentences).map(row).collect()
}

#[test]
fn logits_of_words_teach_tags_without_a_teacher() {
    let dir = pocket_folder(&[]);
    std::fs::write(dir.path().join("food.conll"), conll(0..240)).unwrap();
    std::fs::write(dir.path().join("logits.jsonl"), logits(240)).unwrap();
    let student = |out: &str, file: &str, more: &[&str]| {
        let given = ["distill", "--init", "bert", "--teacher", "bert", "--out", out, "--train", "food.conll"];
        let how = ["--teacher-logits", file, "--learning-rate", "3e-3", "--batch-size", "16", "--max-len", "12"];
        run(dir.path(), &[&given[..], &how[..], more].concat())
    };
    let done = student("taught", "logits.jsonl", &["--steps", "200", "--threads", "1"]).json();
    let (score, trivial) = (done["score"].as_f64().unwrap(), done["majority"][0]["score"].as_f64().unwrap());
    assert!(score > trivial + 0.1, "{score} is not above {trivial}");
    for (file, text, words) in [
        ("flat.jsonl", "{\"row\":0,\"logits\":[0,0,0,1]}\n", "is no list of 4 logits for each word"),
        ("few.jsonl", "{\"row\":0,\"logits\":[[0,0,0,1]]}\n", "training rows have no logits"),
        ("table.csv", "row,O\n0,1\n", "read from JSON Lines alone"),
    ] {
        std::fs::write(dir.path().join(file), text).unwrap();
        student("s", file, &["--steps", "2"]).fails_with(1, &[file, words]);
    }
    // A sentence of another length is named.
    let short = logits(240).lines().map(|line| line.replacen("],[", "],[0,0,0,0],[", 1) + "\n").collect::<String>();
    std::fs::write(dir.path().join("long.jsonl"), short).unwrap();
    student("s", "long.jsonl", &["--steps", "2"]).fails_with(1, &["has logits of 5 words, the training file has 4"]);
}

#[test]
fn lists_of_words_and_numbered_tags_are_searched_by_a_description() {
    let dir = pocket_folder(&[]);
    let names = ["O", "B-FOOD", "I-FOOD", "B-ART"];
    let line = |n: usize| {
        let (words, tags): (Vec<_>, Vec<_>) = sentence(n).into_iter().unzip();
        let numbers: Vec<_> = tags.iter().map(|tag| names.iter().position(|name| name == tag)).collect();
        json!({ "tokens": words, "ner_tags": numbers }).to_string() + "\n"
    };
    std::fs::write(dir.path().join("food.jsonl"), (0..120).map(line).collect::<String>()).unwrap();
    let options = ["--train", "food.jsonl", "--text", "tokens", "--label", "ner_tags"];
    let unnamed = run(dir.path(), &[&["data", "check"], &options[..]].concat());
    unnamed.fails_with(2, &["column `ner_tags`: the tags are numbers", "classes ="]);
    let description = format!(
        "name = \"food\"\ntext = [\"tokens\"]\nlabel = [\"ner_tags\"]\ntrain = \"food.jsonl\"\nclasses = {names:?}\n"
    );
    std::fs::write(dir.path().join("food.toml"), description).unwrap();
    let checked = works(run(dir.path(), &["data", "check", "--task", "food.toml"])).stdout;
    assert!(checked.contains("B-ART 27") && checked.contains("108"), "{checked}");
    let short = ["--steps", "3", "--batch-size", "8", "--max-len", "12"];
    works(run(
        dir.path(),
        &[&["teacher", "--model", "bert", "--task", "food.toml", "--out", "teacher"], &short[..]].concat(),
    ));
    let search = ["search", "--recipe", "smoke", "--teacher", "teacher", "--task", "food.toml", "--out", "found"];
    works(run(dir.path(), &[&search[..], &["--set", "max_len=16", "--threads", "1"]].concat()));
    assert_eq!(config(dir.path(), "found/student")["task_heads"][0]["labels"], json!(names));
    works(run(dir.path(), &["predict", "--model", "found/student", "the soup was good"]));
    let report = std::fs::read_to_string(dir.path().join("found/report.html")).unwrap();
    assert!(report.contains("entity-f1"));
}
