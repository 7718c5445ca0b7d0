//! Damaged SQuAD files: an error that names the place, never a panic.

use std::path::Path;

use glue_squad::squad::{Dataset, Gold, SquadVersion, score_files};
use proptest::prelude::*;

const FILE: &str = r#"{"version": "v2.0", "data": [{"title": "Lake", "paragraphs": [{"qas": [
    {"question": "How deep?", "id": "q1", "answers": [{"text": "né 10 m", "answer_start": 12}], "is_impossible": false},
    {"plausible_answers": [{"text": "lake", "answer_start": 4}], "question": "Who?", "id": "q2", "answers": [], "is_impossible": true}
    ], "context": "The lake is né 10 m deep."}, {"qas": [], "context": ""}]}]}"#;

fn parse(text: &str) -> Result<Dataset, String> {
    Dataset::parse(text.as_bytes(), Path::new("dev.json")).map_err(|e| e.to_string())
}

#[test]
fn both_layouts_are_read() {
    let data = parse(FILE).unwrap();
    assert_eq!((data.paragraphs.len(), data.questions.len()), (2, 2));
    let question = &data.questions[0];
    assert_eq!((question.id.as_str(), question.question.as_str(), question.is_impossible), ("q1", "How deep?", false));
    assert_eq!(question.answers[0].locate(data.context(0)), Some(12..20));
    assert!(data.questions[1].is_impossible && data.questions[1].plausible_answers[0].text == "lake");
    let v1 = r#"{"version": "1.1", "data": [{"title": "L", "split": "x", "paragraphs": [{"context": "a", "qas": [{"id": "q", "question": "b",
        "answers": [{"answer_start": 0, "text": "a"}]}]}]}]}"#;
    assert!(!parse(v1).unwrap().questions[0].is_impossible);
    let mut first = data.clone();
    first.truncate(1);
    assert_eq!((first.paragraphs.len(), first.questions.len()), (1, 1));
}

