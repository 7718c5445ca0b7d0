//! Tasks of tags: files of words and what is wrong in them.
#![cfg(feature = "tables")]

use std::path::Path;

use glue_squad::metrics::Metric;
use glue_squad::task::{Described, Kind, Label, Majority, OwnTask, Predictions, Split, Tags, Task, render_tags};
use proptest::prelude::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn conll(file: &str) -> OwnTask {
    OwnTask { train: Some(file.into()), dev: Some(file.into()), ..OwnTask::new("mine", &[], &[]) }
}

fn json_lines(file: &str) -> OwnTask {
    OwnTask { train: Some(file.into()), dev: Some(file.into()), ..OwnTask::new("mine", &["w"], &["t"]) }
}

fn described(own: OwnTask, dir: &Path) -> Result<(Task, Described), String> {
    let short = |e: glue_squad::Error| e.to_string().replace(&dir.display().to_string(), "DIR");
    let found = own.described(dir).map_err(short)?;
    let task = found.own.clone().task(dir).map_err(short)?;
    Ok((task, found))
}

/// Texts with their tags by name.
fn read(task: &Task, dir: &Path, split: Split) -> Vec<(String, String)> {
    let named = |label: Option<Label>| label.map_or_else(String::new, |label| task.answer_name(label));
    let examples = task.read_split(dir, split).unwrap().examples;
    examples.into_iter().map(|example| (example.text_a, named(example.label))).collect()
}

const TWO: &str = "EU NNP B-ORG\nrejects VBZ O\nBritish JJ B-MISC\n\nPeter NNP B-PER\nBlackburn NNP I-PER\n";

#[test]
fn words_and_tags_come_from_the_first_and_the_last_column_or_from_those_that_are_named() {
    let dir = folder(&[("t.conll", TWO), ("new.conll", "Peter NNP\nsleeps VBZ\n")]);
    let own = OwnTask { test: Some("new.conll".into()), ..conll("t.conll") };
    let (task, found) = described(own, dir.path()).unwrap();
    assert_eq!((found.own.kind, found.rows), (Some(Kind::Tags), 2));
    assert_eq!((found.own.text.as_slice(), found.own.label.as_slice()), (&["1".to_owned()][..], &["3".to_owned()][..]));
    assert_eq!(
        found.notes,
        ["`3` has 5 tags: B-MISC, B-ORG, B-PER, I-PER, O", "the tags mark entities by the scheme IOB2"]
    );
    let both = [("EU rejects British", "B-ORG O B-MISC"), ("Peter Blackburn", "B-PER I-PER")];
    let both = both.map(|(text, tags)| (text.to_owned(), tags.to_owned()));
    assert_eq!(read(&task, dir.path(), Split::Train), both);
    assert_eq!(read(&task, dir.path(), Split::Test), [("Peter sleeps".to_owned(), String::new())]);
    assert_eq!(task.spec().headline, Some(Metric::EntityF1));
    let again = OwnTask { text: vec!["1".into()], label: vec!["2".into()], ..conll("t.conll") };
    let (task, found) = described(again, dir.path()).unwrap();
    assert_eq!(found.notes[1], "the tags mark no entities; words are scored one by one");
    assert_eq!((task.labels(), task.metric_names()), (vec!["JJ", "NNP", "VBZ"], vec!["accuracy"]));
}

