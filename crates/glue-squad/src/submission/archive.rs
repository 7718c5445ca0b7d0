//! All prediction files in one zip archive.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::file::{file_name, read_official, render};
use crate::error::{Error, Result, folder_listing};
use crate::task::{Predictions, Split, TaskKind};

/// What an archive holds, and what keeps the GLUE site from taking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The archive.
    pub path: PathBuf,
    /// The tasks in it with their numbers of predictions, in the order of [`TaskKind::ALL`].
    pub tasks: Vec<(TaskKind, usize)>,
    /// The tasks without predictions; the site wants all.
    pub missing: Vec<TaskKind>,
    /// Tasks whose number of predictions is not that of the official test set, with that number.
    pub wrong_rows: Vec<(TaskKind, usize)>,
}

impl Archive {
    /// Whether the GLUE site would take it.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.wrong_rows.is_empty()
    }
}

/// Writes the predictions of tasks to an archive, which appears complete or not at all. The same predictions give the same bytes.
///
/// # Errors
/// No predictions, a task twice, predictions that do not fit their task, or the system's refusal to write.
pub fn zip(path: &Path, predictions: &[(TaskKind, Predictions)]) -> Result<Archive> {
    if predictions.is_empty() {
        return Err(Error::Invalid("a submission needs the predictions of at least one task".to_owned()));
    }
    let failed = |e: zip::result::ZipError| Error::Invalid(format!("{}: {e}", path.display()));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default());
    let (mut tasks, mut missing, mut wrong_rows) = (Vec::new(), Vec::new(), Vec::new());
    for task in TaskKind::ALL {
        let mut own = predictions.iter().filter(|(of, _)| *of == task).map(|(_, predictions)| predictions);
        let Some(predictions) = own.next() else {
            missing.push(task);
            continue;
        };
        if own.next().is_some() {
            return Err(Error::Invalid(format!("{task}: predictions are given twice")));
        }
        writer.start_file(file_name(task), options).map_err(failed)?;
        writer.write_all(render(task.task(), predictions)?.as_bytes()).map_err(|e| Error::io(path, e))?;
        tasks.push((task, predictions.len()));
        wrong_rows.extend(task.official_rows(Split::Test).filter(|rows| *rows != predictions.len()).map(|n| (task, n)));
    }
    let bytes = writer.finish().map_err(failed)?.into_inner();
    run_store::output::write(path, &bytes)?;
    Ok(Archive { path: path.to_owned(), tasks, missing, wrong_rows })
}

/// Puts every official prediction file of a folder ([`file_name`]) into an archive, after reading each to see that it is whole.
///
/// # Errors
/// No such file in the folder, a damaged one with file and line, or as [`zip()`].
pub fn zip_folder(dir: &Path, path: &Path) -> Result<Archive> {
    let mut predictions = Vec::new();
    for task in TaskKind::ALL {
        let file = dir.join(file_name(task));
        if file.is_file() {
            predictions.push((task, read_official(task, &file)?));
        }
    }
    if predictions.is_empty() {
        let wanted = "a prediction file with an official name, such as SST-2.tsv or MNLI-mm.tsv,".to_owned();
        return Err(Error::FileMissing { folder: dir.to_owned(), wanted, found: folder_listing(dir) });
    }
    zip(path, &predictions)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn official(task: TaskKind) -> Predictions {
        let rows = task.official_rows(Split::Test).unwrap();
        match task.task().labels().len() {
            0 => Predictions::Scores((0..rows).map(|row| row as f64 % 6.0).collect()),
            classes => Predictions::Classes((0..rows).map(|row| row % classes).collect()),
        }
    }

    #[test]
    fn a_whole_submission_holds_the_eleven_official_files_and_is_the_same_every_time() {
        let dir = tempfile::tempdir().unwrap();
        let all = TaskKind::ALL.map(|task| (task, official(task)));
        let archive = zip(&dir.path().join("a.zip"), &all).unwrap();
        assert!(archive.is_complete(), "{archive:?}");
        let bytes = std::fs::read(&archive.path).unwrap();
        for (task, predictions) in &all {
            let text = render(task.task(), predictions).unwrap();
            std::fs::write(dir.path().join(file_name(*task)), text).unwrap();
        }
        let again = zip_folder(dir.path(), &dir.path().join("b.zip")).unwrap();
        assert_eq!(std::fs::read(&again.path).unwrap(), bytes);
        let mut opened = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(opened.len(), 11);
        for (task, predictions) in &all {
            let mut text = String::new();
            opened.by_name(&file_name(*task)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, render(task.task(), predictions).unwrap(), "{task}");
        }
    }

    #[test]
    fn what_the_site_would_not_take_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let (sst2, rte) = (Predictions::Classes(vec![1; 1_821]), Predictions::Classes(vec![1; 277]));
        let archive = zip(&dir.path().join("a.zip"), &[(TaskKind::Sst2, sst2.clone()), (TaskKind::Rte, rte)]).unwrap();
        assert_eq!((archive.missing.len(), &archive.wrong_rows[..]), (9, &[(TaskKind::Rte, 3_000)][..]));
        assert!(!archive.is_complete());
        assert!(zip(&archive.path, &[]).is_err());
        assert!(zip(&archive.path, &[(TaskKind::Sst2, sst2.clone()), (TaskKind::Sst2, sst2)]).is_err());
        let message = zip_folder(dir.path(), &archive.path).unwrap_err().to_string();
        assert!(message.contains("MNLI-mm.tsv") && message.contains("a.zip"), "{message}");
        std::fs::write(dir.path().join("RTE.tsv"), "index\tprediction\n0\tyes\n").unwrap();
        let message = zip_folder(dir.path(), &archive.path).unwrap_err().to_string();
        assert!(message.contains("RTE.tsv:2"), "{message}");
    }
}