#[test]
fn errors_name_the_place_in_the_structure() {
    let check = |from: &str, to: &str, wanted: &[&str]| {
        assert!(FILE.contains(from), "{from}");
        let message = parse(&FILE.replacen(from, to, 1)).unwrap_err();
        assert!(
            message.starts_with("dev.json") && wanted.iter().all(|part| message.contains(part)),
            "{message} lacks one of {wanted:?}"
        );
    };
    check("\"id\": \"q1\"", "\"id\": 7", &[":2:", "data[0].paragraphs[0].qas[0].id", "expected a string"]);
    check("\"answer_start\": 12", "\"answer_start\": \"12\"", &[":2:", "qas[0].answers[0].answer_start"]);
    check(
        "\"answer_start\": 12",
        "\"answer_start\": 25",
        &["data[0].paragraphs[0].qas[0].answers[0].answer_start", "25 characters"],
    );
    check("\"answer_start\": 12", "\"answer_start\": -1", &["answers[0].answer_start: is -1"]);
    check(", \"answer_start\": 12", "", &["answers[0].answer_start: is missing"]);
    check("\"answer_start\": 4", "\"answer_start\": 400", &["qas[1].plausible_answers[0].answer_start"]);
    check(
        "\"id\": \"q2\"",
        "\"id\": \"q1\"",
        &["data[0].paragraphs[0].qas[1].id", "`q1`", "data[0].paragraphs[0].qas[0]"],
    );
    check("\"id\": \"q2\", ", "", &[":3:", "data[0].paragraphs[0].qas[1]", "missing field `id`"]);
    check("\"question\": \"Who?\", ", "", &["qas[1]: missing field `question`"]);
    check(", \"context\": \"\"", "", &["data[0].paragraphs[1]: missing field `context`"]);
    check("\"is_impossible\": true", "\"is_impossible\": 1", &[":3:", "is_impossible", "expected a boolean"]);
    check("]}]}", "", &[":4:", "EOF"]);
    check("\"data\"", "\"dat\"", &["missing field `data`"]);
    check("\"data\": [", "\"data\": [3, ", &["data[0]"]);
    assert!(parse("").unwrap_err().contains("dev.json: the file is empty"));
    assert!(parse(r#"{"data": [{"paragraphs": []}]}"#).unwrap_err().contains("holds no question"));
    assert!(Dataset::read(Path::new("absent.json")).unwrap_err().to_string().starts_with("absent.json: "));
}

#[test]
fn deep_nesting_is_an_error_and_not_an_overflow() {
    let deep = format!(r#"{{"data": {}"#, "[".repeat(200_000));
    assert!(parse(&deep).unwrap_err().contains("dev.json:1:"));
    let ignored = format!(r#"{{"other": {}"#, "[".repeat(200_000));
    assert!(parse(&ignored).unwrap_err().contains("dev.json:1:"));
}

#[derive(Debug, Clone)]
enum Mutation {
    Replace(usize, u8),
    Delete(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
    Cut(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let token = proptest::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "null",
        "-1",
        "1e99",
        "\\ud800",
        "99999999999999999999",
        "\u{0}",
        "\"answers\":",
    ]);
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<usize>(), 1..40_usize).prop_map(|(at, len)| Mutation::Delete(at, len)),
        (any::<usize>(), token).prop_map(|(at, token)| Mutation::Insert(at, token.as_bytes().to_vec())),
        (any::<usize>(), 1..200_usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
        any::<usize>().prop_map(Mutation::Cut),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: Mutation) {
    let place = |at: usize| at % bytes.len().max(1);
    match mutation {
        _ if bytes.is_empty() => {}
        Mutation::Replace(at, byte) => {
            let at = place(at);
            bytes[at] = byte;
        }
        Mutation::Delete(at, len) => {
            let at = place(at);
            bytes.drain(at..(at + len).min(bytes.len()));
        }
        Mutation::Insert(at, token) => {
            let at = place(at);
            bytes.splice(at..at, token);
        }
        Mutation::Repeat(at, len) => {
            let at = place(at);
            let part = bytes[at..(at + len).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        Mutation::Cut(at) => bytes.truncate(place(at)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_file_is_read_or_refused_by_name(mutations in proptest::collection::vec(mutation(), 1..4)) {
        let mut bytes = FILE.as_bytes().to_vec();
        for mutation in mutations {
            mutate(&mut bytes, mutation);
        }
        match Dataset::parse(&bytes, Path::new("dev.json")) {
            Ok(data) => for (number, question) in data.questions.iter().enumerate() {
                for answer in question.answers.iter().chain(&question.plausible_answers) {
                    let context = data.context(number);
                    if let Some(bytes) = answer.locate(context) {
                        prop_assert!(context.get(bytes).is_some());
                    }
                }
            },
            Err(error) => prop_assert!(error.to_string().starts_with("dev.json"), "{}", error),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files_are_scored_or_refused_by_name(which in 0..3_usize, mutations in proptest::collection::vec(mutation(), 1..3), v2: bool) {
        let mut files = [FILE.as_bytes().to_vec(), br#"{"q1": "10 m", "q2": ""}"#.to_vec(), br#"{"q1": 0.25, "q2": 1e3}"#.to_vec()];
        for mutation in mutations {
            mutate(&mut files[which], mutation);
        }
        let dir = tempfile::tempdir().unwrap();
        let paths = ["data.json", "predictions.json", "odds.json"].map(|name| dir.path().join(name));
        for (path, bytes) in paths.iter().zip(&files) {
            std::fs::write(path, bytes).unwrap();
        }
        let (version, odds) = if v2 { (SquadVersion::V2, Some(paths[2].as_path())) } else { (SquadVersion::V1, None) };
        match score_files(version, &paths[0], &paths[1], odds) {
            Ok(found) => for (name, score) in found.scores.iter() {
                prop_assert!(score.as_f64().is_finite(), "{name} {score:?}");
            },
            Err(error) => prop_assert!(error.to_string().contains(".json"), "{}", error),
        }
        let _ = Gold::read(&paths[0]);
    }
}
