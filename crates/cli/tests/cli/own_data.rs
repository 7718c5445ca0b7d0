//! Data of one's own, from a table to answers: teacher, student, evaluation, predictions.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Outcome, pocket_folder, run};

/// Words of the pocket data's vocabulary, one for each class.
const MARKERS: [&str; 5] = ["good", "great", "soup", "service", "music"];
const FILLERS: [&str; 4] = ["the", "was", "a", "and"];
/// Names that a CSV file has to quote.
const NAMES: [&str; 5] = ["very good", "bad", "so, so", "\"quoted\"", "ünlü"];

/// A searched student of two layers.
pub const ARCH: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2); tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))";

/// Text `n`, in which word `marker` says the answer.
fn text(n: usize, marker: &str) -> String {
    let filler = |k: usize| FILLERS[(n / 3 + k * k + n * k) % FILLERS.len()];
    match n % 3 {
        0 => format!("{marker} {} {}", filler(1), filler(2)),
        1 => format!("{} {marker} {}", filler(1), filler(2)),
        _ => format!("{} {} {marker}", filler(1), filler(2)),
    }
}

fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

/// Teacher and student of the data that `own` names: JSON of both trainings. Each must be better than its trivial baseline.
pub fn teach(dir: &Path, own: &[&str]) -> [Value; 2] {
    let steps = ["--steps", "400", "--batch-size", "16", "--max-len", "12", "--threads", "1"];
    let teacher =
        [&["teacher", "--model", "bert", "--out", "teacher", "--learning-rate", "3e-3"], &steps[..], own].concat();
    let student =
        ["distill", "--arch", ARCH, "--hidden", "12", "--embed", "8", "--teacher", "teacher", "--out", "student"];
    let student = [&student[..], &["--learning-rate", "5e-3", "--objective", "logits"], &steps[..], own].concat();
    [teacher, student].map(|args| {
        let done = run(dir, &args);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let done = done.json();
        let (score, trivial) = (done["score"].as_f64().unwrap(), done["majority"][0]["score"].as_f64().unwrap());
        assert!(score > trivial + 0.1, "{score} is not above {trivial}");
        done
    })
}

pub fn works(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome
}

#[test]
fn five_classes_from_csv_come_back_under_their_own_names() {
    let dir = pocket_folder(&[]);
    let mut csv = "id,\"the review\",stars\r\n".to_owned();
    for n in 0..240 {
        let class = n * 7 % 5;
        write!(csv, "{n},{},{}\r\n", quoted(&text(n, MARKERS[class])), quoted(NAMES[class])).unwrap();
    }
    std::fs::write(dir.path().join("reviews.csv"), csv).unwrap();
    let own = [
        "--train",
        "reviews.csv",
        "--text",
        "the review",
        "--label",
        "stars",
        "--metric",
        "accuracy",
        "--metric",
        "f1-macro",
    ];
    let [teacher, student] = teach(dir.path(), &own);
    assert!(teacher["metrics"]["reviews/f1-macro"].as_f64().unwrap() > 0.5);
    let config: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("student/config.json")).unwrap()).unwrap();
    let names = json!(["\"quoted\"", "bad", "so, so", "very good", "ünlü"]);
    assert_eq!(config["task_heads"], json!([{ "task": "reviews", "kind": "classification", "labels": names }]));
    // The same rows are held out for the evaluation.
    let eval = [
        "eval",
        "--model",
        "student",
        "--train",
        "reviews.csv",
        "--text",
        "the review",
        "--label",
        "stars",
        "--max-len",
        "12",
    ];
    let scored = run(dir.path(), &[&eval[..], &["--json"]].concat()).json();
    assert_eq!(
        (&scored["examples"], &scored["metrics"]["accuracy"]),
        (&json!(24), &student["metrics"]["reviews/accuracy"])
    );

    std::fs::write(dir.path().join("new.csv"), "the review\n\"the soup, and\"\n\"\"\na music was\n").unwrap();
    let predictions =
        ["eval", "--model", "student", "--test", "new.csv", "--text", "the review", "--predictions", "p.csv"];
    works(run(dir.path(), &predictions));
    let rows = std::fs::read_to_string(dir.path().join("p.csv")).unwrap();
    assert!(rows.starts_with("row,prediction\n0,\"so, so\"\n1,") && rows.ends_with("\n2,ünlü\n"), "{rows}");
    let table = ["predict", "--model", "student", "--table", "new.csv", "--text", "the review"];
    let lines = works(run(dir.path(), &table)).stdout;
    assert!(lines.starts_with("so, so 0.") && lines.lines().count() == 3, "{lines}");
}

