//! Tasks of one's own: descriptions, and examples from tables.
#![cfg(feature = "tables")]

use std::fmt::Write as _;
use std::path::Path;

use glue_squad::metrics::Metric;
use glue_squad::submission::render;
use glue_squad::task::{Described, Kind, Label, LabelSet, OwnTask, Predictions, Split, Task};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn trained_on(file: &str, text: &[&str], label: &[&str]) -> OwnTask {
    OwnTask { train: Some(file.into()), ..OwnTask::new("mine", text, label) }
}

fn described(own: OwnTask, dir: &Path) -> Result<(Task, Described), String> {
    let found = own.described(dir).map_err(|e| e.to_string().replace(&dir.display().to_string(), "DIR"))?;
    let task = found.own.clone().task(dir).map_err(|e| e.to_string())?;
    Ok((task, found))
}

fn refused(csv: &str, own: OwnTask) -> String {
    let dir = folder(&[("t.csv", csv)]);
    let short = |e: glue_squad::Error| e.to_string().replace(&dir.path().display().to_string(), "DIR");
    match described(own, dir.path()) {
        Err(message) => message,
        Ok((task, _)) => {
            let read = [Split::Train, Split::Dev].map(|split| task.read_split(dir.path(), split).map_err(short));
            read.into_iter().find_map(Result::err).expect("nothing was refused")
        }
    }
}

fn rows(header: &str, rows: impl IntoIterator<Item = String>) -> String {
    let mut text = format!("{header}\n");
    rows.into_iter().for_each(|row| writeln!(text, "{row}").unwrap());
    text
}

#[test]
fn classes_are_found_in_their_order_and_keep_their_names() {
    let csv = rows("id,review,stars", (0..40).map(|n| format!("{n},\"text {n}, of it\",{}", [10, 9, 1, 2][n % 4])));
    let dir = folder(&[("t.csv", &csv)]);
    let (task, found) = described(trained_on("t.csv", &["review"], &["stars"]), dir.path()).unwrap();
    assert_eq!((task.labels(), found.rows), (vec!["1", "2", "9", "10"], 40));
    assert_eq!(found.notes, ["`stars` is taken for one of 4 classes: 1, 2, 9, 10"]);
    let [train, dev] = [Split::Train, Split::Dev].map(|split| task.read_split(dir.path(), split).unwrap().examples);
    assert_eq!((train.len(), dev.len()), (36, 4));
    let of = |class| dev.iter().filter(|example| example.label == Some(Label::Class(class))).count();
    assert_eq!([0, 1, 2, 3].map(of), [1; 4], "a tenth of each class");
    assert!(dev.iter().all(|example| !train.contains(example)));
    assert_eq!(train[0].text_a, format!("text {}, of it", train[0].id));
    assert_eq!(
        render(&task, &Predictions::Classes(vec![3, 0])).unwrap(),
        "row,prediction\n0,10\n1,1\n",
        "labels come back under their own names"
    );
}

#[test]
fn pairs_come_from_json_lines_and_a_dev_file_is_read_as_it_is() {
    let line = |n: usize| format!("{{\"a\":\"premise {n}\",\"b\":\"because {n}\",\"y\":\"{}\"}}", ["no", "yes"][n % 2]);
    let train: Vec<String> = (0..6).map(line).collect();
    let dir = folder(&[("t.jsonl", &train.join("\n")), ("d.jsonl", &line(7))]);
    let own = OwnTask { dev: Some("d.jsonl".into()), ..trained_on("t.jsonl", &["a", "b"], &["y"]) };
    let (task, _) = described(own, dir.path()).unwrap();
    assert!(task.is_pair());
    assert_eq!(task.read_split(dir.path(), Split::Train).unwrap().examples.len(), 6);
    let dev = task.read_split(dir.path(), Split::Dev).unwrap().examples;
    assert_eq!(
        (dev.len(), dev[0].text_b.as_deref(), dev[0].label.clone()),
        (1, Some("because 7"), Some(Label::Class(1)))
    );
}

