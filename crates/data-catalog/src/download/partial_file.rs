//! A file that is not whole yet, and what is known of it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layout;
use crate::manifest::Source;
use crate::net::{Answer, Range};

/// After so many new bytes the file is flushed to the disk and that is noted, so that a power failure costs no more.
const SAFE_EVERY: u64 = 32 << 20;

/// `NAME.part`, locked for this process while it lives.
pub(super) struct PartialFile {
    file: File,
    path: PathBuf,
    note_path: PathBuf,
    note: Note,
    length: u64,
}

/// `NAME.part.json`: where the bytes come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The address in the manifest.
    url: String,
    /// What the server called the file: a strong entity tag.
    etag: Option<String>,
    /// When it was changed last.
    last_modified: Option<String>,
    /// Its size, as the server said.
    total: Option<u64>,
    /// Bytes that were flushed to the disk.
    safe: u64,
}

impl PartialFile {
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(format!("{name}.part"));
        let note_path = folder.join(format!("{name}.part.json"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io(&path, "cannot be opened"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path }),
            // A file system without locks: two processes at once are then the user's to avoid.
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(Error::io(path, "cannot be locked")(e)),
        }
        let length = file.metadata().map_err(Error::io(&path, "cannot be read"))?.len();
        // A note that is missing or torn says nothing, which is always safe.
        let note =
            std::fs::read(&note_path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Ok(Self { file, path, note_path, note, length })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are here.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The size of the whole file, as far as known.
    pub fn total(&self, source: &Source) -> Option<u64> {
        source.bytes.or(self.note.total)
    }

    /// Keeps what may be built upon when fetching from `url`, and says how much that is.
    pub fn fit_for(&mut self, url: &str, source: &Source) -> Result<u64> {
        let same_address = self.note.url == url;
        let has_validator = self.note.etag.is_some() || self.note.last_modified.is_some();
        let usable = match &source.sha256 {
            Some(_) => self.length,
            None if same_address && has_validator => self.length.min(self.note.safe),
            None => 0,
        };
        let usable = match self.total(source) {
            Some(total) if usable > total => 0,
            _ => usable,
        };
        if usable < self.length {
            self.cut(usable)?;
        }
        if !same_address {
            self.note = Note { url: url.to_owned(), ..Note::default() };
        }
        Ok(usable)
    }

    /// What to ask for, so that the answer continues what is here; `None` asks for everything.
    pub fn range(&self) -> Option<Range> {
        let validator = self.note.etag.clone().or_else(|| self.note.last_modified.clone());
        (self.length > 0).then_some(Range { from: self.length, if_still: validator })
    }

    /// Whether an answer speaks of another file than the one whose beginning is here.
    pub fn contradicts(&self, answer: &Answer) -> bool {
        let differ = |ours: &Option<String>, theirs: &Option<String>| matches!((ours, theirs), (Some(ours), Some(theirs)) if ours != theirs);
        differ(&self.note.etag, &answer.etag)
            || (self.note.etag.is_none() && differ(&self.note.last_modified, &answer.last_modified))
    }

    /// Notes what an answer says of the file, before its bytes are written.
    pub fn describe(&mut self, answer: &Answer, total: Option<u64>) -> Result<()> {
        self.note.etag.clone_from(&answer.etag);
        self.note.last_modified.clone_from(&answer.last_modified);
        self.note.total = total;
        self.file.seek(SeekFrom::Start(self.length)).map_err(Error::io(&self.path, "cannot be written"))?;
        self.write_note()
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.path, "cannot be written"))?;
        self.length += bytes.len() as u64;
        if self.length >= self.note.safe + SAFE_EVERY { self.make_safe() } else { Ok(()) }
    }

    /// Flushes what is here, so that the next attempt or process may build upon it.
    pub fn make_safe(&mut self) -> Result<()> {
        if self.note.safe == self.length {
            return Ok(());
        }
        self.file.sync_all().map_err(Error::io(&self.path, "cannot be flushed to the disk"))?;
        self.note.safe = self.length;
        self.write_note()
    }

    /// Forgets everything.
    pub fn clear(&mut self) -> Result<()> {
        self.cut(0)?;
        self.note = Note { url: std::mem::take(&mut self.note.url), ..Note::default() };
        self.write_note()
    }

    /// Gives the whole file its name.
    pub fn finish(self, name: &Path) -> Result<()> {
        let Self { file, path, note_path, .. } = self;
        layout::put_in_place(&path, name)?;
        drop(file);
        // A note without its file is harmless, and overwritten by the next download.
        let _ = std::fs::remove_file(note_path);
        Ok(())
    }

    fn cut(&mut self, length: u64) -> Result<()> {
        // The note first: it must never promise bytes that are not there.
        self.note.safe = self.note.safe.min(length);
        self.write_note()?;
        self.file.set_len(length).map_err(Error::io(&self.path, "cannot be cut"))?;
        self.length = length;
        Ok(())
    }

    fn write_note(&self) -> Result<()> {
        Ok(run_store::atomic::write_json(&self.note_path, &self.note)?)
    }
}