#[test]
fn pairs_from_packed_json_lines_are_learned() {
    let dir = pocket_folder(&[]);
    let line = |n: usize| {
        let b = if n.is_multiple_of(2) { "good" } else { "bad" };
        json!({ "first": text(n, "soup"), "second": text(n + 1, b), "gold": n.is_multiple_of(2), "more": [n] })
            .to_string()
            + "\n"
    };
    let lines: String = (0..160).map(line).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, lines.as_bytes()).unwrap();
    std::fs::write(dir.path().join("pairs.jsonl.gz"), gzip.finish().unwrap()).unwrap();
    let own = ["--train", "pairs.jsonl.gz", "--text", "first", "--text", "second", "--label", "gold"];
    let [_, student] = teach(dir.path(), &own);
    assert_eq!(student["majority"][0]["task"], json!("pairs"));
    let answer = works(run(dir.path(), &["predict", "--model", "student", "the soup was", "a good and"])).stdout;
    assert!(answer.starts_with("true 0."), "{answer}");
}

#[test]
fn any_number_of_labels_from_parquet_is_learned() {
    let dir = pocket_folder(&[]);
    let (mut texts, mut labels) = (Vec::new(), Vec::new());
    for n in 0..240_usize {
        let has = [n % 2 == 0, n % 3 == 0];
        let words: Vec<&str> =
            ["good", "soup"].into_iter().zip(has).map(|(word, has)| if has { word } else { "the" }).collect();
        texts.push(Some(format!("{} was {}", words[n % 2], words[1 - n % 2])));
        let names = ["kind", "about food"].into_iter().zip(has).filter(|(_, has)| *has).map(|(name, _)| name);
        labels.push(Some(names.collect::<Vec<_>>().join("|")));
    }
    let columns = [
        ("text".to_owned(), parquet_rows::Values::Text(texts)),
        ("tags".to_owned(), parquet_rows::Values::Text(labels)),
    ];
    std::fs::write(dir.path().join("tags.parquet"), parquet_rows::write(&columns, "a test").unwrap()).unwrap();
    let own =
        ["--train", "tags.parquet", "--text", "text", "--label", "tags", "--kind", "labels", "--label-separator", "|"];
    teach(dir.path(), &own);
    let answer = works(run(dir.path(), &["predict", "--model", "student", "--json", "good was soup"])).json();
    assert_eq!(answer["answers"][0]["labels"], json!(["about food", "kind"]));
}

#[test]
fn numbers_of_1_to_100_are_answered_in_their_own_units() {
    let dir = pocket_folder(&[]);
    let mut tsv = "text\tpercent\n".to_owned();
    for n in 0..240 {
        let class = n * 7 % 5;
        writeln!(tsv, "{}\t{}", text(n, MARKERS[class]), 1 + class * 24 + n % 7).unwrap();
    }
    std::fs::write(dir.path().join("numbers.tsv"), tsv).unwrap();
    teach(dir.path(), &["--train", "numbers.tsv", "--text", "text", "--label", "percent"]);
    let answer = |text: &str| -> f64 {
        works(run(dir.path(), &["predict", "--model", "student", text])).stdout.trim().parse().unwrap()
    };
    let (low, high) = (answer("good was the"), answer("the was music"));
    assert!(low < 30.0 && high > 70.0 && high < 130.0, "{low} and {high}");
}