#[test]
fn labels_come_from_lists_from_one_cell_and_from_columns() {
    let expected = [vec![0, 1], vec![], vec![1]];
    let sets = |task: &Task, dir: &Path| -> Vec<Vec<usize>> {
        let set = |label: Option<Label>| match label {
            Some(Label::Set(set)) => set.iter().collect(),
            other => panic!("{other:?}"),
        };
        let own = OwnTask { dev: Some("t".into()), ..task.described_by().unwrap().0.clone() };
        let task = own.task(dir).unwrap();
        task.read_split(dir, Split::Train).unwrap().examples.into_iter().map(|example| set(example.label)).collect()
    };
    let json = "{\"t\":\"x\",\"l\":[\"angry\",\"rude\"]}\n{\"t\":\"y\",\"l\":[]}\n{\"t\":\"z\",\"l\":[\"rude\"]}\n";
    let flags = "t,angry,rude\nx,1,1\ny,0,0\nz,0,true\n";
    let cells = "t;l\nx;rude|angry\ny;\nz;rude\n";
    let many = Some(Kind::Labels);
    let one_cell = OwnTask {
        kind: many,
        separator: Some(';'),
        label_separator: "|".into(),
        ..trained_on("t.csv", &["t"], &["l"])
    };
    for (name, text, own) in [
        ("t.jsonl", json, trained_on("t.jsonl", &["t"], &["l"])),
        ("t.csv", flags, trained_on("t.csv", &["t"], &["angry", "rude"])),
        ("t.csv", cells, one_cell),
    ] {
        let dir = folder(&[(name, text), ("t", "")]);
        let (task, found) = described(own, dir.path()).unwrap();
        assert_eq!((found.own.kind, task.labels()), (many, vec!["angry", "rude"]), "{name}");
        assert_eq!(sets(&task, dir.path()), expected, "{name}");
        assert_eq!(task.spec().metrics, [Metric::MicroF1, Metric::MacroF1]);
    }
    assert!(refused("t,a,b\nx,1,2\n", trained_on("t.csv", &["t"], &["a", "b"])).contains("`2` in `b`"));
}

#[test]
fn numbers_are_learned_in_units_of_their_deviation_and_written_as_they_are() {
    let csv = rows("t,price", (0..50).map(|n| format!("text {n},{}", f64::from(n) * 2.0 + 0.5)));
    let dir = folder(&[("t.csv", &csv)]);
    let (task, found) = described(trained_on("t.csv", &["t"], &["price"]), dir.path()).unwrap();
    assert_eq!(found.own.kind, Some(Kind::Number));
    let scale = task.scale().unwrap();
    // The mean of 0.5, 2.5, ..., 98.5 and twice the deviation of 0 to 49, sqrt((50² - 1) / 12).
    assert!((scale.mean - 49.5).abs() < 1e-9 && (scale.deviation - 2.0 * (2499f64 / 12.0).sqrt()).abs() < 1e-9);
    let all: Vec<_> = [Split::Train, Split::Dev]
        .iter()
        .flat_map(|split| task.read_split(dir.path(), *split).unwrap().examples)
        .filter_map(|example| if let Some(Label::Score(score)) = example.label { Some(score) } else { None })
        .collect();
    assert!(all.len() == 50 && all.iter().sum::<f64>().abs() < 1e-9);
    assert_eq!(render(&task, &Predictions::Scores(vec![0.0])).unwrap(), "row,prediction\n0,49.5\n");
    assert_eq!(task.answer_name(Label::Score(0.0)), "49.50");
    // Few whole numbers are classes, unless it is said otherwise.
    let stars = rows("t,stars", (0..50).map(|n| format!("text {n},{}", n % 5)));
    let dir = folder(&[("t.csv", &stars)]);
    let own = trained_on("t.csv", &["t"], &["stars"]);
    assert_eq!(described(own.clone(), dir.path()).unwrap().1.own.kind, Some(Kind::Class));
    let own = OwnTask { kind: Some(Kind::Number), ..own };
    assert_eq!(described(own, dir.path()).unwrap().1.own.kind, Some(Kind::Number));
}

