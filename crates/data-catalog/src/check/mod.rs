//! What is here against the official numbers.
//!
//! Files of a task are read by the task's own reader, so a check that passes means that a training will read them; what the reader
//! refuses is a finding with its line. Duplicates are rows whose texts are equal, byte for byte.

mod glue;
mod lines;
mod rows;
mod squad;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Result;
use crate::fetch::{PlacedFile, file_state};
use crate::layout::{DataFolder, Record};
use crate::manifest::{DataFile, DataSet, Format};

use rows::Texts;

/// What a check of one set found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetReport {
    /// The set.
    pub id: String,
    /// The files that are here.
    pub files: Vec<FileReport>,
    /// The files of the manifest that are not.
    pub absent: Vec<String>,
}

/// What a check of one file found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileReport {
    /// Its path in the data folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Whether its content is the official one.
    pub checksum: Checksum,
    /// Its rows, questions or lines; `None` where they are not counted.
    pub rows: Option<u64>,
    /// The official number.
    pub official_rows: Option<u64>,
    /// Rows per class; empty for what has no classes.
    pub classes: Vec<u64>,
    /// What there is to say, the worst first.
    pub findings: Vec<Finding>,
}

/// How the content of a file compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// It is the manifest's.
    Official,
    /// It is the one that was fetched; the manifest knows none.
    AsFetched,
    /// Nobody knows what it should be.
    Unknown,
    /// It is another one.
    Differs,
}

/// Something to say of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether results with this file would not count.
    pub is_problem: bool,
    /// What it is.
    pub text: String,
}

impl Finding {
    fn problem(text: impl Into<String>) -> Self {
        Self { is_problem: true, text: text.into() }
    }

    fn note(text: impl Into<String>) -> Self {
        Self { is_problem: false, text: text.into() }
    }
}

impl SetReport {
    /// What keeps results from counting, with the path of the file.
    pub fn problems(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().flat_map(|file| {
            let problems = file.findings.iter().filter(|finding| finding.is_problem);
            problems.map(|finding| (file.path.as_str(), finding.text.as_str()))
        })
    }
}

/// What the reader of a format says of a file.
#[derive(Default)]
struct Content {
    rows: Option<u64>,
    classes: Vec<u64>,
    findings: Vec<Finding>,
    /// The texts of its rows, to be compared with other files of the set.
    texts: Texts,
}

impl From<Finding> for Content {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding], ..Self::default() }
    }
}

/// Checks what is here of a set. Files that are absent are named, and are no problem: nobody needs all of them.
///
/// # Errors
/// A file is there and cannot be read. What is wrong with its content is in the report.
pub fn check(set: &DataSet, folder: &DataFolder) -> Result<SetReport> {
    let receipt = folder.receipt(set);
    let mut report = SetReport { id: set.id.clone(), files: Vec::new(), absent: Vec::new() };
    let mut train: Option<Texts> = None;
    for file in &set.files {
        let path = folder.place(set, file);
        let record = receipt.files.get(&file.path);
        let Some((found, is_subset)) = find(&path, file, &set.format) else {
            report.absent.push(file.path.clone());
            continue;
        };
        let name = found.strip_prefix(folder.root()).unwrap_or(&found).to_string_lossy().replace('\\', "/");
        let mut one = if is_subset { empty(&found, name)? } else { whole(&found, name, file, record)? };
        let content = match &set.format {
            _ if file.split.is_none() => Ok(Content::default()),
            Format::Glue(task) => glue::check(task, &found, file),
            Format::SquadV1 => squad::check(&found, false),
            Format::SquadV2 => squad::check(&found, true),
            Format::Lines => lines::check(&found),
            Format::Opaque => Ok(Content::default()),
        };
        let refused = |e: glue_squad::Error| Content::from(Finding::problem(e.to_string()));
        let content = content.unwrap_or_else(refused);
        compare(&mut one, file, &content, is_subset);
        match file.split.as_deref() {
            Some("train") => train = Some(content.texts),
            Some(_) => shared(&mut one, file, &content.texts, train.as_ref()),
            None => {}
        }
        one.findings.sort_by_key(|finding| !finding.is_problem);
        report.files.push(one);
    }
    Ok(report)
}

