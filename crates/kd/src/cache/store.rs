//! The bounded store.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, TensorData};

use super::key::Asked;
use super::pieces::Pieces;
use super::{ByteSize, Format, TeacherLayers, entry};
use crate::{Error, Result};

/// How the name of an entry's file ends.
const EXTENSION: &str = "teacher";
/// Entries to write before the folder is read again for changes by other processes.
const LOOK_EVERY: u64 = 64;
/// Of one kind, more than this many are not told one by one.
const MOST_NOTES: u64 = 3;

/// What is known about the future of a batch's answer when it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// How many times more it will be asked for. At 0 it is looked up and not kept; one that is expected more often takes the place
    /// of those that are expected less often.
    pub again: u64,
    /// The data order it belongs to, for [`TeacherCache::release`].
    pub order: u64,
}

/// How many questions were answered from the cache so far, and what is kept now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheReport {
    /// Answers that were there.
    pub hits: u64,
    /// Answers that the teacher had to compute.
    pub misses: u64,
    /// Of these, how many did not fit or could not be written.
    pub refused: u64,
    /// Entries that were damaged or foreign, and computed again.
    pub broken: u64,
    /// Entries kept now.
    pub entries: u64,
    /// Bytes kept now.
    pub bytes: u64,
}

impl CacheReport {
    /// The counts since an earlier report; entries and bytes are those of now.
    pub fn since(self, before: Self) -> Self {
        Self {
            hits: self.hits - before.hits,
            misses: self.misses - before.misses,
            refused: self.refused - before.refused,
            broken: self.broken - before.broken,
            ..self
        }
    }
}

/// Answers of teachers by their content, within a number of bytes; see the [module](super) for what stays.
#[derive(Debug)]
pub struct TeacherCache {
    max_bytes: u64,
    format: Format,
    folder: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    index: HashMap<String, Known>,
    bytes: u64,
    /// Numbers entries in the order in which they came.
    next: u64,
    /// Entries that were to be written.
    tried: u64,
    report: CacheReport,
    notes: Vec<String>,
    /// A folder that could not be written is not tried again.
    closed: bool,
}

#[derive(Debug)]
struct Known {
    bytes: u64,
    expected: Expected,
    number: u64,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Device(Box<Pieces>),
    Host(Vec<TensorData>),
    File,
}

/// What a look-up needs to know about the question.
pub(super) struct Question<'a> {
    pub key: &'a str,
    pub layers: &'a TeacherLayers,
    pub asked: Asked,
    pub rows: usize,
    pub device: &'a Device,
    pub expected: Expected,
}

impl Question<'_> {
    fn pieces(&self, host: Vec<TensorData>) -> Option<Pieces> {
        Pieces::from_host(host, self.layers, self.asked, self.rows, self.device)
    }
}

impl TeacherCache {
    /// Keeps answers in memory: exact ones as they are, on the device they were computed on, rounded ones in host memory.
    pub fn in_memory(max_bytes: ByteSize, format: Format) -> Self {
        Self { max_bytes: max_bytes.0, format, folder: None, inner: Mutex::default() }
    }

    /// Keeps answers in `folder`, which is created if necessary; entries of other processes are used.
    ///
    /// Entries of several trainings and processes may share a folder. The bound is meant for all of it, and processes that write at
    /// the same time may go beyond it by what the others wrote lately. The folder can be deleted; its entries are computed again then.
    ///
    /// # Errors
    /// The folder cannot be made or listed.
    pub fn in_folder(folder: impl Into<PathBuf>, max_bytes: ByteSize, format: Format) -> Result<Self> {
        let folder = folder.into();
        let failed = |source| Error::CacheFolder { path: folder.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut inner = Inner::default();
        inner.look(&folder).map_err(failed)?;
        Ok(Self { max_bytes: max_bytes.0, format, folder: Some(folder), inner: Mutex::new(inner) })
    }

    /// Number format of what is kept.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether what is kept has to leave the device anyway.
    pub(super) fn writes(&self) -> bool {
        self.folder.is_some()
    }

    /// Counts so far.
    pub fn report(&self) -> CacheReport {
        let inner = self.inner();
        CacheReport { entries: inner.index.len() as u64, bytes: inner.bytes, ..inner.report }
    }

    /// Messages for the user since the last call: entries that were not usable, a folder that cannot be written.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().notes)
    }