#[test]
fn a_test_file_may_lack_labels_and_keeps_rows_without_text() {
    let dir = folder(&[("t.csv", "t,y\na,1\nb,2\nc,1\nd,2\n"), ("new.csv", "t\n\"\"\nx\n")]);
    let own = OwnTask { test: Some("new.csv".into()), ..trained_on("t.csv", &["t"], &["y"]) };
    let (task, _) = described(own, dir.path()).unwrap();
    // A line with nothing but an empty field in quotes is a row.
    let test = task.read_split(dir.path(), Split::Test).unwrap().examples;
    assert_eq!(
        test.iter().map(|e| (e.id, e.text_a.as_str(), e.label.clone())).collect::<Vec<_>>(),
        [(0, "", None), (1, "x", None)]
    );
}

#[test]
fn rows_without_text_are_passed_over_and_said() {
    let csv = rows("t,y", (0..20).map(|n| format!("{},{}", if n == 3 { " " } else { "x" }, n % 2)));
    let dir = folder(&[("t.csv", &csv)]);
    let (task, _) = described(trained_on("t.csv", &["t"], &["y"]), dir.path()).unwrap();
    let data = task.read_split(dir.path(), Split::Train).unwrap();
    assert_eq!(data.skipped, [5]);
    assert!(data.passed_over().unwrap().ends_with("t.csv: line 5 is skipped: no text in it"));
    assert!(data.examples.iter().all(|example| example.id != 3), "rows keep their numbers");
}

#[test]
fn what_makes_no_sense_is_refused_with_file_row_and_column() {
    let class = || trained_on("t.csv", &["t"], &["y"]);
    let number = || OwnTask { kind: Some(Kind::Number), ..class() };
    for (csv, own, part) in [
        ("t,y\na,1\nb,\n", class(), "DIR/t.csv:3: there is no label in `y`"),
        ("t,y\na,1\nb,1\n", class(), "DIR/t.csv: column `y`: all 2 rows have the label `1`"),
        ("t,y\n", class(), "DIR/t.csv: the file is empty: rows below the header"),
        ("text,y\na,1\n", class(), "there is no column `t`; the columns are: text, y"),
        ("t,y\na,1\nb,NaN\n", number(), "DIR/t.csv:3: field `y` is `NaN`; allowed: a finite number"),
        ("t,y\na,1\nb,1\n", number(), "all 2 labels are the number 1"),
        ("t,y\na,1\nb,2\n", trained_on("t.csv", &["t"], &["t"]), "the column `t` is text and label"),
        ("t,y\na,1\nb,2\n", trained_on("x.csv", &["t"], &["y"]), "x.csv"),
        ("t,y\n ,1\n ,2\n", class(), "DIR/t.csv: the file is empty: rows below the header"),
    ] {
        let message = refused(csv, own);
        assert!(message.contains(part), "{message}");
    }
    let many = rows("t,y", (0..1200).map(|n| format!("a,label {n}")));
    assert!(refused(&many, class()).contains("more than 1000 different labels; is this the column of the label?"));
}

#[test]
fn a_label_that_only_the_dev_file_has_is_refused_with_its_row() {
    let dir = folder(&[("t.csv", "t,y\na,1\nb,2\n"), ("d.csv", "t,y\na,1\nb,3\n")]);
    let own = OwnTask { dev: Some("d.csv".into()), ..trained_on("t.csv", &["t"], &["y"]) };
    let (task, _) = described(own, dir.path()).unwrap();
    let message = task.read_split(dir.path(), Split::Dev).unwrap_err().to_string();
    assert!(message.ends_with("d.csv:3: field `y` is `3`; allowed: 1, 2 (what the training data have)"), "{message}");
}

#[test]
fn a_class_with_one_example_is_said_and_stays_in_training() {
    let csv = rows("t,y", (0..30).map(|n| format!("a,{}", if n == 7 { "rare" } else { ["x", "z"][n % 2] })));
    let dir = folder(&[("t.csv", &csv)]);
    let (task, found) = described(trained_on("t.csv", &["t"], &["y"]), dir.path()).unwrap();
    assert_eq!(found.notes[1], "the label `rare` has 1 training rows; too few to learn from");
    let train = task.read_split(dir.path(), Split::Train).unwrap().examples;
    assert!(train.iter().any(|example| example.label == Some(Label::Class(0))));
}