/// The file, or the subset that the reader of a task would take instead, and whether it is one.
fn find(path: &Path, file: &DataFile, format: &Format) -> Option<(PathBuf, bool)> {
    if path.exists() {
        return Some((path.to_owned(), false));
    }
    if !matches!(format, Format::Glue(_)) || file.path != "train.tsv" {
        return None;
    }
    let is_subset = |name: &str| name.starts_with("train.subset") && name.ends_with(".tsv");
    let mut subsets: Vec<PathBuf> = std::fs::read_dir(path.parent()?)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|p| p.is_file() && p.file_name().and_then(|n| n.to_str()).is_some_and(is_subset))
        .collect();
    subsets.sort();
    subsets.into_iter().next().map(|path| (path, true))
}

/// Size and checksum of a file of the manifest.
fn whole(path: &Path, name: String, file: &DataFile, record: Option<&Record>) -> Result<FileReport> {
    let mut report = empty(path, name)?;
    report.official_rows = file.rows;
    report.checksum = match file_state(path, file, record, true)? {
        PlacedFile::Absent => Checksum::Unknown,
        PlacedFile::Right { .. } if file.sha256.is_some() => Checksum::Official,
        PlacedFile::Right { .. } if record.is_some() => Checksum::AsFetched,
        PlacedFile::Right { .. } => Checksum::Unknown,
        PlacedFile::Other(reason) => {
            report.findings.push(Finding::problem(reason));
            Checksum::Differs
        }
    };
    Ok(report)
}

fn empty(path: &Path, name: String) -> Result<FileReport> {
    let metadata = std::fs::metadata(path).map_err(crate::Error::io(path, "cannot be read"))?;
    Ok(FileReport {
        path: name,
        bytes: metadata.len(),
        checksum: Checksum::Unknown,
        rows: None,
        official_rows: None,
        classes: Vec::new(),
        findings: Vec::new(),
    })
}

/// Rows and classes against the official ones.
fn compare(report: &mut FileReport, file: &DataFile, content: &Content, is_subset: bool) {
    report.rows = content.rows;
    report.classes.clone_from(&content.classes);
    report.findings.extend(content.findings.iter().cloned());
    let Some(rows) = content.rows else { return };
    match file.rows {
        Some(official) if is_subset => {
            report.official_rows = Some(official);
            let text = format!("a subset of `{}`: {rows} of {official} rows", file.path);
            report.findings.push(Finding::note(text));
        }
        Some(official) if rows != official => {
            report.findings.push(Finding::problem(format!("{rows} rows instead of {official}")));
        }
        _ => {}
    }
    match &file.classes {
        Some(official) if !is_subset && !content.classes.is_empty() && *official != content.classes => {
            let text = format!("rows per class are {:?} instead of {official:?}", content.classes);
            report.findings.push(Finding::problem(text));
        }
        _ => {}
    }
    if let Some((count, example)) = content.texts.repeated() {
        let text = format!("{count} rows repeat an earlier row of the file, the first: {example}");
        report.findings.push(Finding::note(text));
    }
}

/// Rows that the training file has too.
fn shared(report: &mut FileReport, file: &DataFile, texts: &Texts, train: Option<&Texts>) {
    let Some(train) = train else { return };
    let Some((count, example)) = texts.shared_with(train) else { return };
    let text = format!("{count} rows are in the training file too, the first: {example}");
    report.findings.push(match file.shared_with_train {
        Some(official) if count > official => {
            Finding::problem(format!("{text}; the official file has {official} such rows"))
        }
        _ => Finding::note(text),
    });
}
