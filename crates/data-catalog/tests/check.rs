//! What is here against the official numbers.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use data_catalog::check::{Checksum, FileReport, SetReport, check};
use data_catalog::layout::DataFolder;
use data_catalog::manifest::{Catalog, DataSet};

fn set(files: &str, task: &str) -> DataSet {
    let text = format!(
        "version = 1\n[[set]]\nid = \"x\"\ngroup = \"glue\"\ntitle = \"x\"\nfolder = \"x\"\n{task}\nlicense = \"x\"\n\
         home = \"x\"\n{files}"
    );
    Catalog::parse(&text, Path::new("test.toml")).unwrap_or_else(|e| panic!("{e}")).sets.remove(0)
}

/// A file of the set, which is a source of its own.
fn file(name: &str, more: &str) -> String {
    format!(
        "[[set.source]]\nname = \"{name}\"\nurls = [\"https://example.org/{name}\"]\n[[set.file]]\npath = \"{name}\"\n\
         source = \"{name}\"\n{more}\n"
    )
}

struct Place(tempfile::TempDir);

impl Place {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("x")).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join("x").join(name), text).unwrap();
        }
        Self(dir)
    }

    fn check(&self, set: &DataSet) -> SetReport {
        check(set, &DataFolder::new(self.0.path())).unwrap_or_else(|e| panic!("{e}"))
    }
}

fn texts(file: &FileReport) -> Vec<(bool, &str)> {
    file.findings.iter().map(|finding| (finding.is_problem, finding.text.as_str())).collect()
}

fn sst2() -> DataSet {
    let train = file("train.tsv", "split = \"train\"\nrows = 4\nclasses = [1, 3]");
    let dev = file("dev.tsv", "split = \"dev\"\nrows = 2\nshared_with_train = 0");
    set(&(train + &dev + &file("test.tsv", "split = \"test\"\nrows = 1")), "task = \"sst-2\"")
}

const TRAIN: &str = "sentence\tlabel\ngood\t1\nbad\t0\ngood\t1\nfine\t1\n";

#[test]
fn a_task_that_is_as_it_should_be_has_no_problem() {
    let place = Place::with(&[
        ("train.tsv", TRAIN),
        ("dev.tsv", "sentence\tlabel\nso so\t0\nnice\t1\n"),
        ("test.tsv", "index\tsentence\n0\twho knows\n"),
    ]);
    let report = place.check(&sst2());
    assert_eq!(report.problems().count(), 0, "{report:#?}");
    let rows: Vec<_> = report.files.iter().map(|file| (file.rows, file.official_rows, file.classes.clone())).collect();
    assert_eq!(rows, [(Some(4), Some(4), vec![1, 3]), (Some(2), Some(2), vec![1, 1]), (Some(1), Some(1), vec![])]);
    assert_eq!(texts(&report.files[0]), [(false, "1 rows repeat an earlier row of the file, the first: row 2 `good`")]);
    assert_eq!(report.files[0].checksum, Checksum::Unknown);
    assert!(report.absent.is_empty());
}

#[test]
fn rows_labels_and_rows_of_the_training_file_are_held_to_the_official_numbers() {
    let place = Place::with(&[
        ("train.tsv", "sentence\tlabel\ngood\t1\nbad\t0\n"),
        ("dev.tsv", "sentence\tlabel\nbad\t1\n \t1\n"),
    ]);
    let report = place.check(&sst2());
    assert_eq!(
        texts(&report.files[0]),
        [(true, "2 rows instead of 4"), (true, "rows per class are [1, 1] instead of [1, 3]")]
    );
    assert_eq!(
        texts(&report.files[1]),
        [
            (true, "no row has the label `0`"),
            (true, "1 rows are in the training file too, the first: row 0 `bad`; the official file has 0 such rows"),
            (false, "1 rows have an empty text, the first: row 1"),
        ]
    );
    assert_eq!(report.absent, ["test.tsv"]);
    assert_eq!(report.problems().next(), Some(("x/train.tsv", "2 rows instead of 4")));
}

#[test]
fn what_the_reader_of_the_task_refuses_is_a_problem_with_its_line() {
    for (train, expected) in [
        ("sentence\tlabel\ngood\t1\nbad\n", "train.tsv:3: 1 tab-separated columns instead of 2"),
        ("sentence\tlabel\ngood\tyes\n", "train.tsv:2: field `label` is `yes`"),
        ("text\tlabel\ngood\t1\n", "train.tsv:1: the header has no column `sentence`"),
        ("", "train.tsv: the file is empty"),
    ] {
        let place = Place::with(&[("train.tsv", train)]);
        let report = place.check(&sst2());
        let (is_problem, text) = texts(&report.files[0])[0];
        assert!(is_problem && text.contains(expected), "{text}");
    }
}

#[test]
fn a_subset_that_stands_in_for_the_training_file_is_checked_as_a_subset() {
    let place = Place::with(&[("train.subset2.tsv", "sentence\tlabel\ngood\t1\nbad\t0\n")]);
    let report = place.check(&sst2());
    assert_eq!(report.files[0].path, "x/train.subset2.tsv");
    assert_eq!((report.files[0].rows, report.files[0].official_rows), (Some(2), Some(4)));
    assert_eq!(texts(&report.files[0]), [(false, "a subset of `train.tsv`: 2 of 4 rows")]);
}

