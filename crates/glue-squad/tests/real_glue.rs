//! The official GLUE files, where they are at hand.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use glue_squad::task::{Example, Label, Majority, Split, Task, TaskKind};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// The rows that `INDEX.md` lists, by path in the GLUE folder.
fn index(data: &Path) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(data.join("INDEX.md")).expect("the list of files");
    let row = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let path = cells.next()?.strip_prefix("glue/")?.to_owned();
        Some((path, cells.next()?.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

/// Which task and split a file is, and whether it has labels.
fn role(path: &str) -> Option<(TaskKind, Split, bool)> {
    let (folder, name) = path.split_once('/')?;
    let task = if name == "dev_mismatched.tsv" { TaskKind::MnliMm } else { folder.parse::<Task>().ok()?.glue()? };
    let split = match name {
        "diagnostic.tsv" => Split::Test,
        name if name.contains("train") => Split::Train,
        name if name.contains("dev") && name != "dev_ids.tsv" => Split::Dev,
        name if name.contains("test") => Split::Test,
        _ => return None,
    };
    Some((task, split, split != Split::Test))
}

#[test]
fn every_file_of_the_list_has_as_many_rows_as_the_list_says() {
    let Some(data) = common::shared("data") else { return };
    let mut read = Vec::new();
    for (name, rows) in index(&data) {
        let Some((task, split, labeled)) = role(&name) else { continue };
        // Microsoft's file holds both sets of MRPC, which the next test takes apart.
        if name.ends_with("msr_paraphrase_train.txt") {
            continue;
        }
        let path = data.join("glue").join(&name);
        let mut reader = task.open(&path, split).unwrap_or_else(|e| panic!("{e}"));
        let examples: Vec<Example> = reader.by_ref().collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((examples.len(), reader.skipped().len()), (rows, 0), "{name}");
        if !name.contains("subset") {
            assert_eq!(Some(rows), task.official_rows(split), "{name}");
        }
        for (at, example) in examples.iter().enumerate() {
            assert_eq!(example.id, at, "{name}");
            assert_eq!(example.text_b.is_some(), task.task().is_pair(), "{name} row {at}");
            assert_eq!(example.label.is_some(), labeled, "{name} row {at}");
            assert!(!example.text_a.is_empty(), "{name} row {at}");
        }
        read.push(name);
    }
    println!("{} files read: {}", read.len(), read.join(", "));
    assert!(read.len() >= 27, "{read:?}");
    for task in TaskKind::ALL.into_iter().filter(|task| *task != TaskKind::MnliMm) {
        assert!(read.iter().any(|name| name.starts_with(task.folder())), "{task}");
    }
}

#[test]
fn each_split_is_found_in_its_folder() {
    let Some(glue) = common::shared("data/glue") else { return };
    let found = |task: TaskKind, split| {
        task.find_all(&glue, split).map(|paths| paths[0].file_name().unwrap().to_string_lossy().into_owned())
    };
    use Split::{Dev, Test, Train};
    for task in [TaskKind::Cola, TaskKind::Sst2, TaskKind::Mrpc, TaskKind::Stsb, TaskKind::Rte, TaskKind::Wnli] {
        for split in [Train, Dev, Test] {
            assert_eq!(found(task, split).unwrap(), format!("{split}.tsv"), "{task}");
        }
    }
    assert_eq!(found(TaskKind::Ax, Test).unwrap(), "diagnostic.tsv");
    assert_eq!(found(TaskKind::Mnli, Train).unwrap(), "train.subset20k.tsv");
    assert_eq!(found(TaskKind::Qnli, Train).unwrap(), "train.subset2k.tsv");
    assert_eq!(found(TaskKind::Qqp, Train).unwrap(), "train.subset.tsv");
    let message = TaskKind::Mnli.read_split(&glue, Test).unwrap_err().to_string();
    assert!(message.contains("test_matched.tsv") && message.contains("dev_matched.tsv"), "{message}");
}

#[test]
fn mrpc_made_of_microsofts_file_is_glues() {
    let Some(glue) = common::shared("data/glue") else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("MRPC");
    fs::create_dir(&folder).unwrap();
    let copy = |name: &str| fs::copy(glue.join("MRPC").join(name), folder.join(name)).unwrap();
    copy("msr_paraphrase_train.txt");
    let message = TaskKind::Mrpc.read_split(dir.path(), Split::Dev).unwrap_err().to_string();
    assert!(message.contains("dev_ids.tsv"), "{message}");
    copy("dev_ids.tsv");
    for (split, rows) in [(Split::Train, 3_668), (Split::Dev, 408)] {
        let made = TaskKind::Mrpc.read_split(dir.path(), split).unwrap();
        assert_eq!(made.path, folder.join("msr_paraphrase_train.txt"));
        assert_eq!(made.examples.len(), rows);
        assert_eq!(made.examples, TaskKind::Mrpc.read_split(&glue, split).unwrap().examples, "{split}");
    }
}

#[test]
fn the_original_release_of_sts_b_has_the_scores_of_glues() {
    let Some(glue) = common::shared("data/glue") else { return };
    let original = glue.join("STS-B/original");
    for (name, split) in [("sts-train.tsv", Split::Train), ("sts-dev.tsv", Split::Dev)] {
        let rows = TaskKind::Stsb.open(&original.join(name), split).unwrap();
        let rows: Vec<Example> = rows.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{e}"));
        let glues = TaskKind::Stsb.read_split(&glue, split).unwrap().examples;
        assert_eq!(rows.len(), glues.len());
        let labels = |rows: &[Example]| rows.iter().map(|row| row.label.clone()).collect::<Vec<_>>();
        assert_eq!(labels(&rows), labels(&glues), "{name}");
    }
}

#[test]
fn the_columns_are_the_right_ones() {
    let Some(glue) = common::shared("data/glue") else { return };
    let dev = TaskKind::Mnli.read_split(&glue, Split::Dev).unwrap().examples;
    let count = |class| dev.iter().filter(|e| e.label == Some(Label::Class(class))).count();
    assert_eq!([count(0), count(1), count(2)], [3_479, 3_123, 3_213]);
    let cola = TaskKind::Cola.read_split(&glue.join("CoLA"), Split::Dev).unwrap().examples;
    assert_eq!(
        (cola[0].text_a.as_str(), cola[0].label.clone()),
        ("The sailors rode the breeze clear of the rocks.", Some(Label::Class(1)))
    );
    let mrpc = TaskKind::Mrpc.read_split(&glue, Split::Dev).unwrap().examples;
    assert!(
        mrpc[0].text_a.starts_with("He said the foodservice")
            && mrpc[0].text_b.as_deref().unwrap().starts_with("\" The foodservice")
    );
    let stsb = TaskKind::Stsb.read_split(&glue, Split::Train).unwrap().examples;
    assert_eq!(
        (stsb[0].text_b.as_deref(), stsb[0].label.clone()),
        (Some("An air plane is taking off."), Some(Label::Score(5.0)))
    );
    let qnli = TaskKind::Qnli.read_split(&glue, Split::Dev).unwrap().examples;
    assert!(qnli[0].text_a.ends_with('?') && qnli[0].label == Some(Label::Class(0)));
    let opens_unmatched = |t: &str| t.starts_with('"') && t.matches('"').count() == 1;
    assert!(qnli.iter().filter(|e| e.text_b.as_deref().is_some_and(opens_unmatched)).count() >= 5);
    let qqp = TaskKind::Qqp.read_split(&glue, Split::Train).unwrap().examples;
    assert_eq!(qqp.iter().filter(|e| e.label == Some(Label::Class(1))).count(), 8_747);
    assert!(
        qqp[0].text_a.starts_with("What causes stool") && qqp[0].text_b.as_deref().unwrap().starts_with("What can")
    );
    let wnli = TaskKind::Wnli.read_split(&glue, Split::Train).unwrap().examples;
    assert_eq!(
        (wnli[0].text_b.as_deref(), wnli[0].label.clone()),
        (Some("The carrot had a hole."), Some(Label::Class(1)))
    );
}

/// Writes examples as the hub's copies have them.
fn write_parquet(task: TaskKind, examples: &[Example], path: &Path) {
    let texts: &[&str] = match task {
        TaskKind::Sst2 | TaskKind::Cola => &["sentence"],
        TaskKind::Mnli | TaskKind::Ax => &["premise", "hypothesis"],
        TaskKind::Qqp => &["question1", "question2"],
        TaskKind::Qnli => &["question", "sentence"],
        _ => &["sentence1", "sentence2"],
    };
    let number = if task == TaskKind::Stsb { "float" } else { "int64" };
    let columns: String = texts.iter().map(|name| format!("optional binary {name} (UTF8);")).collect();
    let schema = format!("message schema {{ {columns} optional {number} label; optional int32 idx; }}");
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let file = fs::File::create(path).unwrap();
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for (group, rows) in examples.chunks(5_000).enumerate() {
        let levels = vec![1_i16; rows.len()];
        let mut out = writer.next_row_group().unwrap();
        for column in 0..texts.len() {
            let text = |e: &Example| if column == 0 { e.text_a.clone() } else { e.text_b.clone().unwrap() };
            let values: Vec<ByteArray> = rows.iter().map(|e| ByteArray::from(text(e).into_bytes())).collect();
            let mut to = out.next_column().unwrap().unwrap();
            to.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
            to.close().unwrap();
        }
        let mut to = out.next_column().unwrap().unwrap();
        if task == TaskKind::Stsb {
            let score = |e: &Example| if let Some(Label::Score(score)) = e.label { score as f32 } else { -1.0 };
            let values: Vec<f32> = rows.iter().map(score).collect();
            to.typed::<FloatType>().write_batch(&values, Some(&levels), None).unwrap();
        } else {
            let class = |e: &Example| if let Some(Label::Class(class)) = e.label { class as i64 } else { -1 };
            let values: Vec<i64> = rows.iter().map(class).collect();
            to.typed::<Int64Type>().write_batch(&values, Some(&levels), None).unwrap();
        }
        to.close().unwrap();
        let mut to = out.next_column().unwrap().unwrap();
        let ids: Vec<i32> = (0..rows.len()).map(|row| (group * 5_000 + row) as i32).collect();
        to.typed::<Int32Type>().write_batch(&ids, Some(&levels), None).unwrap();
        to.close().unwrap();
        out.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn a_parquet_copy_has_the_labels_and_texts_of_the_tsv() {
    let Some(glue) = common::shared("data/glue") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut compared = Vec::new();
    for task in TaskKind::ALL {
        for (split, name) in [(Split::Train, "train"), (Split::Dev, "validation"), (Split::Test, "test")] {
            let Ok(tsv) = task.read_split(&glue, split).map(|read| read.examples) else { continue };
            let name = if task == TaskKind::Mnli && split == Split::Dev { "validation_matched" } else { name };
            let folder = dir.path().join(task.name().replace('-', ""));
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join(format!("{name}-00000-of-00001.parquet"));
            write_parquet(task, &tsv, &path);
            let copy = task.read_split(dir.path(), split).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(copy.path, path);
            // One row at a time: a difference in one of 67,349 rows should be legible.
            assert_eq!(copy.examples.len(), tsv.len(), "{task} {split}");
            for (copied, original) in copy.examples.iter().zip(&tsv) {
                let mut wanted = original.clone();
                // The hub's copy has single precision: seven digits of the scores that are averages of nine votes.
                if let (Some(Label::Score(found)), Some(Label::Score(score))) = (&copied.label, &original.label) {
                    assert_eq!(*found as f32, *score as f32, "{task} {split}");
                    wanted.label.clone_from(&copied.label);
                }
                assert_eq!(copied, &wanted, "{task} {split}");
            }
            compared.push(format!("{task} {split}"));
        }
    }
    println!("{} splits compared: {}", compared.len(), compared.join(", "));
    assert!(compared.len() >= 25, "{compared:?}");
}

#[test]
fn the_majority_class_of_mrpc_scores_what_scikit_learn_says() {
    let Some(data) = common::shared("data/glue") else { return };
    let labels = |split| TaskKind::Mrpc.task().split_labels(&data, split).unwrap();
    let (train, dev) = (labels(Split::Train), labels(Split::Dev));
    let majority = Majority::of(TaskKind::Mrpc.task(), &train).unwrap().unwrap();
    assert_eq!((train.len(), dev.len(), &majority.answer), (3668, 408, &Label::Class(1)));
    let scores = majority.scores(&dev).unwrap();
    // `DummyClassifier(strategy="most_frequent")`, `accuracy_score`, `f1_score`.
    for (name, wanted) in [("accuracy", 0.683_823_529_411_764_7), ("f1", 0.812_227_074_235_807_9)] {
        assert!((scores.get(name).unwrap() - wanted).abs() < 1e-12, "{name}: {scores:?}");
    }
}
