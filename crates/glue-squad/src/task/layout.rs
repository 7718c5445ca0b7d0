//! Where the original GLUE files keep what.

use std::path::{Path, PathBuf};

use super::{Split, TaskKind};
use crate::error::{Error, Result, folder_listing};

/// Columns of the files of a task.
pub(super) struct Layout {
    /// The columns of a file without a header; `None` where line 1 names them.
    pub fixed: Option<&'static [&'static str]>,
    pub text_a: &'static str,
    pub text_b: Option<&'static str>,
    pub label: &'static str,
}

impl TaskKind {
    pub(super) fn layout(self, split: Split) -> Layout {
        let (text_a, text_b, label) = match self {
            Self::Sst2 | Self::Cola => ("sentence", None, "label"),
            Self::Mrpc => ("#1 String", Some("#2 String"), "Quality"),
            Self::Stsb => ("sentence1", Some("sentence2"), "score"),
            Self::Rte => ("sentence1", Some("sentence2"), "label"),
            Self::Mnli => ("sentence1", Some("sentence2"), "gold_label"),
        };
        // CoLA's labelled files have no header: source, label, the linguist's mark, sentence.
        let fixed: Option<&'static [&'static str]> = match (self, split) {
            (Self::Cola, Split::Train | Split::Dev) => Some(&["source", "label", "star", "sentence"]),
            _ => None,
        };
        Layout { fixed, text_a, text_b, label }
    }

    /// The file of a split in GLUE's own layout, `dev_matched.tsv` for MNLI's dev.
    pub fn file_name(self, split: Split) -> &'static str {
        match (self, split) {
            (_, Split::Train) => "train.tsv",
            (Self::Mnli, Split::Dev) => "dev_matched.tsv",
            (Self::Mnli, Split::Test) => "test_matched.tsv",
            (_, Split::Dev) => "dev.tsv",
            (_, Split::Test) => "test.tsv",
        }
    }

    /// Finds the file of a split. `dir` is the GLUE folder (with `SST-2`, `CoLA`, ... in it) or the task's own folder.
    /// Where `train.tsv` is missing, the first `train.subset*.tsv` in the order of names is taken: report the path that came back.
    ///
    /// # Errors
    /// [`Error::FolderMissing`]; [`Error::FileMissing`], which lists what is there.
    pub fn find(self, dir: &Path, split: Split) -> Result<PathBuf> {
        let folder = self.data_folder(dir)?;
        let wanted = self.file_name(split);
        let path = folder.join(wanted);
        if path.is_file() {
            return Ok(path);
        }
        if split == Split::Train {
            let entries = std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, e))?;
            let is_subset = |name: &str| name.starts_with("train.subset") && name.ends_with(".tsv");
            let mut subsets: Vec<PathBuf> = entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|p| p.is_file() && p.file_name().and_then(|n| n.to_str()).is_some_and(is_subset))
                .collect();
            subsets.sort();
            if let Some(first) = subsets.into_iter().next() {
                return Ok(first);
            }
        }
        let wanted =
            if split == Split::Train { "train.tsv (or train.subset*.tsv)".to_owned() } else { wanted.to_owned() };
        Err(Error::FileMissing { found: folder_listing(&folder), folder, wanted })
    }

    fn data_folder(self, dir: &Path) -> Result<PathBuf> {
        let inner = dir.join(self.folder());
        if inner.is_dir() {
            return Ok(inner);
        }
        let is_task_folder = dir.file_name().is_some_and(|name| name == self.folder());
        if is_task_folder && dir.is_dir() {
            return Ok(dir.to_owned());
        }
        let hint = if dir.is_dir() {
            format!("{} belongs there; {} holds {}", self.folder(), dir.display(), folder_listing(dir))
        } else {
            format!("give the folder that holds `{}`, or a folder of that name", self.folder())
        };
        let path = if dir.is_dir() { inner } else { dir.to_owned() };
        Err(Error::FolderMissing { path, hint })
    }
}