#[test]
fn a_description_in_a_file_serves_every_command_and_a_search() {
    let dir = pocket_folder(&[]);
    let mut csv = "text,label\n".to_owned();
    for n in 0..160 {
        writeln!(csv, "{},{}", text(n, ["good", "bad"][n % 2]), ["yes", "no"][n % 2]).unwrap();
    }
    std::fs::create_dir(dir.path().join("data")).unwrap();
    std::fs::write(dir.path().join("data/opinions.csv"), csv).unwrap();
    let columns = ["--text", "text", "--label", "label"];
    let check =
        [&["data", "check", "--train", "data/opinions.csv"], &columns[..], &["--write-task", "data/opinions.toml"]]
            .concat();
    let said = works(run(dir.path(), &check)).stdout;
    assert!(said.contains("144") && said.contains("16"), "{said}");
    let description = std::fs::read_to_string(dir.path().join("data/opinions.toml")).unwrap();
    assert!(description.contains("classes = [\"no\", \"yes\"]") && description.contains("train = \"opinions.csv\""));
    let short = ["--steps", "3", "--batch-size", "8", "--max-len", "12"];
    let teacher =
        [&["teacher", "--model", "bert", "--task", "data/opinions.toml", "--out", "teacher"], &short[..]].concat();
    works(run(dir.path(), &teacher));
    let eval = ["eval", "--model", "teacher", "--task", "data/opinions.toml", "--max-len", "12", "--json"];
    assert_eq!(run(dir.path(), &eval).json()["examples"], json!(16));
    let search = [
        "search",
        "--recipe",
        "smoke",
        "--teacher",
        "teacher",
        "--task",
        "data/opinions.toml",
        "--out",
        "found",
        "--set",
        "max_len=16",
        "--threads",
        "1",
    ];
    works(run(dir.path(), &search));
    let answer = works(run(dir.path(), &["predict", "--model", "found/student", "the soup was good"])).stdout;
    assert!(answer.starts_with("yes") || answer.starts_with("no"), "{answer}");
    let recipe = std::fs::read_to_string(dir.path().join("found/recipe.toml")).unwrap();
    assert!(recipe.contains("opinions.csv"), "{recipe}");
    let report = std::fs::read_to_string(dir.path().join("found/report.html")).unwrap();
    assert!(report.contains("opinions"));
}

#[test]
fn a_model_is_compressed_on_a_table_in_one_command_and_the_run_goes_on_after_an_end() {
    let dir = pocket_folder(&[]);
    let mut csv = "text,label\n".to_owned();
    for n in 0..160 {
        writeln!(csv, "{},{}", text(n, ["good", "soup"][n % 2]), ["yes", "no"][n % 2]).unwrap();
    }
    std::fs::write(dir.path().join("t.csv"), csv).unwrap();
    let short = [
        "--set",
        "teacher.fine_tune.steps=20",
        "--set",
        "search.stage1.trials=4",
        "--set",
        "search.stage1.initial_random=2",
        "--set",
        "search.stage2.trials=2",
        "--set",
        "search.stage2.proxy.task.steps=2",
        "--set",
        "search.stage3.trials=1",
        "--set",
        "search.stage3.task.steps=2",
        "--set",
        "final.task.steps=20",
        "--set",
        "latency.runs=2",
    ];
    let compress =
        ["compress", "--model", "bert", "--train", "t.csv", "--text", "text", "--label", "label", "--threads", "1"];
    let out = ["--max-params", "14k", "--out", "small"];
    let done = run(dir.path(), &[&compress[..], &out, &short].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&[
        "`label` is taken for one of 2 classes: no, yes",
        "the teacher is fine-tuned first: 300 steps",
        "at most 16 tokens",
        "at most 0.01 M parameters",
    ]);
    let answer = works(run(dir.path(), &["predict", "--model", "small", "the soup was good"])).stdout;
    assert!(answer.starts_with("yes") || answer.starts_with("no"), "{answer}");
    let same = |file: &str| {
        std::fs::read(dir.path().join("small").join(file)).unwrap()
            == std::fs::read(dir.path().join("small.run/student").join(file)).unwrap()
    };
    assert!(same("model.safetensors") && same("config.json"));
    assert!(dir.path().join("small.run/report.html").is_file());
    // Ended before the student was handed over.
    std::fs::remove_dir_all(dir.path().join("small")).unwrap();
    works(run(dir.path(), &["compress", "--resume", "--out", "small"]));
    assert!(same("model.safetensors"));
    run(dir.path(), &["compress", "--resume", "--out", "other", "--seed", "7"])
        .fails_with(2, &["give the whole command"]);
    run(dir.path(), &[&compress[..], &out].concat()).fails_with(2, &["small: exists and is not an empty folder"]);
    run(dir.path(), &[&compress[..], &["--out", "other", "--max-params", "10"]].concat())
        .fails_with(2, &["max_params"]);
    assert!(!dir.path().join("other.run").exists());
}

