//! SQuAD's official scores. `golden/squad-official.json` holds what the official scripts' functions (Python 3.11) give for answers
//! chosen to be awkward: articles, punctuation of other scripts, marks, ties, missing and superfluous predictions.

mod common;

use std::path::{Path, PathBuf};

use glue_squad::squad::{
    Evaluation, Gold, OrderedMap, SquadVersion, evaluate, exact_match, normalize_answer, score_files,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Golden {
    normalized: Vec<(String, String)>,
    /// Two answers, their exact match, their F1 in v1.1 and in v2.0.
    pairs: Vec<(String, String, u64, f64, f64)>,
    cases: Vec<Case>,
}

/// Maps keep their order, which matters where probabilities are equal.
#[derive(Deserialize)]
struct Case {
    version: SquadVersion,
    data: Value,
    predictions: OrderedMap<String>,
    na_probs: Option<OrderedMap<f64>>,
    expected: Value,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/squad-official.json")).expect("the golden file is JSON")
}

/// Writes a part of a golden file as a file of its own.
fn file(dir: &Path, name: &str, value: &impl Serialize) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, serde_json::to_string(value).expect("JSON")).expect("a file");
    path
}

fn check_equal(found: &Evaluation, expected: &Value, what: &str) {
    let expected = expected.as_object().expect("an object of scores");
    assert_eq!(found.scores.len(), expected.len(), "{what}: {:?} instead of {:?}", found.scores, expected);
    for (name, wanted) in expected {
        let value = found.get(name).unwrap_or_else(|| panic!("{what}: {name} is missing"));
        let wanted = wanted.as_f64().expect("a number");
        assert!((value - wanted).abs() <= TOLERANCE, "{what}: {name} is {value}, the official script gives {wanted}");
    }
}

#[test]
fn awkward_answers_are_normalized_and_compared_as_in_the_official_scripts() {
    let golden = golden();
    for (text, wanted) in &golden.normalized {
        assert_eq!(normalize_answer(text), *wanted, "{text:?}");
    }
    let mut compared = 0;
    for (a, b, exact, f1_v1, f1_v2) in &golden.pairs {
        assert_eq!(u64::from(exact_match(a, b)), *exact, "{a:?} {b:?}");
        for (version, wanted) in [(SquadVersion::V1, f1_v1), (SquadVersion::V2, f1_v2)] {
            let gold = Gold { path: PathBuf::new(), questions: vec![("q".into(), vec![a.clone()])] };
            let predictions = OrderedMap::from_iter([("q".to_owned(), b.clone())]);
            let found = evaluate(version, &gold, &predictions, None, 1.0).expect("scores").get("f1").expect("f1");
            // In v2.0 an answer that is nothing but articles counts as none; the pair's value is before that.
            if version == SquadVersion::V1 || !normalize_answer(a).is_empty() {
                assert!((found - 100.0 * wanted).abs() <= TOLERANCE, "{version} {a:?} {b:?}: {found} {wanted}");
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared} pairs");
}

#[test]
fn files_score_as_in_the_official_scripts() {
    for (number, case) in golden().cases.iter().enumerate() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = file(dir.path(), "data.json", &case.data);
        let predictions = file(dir.path(), "predictions.json", &case.predictions);
        let na_probs = case.na_probs.as_ref().map(|odds| file(dir.path(), "na_probs.json", odds));
        let found =
            score_files(case.version, &data, &predictions, na_probs.as_deref()).unwrap_or_else(|e| panic!("{e}"));
        check_equal(&found, &case.expected, &format!("case {number}"));
    }
}

#[test]
fn the_reference_predictions_score_as_published() {
    let Some(cases) = common::shared("golden/squad-metrics.json") else { return };
    let cases: Value = serde_json::from_slice(&std::fs::read(cases).expect("readable")).expect("JSON");
    for (name, case) in cases.as_object().expect("an object") {
        let path = |key: &str| case.get(key).map(|p| common::shared(p.as_str().expect("a path")));
        let (Some(Some(data)), Some(Some(predictions))) = (path("data"), path("predictions")) else { continue };
        let Some(na_probs) = path("na_probs").map_or(Some(None), |p| p.map(Some)) else { continue };
        let version = if name.starts_with("v1") { SquadVersion::V1 } else { SquadVersion::V2 };
        let found = score_files(version, &data, &predictions, na_probs.as_deref()).unwrap_or_else(|e| panic!("{e}"));
        check_equal(&found, &case["expected"], name);
    }
}

const V1: &str = r#"{"version": "1.1", "data": [{"paragraphs": [{"context": "x", "qas": [
    {"id": "a", "question": "?", "answers": [{"text": "one two", "answer_start": 0}, {"text": "two", "answer_start": 4}]},
    {"id": "b", "question": "?", "answers": [{"text": "three", "answer_start": 0}]}]}]}]}"#;