#[test]
fn a_description_is_written_and_read_as_toml_and_as_part_of_other_files() {
    let dir = folder(&[("t.csv", "t,y\na,1.5\nb,2\n")]);
    let own = OwnTask { metrics: vec![Metric::Spearman], separator: Some(','), ..trained_on("t.csv", &["t"], &["y"]) };
    let (task, found) = described(own, dir.path()).unwrap();
    let path = dir.path().join("mine.toml");
    std::fs::write(&path, found.own.to_toml().unwrap()).unwrap();
    assert_eq!(OwnTask::read(&path).unwrap(), found.own);
    let json = serde_json::to_string(&vec![task.clone(), "sst-2".parse().unwrap()]).unwrap();
    let again: Vec<Task> = serde_json::from_str(&json).unwrap();
    assert_eq!((again[0].described_by().unwrap().0, again[1].name()), (&found.own, "sst-2"));
    assert_eq!(again[0].read_split(dir.path(), Split::Train).unwrap().examples.len(), 1);
    std::fs::write(&path, "name = \"x\"\ntext = [\"t\"]\nlabel = [\"y\"]\ncolour = 1\n").unwrap();
    let message = OwnTask::read(&path).unwrap_err().to_string();
    assert!(message.contains("mine.toml: is no description of a task") && message.contains("colour"), "{message}");
}

#[test]
fn a_head_is_matched_by_the_exact_names_of_its_labels() {
    let class = |classes: &[&str], kind| OwnTask {
        kind: Some(kind),
        classes: classes.iter().map(|name| (*name).to_owned()).collect(),
        ..trained_on("t", &["t"], &["y"])
    };
    for kind in [Kind::Class, Kind::Labels] {
        let task = class(&["b", "a", "positive"], kind).task("".as_ref()).unwrap();
        assert_eq!(task.class_order(&["a", "positive", "b"]).unwrap().outputs(), [2, 0, 1]);
        // GLUE's tasks forgive these; here another name is another label.
        for names in [
            &["a", "b", "c"][..],
            &["a", "b"],
            &["A", "b", "positive"],
            &["LABEL_0", "LABEL_1", "LABEL_2"],
            &["a", "a", "b"],
        ] {
            let message = task.class_order(names).unwrap_err().to_string();
            assert!(message.contains("those of mine are b, a, positive"), "{message}");
        }
    }
}

#[test]
fn predictions_name_the_rows_of_the_file() {
    let own =
        OwnTask { kind: Some(Kind::Class), classes: vec!["a".into(), "b".into()], ..trained_on("t", &["t"], &["y"]) };
    let task = own.task("".as_ref()).unwrap();
    let rows = glue_squad::submission::render_rows(&task, &[3, 8], &Predictions::Classes(vec![1, 0])).unwrap();
    assert_eq!(rows, "row,prediction\n3,b\n8,a\n");
}

#[test]
fn more_labels_than_a_set_holds_and_rows_without_text_are_dealt_with_before_they_are_read() {
    let classes = (0..257).map(|n| format!("l{n}")).collect();
    let own = OwnTask { kind: Some(Kind::Labels), classes, ..trained_on("t", &["t"], &["y"]) };
    assert!(own.task("".as_ref()).unwrap_err().to_string().contains("257 labels; at most 256"));
    // The last row has neither text nor label.
    let dir = folder(&[("t.csv", "t,y\na,1\nb,2\nc,1\nd,2\n,\n")]);
    let (task, found) = described(trained_on("t.csv", &["t"], &["y"]), dir.path()).unwrap();
    assert_eq!((found.rows, task.read_split(dir.path(), Split::Train).unwrap().skipped), (4, vec![6]));
}

#[test]
fn a_class_is_never_held_out_as_a_whole() {
    let dir = folder(&[("t.csv", "t,y\na,1\nb,1\nc,2\nd,3\ne,4\n")]);
    let own = OwnTask { dev_part: 0.5, ..trained_on("t.csv", &["t"], &["y"]) };
    let (task, _) = described(own, dir.path()).unwrap();
    let train = task.read_split(dir.path(), Split::Train).unwrap().examples;
    let classes: std::collections::BTreeSet<usize> =
        train.iter().filter_map(|e| if let Some(Label::Class(class)) = e.label { Some(class) } else { None }).collect();
    assert_eq!(classes.len(), 4);
}

