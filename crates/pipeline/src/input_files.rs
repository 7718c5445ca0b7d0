//! The files that decide a result, and their checksums.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bert_core::{CONFIG_FILE, TOKENIZER_FILES, WEIGHTS_FILE};
use glue_squad::task::{Split, Task};

use crate::Result;
use crate::import::Checkpoint;

/// Files that decide a result: what each is, and where.
pub type Files = Vec<(String, PathBuf)>;

/// The files of both splits of `tasks` in a GLUE folder.
///
/// # Errors
/// Files that are missing.
pub fn task_files(tasks: &[Task], glue: &Path) -> Result<Files> {
    let mut files = Files::new();
    for task in tasks {
        for split in [Split::Train, Split::Dev] {
            files.extend(task.find_all(glue, split)?.into_iter().map(|path| (task.folder().into(), path)));
        }
    }
    Ok(files)
}

/// SHA-256 of each file, by what it is and its name: what a resumed training compares.
///
/// # Errors
/// Files that cannot be read.
pub fn digests(files: &[(String, PathBuf)]) -> Result<BTreeMap<String, String>> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut digests = BTreeMap::new();
    for (what, path) in files {
        let (mut key, digest) = (format!("{what} {}", name(path)), run_store::hash::file(path)?);
        // Copies of the hub call every split's file 0000.parquet, in a folder named after the split.
        if digests.get(&key).is_some_and(|other| *other != digest) {
            key = format!("{what} {}/{}", name(path.parent().unwrap_or(path)), name(path));
        }
        digests.insert(key, digest);
    }
    Ok(digests)
}

/// What of a model directory decides a result, each file under the name `what`.
pub fn model_files(what: &str, dir: &Path) -> Files {
    // A folder of another program may have its weights in other files.
    let weights = Checkpoint::in_folder(dir).map_or_else(|| vec![dir.join(WEIGHTS_FILE)], |found| found.weight_files());
    let tokenizer = TOKENIZER_FILES.into_iter().map(|name| dir.join(name));
    let files = [dir.join(CONFIG_FILE)].into_iter().chain(weights).chain(tokenizer);
    files.filter(|path| path.is_file()).map(|path| (what.to_owned(), path)).collect()
}