const V2: &str = r#"{"data": [{"paragraphs": [{"qas": [
    {"id": "a", "is_impossible": false, "answers": [{"text": "one"}]}, {"id": "b", "is_impossible": true, "answers": []}]}]}]}"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new(data: &str, predictions: &str) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        files.put("data.json", data);
        files.put("predictions.json", predictions);
        files
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn score(&self, version: SquadVersion) -> Result<Evaluation, String> {
        let path = |name: &str| self.0.path().join(name);
        let odds = path("odds.json");
        score_files(version, &path("data.json"), &path("predictions.json"), odds.exists().then_some(&odds))
            .map_err(|e| e.to_string())
    }
}

#[test]
fn the_official_names_come_in_the_official_order() {
    let files = Files::new(V1, r#"{"a": "two", "b": "four"}"#);
    let found = files.score(SquadVersion::V1).unwrap();
    assert_eq!(serde_json::to_string(&found.scores).unwrap(), r#"{"exact_match":50.0,"f1":50.0}"#);
    assert_eq!(found.primary(), 50.0);
    let files = Files::new(V2, r#"{"a": "one", "b": "one"}"#);
    files.put("odds.json", r#"{"a": 0.25, "b": 0.5}"#);
    assert_eq!(
        serde_json::to_string(&files.score(SquadVersion::V2).unwrap().scores).unwrap(),
        concat!(
            r#"{"exact":50.0,"f1":50.0,"total":2,"HasAns_exact":100.0,"HasAns_f1":100.0,"HasAns_total":1,"#,
            r#""NoAns_exact":0.0,"NoAns_f1":0.0,"NoAns_total":1,"best_exact":100.0,"best_exact_thresh":0.25,"#,
            r#""best_f1":100.0,"best_f1_thresh":0.25}"#
        )
    );
}

#[test]
fn a_missing_prediction_scores_zero_in_v1_and_is_an_error_in_v2() {
    let found = Files::new(V1, r#"{"a": "one two", "z": "x", "y": "x"}"#).score(SquadVersion::V1).unwrap();
    assert_eq!((found.get("exact_match"), found.missing, found.extra), (Some(50.0), vec!["b".to_owned()], 2));
    let message = Files::new(V2, r#"{"a": "one", "z": "x"}"#).score(SquadVersion::V2).unwrap_err();
    assert!(
        message.contains("predictions.json: 1 of 2 questions") && message.contains("the first is `b`"),
        "{message}"
    );
    let files = Files::new(V2, r#"{"a": "one", "b": "", "z": "x"}"#);
    assert_eq!(files.score(SquadVersion::V2).unwrap().extra, 1);
    files.put("odds.json", r#"{"b": 0.5}"#);
    let message = files.score(SquadVersion::V2).unwrap_err();
    assert!(message.contains("odds.json: 1 of 2 questions") && message.contains("`a`"), "{message}");
}

#[test]
fn what_the_official_scripts_fail_on_is_an_error_that_says_what_to_do() {
    let check = |data: &str, predictions: &str, version, wanted: &[&str]| {
        let message = Files::new(data, predictions).score(version).unwrap_err();
        assert!(wanted.iter().all(|part| message.contains(part)), "{message} lacks one of {wanted:?}");
    };
    check(V2, r#"{"a": "", "b": ""}"#, SquadVersion::V1, &["data.json", "question `b`", "squad-v2"]);
    check(V1, r#"{"a": 1}"#, SquadVersion::V1, &["predictions.json:1:", "a", "expected a string"]);
    check(V1, r#"{"a": "#, SquadVersion::V1, &["predictions.json:1:", "EOF"]);
    check(V1, "[]", SquadVersion::V1, &["predictions.json:1:", "one entry per question id"]);
    check(r#"{"data": []}"#, "{}", SquadVersion::V1, &["data.json", "holds no question"]);
    check(r#"{"data": []}"#, "{}", SquadVersion::V2, &["data.json", "holds no question"]);
    let unlabeled = r#"{"data": [{"paragraphs": [{"context": "", "qas": [{"id": "a", "question": ""}]}]}]}"#;
    check(unlabeled, "{}", SquadVersion::V1, &["data.json", "data[0].paragraphs[0].qas[0]", "`answers`"]);
    let files = Files::new(V1, "{}");
    files.put("odds.json", "{}");
    assert!(files.score(SquadVersion::V1).unwrap_err().contains("no-answer probabilities"));
    let absent = score_files(SquadVersion::V1, Path::new("absent.json"), Path::new("p.json"), None).unwrap_err();
    assert!(absent.to_string().starts_with("absent.json: "), "{absent}");
}

#[test]
fn questions_of_equal_probability_are_taken_in_the_order_of_their_file() {
    let data = r#"{"data": [{"paragraphs": [{"qas": [{"id": "a", "answers": [{"text": "x"}]}, {"id": "b", "answers": []}]}]}]}"#;
    let best = |odds: &str| {
        let files = Files::new(data, r#"{"a": "x", "b": "x"}"#);
        files.put("odds.json", odds);
        files.score(SquadVersion::V2).unwrap().get("best_exact")
    };
    assert_eq!(best(r#"{"a": 0.5, "b": 0.5}"#), Some(100.0));
    assert_eq!(best(r#"{"b": 0.5, "a": 0.5}"#), Some(50.0));
}
