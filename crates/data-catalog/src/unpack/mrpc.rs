//! MRPC's splits from the original files, byte for byte as GLUE's own download script makes them.
//!
//! The original rows are `Quality`, two ids and two sentences, behind a header with a byte-order mark. `dev_ids.tsv` holds the pairs of
//! ids that GLUE took out of the training part; a header of its own does no harm, being no pair of ids.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const COLUMNS: usize = 5;

/// The labeled rows that `dev_ids.tsv` names, or those that it does not.
pub(super) fn labeled(folder: &Path, dev: bool) -> Result<Vec<u8>> {
    let original = Text::read(folder, "msr_paraphrase_train.txt")?;
    let ids = Text::read(folder, "dev_ids.tsv")?;
    let mut pairs = HashSet::new();
    for (line, text) in ids.lines() {
        let pair = text.trim().split_once('\t');
        pairs.insert(pair.ok_or_else(|| ids.wrong(line, "two ids with a tab between them are expected".to_owned()))?);
    }
    let mut rows = original.lines();
    let mut out = rows.next().map(|(_, header)| format!("{header}\n")).unwrap_or_default();
    for (line, text) in rows {
        let [quality, first, second, a, b] = original.columns(line, text)?;
        if pairs.contains(&(first, second)) == dev {
            out += &format!("{quality}\t{first}\t{second}\t{a}\t{b}\n");
        }
    }
    Ok(out.into_bytes())
}

/// The test rows, numbered and without their labels.
pub(super) fn unlabeled(folder: &Path) -> Result<Vec<u8>> {
    let original = Text::read(folder, "msr_paraphrase_test.txt")?;
    let mut out = "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n".to_owned();
    for (index, (line, text)) in original.lines().skip(1).enumerate() {
        let [_, first, second, a, b] = original.columns(line, text)?;
        out += &format!("{index}\t{first}\t{second}\t{a}\t{b}\n");
    }
    Ok(out.into_bytes())
}

struct Text {
    path: PathBuf,
    text: String,
}

impl Text {
    fn read(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "cannot be read"))?;
        Ok(Self { path, text })
    }

    /// Lines from 1, without their breaks.
    fn lines(&self) -> impl Iterator<Item = (u64, &str)> {
        (1..).zip(self.text.lines())
    }

    fn columns<'a>(&self, line: u64, text: &'a str) -> Result<[&'a str; COLUMNS]> {
        let fields: Vec<&str> = text.trim().split('\t').collect();
        let found = fields.len();
        fields.try_into().map_err(|_| self.wrong(line, format!("{found} tab-separated columns instead of {COLUMNS}")))
    }

    fn wrong(&self, line: u64, reason: String) -> Error {
        Error::Build { path: self.path.clone(), line, reason }
    }
}