#[test]
fn sets_are_scored_against_sets() {
    let set = |labels: &[usize]| labels.iter().copied().collect::<LabelSet>();
    let own = OwnTask {
        kind: Some(Kind::Labels),
        classes: ["a", "b", "c"].map(Into::into).to_vec(),
        ..trained_on("t", &["t"], &["y"])
    };
    let task = own.task("".as_ref()).unwrap();
    let gold = [set(&[0, 1]), set(&[1]), set(&[])].map(Label::Set);
    let predicted = Predictions::Sets(vec![set(&[0]), set(&[1, 2]), set(&[])]);
    let scores = task.score(&predicted, &gold).unwrap();
    // Right 2, predicted 3, present 3; F1 of the labels 1, 2/3 and 0.
    assert!((scores.get("f1-micro").unwrap() - 4.0 / 6.0).abs() < 1e-12);
    assert!((scores.get("f1-macro").unwrap() - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
    let logits = [3.0, -1.0, -1.0, -2.0, 0.0, 0.1, -1.0, -1.0, f32::NAN];
    assert_eq!(Predictions::from_logits(task.head(), 3, &logits).unwrap(), predicted);
}

#[test]
fn texts_that_are_compared_are_read_with_numbers_or_as_answers() {
    let csv = "a,b,score\nx,y,2.5\nx,,1\nz,y,-1\nq,w,0\n";
    let dir = folder(&[("t.csv", csv)]);
    let own = |kind, label: &[&str]| OwnTask {
        kind: Some(kind),
        dev: Some("t.csv".into()),
        ..trained_on("t.csv", &["a", "b"], label)
    };
    let (task, found) = described(own(Kind::Similarity, &["score"]), dir.path()).unwrap();
    assert_eq!((found.rows, task.scale(), task.is_pair()), (4, None, true));
    assert_eq!(task.metric_names(), ["pearson", "spearman"]);
    let data = task.read_split(dir.path(), Split::Train).unwrap();
    let labels: Vec<_> = data.examples.iter().map(|example| example.label.clone().unwrap()).collect();
    assert_eq!(labels, [2.5, -1.0, 0.0].map(Label::Score), "the row without a second text is passed over");
    let scores = task.score(&Predictions::Scores(vec![0.9, -0.2, 0.1]), &labels).unwrap();
    assert!(scores.get("spearman") == Some(scores.primary) && (scores.primary - 1.0).abs() < 1e-12);

    let (task, found) = described(own(Kind::Retrieval, &[]), dir.path()).unwrap();
    assert_eq!((found.rows, task.metric_names()), (3, vec!["mrr", "recall@1", "recall@10"]));
    let data = task.read_split(dir.path(), Split::Dev).unwrap();
    let matches: Vec<_> = data.examples.iter().map(|example| example.label.clone().unwrap()).collect();
    let [Label::Match(first), Label::Match(second), Label::Match(third)] = &matches[..] else { panic!("{matches:?}") };
    assert!(first.answer == second.answer && first.query != second.query && third.answer != first.answer);
    let scores = task.score(&Predictions::Ranks(vec![1, 2, 4]), &matches).unwrap();
    assert!((scores.primary - (1.0 + 0.5 + 0.25) / 3.0).abs() < 1e-12);
    assert_eq!(scores.get("recall@1"), Some(1.0 / 3.0));

    for (own, words) in [
        (OwnTask { text: vec!["a".into()], ..own(Kind::Similarity, &["score"]) }, "1 columns of text"),
        (own(Kind::Retrieval, &["score"]), "has no labels"),
        (own(Kind::Similarity, &["b"]), "is text and label"),
    ] {
        let message = described(own, dir.path()).unwrap_err();
        assert!(message.contains(words), "{message}");
    }
    let words = refused("a,b,score\nx,y,high\nx,z,low\n", own(Kind::Similarity, &["score"]));
    assert!(words.contains("t.csv:2: field `score`") && words.contains("`high`"), "{words}");
}
