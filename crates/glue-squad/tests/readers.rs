//! What the readers accept and how they refuse.

use std::path::Path;

use glue_squad::task::{Example, Label, Split, TaskKind};
use glue_squad::{Error, Result, RowPlace};
use proptest::prelude::*;

fn parse(task: TaskKind, split: Split, bytes: &[u8]) -> Result<Vec<Example>> {
    task.parse(bytes, "x.tsv", split).collect()
}

fn refused(task: TaskKind, split: Split, bytes: &[u8], wanted: &[&str]) {
    let message = parse(task, split, bytes).expect_err("damaged").to_string();
    for part in wanted {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

const SAMPLES: usize = 16;

/// A small good file of every task and split that is laid out differently.
fn samples() -> Vec<(TaskKind, Split, Vec<u8>)> {
    use Split::{Dev, Test, Train};
    let text: [(TaskKind, Split, &str); SAMPLES] = [
        (TaskKind::Sst2, Train, "sentence\tlabel\na \"fine\" film\t1\ndull\t0\n"),
        (TaskKind::Sst2, Test, "index\tsentence\n0\tso so\n1\tgood\n"),
        (TaskKind::Cola, Dev, "gj04\t1\t\tThe sailors rode.\ngj04\t0\t*\tSailors the rode."),
        (TaskKind::Cola, Test, "index\tsentence\n0\tBill whistled.\n"),
        (
            TaskKind::Mrpc,
            Train,
            "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\tone\t\" two\r\n0\t9\t8\tone\ttwo\r\n",
        ),
        (
            TaskKind::Stsb,
            Dev,
            "index\tgenre\tsentence1\tsentence2\tscore\n0\tx\ta man\ta woman\t2.400\n1\tx\ta\tb\t5\n",
        ),
        (
            TaskKind::Rte,
            Train,
            "index\tsentence1\tsentence2\tlabel\n0\tit rained\tit is wet\tentailment\n1\ta\tb\tnot_entailment\n",
        ),
        (TaskKind::Mnli, Dev, "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\ta\tb\tneutral\tcontradiction\n"),
        (TaskKind::Rte, Test, "index\tsentence1\tsentence2\n0\tit rained\tit is wet\n\n"),
        (
            TaskKind::Qqp,
            Train,
            "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n9\t1\t2\twhy?\t\"why\t1\n3\t4\t5\twho\t\t0\n",
        ),
        (TaskKind::Qqp, Test, "id\tquestion1\tquestion2\n0\twhy\twho\n1\ta\tb\n"),
        (TaskKind::Qnli, Dev, "index\tquestion\tsentence\tlabel\n0\twho?\t\"he\tentailment\n1\ta\tb\tnot_entailment\n"),
        (TaskKind::Wnli, Dev, "index\tsentence1\tsentence2\tlabel\n0\tit fell\tthe cup fell\t1\n"),
        (
            TaskKind::MnliMm,
            Test,
            "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2\n0\t1\t1n\tverbatim\ta\tb\n1\t2\t2c\toup\tc\td\n",
        ),
        (TaskKind::Ax, Test, "index\tsentence1\tsentence2\n0\ta cat\tno cat"),
        (
            TaskKind::Stsb,
            Train,
            "main\tMSR\t2012\t0001\t5.000\ta plane\ta jet\nmain\tMSR\t2012\t0004\t3.8\ta\tb\tnotes\tmore\n",
        ),
    ];
    text.map(|(task, split, text)| (task, split, text.as_bytes().to_vec())).to_vec()
}

#[test]
fn good_files_of_every_layout_are_read() {
    for (task, split, bytes) in samples() {
        let examples = parse(task, split, &bytes).unwrap_or_else(|e| panic!("{task} {split}: {e}"));
        assert!(!examples.is_empty());
        assert!(
            examples
                .iter()
                .all(|e| e.label.is_some() == (split != Split::Test) && e.text_b.is_some() == task.task().is_pair()),
            "{task}"
        );
    }
    let mnli = parse(TaskKind::Mnli, Split::Dev, &samples()[7].2).unwrap();
    assert_eq!(mnli[0].label, Some(Label::Class(2)), "the label is the last column, not an annotator's");
    let mrpc = parse(TaskKind::Mrpc, Split::Train, &samples()[4].2).unwrap();
    assert_eq!(
        (mrpc[0].text_b.as_deref(), mrpc[1].text_b.as_deref()),
        (Some("\" two"), Some("two")),
        "quotes stay, CR goes"
    );
}

#[test]
fn rows_of_qqp_that_are_torn_apart_are_passed_over_and_named_as_everywhere() {
    let mut text = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\ta\tb\t1\n".to_owned();
    text += "1\t3\t4\ta question with\n\na line break\tc\t0\n2\t5\t6\td\te\t0\n";
    let mut reader = TaskKind::Qqp.parse(text.as_bytes(), "x.tsv", Split::Train);
    let examples: Vec<Example> = reader.by_ref().collect::<Result<_>>().unwrap();
    assert_eq!(examples.iter().map(|e| e.text_a.as_str()).collect::<Vec<_>>(), ["a", "d"]);
    assert_eq!(reader.skipped(), [3, 4, 5]);
    refused(
        TaskKind::Qqp,
        Split::Train,
        format!("{text}{}", "torn\n".repeat(65)).as_bytes(),
        &["x.tsv:", "instead of 6"],
    );
    let test = "id\tquestion1\tquestion2\n0\ta\tb\n1\tc\n";
    refused(TaskKind::Qqp, Split::Test, test.as_bytes(), &["x.tsv:3", "2 tab-separated columns instead of 3"]);
}

#[test]
fn cola_with_a_header_is_recognized_and_sts_b_as_released_may_have_notes_behind() {
    let cola = parse(TaskKind::Cola, Split::Dev, b"sentence\tlabel\nA cat sat.\t1\n").unwrap();
    assert_eq!((cola.len(), cola[0].text_a.as_str(), cola[0].label.clone()), (1, "A cat sat.", Some(Label::Class(1))));
    let stsb = parse(TaskKind::Stsb, Split::Train, &samples()[15].2).unwrap();
    assert_eq!((stsb[1].text_b.as_deref(), stsb[1].label.clone()), (Some("b"), Some(Label::Score(3.8))));
    refused(TaskKind::Stsb, Split::Train, b"m\tM\t2012\t1\t5.0\ta\tb\nm\tM\t2012\t1\t5.0\ta\n", &["x.tsv:2", "6 tab-"]);
}

#[test]
fn a_labeled_test_file_keeps_its_labels() {
    let examples = parse(TaskKind::Sst2, Split::Test, b"index\tsentence\tlabel\n0\tgood\t1\n").unwrap();
    assert_eq!(examples[0].label, Some(Label::Class(1)));
}

#[test]
fn damage_is_reported_with_file_line_and_field() {
    use Split::{Dev, Train};
    refused(TaskKind::Sst2, Train, b"", &["x.tsv", "empty", "header"]);
    refused(TaskKind::Sst2, Train, b"sentence\tlabel\n\n", &["x.tsv", "empty"]);
    refused(TaskKind::Cola, Dev, b"\n", &["x.tsv", "empty"]);
    refused(
        TaskKind::Sst2,
        Train,
        b"sentence\tlabel\ngood\t1\nbad\n",
        &["x.tsv:3", "1 tab-separated columns instead of 2", "sentence label"],
    );
    refused(TaskKind::Sst2, Train, b"sentence\tlabel\ngood\t1\n\nbad\t0\n", &["x.tsv:3", "0 tab-separated"]);
    refused(
        TaskKind::Sst2,
        Train,
        b"sentence\tlabel\ngood\tyes\n",
        &["x.tsv:2", "field `label` is `yes`", "allowed: 0, 1"],
    );
    refused(TaskKind::Cola, Dev, b"a\t1\t\tb\na\tlabel\t\tb\n", &["x.tsv:2", "field `label`"]);
    refused(
        TaskKind::Rte,
        Dev,
        b"index\tsentence1\tsentence2\tlabel\n0\ta\tb\tneutral\n",
        &["x.tsv:2", "entailment, not_entailment"],
    );
    refused(
        TaskKind::Stsb,
        Dev,
        b"sentence1\tsentence2\tscore\na\tb\t5.1\n",
        &["x.tsv:2", "`score` is `5.1`", "0 to 5"],
    );
    refused(TaskKind::Stsb, Dev, b"sentence1\tsentence2\tscore\na\tb\tNaN\n", &["x.tsv:2", "`score`"]);
    refused(TaskKind::Mrpc, Dev, b"Quality\t#1 ID\t#2 ID\t#1 String\n", &["x.tsv:1", "no column `#2 String`", "#1 ID"]);
    refused(TaskKind::Sst2, Train, b"good film\t1\n", &["x.tsv:1", "no column `sentence`"]);
    refused(TaskKind::Sst2, Train, b"sentence\tlabel\ngo\xffod\t1\n", &["x.tsv:2", "byte 3", "UTF-8"]);
}

#[test]
fn missing_folders_and_files_say_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let message = |path: &Path, split| TaskKind::Rte.read_split(path, split).unwrap_err().to_string();
    assert!(message(&dir.path().join("none"), Split::Dev).contains("no such folder"));
    std::fs::create_dir(dir.path().join("CoLA")).unwrap();
    let text = message(dir.path(), Split::Dev);
    assert!(text.contains("RTE") && text.contains("CoLA"), "{text}");
    let rte = dir.path().join("RTE");
    std::fs::create_dir(&rte).unwrap();
    std::fs::write(rte.join("notes.md"), "x").unwrap();
    let text = message(dir.path(), Split::Train);
    assert!(text.contains("train.tsv") && text.contains("notes.md"), "{text}");
}

#[test]
fn a_subset_stands_in_for_a_missing_train_file_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("SST-2");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("train.subset2k.tsv"), "sentence\tlabel\ngood\t1\n").unwrap();
    for given in [dir.path(), folder.as_path()] {
        let data = TaskKind::Sst2.read_split(given, Split::Train).unwrap();
        assert_eq!((data.path, data.examples.len()), (folder.join("train.subset2k.tsv"), 1));
    }
    std::fs::write(folder.join("train.tsv"), "sentence\tlabel\ngood\t1\nbad\t0\n").unwrap();
    assert_eq!(TaskKind::Sst2.read_split(dir.path(), Split::Train).unwrap().examples.len(), 2);
}

