//! The Hugging Face copies, and how a folder's layout is recognized.

use std::fs;
use std::path::Path;

use glue_squad::Result;
use glue_squad::task::{Example, Label, Split, TaskKind};
use proptest::prelude::*;

fn parse(task: TaskKind, split: Split, text: &str) -> Result<Vec<Example>> {
    task.parse(text.as_bytes(), "x.jsonl", split).collect()
}

fn refused(task: TaskKind, split: Split, text: &str, wanted: &[&str]) {
    let message = parse(task, split, text).expect_err("damaged").to_string();
    for part in wanted {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn jsonl_gives_the_texts_and_labels_of_the_tsv() {
    let json = parse(
        TaskKind::Rte,
        Split::Train,
        "\u{feff}{\"idx\": 7, \"label\": 1, \"sentence1\": \"say \\\"a\\\"\", \"sentence2\": \"b\"}\r\n\n{\"sentence1\":\"c\",\"sentence2\":\"d\",\"label\":\"entailment\"}",
    );
    let tsv = parse(
        TaskKind::Rte,
        Split::Train,
        "index\tsentence1\tsentence2\tlabel\n0\tsay \"a\"\tb\tnot_entailment\n1\tc\td\tentailment\n",
    );
    assert_eq!(json.unwrap(), tsv.unwrap());
}

#[test]
fn class_numbers_stand_for_the_official_words() {
    let classes = |task: TaskKind, line: &str| {
        let numbers = (0..task.task().labels().len()).map(|class| line.replace("LABEL", &class.to_string()));
        let words = task.task().class_words();
        let words = words.iter().map(|word| line.replace("LABEL", &format!("\"{word}\"")));
        let read = |line: String| parse(task, Split::Dev, &line).unwrap()[0].label.clone();
        let (numbers, words): (Vec<_>, Vec<_>) = (numbers.map(read).collect(), words.map(read).collect());
        assert_eq!(numbers, words, "{task}");
        assert_eq!(numbers, (0..task.task().labels().len()).map(|class| Some(Label::Class(class))).collect::<Vec<_>>());
    };
    classes(TaskKind::Sst2, r#"{"sentence":"a","label":LABEL,"idx":0}"#);
    classes(TaskKind::Mrpc, r#"{"sentence1":"a","sentence2":"b","label":LABEL}"#);
    classes(TaskKind::Wnli, r#"{"sentence1":"a","sentence2":"b","label":LABEL}"#);
    classes(TaskKind::Qqp, r#"{"question1":"a","question2":"b","label":LABEL}"#);
    classes(TaskKind::Qnli, r#"{"question":"a","sentence":"b","label":LABEL}"#);
    classes(TaskKind::MnliMm, r#"{"premise":"a","hypothesis":"b","label":LABEL}"#);
    let score = parse(TaskKind::Stsb, Split::Dev, r#"{"sentence1":"a","sentence2":"b","label":4}"#).unwrap();
    assert_eq!(score[0].label, Some(Label::Score(4.0)));
}

#[test]
fn minus_one_and_null_are_no_label_in_a_test_set_and_an_error_elsewhere() {
    for label in ["-1", "null", "-1.0", "\"-1\""] {
        let line = format!(r#"{{"premise":"a","hypothesis":"b","label":{label},"idx":0}}"#);
        assert_eq!(parse(TaskKind::Ax, Split::Test, &line).unwrap()[0].label, None);
        refused(TaskKind::Mnli, Split::Train, &line, &["x.jsonl:1", "`label`", "-1 in a test set only"]);
    }
    refused(TaskKind::Sst2, Split::Test, r#"{"sentence":"a","label":2}"#, &["x.jsonl:1", "`label` is `2`", "0 to 1"]);
}

#[test]
fn damaged_lines_are_refused_with_file_line_and_what_is_wrong() {
    let good = r#"{"sentence":"a","label":1}"#;
    let second =
        |line: &str, wanted: &[&str]| refused(TaskKind::Sst2, Split::Dev, &format!("{good}\n{line}\n"), wanted);
    second("{\"sentence\":", &["x.jsonl:2: character"]);
    second("7", &["x.jsonl:2", "one JSON object per line"]);
    second(r#"{"label":1}"#, &["x.jsonl:2", "no column `sentence`", "label"]);
    second(r#"{"sentence":5,"label":1}"#, &["x.jsonl:2", "field `sentence` is `5`", "a text"]);
    second(r#"{"sentence":"a","label":[1]}"#, &["x.jsonl:2", "`[1]`"]);
    second(r#"{"sentence":"a","label":0.5}"#, &["x.jsonl:2", "`0.5`"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("validation.json");
    fs::write(&path, format!("[\n{good}\n]")).unwrap();
    let message = TaskKind::Sst2.open(&path, Split::Dev).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(message.contains("validation.json:1") && message.contains("JSON list"), "{message}");
}

#[test]
fn a_test_set_out_of_order_is_refused_because_predictions_go_by_position() {
    let line = |idx: usize| format!("{{\"sentence\":\"a\",\"label\":-1,\"idx\":{idx}}}\n");
    assert_eq!(parse(TaskKind::Cola, Split::Test, &(line(0) + &line(1))).unwrap().len(), 2);
    refused(
        TaskKind::Cola,
        Split::Test,
        &(line(0) + &line(2)),
        &["x.jsonl:2", "`idx` is `2`", "whole and in its order"],
    );
    refused(TaskKind::Sst2, Split::Test, "index\tsentence\n1\ta\n", &["x.jsonl:2", "`index` is `1`"]);
    assert_eq!(parse(TaskKind::Cola, Split::Dev, &line(9).replace("-1", "1")).unwrap()[0].id, 0);
}

/// A row of a task as a TSV file saved from the hub, with the columns in both usual orders.
fn saved_rows(columns: &str, label: &str) -> [String; 2] {
    let texts: Vec<&str> = columns.split(' ').collect();
    let row = texts.iter().map(|name| format!("some {name}")).collect::<Vec<_>>().join("\t");
    let names = texts.join("\t");
    [format!("{names}\tlabel\tidx\n{row}\t{label}\t0\n"), format!("idx\t{names}\tlabel\n0\t{row}\t{label}\n")]
}

#[test]
fn tsv_files_saved_from_the_hub_are_read_as_its_other_copies() {
    for (task, columns) in [
        (TaskKind::Cola, "sentence"),
        (TaskKind::Sst2, "sentence"),
        (TaskKind::Mrpc, "sentence1 sentence2"),
        (TaskKind::Stsb, "sentence1 sentence2"),
        (TaskKind::Qqp, "question1 question2"),
        (TaskKind::Mnli, "premise hypothesis"),
        (TaskKind::MnliMm, "premise hypothesis"),
        (TaskKind::Qnli, "question sentence"),
        (TaskKind::Rte, "sentence1 sentence2"),
        (TaskKind::Wnli, "sentence1 sentence2"),
        (TaskKind::Ax, "premise hypothesis"),
    ] {
        let first = format!("some {}", columns.split(' ').next().unwrap());
        for label in ["-1", "-1.0", ""] {
            for file in saved_rows(columns, label) {
                let read = parse(task, Split::Test, &file).unwrap_or_else(|e| panic!("{task} `{label}`: {e}"));
                assert_eq!((read[0].text_a.as_str(), read[0].label.clone()), (first.as_str(), None), "{task}");
                let wanted = ["x.jsonl:2", "field `label` is `nothing or -1`", "-1 in a test set only"];
                for split in [Split::Train, Split::Dev] {
                    refused(task, split, &file, &wanted);
                }
            }
        }
        for class in 0..task.task().labels().len() {
            for label in [class.to_string(), format!("{class}.0"), task.task().class_words()[class].to_owned()] {
                for file in saved_rows(columns, &label) {
                    assert_eq!(parse(task, Split::Dev, &file).unwrap()[0].label, Some(Label::Class(class)), "{task}");
                }
            }
        }
        refused(task, Split::Test, &saved_rows(columns, "-2")[0], &["`label` is `-2`"]);
        refused(task, Split::Dev, &saved_rows(columns, "7")[0], &["`label` is `7`"]);
    }
    let score = parse(TaskKind::Stsb, Split::Dev, &saved_rows("sentence1 sentence2", "3.5")[1]).unwrap();
    assert_eq!(score[0].label, Some(Label::Score(3.5)));
    let moved = saved_rows("sentence", "-1")[0].replace("\t0\n", "\t4\n");
    refused(TaskKind::Sst2, Split::Test, &moved, &["x.jsonl:2", "`idx` is `4`", "whole and in its order"]);
}

#[test]
fn quotes_that_writers_of_csv_add_are_taken_away_in_files_of_the_hub_only() {
    // As Python writes them: csv.writer(file, delimiter="\t", lineterminator="\n").writerow(...).
    let written = "\"\"\" We won \"\" , he said .\"\tIt is \"\"fine\"\" .\t1\t0\n";
    let read = parse(TaskKind::Mrpc, Split::Dev, &format!("sentence1\tsentence2\tlabel\tidx\n{written}")).unwrap();
    assert_eq!(read[0].text_a, "\" We won \" , he said .");
    assert_eq!(read[0].text_b.as_deref(), Some("It is \"\"fine\"\" ."), "no quotes around it, none to take away");
    for (field, text) in [("\"a \"b\" c\"", "\"a \"b\" c\""), ("\"", "\""), ("\"\"", ""), ("\"\"\"\"", "\"")] {
        let file = format!("premise\thypothesis\tlabel\n{field}\tb\t1\n");
        assert_eq!(parse(TaskKind::Mnli, Split::Dev, &file).unwrap()[0].text_a, text, "{field}");
    }
    // GLUE's own files are not quoted.
    let own =
        parse(TaskKind::Rte, Split::Dev, "index\tsentence1\tsentence2\tlabel\n0\t\"a \"\"\"\tb\tentailment\n").unwrap();
    assert_eq!(own[0].text_a, "\"a \"\"\"");
}

/// The first text of the split that is found.
fn first(task: TaskKind, dir: &Path, split: Split) -> String {
    task.read_split(dir, split).unwrap_or_else(|e| panic!("{task} {split}: {e}")).examples.swap_remove(0).text_a
}

fn put(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn folders_of_the_hub_are_recognized_with_their_own_names() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let pair = |text: &str| format!("{{\"premise\":\"{text}\",\"hypothesis\":\"b\",\"label\":0}}\n");
    put(root, "mnli/train.jsonl", &pair("train"));
    put(root, "mnli/validation_matched.jsonl", &pair("matched"));
    put(root, "mnli/validation_mismatched.jsonl", &pair("mismatched"));
    put(root, "mnli/test_matched-00000-of-00002.jsonl", &pair("test one"));
    put(root, "mnli/test_matched-00001-of-00002.jsonl", &pair("test two"));
    put(root, "ax/test.jsonl", &pair("ax").replace(":0", ":-1"));
    put(root, "sst2/data/validation.json", "{\"sentence\":\"in data\",\"label\":0}\n");
    assert_eq!(first(TaskKind::Mnli, root, Split::Train), "train");
    assert_eq!(first(TaskKind::Mnli, root, Split::Dev), "matched");
    assert_eq!(first(TaskKind::MnliMm, root, Split::Dev), "mismatched");
    assert_eq!(first(TaskKind::Ax, root, Split::Test), "ax");
    assert_eq!(first(TaskKind::Sst2, &root.join("sst2"), Split::Dev), "in data");
    let test = TaskKind::Mnli.read_split(root, Split::Test).unwrap().examples;
    assert_eq!(test.iter().map(|e| (e.id, e.text_a.as_str())).collect::<Vec<_>>(), [(0, "test one"), (1, "test two")]);
    assert_eq!(TaskKind::Mnli.find_all(root, Split::Test).unwrap().len(), 2);
    fs::remove_file(root.join("mnli/test_matched-00000-of-00002.jsonl")).unwrap();
    let message = TaskKind::Mnli.read_split(root, Split::Test).unwrap_err().to_string();
    assert!(message.contains("test_matched-00000-of-00002.jsonl") && message.contains("2 pieces"), "{message}");
    put(root, "mnli_mismatched/validation.jsonl", &pair("own folder"));
    fs::remove_dir_all(root.join("mnli")).unwrap();
    assert_eq!(first(TaskKind::MnliMm, root, Split::Dev), "own folder");
    assert!(TaskKind::Mnli.read_split(root, Split::Dev).is_err(), "the mismatched set is not the matched one");
}

#[test]
fn glues_own_files_come_before_the_copies_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "SST-2/dev.tsv", "sentence\tlabel\ntsv\t1\n");
    put(dir.path(), "SST-2/validation.jsonl", "{\"sentence\":\"json\",\"label\":1}\n");
    put(dir.path(), "sst2/train.jsonl", "{\"sentence\":\"other folder\",\"label\":1}\n");
    assert_eq!(first(TaskKind::Sst2, dir.path(), Split::Dev), "tsv");
    assert_eq!(first(TaskKind::Sst2, dir.path(), Split::Train), "other folder");
    let message = TaskKind::Sst2.read_split(dir.path(), Split::Test).unwrap_err().to_string();
    assert!(message.contains("test.tsv, test.parquet or test.jsonl is missing"), "{message}");
}

#[test]
fn splits_that_do_not_exist_say_which_model_answers_them() {
    let dir = tempfile::tempdir().unwrap();
    for (task, split) in [(TaskKind::MnliMm, Split::Train), (TaskKind::Ax, Split::Dev), (TaskKind::Ax, Split::Train)] {
        let message = task.find_all(dir.path(), split).unwrap_err().to_string();
        assert!(message.contains(task.name()) && message.contains("a model of mnli"), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_jsonl_is_read_or_refused_with_file_and_line(
        changes in proptest::collection::vec((0..3_u8, any::<u16>(), prop_oneof![any::<u8>(), Just(b'"'), Just(b'{'), Just(b'\n'), Just(0xff)]), 1..6),
    ) {
        let mut bytes = b"{\"sentence1\":\"a man\",\"sentence2\":\"a woman\",\"label\":2.5,\"idx\":0}\n{\"sentence1\":\"a\",\"sentence2\":\"b\",\"label\":5,\"idx\":1}\n".to_vec();
        for (kind, place, byte) in changes {
            let at = usize::from(place) % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let lines = bytes.split(|b| *b == b'\n').count();
        if let Err(error) = TaskKind::Stsb.parse(&bytes[..], "x.jsonl", Split::Dev).collect::<Result<Vec<_>>>() {
            let message = error.to_string();
            let line = message.strip_prefix("x.jsonl:").and_then(|rest| rest.split(':').next()).and_then(|n| n.parse::<usize>().ok());
            prop_assert!(message.contains("the file is empty") || line.is_some_and(|line| (1..=lines).contains(&line)), "{}", message);
        }
    }
}
