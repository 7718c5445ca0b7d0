//! The manifest: what the shards are, made of what, and how.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::Header;
use crate::error::{Error, Result};
use crate::input::Format;
use crate::settings::PackSettings;
use crate::vocabulary::TokenizerInfo;

/// The manifest's name in its folder.
pub const MANIFEST: &str = "manifest.json";
/// The version that is written.
const FORMAT: u32 = 1;
/// Far beyond any real manifest, which has about 400 bytes per shard and per input.
const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// A packed corpus. It is written last, so where there is one, its shards are complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of manifest and shards.
    pub format: u32,
    /// The tokenizer.
    pub tokenizer: TokenizerInfo,
    /// How the text was packed.
    pub settings: PackSettings,
    /// What it was packed from, in order.
    pub inputs: Vec<InputInfo>,
    /// The shards; sequence 0 is the first of the first.
    pub shards: Vec<ShardInfo>,
    /// Sequences in all shards.
    pub sequences: u64,
    /// Tokens in all shards, special tokens included.
    pub tokens: u64,
    /// Documents read.
    pub documents: u64,
    /// Sentences read.
    pub sentences: u64,
    /// Bytes of text read.
    pub text_bytes: u64,
}

/// A file that was packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputInfo {
    /// Its name, relative to the folder that was given.
    pub name: String,
    /// Its size as it lies on the disk.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: String,
    /// How it holds documents.
    pub format: Format,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardInfo {
    /// Its path in the folder of the manifest.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: String,
    /// How many sequences it holds.
    pub sequences: u64,
    /// How many tokens, special tokens included.
    pub tokens: u64,
    /// Documents that it was made of.
    pub documents: u64,
    /// Sentences that it was made of.
    pub sentences: u64,
    /// Bytes of text that it was made of.
    pub text_bytes: u64,
}

impl ShardInfo {
    /// A shard with this header, of so many bytes with this SHA-256.
    pub(crate) fn new(file: String, bytes: u64, sha256: String, header: &Header) -> Self {
        let Header { sequences, tokens, documents, sentences, text_bytes, .. } = *header;
        Self { file, bytes, sha256, sequences, tokens, documents, sentences, text_bytes }
    }
}

impl Manifest {
    pub(crate) fn new(
        tokenizer: TokenizerInfo,
        settings: PackSettings,
        inputs: Vec<InputInfo>,
        shards: Vec<ShardInfo>,
    ) -> Self {
        let sum = |count: fn(&ShardInfo) -> u64| shards.iter().map(count).sum();
        Self {
            format: FORMAT,
            tokenizer,
            settings,
            inputs,
            sequences: sum(|s| s.sequences),
            tokens: sum(|s| s.tokens),
            documents: sum(|s| s.documents),
            sentences: sum(|s| s.sentences),
            text_bytes: sum(|s| s.text_bytes),
            shards,
        }
    }

    /// Reads and checks the manifest of a folder.
    ///
    /// # Errors
    /// It is missing, damaged, or contradicts itself.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let size = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
        let bad = |reason: String| Error::BadManifest { path: path.clone(), reason };
        if size > MAX_MANIFEST_BYTES {
            return Err(bad(format!("{size} bytes are no manifest")));
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        manifest.check().map_err(bad)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format {} is not known, only {FORMAT}; update the program", self.format));
        }
        self.settings.check().map_err(|e| e.to_string())?;
        let mut sums = [0_u64; 2];
        let mut files = std::collections::HashSet::new();
        for shard in &self.shards {
            if !is_shard_file(&shard.file) || !files.insert(shard.file.as_str()) {
                return Err(format!("`{}` cannot name a shard, or names one twice", shard.file.escape_debug()));
            }
            for (sum, count) in sums.iter_mut().zip([shard.sequences, shard.tokens]) {
                *sum = sum.checked_add(count).ok_or_else(|| format!("the counts of `{}` are absurd", shard.file))?;
            }
        }
        if sums != [self.sequences, self.tokens] {
            let [sequences, tokens] = sums;
            let says = format!("{} sequences and {} tokens", self.sequences, self.tokens);
            return Err(format!("it says {says}, its shards have {sequences} and {tokens}"));
        }
        let limit = self.tokenizer.vocab_size;
        let TokenizerInfo { cls, sep, pad, mask, .. } = self.tokenizer;
        if [Some(cls), Some(sep), Some(pad), mask].into_iter().flatten().any(|id| id as usize >= limit) {
            return Err(format!("a special token is not below the size {limit} of the vocabulary"));
        }
        Ok(())
    }
}

/// The folder of shards in the folder of the manifest.
pub(crate) const SHARDS: &str = "shards";

/// Whether a folder is one that [`crate::build`] writes, finished or not: it has a manifest or a folder of shards, and no text file.
///
/// A folder of text may well have a `manifest.json` of something else in it, so text decides.
pub fn is_packed(dir: &Path) -> bool {
    let is_text = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|e| e == "txt");
    let holds_text = || std::fs::read_dir(dir).is_ok_and(|mut entries| entries.any(|e| e.is_ok_and(is_text)));
    (dir.join(MANIFEST).is_file() || dir.join(SHARDS).is_dir()) && !holds_text()
}

/// The name of a shard in its manifest.
pub(crate) fn shard_file(key: &str, number: u64) -> String {
    format!("{SHARDS}/{key}-{number:06}.tokens")
}

/// Whether a name is one that [`shard_file`] gives: nothing else is read, overwritten or removed.
pub(crate) fn is_shard_file(name: &str) -> bool {
    let Some((folder, rest)) = name.split_once('/') else { return false };
    let Some((key, number)) = rest.strip_suffix(".tokens").and_then(|rest| rest.split_once('-')) else { return false };
    folder == SHARDS
        && key.len() == 32
        && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && number.len() >= 6
        && number.bytes().all(|b| b.is_ascii_digit())
}

pub(crate) fn shard_path(dir: &Path, file: &str) -> PathBuf {
    // Names were checked to have one slash, which is joined part by part for systems that have another.
    file.split('/').fold(dir.to_owned(), |path, part| path.join(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_text_is_no_packed_one_whatever_else_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_packed(dir.path()) && !is_packed(&dir.path().join("none")));
        std::fs::create_dir(dir.path().join(SHARDS)).unwrap();
        assert!(is_packed(dir.path()), "not finished");
        std::fs::write(dir.path().join(MANIFEST), "{}").unwrap();
        assert!(is_packed(dir.path()));
        std::fs::write(dir.path().join("a.txt"), "text").unwrap();
        assert!(!is_packed(dir.path()));
    }

    #[test]
    fn only_names_of_shards_are_taken_for_shards() {
        let name = shard_file(&"0a".repeat(16), 12);
        assert!(is_shard_file(&name), "{name}");
        for other in
            ["shards/../../x", "a.tokens", "shards/x-000001.tokens", &name.replace("shards", "parts"), &name[1..]]
        {
            assert!(!is_shard_file(other), "{other}");
        }
    }
}
