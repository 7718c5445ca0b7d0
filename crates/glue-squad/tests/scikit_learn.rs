//! Scores of random answers against scikit-learn, SciPy and seqeval.
//!
//! `scikit_learn/metrics.py` computes theirs. It needs Python with these libraries, which `EFFICIENTBERT_PYTHON` names; where the variable is
//! not set, the test says so and passes. `cargo xtask transformers` sets it.

#![allow(clippy::disallowed_methods, reason = "where Python is depends on the machine")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use glue_squad::entities::{Scheme, TagSet};
use glue_squad::metrics::Metric;
use glue_squad::task::{Answer, ClassName, Label, LabelSet, Match, Predictions, Tags, Task, TaskSpec};
use serde_json::{Value, json};

/// Random cases of each kind.
const CASES: usize = 60;
const TOLERANCE: f64 = 1e-9;

/// A small generator, so that a case that fails comes again.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's constants; the upper bits are the random ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// `count` values, every second time right where `gold` says what is.
    fn near(&mut self, gold: &[usize], bound: usize) -> Vec<usize> {
        gold.iter().map(|right| if self.below(2) == 0 { *right } else { self.below(bound) }).collect()
    }

    fn many(&mut self, count: usize, bound: usize) -> Vec<usize> {
        (0..count).map(|_| self.below(bound)).collect()
    }
}

fn names(count: usize) -> Vec<ClassName> {
    (0..count).map(|class| format!("c{class}").as_str().into()).collect()
}

/// The task with all metrics that fit it, and the case for the script.
struct Case {
    task: Task,
    predictions: Predictions,
    gold: Vec<Label>,
    script: Value,
}

fn task(answer: Answer, metrics: &[Metric]) -> Task {
    Task::new(TaskSpec { metrics: metrics.to_vec(), headline: None, ..TaskSpec::new("drawn", &["text"], answer) })
        .unwrap()
}

fn of_classes(draw: &mut Draw) -> Case {
    let (count, classes) = (2 + draw.below(40), 2 + draw.below(4));
    let gold = draw.many(count, classes);
    let found = draw.near(&gold, classes);
    let mut metrics = vec![Metric::Accuracy, Metric::MicroF1, Metric::MacroF1, Metric::Matthews];
    metrics.extend((classes == 2).then_some(Metric::F1));
    Case {
        task: task(Answer::Class(names(classes)), &metrics),
        script: json!({ "kind": "classes", "classes": classes, "gold": gold, "found": found }),
        predictions: Predictions::Classes(found),
        gold: gold.into_iter().map(Label::Class).collect(),
    }
}

fn of_labels(draw: &mut Draw) -> Case {
    let (count, labels) = (2 + draw.below(30), 2 + draw.below(5));
    let mut set = || -> Vec<usize> { (0..labels).filter(|_| draw.below(3) == 0).collect() };
    let gold: Vec<Vec<usize>> = (0..count).map(|_| set()).collect();
    let found: Vec<Vec<usize>> =
        gold.iter().map(|right| if right.len() % 2 == 0 { right.clone() } else { set() }).collect();
    let sets =
        |rows: &[Vec<usize>]| rows.iter().map(|row| row.iter().copied().collect::<LabelSet>()).collect::<Vec<_>>();
    Case {
        task: task(Answer::Labels(names(labels)), &[Metric::Accuracy, Metric::MicroF1, Metric::MacroF1]),
        predictions: Predictions::Sets(sets(&found)),
        gold: sets(&gold).into_iter().map(Label::Set).collect(),
        script: json!({ "kind": "labels", "classes": labels, "gold": gold, "found": found }),
    }
}

fn of_numbers(draw: &mut Draw) -> Case {
    let count = 3 + draw.below(40);
    // Few different numbers, so that there are ties; both ends, so that none is constant.
    let mut numbers = || -> Vec<f64> {
        let mut all: Vec<f64> = draw.many(count, 9).into_iter().map(|n| n as f64 / 3.0).collect();
        (all[0], all[1]) = (-1.5, 4.25);
        all
    };
    let (gold, found) = (numbers(), numbers());
    Case {
        task: task(Answer::Number(-10.0..=10.0), &[Metric::Pearson, Metric::Spearman]),
        script: json!({ "kind": "numbers", "gold": gold, "found": found }),
        predictions: Predictions::Scores(found),
        gold: gold.into_iter().map(Label::Score).collect(),
    }
}

