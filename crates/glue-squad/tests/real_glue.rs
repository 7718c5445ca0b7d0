//! The official GLUE files, where they are at hand.

mod common;

use glue_squad::task::{Label, Split, TaskKind};

#[test]
fn every_split_has_its_official_rows() {
    let Some(glue) = common::shared("data/glue") else { return };
    let check = |task: TaskKind, split, file: &str, rows: usize, labelled: bool| {
        let data = task.read_split(&glue, split).unwrap_or_else(|e| panic!("{e}"));
        assert!(data.path.ends_with(file), "{task} {split} came from {}", data.path.display());
        assert_eq!(data.examples.len(), rows, "{task} {split}");
        for (at, example) in data.examples.iter().enumerate() {
            assert_eq!(example.id, at);
            assert_eq!(example.text_b.is_some(), task.is_pair());
            assert_eq!(example.label.is_some(), labelled);
            assert!(!example.text_a.is_empty(), "{task} {split} row {at}");
        }
    };
    use Split::{Dev, Test, Train};
    check(TaskKind::Sst2, Train, "train.tsv", 67_349, true);
    check(TaskKind::Sst2, Dev, "dev.tsv", 872, true);
    check(TaskKind::Sst2, Test, "test.tsv", 1_821, false);
    check(TaskKind::Cola, Train, "train.tsv", 8_551, true);
    check(TaskKind::Cola, Dev, "dev.tsv", 1_043, true);
    check(TaskKind::Cola, Test, "test.tsv", 1_063, false);
    check(TaskKind::Mrpc, Train, "train.tsv", 3_668, true);
    check(TaskKind::Mrpc, Dev, "dev.tsv", 408, true);
    check(TaskKind::Mrpc, Test, "test.tsv", 1_725, false);
    check(TaskKind::Stsb, Train, "train.tsv", 5_749, true);
    check(TaskKind::Stsb, Dev, "dev.tsv", 1_500, true);
    check(TaskKind::Stsb, Test, "test.tsv", 1_379, false);
    check(TaskKind::Rte, Train, "train.tsv", 2_490, true);
    check(TaskKind::Rte, Dev, "dev.tsv", 277, true);
    check(TaskKind::Rte, Test, "test.tsv", 3_000, false);
    check(TaskKind::Mnli, Train, "train.subset20k.tsv", 20_000, true);
    check(TaskKind::Mnli, Dev, "dev_matched.tsv", 9_815, true);
}

#[test]
fn the_columns_are_the_right_ones() {
    let Some(glue) = common::shared("data/glue") else { return };
    let dev = TaskKind::Mnli.read(&glue, Split::Dev).unwrap();
    let count = |class| dev.iter().filter(|e| e.label == Some(Label::Class(class))).count();
    assert_eq!([count(0), count(1), count(2)], [3_479, 3_123, 3_213]);
    let cola = TaskKind::Cola.read(&glue.join("CoLA"), Split::Dev).unwrap();
    assert_eq!(
        (cola[0].text_a.as_str(), cola[0].label),
        ("The sailors rode the breeze clear of the rocks.", Some(Label::Class(1)))
    );
    let mrpc = TaskKind::Mrpc.read(&glue, Split::Dev).unwrap();
    assert!(
        mrpc[0].text_a.starts_with("He said the foodservice")
            && mrpc[0].text_b.as_deref().unwrap().starts_with("\" The foodservice")
    );
    let stsb = TaskKind::Stsb.read(&glue, Split::Train).unwrap();
    assert_eq!(
        (stsb[0].text_b.as_deref(), stsb[0].label),
        (Some("An air plane is taking off."), Some(Label::Score(5.0)))
    );
    let message = TaskKind::Mnli.read(&glue, Split::Test).unwrap_err().to_string();
    assert!(message.contains("test_matched.tsv is missing") && message.contains("dev_matched.tsv"), "{message}");
}