#[test]
fn a_typo_is_answered_with_what_there_is_before_anything_is_trained() {
    let dir = pocket_folder(&[]);
    std::fs::write(dir.path().join("t.csv"), "review,stars\na,1\nb,2\n").unwrap();
    let with = |more: &[&str]| run(dir.path(), &[&["teacher", "--model", "bert", "--out", "o"], more].concat());
    let train = ["--train", "t.csv", "--text", "review"];
    with(&[&train[..], &["--label", "star"]].concat())
        .fails_with(2, &["there is no column `star`; the columns are: review, stars; did you mean `stars`?"]);
    with(&train).fails_with(2, &["--label"]);
    with(&[&train[..], &["--label", "stars", "--task", "rte"]].concat()).fails_with(2, &["--task rte names one"]);
    with(&["--train", "no.csv", "--text", "a", "--label", "b"]).fails_with(2, &["no.csv"]);
    with(&["--text", "review", "--label", "stars", "--task", "rte", "--data", "pocket"])
        .fails_with(2, &["--text: goes with --train FILE"]);
    std::fs::write(dir.path().join("t.toml"), "name = \"t\"\n").unwrap();
    with(&["--task", "t.toml"]).fails_with(2, &["t.toml: is no description of a task", "text"]);
    std::fs::write(dir.path().join("rte.csv"), "review,stars\na,1\nb,2\n").unwrap();
    with(&["--train", "rte.csv", "--text", "review", "--label", "stars"]).fails_with(2, &["rte is built in", "name"]);
    assert!(!dir.path().join("o").exists() && !dir.path().join("o.training").exists());
    let predict = ["predict", "--model", "bert", "--table", "t.csv", "--text", "reviews"];
    run(dir.path(), &predict).fails_with(2, &["did you mean `review`?"]);
}