/// Vectors of pairs of texts that are all different.
fn of_vectors(draw: &mut Draw) -> Case {
    let (count, width) = (3 + draw.below(40), 2 + draw.below(6));
    let mut rows = || -> Vec<Vec<f64>> {
        let number = |n: usize| (n as f64 - 500.0) / 250.0 + 1e-3;
        (0..count).map(|_| draw.many(width, 1000).into_iter().map(number).collect()).collect()
    };
    let (first, second) = (rows(), rows());
    let metrics = [Metric::Mrr, Metric::RecallAt1, Metric::RecallAt5, Metric::RecallAt10];
    let task =
        Task::new(TaskSpec { metrics: metrics.to_vec(), ..TaskSpec::new("answers", &["a", "b"], Answer::Retrieval) });
    let both = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().chain(b).map(|v| *v as f32).collect::<Vec<f32>>();
    let vectors: Vec<Vec<f32>> = first.iter().zip(&second).map(both).collect();
    let gold: Vec<Label> = (0..count).map(|n| Label::Match(Match::of(&format!("q{n}"), &format!("a{n}")))).collect();
    let task = task.unwrap();
    Case {
        predictions: Predictions::of_vectors(&task, &gold, &vectors).unwrap(),
        script: json!({ "kind": "ranks", "first": first, "second": second }),
        task,
        gold,
    }
}

/// Tags in any order, rules are broken often.
fn of_tags(draw: &mut Draw, tags: &[&str]) -> Case {
    let scheme = TagSet::of(tags).scheme();
    let mut metrics = vec![Metric::EntityF1, Metric::EntityPrecision, Metric::EntityRecall, Metric::Accuracy];
    metrics.extend(matches!(scheme, Scheme::Iob2 | Scheme::Bioes).then_some(Metric::StrictEntityF1));
    let texts = 1 + draw.below(8);
    let gold: Vec<Vec<usize>> = (0..texts)
        .map(|_| 1 + draw.below(12))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|n| draw.many(n, tags.len()))
        .collect();
    let found: Vec<Vec<usize>> = gold.iter().map(|right| draw.near(right, tags.len())).collect();
    let named = |rows: &[Vec<usize>]| {
        rows.iter().map(|row| row.iter().map(|tag| tags[*tag]).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let script = json!({ "kind": "tags", "scheme": scheme.to_string(), "gold": named(&gold), "found": named(&found) });
    let short = |row: &Vec<usize>| row.iter().map(|tag| *tag as u16).collect::<Vec<u16>>();
    Case {
        task: task(Answer::Tags(tags.iter().map(|tag| (*tag).into()).collect()), &metrics),
        predictions: Predictions::Tags(found.iter().map(short).collect()),
        gold: gold.iter().map(|row| Label::Tags(Tags::new(row.iter().map(|_| "w"), short(row)))).collect(),
        script,
    }
}

/// The tags of IOB, of IO, of IOB without kinds, and of BIOES.
const TAG_SETS: [&[&str]; 4] = [
    &["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    &["O", "I-PER", "I-LOC", "I-A-B"],
    &["O", "B", "I"],
    &["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y", "S-Y"],
];

#[test]
fn random_answers_score_what_the_libraries_of_python_say() {
    let Some(python) = std::env::var_os("EFFICIENTBERT_PYTHON") else {
        test_support::skipped("EFFICIENTBERT_PYTHON is not set; `cargo xtask transformers` runs this test");
        return;
    };
    let mut draw = Draw(1);
    let mut cases = Vec::new();
    for _ in 0..CASES {
        cases.extend([of_classes(&mut draw), of_labels(&mut draw), of_numbers(&mut draw), of_vectors(&mut draw)]);
        cases.extend(TAG_SETS.map(|tags| of_tags(&mut draw, tags)));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scikit_learn/metrics.py");
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let all: Vec<&Value> = cases.iter().map(|case| &case.script).collect();
    child.stdin.take().unwrap().write_all(json!(all).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let expected: Vec<BTreeMap<String, f64>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(expected.len(), cases.len());
    let mut worst: f64 = 0.0;
    for (case, expected) in cases.iter().zip(expected) {
        let found = case.task.score(&case.predictions, &case.gold).unwrap();
        assert_eq!(found.values.len(), expected.len(), "{}", case.script);
        for (name, wanted) in expected {
            let value = found.get(&name).unwrap();
            assert!((value - wanted).abs() < TOLERANCE, "{name}: {value} instead of {wanted}: {}", case.script);
            worst = worst.max((value - wanted).abs());
        }
    }
    println!("{} cases, the largest difference is {worst:e}", cases.len());
}
