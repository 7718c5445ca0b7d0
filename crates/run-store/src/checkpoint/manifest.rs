//! The manifest: what a checkpoint claims to be, and the check of that claim.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Operation, Result};
use crate::{hash, relative};

/// Name of the manifest in a checkpoint folder.
pub const MANIFEST: &str = "manifest.json";

/// Format written by this version; a change that old readers would misread raises it.
const FORMAT: u64 = 1;

/// A manifest holds names, hashes and counters; tensors belong in files. The limit keeps a damaged
/// or foreign file from filling the memory.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// Stands in the checksum's place while the checksum is computed.
const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One file of a checkpoint, as its manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Relative, `/`-separated path inside the checkpoint folder.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// The content of `manifest.json`. `checksum` is SHA-256 of the file's own bytes with 64 zeros in
/// the checksum's place; it comes first, so its place is the first match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    checksum: String,
    format: u64,
    pub(super) step: u64,
    pub(super) config_hash: String,
    pub(super) files: Vec<FileEntry>,
    pub(super) state: Value,
}

impl Manifest {
    pub(super) fn new(step: u64, config_hash: &str, files: Vec<FileEntry>, state: Value) -> Self {
        Self {
            checksum: NO_CHECKSUM.to_owned(),
            format: FORMAT,
            step,
            config_hash: config_hash.to_owned(),
            files,
            state,
        }
    }

    /// The file's text, checked to be readable again: what cannot be read must not replace what can.
    pub(super) fn to_text(&self, folder: &Path) -> Result<String> {
        let mut text =
            serde_json::to_string_pretty(self).map_err(|cause| Error::Encode { path: folder.join(MANIFEST), cause })?;
        text.push('\n');
        let text = text.replacen(NO_CHECKSUM, &hash::bytes(&text), 1);
        Self::from_bytes(text.as_bytes(), folder)?;
        Ok(text)
    }

    /// Reads the manifest in `folder` and checks it against the folder's step and the run's
    /// configuration; the files are not looked at.
    pub(super) fn read(folder: &Path, step: u64, config_hash: &str) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let unreadable = |e| Error::io(Operation::Read, &path, e);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(damaged(folder, format!("{MANIFEST} is missing")));
            }
            Err(e) => return Err(unreadable(e)),
        };
        let mut bytes = Vec::new();
        // One byte past the limit tells a file that fits from one that was cut here.
        file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let manifest = Self::from_bytes(&bytes, folder)?;
        if manifest.step != step {
            let found = manifest.step;
            let reason = format!("its {MANIFEST} is that of step {found}, not of step {step}");
            return Err(damaged(folder, reason));
        }
        if manifest.config_hash != config_hash {
            return Err(Error::ConfigMismatch {
                path: folder.to_owned(),
                expected: config_hash.to_owned(),
                found: manifest.config_hash,
            });
        }
        Ok(manifest)
    }

    fn from_bytes(bytes: &[u8], folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format: u64,
        }
        let bad = |reason: String| damaged(folder, format!("{MANIFEST} {reason}"));
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(bad(format!("is larger than {MAX_MANIFEST_BYTES} bytes")));
        }
        // The version first: a newer format may have fields that the strict reading refuses.
        let version: Version = serde_json::from_slice(bytes).map_err(|e| bad(format!("is not valid: {e}")))?;
        if version.format > FORMAT {
            return Err(Error::UnknownFormat { path: folder.to_owned(), found: version.format, known: FORMAT });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| bad(format!("is not valid: {e}")))?;
        if manifest.checksum != checksum(bytes, &manifest.checksum) {
            return Err(bad("does not match its own checksum".to_owned()));
        }
        let mut seen = BTreeSet::new();
        for FileEntry { name, .. } in &manifest.files {
            if let Some(reason) = relative::fault(name) {
                return Err(bad(format!("names the file `{name}`, but {reason}")));
            }
            if name == MANIFEST || !seen.insert(name) {
                return Err(bad(format!("names the file `{name}` twice")));
            }
        }
        Ok(manifest)
    }
}

/// SHA-256 of `bytes` with the first occurrence of `recorded` replaced by zeros.
fn checksum(bytes: &[u8], recorded: &str) -> String {
    let mut bytes = bytes.to_vec();
    let place = bytes.windows(NO_CHECKSUM.len()).position(|window| window == recorded.as_bytes());
    if let Some(at) = place {
        bytes[at..at + NO_CHECKSUM.len()].copy_from_slice(NO_CHECKSUM.as_bytes());
    }
    hash::bytes(bytes)
}

/// A checkpoint whose files were all found to be what its manifest says.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    path: PathBuf,
    manifest: Manifest,
}

impl Checkpoint {
    /// Verifies the checkpoint in `folder`: manifest, configuration, sizes, hashes.
    pub(super) fn verify(folder: &Path, step: u64, config_hash: &str) -> Result<Self> {
        let manifest = Manifest::read(folder, step, config_hash)?;
        for entry in &manifest.files {
            verify_file(folder, entry)?;
        }
        Ok(Self { path: folder.to_owned(), manifest })
    }

    /// Whether it holds exactly what `manifest` describes.
    pub(super) fn holds(&self, manifest: &Manifest) -> bool {
        self.manifest.files == manifest.files && self.manifest.state == manifest.state
    }

    /// The checkpoint's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The step it was saved at.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.manifest.step
    }

    /// The free-form state that was saved with it.
    #[must_use]
    pub fn state(&self) -> &Value {
        &self.manifest.state
    }

    /// Its files, sorted by name.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.manifest.files
    }

    /// Where the file called `name` lies.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the manifest lists no such file: the checkpoint was written by a
    /// program that saves other files.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        if self.manifest.files.iter().any(|entry| entry.name == name) {
            Ok(self.path.join(name))
        } else {
            let reason = format!("its {MANIFEST} lists no file `{name}`");
            Err(damaged(&self.path, reason))
        }
    }
}

fn verify_file(folder: &Path, entry: &FileEntry) -> Result<()> {
    let FileEntry { name, size, sha256 } = entry;
    let path = folder.join(name);
    // Links are not followed: what they point to is not part of the folder and may change.
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(damaged(folder, format!("{name} is missing")));
        }
        Err(e) => return Err(Error::io(Operation::Read, &path, e)),
    };
    if !metadata.is_file() {
        return Err(damaged(folder, format!("{name} is not a regular file")));
    }
    let found = metadata.len();
    if found != *size {
        let reason = format!("{name} has {found} bytes instead of {size}");
        return Err(damaged(folder, reason));
    }
    let found = hash::file(&path)?;
    if found != *sha256 {
        let reason = format!("{name} has SHA-256 {found} instead of {sha256}");
        return Err(damaged(folder, reason));
    }
    Ok(())
}

fn damaged(folder: &Path, reason: String) -> Error {
    Error::Damaged { path: folder.to_owned(), reason }
}