#[test]
fn lists_of_json_have_names_or_numbers_that_classes_name() {
    let json =
        "{\"w\":[\"New York\",\"is\"],\"t\":[\"S-LOC\",\"O\"]}\n{\"w\":[\"a\"],\"t\":[\"O\"]}\n{\"w\":[],\"t\":[]}\n";
    let numbers = "{\"w\":[\"New York\",\"is\"],\"t\":[1,0]}\n{\"w\":[\"a\"],\"t\":[0]}\n";
    let dir = folder(&[("t.jsonl", json), ("n.jsonl", numbers)]);
    let named = OwnTask { classes: vec!["O".into(), "S-LOC".into()], ..json_lines("n.jsonl") };
    for own in [json_lines("t.jsonl"), named] {
        let (task, found) = described(own, dir.path()).unwrap();
        assert_eq!(found.notes[1], "the tags mark entities by the scheme BIOES");
        let rows = read(&task, dir.path(), Split::Train);
        assert_eq!(rows, [("New\u{a0}York is", "S-LOC O"), ("a", "O")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
    let (task, _) = described(json_lines("t.jsonl"), dir.path()).unwrap();
    assert_eq!(task.read_split(dir.path(), Split::Train).unwrap().skipped, [3]);
    let message = described(json_lines("n.jsonl"), dir.path()).unwrap_err();
    assert!(message.contains("the tags are numbers; a description has to name them"), "{message}");
}

#[test]
fn rules_that_are_broken_are_counted_and_iob1_is_told_from_iob2() {
    let note = |text: &str| {
        let dir = folder(&[("t.conll", text)]);
        let (task, found) = described(conll("t.conll"), dir.path()).unwrap();
        (found.notes[1..].join("; "), task.metric_names().contains(&"entity-f1-strict"))
    };
    let (said, strict) = note("a B-X\nb O\n\nc O\nd I-X\ne I-X\nf I-Y\ng B-Y\n");
    assert_eq!(
        said,
        "the tags mark entities by the scheme IOB2; 2 words break the rules of IOB2, the first in line 5; they are learned as they are"
    );
    assert!(strict);
    assert_eq!(note("a O\nb I-X\nc B-X\n"), ("the tags mark entities by the scheme IOB1".to_owned(), false));
    assert_eq!(note("a O\nb I-X\n"), ("the tags mark entities by the scheme IO".to_owned(), false));
    let (said, _) = note("a S-X\nb B-X\nc O\nd E-Y\n");
    assert!(
        said.ends_with("2 words break the rules of BIOES, the first in line 3; they are learned as they are"),
        "{said}"
    );
}

#[test]
fn what_makes_no_sense_is_refused_with_its_line() {
    let dir = folder(&[("t.conll", TWO), ("d.conll", "EU NNP B-ORG\nParis NNP B-LOC\n")]);
    let (task, _) = described(OwnTask { dev: Some("d.conll".into()), ..conll("t.conll") }, dir.path()).unwrap();
    let message = task.read_split(dir.path(), Split::Dev).unwrap_err().to_string();
    let wanted =
        "d.conll:2: field `3` is `B-LOC`; allowed: B-MISC, B-ORG, B-PER, I-PER, O (what the training data have)";
    assert!(message.ends_with(wanted), "{message}");
    for (name, text, own, part) in [
        ("t.conll", "a\nb\n", conll("t.conll"), "DIR/t.conll: there is no column `2`; the columns are: 1"),
        ("t.conll", "a O\nb O\n", conll("t.conll"), "all words have the tag `O`"),
        ("t.conll", "a\tX\nb\t\n", conll("t.conll"), "DIR/t.conll:2: the word `b` has no tag"),
        ("t.conll", "a O\nb\n", conll("t.conll"), "DIR/t.conll:2: 1 columns"),
        ("t.conll", "a O\n", OwnTask { kind: Some(Kind::Class), ..conll("t.conll") }, "another kind was given"),
        (
            "t.jsonl",
            "{\"w\":[\"a\"],\"t\":[\"O\"]}\n{\"w\":[\"a\"],\"t\":[]}",
            json_lines("t.jsonl"),
            "DIR/t.jsonl:2: 1 words in `w` and 0 tags in `t`",
        ),
        ("t.jsonl", "{\"w\":[{}],\"t\":[\"O\"]}", json_lines("t.jsonl"), "DIR/t.jsonl:1: field `w` is `{}`"),
    ] {
        let dir = folder(&[(name, text)]);
        let message = described(own, dir.path()).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_description_without_columns_is_read_and_written_complete() {
    let dir = folder(&[("t.conll", TWO), ("mine.toml", "name = \"mine\"\ntrain = \"t.conll\"\ndev_part = 0.5\n")]);
    let own = OwnTask::read(&dir.path().join("mine.toml")).unwrap();
    let (task, found) = described(own, dir.path()).unwrap();
    assert!(found.own.is_complete());
    let path = dir.path().join("whole.toml");
    std::fs::write(&path, found.own.to_toml().unwrap()).unwrap();
    assert_eq!(OwnTask::read(&path).unwrap(), found.own);
    let json = serde_json::to_string(&task).unwrap();
    assert_eq!(serde_json::from_str::<Task>(&json).unwrap().labels(), task.labels());
}

#[test]
fn tags_are_scored_by_entities_and_the_baseline_knows_words() {
    let dir = folder(&[("t.conll", "a B-X\na B-X\na O\nb O\n\nb O\nc O\n")]);
    let (task, _) = described(conll("t.conll"), dir.path()).unwrap();
    let train = task.split_labels(dir.path(), Split::Train).unwrap();
    let majority = Majority::of(&task, &train).unwrap().unwrap();
    let gold = [Label::Tags(Tags::new(["a", "b", "new"], vec![0, 0, 1]))];
    // `a` is B-X most often, `b` is O, and so is what was never seen.
    assert_eq!(majority.predictions(&gold), Predictions::Tags(vec![vec![0, 1, 1]]));
    let scores = majority.scores(&gold).unwrap();
    assert_eq!((scores.get("entity-precision"), scores.get("entity-recall")), (Some(1.0), Some(0.5)));
    assert!((scores.primary - 2.0 / 3.0).abs() < 1e-12);
    assert!((scores.get("accuracy").unwrap() - 2.0 / 3.0).abs() < 1e-12);
    assert!(task.score(&Predictions::Tags(vec![vec![0]]), &gold).is_err());
    assert!(task.check_labels(&[Label::Tags(Tags::new(["a"], vec![2]))]).is_err());
    let examples = task.read_split(dir.path(), Split::Train).unwrap().examples;
    let text = render_tags(&task, &examples, &[vec![0, 1, 1, 1], vec![0, 0]]).unwrap();
    assert_eq!(text, "a\tB-X\na\tO\na\tO\nb\tO\n\nb\tB-X\nc\tB-X\n\n");
    assert!(render_tags(&task, &examples, &[vec![0], vec![0, 0]]).is_err());
}

#[test]
fn words_without_a_token_are_outside_of_every_entity() {
    let dir = folder(&[("t.conll", "a B-X\nb O\n")]);
    let (task, _) = described(conll("t.conll"), dir.path()).unwrap();
    let logits = vec![vec![2.0, 1.0, f32::NAN, f32::NAN, 0.0, 0.5], Vec::new()];
    assert_eq!(Predictions::of_words(&task, &logits).unwrap(), Predictions::Tags(vec![vec![0, 1, 1], vec![]]));
}

proptest! {
    #[test]
    fn any_bytes_are_texts_with_tags_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in "t\\.(conll|jsonl)") {
        let dir = tempfile::tempdir().unwrap();
        let begin = if name == "t.conll" { "a B-X\nb O\n\n" } else { "{\"w\":[\"a\",\"b\"],\"t\":[\"B-X\",\"O\"]}\n" };
        std::fs::write(dir.path().join(&name), [begin.as_bytes(), &bytes].concat()).unwrap();
        let own = if name == "t.conll" { conll(&name) } else { json_lines(&name) };
        if let Ok((task, found)) = described(own, dir.path()) {
            let data = task.read_split(dir.path(), Split::Train).unwrap();
            prop_assert_eq!((data.examples.len() + data.skipped.len()) as u64, found.rows);
        }
    }
}