#[test]
fn the_reader_ends_after_an_error() {
    let mut reader = TaskKind::Sst2.parse(&b"sentence\tlabel\ngood\t1\nbad\nworse\t0\n"[..], "x.tsv", Split::Train);
    assert!(matches!(reader.next(), Some(Ok(_))));
    assert!(matches!(reader.next(), Some(Err(Error::BadRow { place: RowPlace::Line(3), .. }))));
    assert!(reader.next().is_none());
}

/// One change to a file: overwrite, insert, delete or cut at a place.
fn mutate(bytes: &mut Vec<u8>, (kind, place, byte): (u8, u16, u8)) {
    let at = usize::from(place) % (bytes.len() + 1);
    match kind {
        0 if at < bytes.len() => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        3 => bytes.truncate(at),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files_are_read_or_refused_with_file_and_line(
        which in 0..SAMPLES,
        changes in proptest::collection::vec((0..4_u8, any::<u16>(), prop_oneof![any::<u8>(), Just(b'\t'), Just(b'\n'), Just(b'\r'), Just(0xff_u8)]), 1..6),
    ) {
        let (task, split, mut bytes) = samples().swap_remove(which);
        changes.into_iter().for_each(|change| mutate(&mut bytes, change));
        let lines = bytes.split(|b| *b == b'\n').count();
        match parse(task, split, &bytes) {
            Ok(examples) => prop_assert!(!examples.is_empty() && examples.len() <= lines),
            Err(Error::EmptyFile { path, .. }) => prop_assert_eq!(path, Path::new("x.tsv")),
            Err(error) => {
                let message = error.to_string();
                let line = message.strip_prefix("x.tsv:").and_then(|rest| rest.split(':').next()).and_then(|n| n.parse::<usize>().ok());
                prop_assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{}", message);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), which in 0..SAMPLES) {
        let (task, split, _) = samples().swap_remove(which);
        let _ = parse(task, split, &bytes).is_ok();
    }
}
