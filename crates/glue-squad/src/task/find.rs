//! Which file of a folder holds a split, and in which layout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::described::plain_name;
use super::read::{MSR_DEV_IDS, MSR_TRAIN};
use super::{Split, TaskKind};
use crate::error::{Error, Result, folder_listing};

impl TaskKind {
    /// The file of a split in GLUE's own layout: `dev.tsv`; `dev_matched.tsv` and `dev_mismatched.tsv` for MNLI's, `diagnostic.tsv`
    /// for AX.
    pub fn file_name(self, split: Split) -> &'static str {
        self.entry().files[split as usize]
    }

    /// Finds the files of a split. `dir` holds the tasks' folders (`SST-2` or `sst2`, ...) or is the task's own folder. In it
    /// GLUE's own files are looked for first, then the files that they are made of (Microsoft's MRPC, STS-B as released), then
    /// the Hugging Face copies as Parquet, in one file or in pieces, and as JSONL. Where there is no training file, the first
    /// `train.subset*.tsv` in the order of names is taken: report the path that came back.
    ///
    /// # Errors
    /// [`Error::FolderMissing`]; [`Error::FileMissing`], which lists what is there; a split that the task does not have.
    pub fn find_all(self, dir: &Path, split: Split) -> Result<Vec<PathBuf>> {
        Ok(self.find_in(dir, split)?.1)
    }

    /// The task's folder and the files of [`TaskKind::find_all`], which lie in it or in a folder of it.
    ///
    /// # Errors
    /// As [`TaskKind::find_all`].
    pub fn find_in(self, dir: &Path, split: Split) -> Result<(PathBuf, Vec<PathBuf>)> {
        if let (Some(answers), None) = (self.entry().trained_as, self.official_rows(split)) {
            return Err(Error::Invalid(format!(
                "{self}: there is no {split} split; it is answered by a model of {answers}"
            )));
        }
        let folders = self.folders(dir)?;
        for folder in &folders {
            let names = names(folder)?;
            if let Some(found) = self.glue_files(folder, split).or_else(|| self.source_files(folder, split)) {
                return Ok((folder.clone(), found));
            }
            for place in [folder.clone(), folder.join("data")] {
                if let Some(found) = self.hub_files(&place, split)? {
                    return Ok((folder.clone(), found));
                }
            }
            let is_subset = |name: &&String| name.starts_with("train.subset") && name.ends_with(".tsv");
            if split == Split::Train
                && let Some(subset) = names.iter().find(is_subset)
            {
                return Ok((folder.clone(), vec![folder.join(subset)]));
            }
        }
        let stem = self.hub_stems(&folders[0], split)[0];
        let subset = if split == Split::Train { " (or train.subset*.tsv)" } else { "" };
        let wanted = format!("{}{subset}, {stem}.parquet or {stem}.jsonl", self.file_name(split));
        Err(Error::FileMissing { found: folder_listing(&folders[0]), folder: folders[0].clone(), wanted })
    }

    /// The folders that may hold the task, at least one: the official name first, then other spellings in order.
    fn folders(self, dir: &Path) -> Result<Vec<PathBuf>> {
        let found = self.folders_in(dir)?;
        if !found.is_empty() {
            return Ok(found);
        }
        let missing = |path: PathBuf, hint: String| Err(Error::FolderMissing { path, hint });
        if !dir.is_dir() {
            let hint = format!("give the folder that holds `{}`, or a folder of that name", self.folder());
            return missing(dir.to_owned(), hint);
        }
        let below = names(dir)?.into_iter().map(|name| dir.join(name)).filter(|path| path.is_dir());
        let nearby = below.into_iter().find(|path| self.folders_in(path).is_ok_and(|found| !found.is_empty()));
        let hint = match nearby {
            Some(folder) => format!("did you mean --data {}? It holds {}", folder.display(), self.folder()),
            None => format!("{} belongs there; {} holds {}", self.folder(), dir.display(), folder_listing(dir)),
        };
        missing(dir.join(self.folder()), hint)
    }

    /// [`Self::folders`], or none.
    fn folders_in(self, dir: &Path) -> Result<Vec<PathBuf>> {
        let inner = dir.join(self.folder());
        let is_ours = |name: &str| plain_name(name) == plain_name(self.folder()) || self.task().is_called(name);
        let mut found = Vec::new();
        if inner.is_dir() {
            found.push(inner.clone());
        }
        if dir.is_dir() {
            let others = names(dir)?.into_iter().filter(|name| is_ours(name)).map(|name| dir.join(name));
            found.extend(others.filter(|path| *path != inner && path.is_dir()));
            if dir.file_name().and_then(|name| name.to_str()).is_some_and(is_ours) {
                found.push(dir.to_owned());
            }
        }
        Ok(found)
    }

    /// GLUE's own file.
    fn glue_files(self, folder: &Path, split: Split) -> Option<Vec<PathBuf>> {
        let more = self.entry().more_files;
        let wanted = std::iter::once(self.file_name(split)).chain(more.iter().copied());
        wanted.map(|name| folder.join(name)).find(|path| path.is_file()).map(|path| vec![path])
    }

    /// The files that GLUE's own are made of.
    fn source_files(self, folder: &Path, split: Split) -> Option<Vec<PathBuf>> {
        let wanted = self.entry().sources[split as usize];
        let path = wanted.iter().map(|name| folder.join(name)).find(|path| path.is_file())?;
        let ids = folder.join(MSR_DEV_IDS);
        let with_ids = path.ends_with(MSR_TRAIN) && ids.is_file();
        Some(if with_ids { vec![path, ids] } else { vec![path] })
    }

    /// What a split is called on the hub. A folder of its own for the matched or mismatched set of MNLI uses the plain names.
    fn hub_stems(self, folder: &Path, split: Split) -> &'static [&'static str] {
        let name = folder.file_name().and_then(|name| name.to_str()).map(plain_name).unwrap_or_default();
        let stems = if name == "mnli" { &self.entry().hub_in_mnli } else { &self.entry().hub };
        stems[split as usize]
    }

    fn hub_files(self, folder: &Path, split: Split) -> Result<Option<Vec<PathBuf>>> {
        if !folder.is_dir() {
            return Ok(None);
        }
        // The folder `data` of a downloaded data set stands for its parent.
        let named = if folder.ends_with("data") { folder.parent().unwrap_or(folder) } else { folder };
        let names = names(folder)?;
        for stem in self.hub_stems(named, split) {
            for ending in ["parquet", "jsonl", "json", "tsv"] {
                let whole = [format!("{stem}.{ending}"), format!("glue-{stem}.{ending}")];
                if let Some(name) = whole.iter().find(|name| names.contains(name)) {
                    return Ok(Some(vec![folder.join(name)]));
                }
                if let Some(pieces) = pieces(folder, &names, stem, ending)? {
                    return Ok(Some(pieces));
                }
            }
            // The hub's own conversions: `train/0000.parquet`, `train/0001.parquet`, ...
            let inner = folder.join(stem);
            if inner.is_dir() {
                let found: Vec<PathBuf> =
                    self::names(&inner)?.iter().filter(|n| n.ends_with(".parquet")).map(|n| inner.join(n)).collect();
                if !found.is_empty() {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}

/// `train-00000-of-00002.parquet` and its fellows in order; a missing one is an error.
fn pieces(folder: &Path, names: &[String], stem: &str, ending: &str) -> Result<Option<Vec<PathBuf>>> {
    let mut found = BTreeMap::new();
    let mut total = None;
    for name in names {
        let Some(middle) = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending)) else { continue };
        let Some((number, rest)) = middle.strip_prefix('-').and_then(|rest| rest.split_once("-of-")) else { continue };
        // Older files have a checksum behind the count.
        let count = rest.trim_end_matches('.').split('-').next().unwrap_or_default();
        if let (Ok(number), Ok(count)) = (number.parse::<u32>(), count.parse::<u32>())
            && number < count
        {
            found.insert((count, number), folder.join(name));
            total = Some(count);
        }
    }
    let Some(total) = total else { return Ok(None) };
    let pieces: Vec<PathBuf> = found.range((total, 0)..=(total, total)).map(|(_, path)| path.clone()).collect();
    let gap = (0..total).find(|number| !found.contains_key(&(total, *number)));
    if let Some(gap) = gap {
        let wanted = format!("{stem}-{gap:05}-of-{total:05}.{ending}, one of {total} pieces,");
        return Err(Error::FileMissing { folder: folder.to_owned(), wanted, found: folder_listing(folder) });
    }
    Ok(Some(pieces))
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