    /// Drops the answers of a data order that will not be asked for again.
    pub fn release(&self, order: u64) {
        let mut inner = self.inner();
        let keys = inner.index.iter().filter(|(_, known)| known.expected.order == order).map(|(key, _)| key.clone());
        for key in keys.collect::<Vec<_>>() {
            self.remove(&mut inner, &key);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(folder: &Path, key: &str) -> PathBuf {
        folder.join(key).with_extension(EXTENSION)
    }

    /// The answer, if it is kept and whole.
    pub(super) fn find(&self, question: &Question<'_>) -> Option<Pieces> {
        let found = match &self.folder {
            None => self.remembered(question),
            Some(folder) => self.read(question, folder),
        };
        let mut inner = self.inner();
        match &found {
            Some(_) => inner.report.hits += 1,
            None => inner.report.misses += 1,
        }
        found
    }

    fn remembered(&self, question: &Question<'_>) -> Option<Pieces> {
        let mut inner = self.inner();
        let known = inner.index.get_mut(question.key)?;
        known.expected = question.expected;
        match &known.held {
            Held::Device(pieces) => Some(Pieces::clone(pieces)),
            Held::Host(pieces) => question.pieces(pieces.clone()),
            Held::File => None,
        }
    }

    fn read(&self, question: &Question<'_>, folder: &Path) -> Option<Pieces> {
        let path = Self::path(folder, question.key);
        let whole = |bytes: &[u8]| {
            let host = entry::decode(bytes, question.key)?;
            question.pieces(host).ok_or_else(|| "its tensors are not those of this teacher".to_string())
        };
        // Outside of the lock: reading takes as long as computing may.
        let read = match std::fs::read(&path) {
            Ok(bytes) => whole(&bytes).map(|pieces| (pieces, bytes.len() as u64)),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.inner().forget(question.key);
                return None;
            }
            Err(e) => Err(e.to_string()),
        };
        let mut inner = self.inner();
        match read {
            Ok((pieces, bytes)) => {
                inner.keep(question.key, bytes, question.expected, Held::File);
                Some(pieces)
            }
            Err(reason) => {
                inner.report.broken += 1;
                if inner.report.broken <= MOST_NOTES {
                    let more = if inner.report.broken == MOST_NOTES { "; further ones are only counted" } else { "" };
                    let message = format!("{}: {reason}; it is computed again{more}", path.display());
                    inner.notes.push(message);
                }
                self.remove(&mut inner, question.key);
                None
            }
        }
    }

    /// Whether [`TeacherCache::keep`] may keep an answer that is expected so often.
    pub(super) fn may_keep(&self, expected: Expected) -> bool {
        expected.again > 0 && !self.inner().closed
    }

    /// Keeps an answer if there is, or can be made, room for it; `host` where it was rounded or has to be written.
    pub(super) fn keep(&self, question: &Question<'_>, pieces: &Pieces, host: Option<Vec<TensorData>>) {
        if question.expected.again == 0 {
            return;
        }
        let (key, expected) = (question.key, question.expected);
        match (&self.folder, host) {
            (None, host) => {
                let (bytes, held) = match host {
                    Some(host) => (host.iter().map(|p| p.as_bytes().len() as u64).sum(), Held::Host(host)),
                    None => (pieces.bytes(), Held::Device(Box::new(pieces.clone()))),
                };
                let mut inner = self.inner();
                match self.make_room(&mut inner, bytes, expected.again) {
                    true => inner.keep(key, bytes, expected, held),
                    false => inner.report.refused += 1,
                }
            }
            (Some(_), None) => self.inner().report.refused += 1,
            (Some(folder), Some(host)) => {
                let Ok(tensors) = entry::tensors(&host) else {
                    self.inner().report.refused += 1;
                    return;
                };
                let bytes = (entry::HEAD + tensors.len()) as u64;
                {
                    let mut inner = self.inner();
                    inner.tried += 1;
                    if inner.tried.is_multiple_of(LOOK_EVERY) {
                        // What cannot be listed now is found, or not, when it is asked for.
                        let _ = inner.look(folder);
                    }
                    if inner.closed || !self.make_room(&mut inner, bytes, expected.again) {
                        inner.report.refused += 1;
                        return;
                    }
                }
                let file = entry::encode(key, &tensors);
                let written = run_store::atomic::write_file(Self::path(folder, key), &file);
                let mut inner = self.inner();
                match written {
                    Ok(()) => {
                        inner.keep(key, bytes, expected, Held::File);
                    }
                    Err(e) => {
                        inner.closed = true;
                        inner.report.refused += 1;
                        inner.notes.push(format!("nothing more is kept in the teacher cache: {e}"));
                    }
                }
            }
        }
    }

    /// Whether `bytes` more fit, once entries that are expected less than `again` times have gone, the newest first.
    fn make_room(&self, inner: &mut Inner, bytes: u64, again: u64) -> bool {
        let Some(missing) = (inner.bytes.saturating_add(bytes)).checked_sub(self.max_bytes).filter(|&m| m > 0) else {
            return true;
        };
        let lesser = inner.index.iter().filter(|(_, known)| known.expected.again < again);
        let mut lesser: Vec<_> = lesser
            .map(|(key, known)| (known.expected.again, u64::MAX - known.number, known.bytes, key.clone()))
            .collect();
        // Nothing is dropped unless that makes enough room.
        if lesser.iter().map(|(_, _, bytes, _)| bytes).sum::<u64>() < missing {
            return false;
        }
        lesser.sort_unstable();
        let mut freed = 0;
        for (_, _, bytes, key) in lesser {
            if freed >= missing {
                break;
            }
            freed += bytes;
            self.remove(inner, &key);
        }
        true
    }

    fn remove(&self, inner: &mut Inner, key: &str) {
        inner.forget(key);
        if let Some(folder) = &self.folder {
            // One that stays is found again, or replaced.
            let _ = std::fs::remove_file(Self::path(folder, key));
        }
    }
}

impl Inner {
    fn keep(&mut self, key: &str, bytes: u64, expected: Expected, held: Held) {
        let number = self.forget(key).unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        self.bytes += bytes;
        self.index.insert(key.to_string(), Known { bytes, expected, number, held });
    }

    fn forget(&mut self, key: &str) -> Option<u64> {
        let known = self.index.remove(key)?;
        self.bytes -= known.bytes;
        Some(known.number)
    }

    /// Compares the index with the folder.
    fn look(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut found = HashMap::new();
        for file in std::fs::read_dir(folder)? {
            let file = file?;
            let name = file.file_name();
            let key = name.to_str().and_then(|n| n.strip_suffix(EXTENSION)).and_then(|n| n.strip_suffix('.'));
            // A file may have gone meanwhile.
            if let (Some(key), Ok(about)) = (key, file.metadata()) {
                found.insert(key.to_string(), about.len());
            }
        }
        let gone: Vec<String> = self.index.keys().filter(|key| !found.contains_key(*key)).cloned().collect();
        for key in gone {
            self.forget(&key);
        }
        for (key, bytes) in found {
            if !self.index.contains_key(&key) {
                self.keep(&key, bytes, Expected { again: 1, order: 0 }, Held::File);
            }
        }
        Ok(())
    }
}