#[test]
fn logits_that_any_model_wrote_teach_a_student() {
    let dir = pocket_folder(&[]);
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    let (mut csv, mut list, mut table) = ("text,label\n".to_owned(), String::new(), "row,no,yes\n".to_owned());
    for n in 0..160 {
        // The logits say what the labels do not: without them nothing could be learned.
        let (word, label) = (["good", "soup"][n % 2], ["yes", "no"][n / 2 % 2]);
        writeln!(csv, "{},{label}", text(n, word)).unwrap();
        let logits = if n % 2 == 0 { [-3.0, 3.0] } else { [3.0, -3.0] };
        writeln!(list, "{}", json!({ "row": n, "logits": logits })).unwrap();
        writeln!(table, "{n},{},{}", logits[0], logits[1]).unwrap();
    }
    write("t.csv", csv);
    write("logits.csv", table.clone());
    write("logits.jsonl", list.clone());
    let student = |out: &str, more: &[&str]| {
        let base = [
            "distill",
            "--init",
            "bert",
            "--teacher",
            "bert",
            "--train",
            "t.csv",
            "--text",
            "text",
            "--label",
            "label",
        ];
        let short =
            ["--steps", "150", "--batch-size", "16", "--max-len", "12", "--learning-rate", "3e-3", "--threads", "1"];
        run(dir.path(), &[&base[..], &short, &["--out", out], more].concat())
    };
    let taught = ["--objective", "logits", "--teacher-logits", "logits.jsonl"];
    works(student("a", &taught));
    let answer = works(run(dir.path(), &["predict", "--model", "a", "the soup was"])).stdout;
    assert!(answer.starts_with("no 0."), "{answer}");
    let answer = works(run(dir.path(), &["predict", "--model", "a", "good the was"])).stdout;
    assert!(answer.starts_with("yes 0."), "{answer}");
    // The same in another format, and twice the same file is its own mean.
    works(student("b", &["--teacher-logits", "logits.csv", "--teacher-logits", "logits.jsonl"]));
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    assert!(weights("a") == weights("b"));
    let both = ["--teacher-logits", "logits.csv", "--teacher-logits", "logits.jsonl", "--teacher-weight", "3"];
    works(student("w", &[&both[..], &["--teacher-weight", "1"]].concat()));
    assert!(weights("a") == weights("w"), "whatever the weights");
    student("c", &both).fails_with(2, &["--teacher-weight: 1 weights for 2 files of logits"]);
    // What does not fit is refused before anything is trained.
    write("few.jsonl", list.lines().take(100).map(|line| line.to_owned() + "\n").collect());
    student("c", &["--teacher-logits", "few.jsonl"])
        .fails_with(1, &["few.jsonl: ", " training rows have no logits, the first is row 1"]);
    write("other.csv", table.replace("row,no,yes", "row,nein,yes"));
    student("c", &["--teacher-logits", "other.csv"])
        .fails_with(1, &["there is no column `no`; the columns are: row, nein, yes"]);
    write("twice.csv", table.clone() + "3,1,2\n");
    student("c", &["--teacher-logits", "twice.csv"]).fails_with(1, &["twice.csv:162: row 3 stands there twice"]);
    student("c", &["--teacher-logits", "logits.csv", "--objective", "efficientbert"])
        .fails_with(2, &["compares layers", "use --objective logits"]);
    assert!(!dir.path().join("c").exists());
}

#[test]
fn a_rare_class_counts_as_much_as_a_frequent_one_with_balanced_weights() {
    let dir = pocket_folder(&[]);
    let mut csv = "text,label\n".to_owned();
    for n in 0..200 {
        // The same words have both labels, one of them nine times as often.
        writeln!(csv, "{},{}", text(n / 10, "soup"), if n % 10 == 0 { "rare" } else { "usual" }).unwrap();
    }
    std::fs::write(dir.path().join("t.csv"), csv).unwrap();
    let own = ["--train", "t.csv", "--text", "text", "--label", "label"];
    let balanced = [&own[..], &["--class-weights", "balanced"]].concat();
    works(run(dir.path(), &[&["data", "check", "--write-task", "t.toml"], &balanced[..]].concat()));
    let written = std::fs::read_to_string(dir.path().join("t.toml")).unwrap();
    assert!(
        written.contains("classes = [\"rare\", \"usual\"]") && written.contains("class_weights = [5.0, 0.55555"),
        "{written}"
    );
    let teacher = |out: &str, own: &[&str]| {
        let short =
            ["--steps", "200", "--batch-size", "16", "--max-len", "12", "--learning-rate", "1e-3", "--threads", "1"];
        run(dir.path(), &[&["teacher", "--model", "bert", "--out", out], &short[..], own].concat())
    };
    works(teacher("plain", &own));
    works(teacher("balanced", &balanced));
    let rare = |model: &str| {
        let answer = run(dir.path(), &["predict", "--model", model, "--json", "soup the was"]).json();
        answer["answers"][0]["probabilities"]["rare"].as_f64().unwrap()
    };
    assert!(rare("plain") < 0.25 && (rare("balanced") - 0.5).abs() < 0.2, "{} {}", rare("plain"), rare("balanced"));
    let given = |weights| teacher("x", &[&own[..], &["--class-weights", weights]].concat());
    given("1,2,3").fails_with(2, &["class_weights: 3 weights for 2 classes"]);
    given("1,-2").fails_with(2, &["-2 is no number above 0"]);
    given("more").fails_with(2, &["use `balanced`, or a number for each class"]);
    let number = [&own[..], &["--kind", "labels", "--class-weights", "balanced"]].concat();
    teacher("x", &number).fails_with(2, &["class_weights go with the kind `class`"]);
}