#[test]
fn another_content_is_told_by_size_and_by_checksum() {
    let body = "a line\nanother\n";
    let sha256 = run_store::hash::bytes(body);
    let official = |bytes: usize, sha256: &str| {
        let more = format!("split = \"train\"\nrows = 2\nbytes = {bytes}\nsha256 = \"{sha256}\"");
        set(&file("a.txt", &more), "format = \"lines\"")
    };
    let place = Place::with(&[("a.txt", body)]);
    let report = place.check(&official(15, &sha256));
    assert_eq!((report.files[0].checksum, report.files[0].rows), (Checksum::Official, Some(2)));
    assert_eq!(report.problems().count(), 0);
    for wrong in [official(14, &sha256), official(15, &"0".repeat(64))] {
        let report = place.check(&wrong);
        assert_eq!(report.files[0].checksum, Checksum::Differs);
        assert!(report.problems().next().unwrap().1.contains("instead of"));
    }
    let report = Place::with(&[("a.txt", "a\nb\u{fffd}\n")]).check(&official(7, &sha256));
    assert!(report.problems().count() > 0);
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_line() {
    let place = Place::with(&[]);
    std::fs::write(place.0.path().join("x/a.txt"), b"fine\nb\xffd\n").unwrap();
    let report = place.check(&set(&file("a.txt", "split = \"train\""), "format = \"lines\""));
    assert!(report.problems().next().unwrap().1.contains("a.txt:2: byte 2 of the line"), "{report:#?}");
}

fn squad(questions: &str) -> String {
    format!(
        r#"{{"version": "1.1", "data": [{{"title": "t", "paragraphs": [{{"context": "Jörg ging.", "qas": [{questions}]}}]}}]}}"#
    )
}

#[test]
fn answers_that_do_not_stand_where_they_say_and_ids_that_repeat_are_found() {
    let right = r#"{"id": "a", "question": "Who?", "answers": [{"text": "ging", "answer_start": 5}]}"#;
    let early = r#"{"id": "b", "question": "What?", "answers": [{"text": "ging", "answer_start": 3}]}"#;
    let lost = r#"{"id": "c", "question": "What?", "answers": [{"text": "kam", "answer_start": 5}]}"#;
    let open = r#"{"id": "d", "question": " ", "answers": []}"#;
    let set = set(&file("dev.json", "split = \"dev\"\nrows = 4"), "format = \"squad-v1\"");
    let report = Place::with(&[("dev.json", &squad(right))]).check(&set);
    assert_eq!(texts(&report.files[0]), [(true, "1 rows instead of 4")]);
    let report = Place::with(&[("dev.json", &squad(&[right, early, lost, open].join(",")))]).check(&set);
    assert_eq!(
        texts(&report.files[0]),
        [
            (true, "1 answers are not in the text from the place on that they give, the first: c `kam`"),
            (true, "1 questions have no answer, the first: d"),
            (true, "1 questions or contexts are empty, the first: d"),
            (
                false,
                "1 answers do not stand exactly where they say, and are found from that word on, the first: b `ging`"
            ),
            (false, "1 rows repeat an earlier row of the file, the first: c `What? / Jörg ging.`"),
        ]
    );
    for (bytes, reason) in [
        (squad(&[right, right].join(",")), "the id `a` is that of"),
        (squad(right)[..40].to_owned(), "dev.json"),
        (squad(""), "holds no question"),
    ] {
        let report = Place::with(&[("dev.json", &bytes)]).check(&set);
        let first = report.problems().next().expect("a problem").1;
        assert!(first.contains(reason), "{first}");
    }
}

#[test]
fn impossible_questions_belong_to_version_two_and_have_no_answer() {
    let impossible = r#"{"id": "b", "question": "Why?", "answers": [], "is_impossible": true}"#;
    let answered =
        r#"{"id": "a", "question": "Who?", "answers": [{"text": "Jörg", "answer_start": 0}], "is_impossible": true}"#;
    let files = file("dev.json", "split = \"dev\"\nrows = 1\nclasses = [0, 1]");
    let (v1, v2) = (set(&files, "format = \"squad-v1\""), set(&files, "format = \"squad-v2\""));
    let place = Place::with(&[("dev.json", &squad(impossible))]);
    assert_eq!(place.check(&v2).problems().count(), 0);
    assert!(place.check(&v1).problems().any(|(_, text)| text.contains("is this version 2?")));
    let report = Place::with(&[("dev.json", &squad(answered))]).check(&v2);
    assert_eq!(texts(&report.files[0]), [(true, "1 impossible questions have an answer, the first: a")]);
}

/// Row counts from the list of the real files: by path, `1043`, `10570 q` or `36718 lines`.
fn listed(index: &Path) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(index).unwrap();
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches(['|', ' ']).split('|').map(str::trim).collect();
            Some((cells.first()?.to_string(), cells.get(1)?.split(' ').next()?.parse().ok()?))
        })
        .collect()
}

#[test]
fn the_real_files_have_the_rows_that_their_list_says_and_no_problem() {
    let (Some(index), Some(data)) = (common::shared("data/INDEX.md"), common::shared("data")) else { return };
    let listed = listed(&index);
    let folder = DataFolder::new(&data);
    let mut compared = 0;
    for set in &Catalog::builtin().unwrap().sets {
        let report = check(set, &folder).unwrap_or_else(|e| panic!("{e}"));
        for file in &report.files {
            for finding in &file.findings {
                println!("{}: {}{}", file.path, if finding.is_problem { "PROBLEM " } else { "" }, finding.text);
            }
            if let (Some(rows), Some(expected)) = (file.rows, listed.get(&file.path)) {
                assert_eq!(rows, *expected, "{}", file.path);
                compared += 1;
            }
        }
        let problems: Vec<_> = report.problems().collect();
        assert_eq!(problems, [], "{}", set.id);
    }
    println!("{compared} row counts compared");
    assert!(compared >= 33, "{compared}");
}
