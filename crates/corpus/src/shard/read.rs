//! Sequences by their number.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;
use tokenizer::PairFrame;

use super::format::{ENTRY_BYTES, Entry, HEADER_BYTES, Header, Next, TRAILER_BYTES};
use super::manifest::{Manifest, ShardInfo, shard_path};
use super::resident::{MOST_BYTES, READ_BYTES, Touched};
use crate::error::{Error, Result};
use crate::mask::Masked;

/// When the checksum of a shard is compared with the manifest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// All shards when they are opened.
    Now,
    /// Each when its first sequence is read: about a second per 1.5 GB, once.
    #[default]
    FirstUse,
    /// Never; what every read checks is then only that it stays within its shard and vocabulary.
    Never,
}

/// A sequence with its special tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids; with static masking after it.
    pub ids: Vec<u32>,
    /// Where segment B begins; the length where there is none.
    pub second: usize,
    /// What segment B is: the label of next-sentence prediction.
    pub next: Next,
    /// Positions that static masking hid, and what stood there.
    pub masked: Vec<Masked>,
}

impl Sequence {
    /// Segment of every token, 0 or 1, as the tokenizer of this frame gives them.
    pub fn type_ids(&self, frame: PairFrame) -> Vec<u8> {
        let mut types = vec![0; self.second.min(self.ids.len())];
        types.resize(self.ids.len(), frame.second_segment());
        types
    }
}

/// A packed corpus, its shards mapped into memory: the system keeps of it what is read often. Of a corpus larger than 512 MiB the process
/// holds about so much at once; the rest stays in the system's cache as far as there is room.
///
/// The files must not be changed while they are open. A shard that is cut short by another process meanwhile ends this process, as the
/// system has it for mapped files; packing never does that, since it replaces files as a whole.
#[derive(Debug)]
pub struct Shards {
    dir: PathBuf,
    manifest: Manifest,
    shards: Vec<Shard>,
    /// Number of the first sequence of every shard, then the number of all.
    starts: Vec<u64>,
    verify: Verify,
    /// Bytes that may be mapped at the moment, of all shards; not counted where they all may be.
    touched: Option<AtomicU64>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
    header: Header,
    /// What the checksum turned out to be: nothing where it is right.
    verified: OnceLock<Option<String>>,
    touched: Touched,
}

impl Shards {
    /// Opens the packed corpus in a folder; checksums are compared at first use.
    ///
    /// # Errors
    /// As [`Shards::open_with`].
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, Verify::default())
    }

    /// Opens the packed corpus in a folder.
    ///
    /// # Errors
    /// No manifest or a damaged one, a shard that is missing, of another size or another content than the manifest says, or no
    /// sequence at all.
    pub fn open_with(dir: &Path, verify: Verify) -> Result<Self> {
        let manifest = Manifest::read(dir)?;
        let is_large = manifest.shards.iter().map(|info| info.bytes).sum::<u64>() > MOST_BYTES;
        let (mut shards, mut starts) = (Vec::with_capacity(manifest.shards.len()), vec![0]);
        let mut count = 0;
        for info in &manifest.shards {
            let shard = Shard::open(shard_path(dir, &info.file), info)?;
            if verify == Verify::Now {
                shard.verify(info, is_large)?;
            }
            count += info.sequences;
            starts.push(count);
            shards.push(shard);
        }
        let touched = is_large.then(AtomicU64::default);
        Ok(Self { dir: dir.to_owned(), manifest, shards, starts, verify, touched })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The number of sequences.
    pub fn len(&self) -> u64 {
        self.manifest.sequences
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence of this number. With the same manifest it is always the same, so a place in training is a number.
    ///
    /// # Errors
    /// No such number, or a damaged shard, with file and offset.
    pub fn get(&self, index: u64) -> Result<Sequence> {
        let (shard, entry, at) = self.entry(index)?;
        shard.sequence(entry, at, &self.manifest)
    }

    /// The tokens of the sequence of this number, without reading it.
    ///
    /// # Errors
    /// As [`Shards::get`].
    pub fn length(&self, index: u64) -> Result<usize> {
        Ok(usize::from(self.entry(index)?.1.len))
    }

    fn entry(&self, index: u64) -> Result<(&Shard, Entry, u64)> {
        // The last shard that begins at or before the number; empty ones before it begin there, too.
        let which = self.starts.partition_point(|start| *start <= index).wrapping_sub(1);
        let Some(shard) = self.shards.get(which).filter(|_| index < self.len()) else {
            return Err(Error::OutOfRange { path: self.dir.clone(), index, len: self.len() });
        };
        if self.verify == Verify::FirstUse {
            shard.verify(&self.manifest.shards[which], self.touched.is_some())?;
        }
        self.count_read(shard);
        let at = HEADER_BYTES as u64 + (index - self.starts[which]) * ENTRY_BYTES as u64;
        let bytes = shard.bytes::<ENTRY_BYTES>(at)?;
        let entry = Entry::decode(&bytes).map_err(|reason| Error::shard(&shard.path, at, reason))?;
        Ok((shard, entry, at))
    }

    /// Counts the pages that a read may map, and gives all back once they are many.
    fn count_read(&self, shard: &Shard) {
        let Some(touched) = &self.touched else { return };
        let more = shard.touched.add(READ_BYTES, shard.map.len() as u64);
        if touched.fetch_add(more, Ordering::Relaxed) + more > MOST_BYTES {
            touched.store(0, Ordering::Relaxed);
            self.shards.iter().for_each(|shard| shard.touched.give_back(&shard.map));
        }
    }
}

impl Shard {
    /// Maps the file and compares its size and header with the manifest.
    fn open(path: PathBuf, info: &ShardInfo) -> Result<Self> {
        let file = File::open(&path).map_err(|e| Error::io(&path, e))?;
        let size = file.metadata().map_err(|e| Error::io(&path, e))?.len();
        if size != info.bytes || size < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            let reason = format!("the file has {size} bytes, the manifest says {}", info.bytes);
            return Err(Error::shard(path, size.min(info.bytes), reason));
        }
        // SAFETY: the map is private to this value and never written through. Every read of it is bounds-checked and copies plain
        // integers, for which any bytes are valid. That other processes leave the file alone is documented at `Shards`.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(&path, e))?;
        let Some(head) = map.first_chunk::<HEADER_BYTES>() else {
            return Err(Error::shard(path, 0, "the header is cut short"));
        };
        let header = match Header::decode(head) {
            Ok(header) => header,
            Err((offset, reason)) => return Err(Error::shard(path, offset, reason)),
        };
        if header.file_bytes() != Some(size) || (header.sequences, header.tokens) != (info.sequences, info.tokens) {
            let Header { sequences, tokens, .. } = header;
            let reason = format!(
                "the header speaks of {sequences} sequences with {tokens} tokens, the manifest of {} with {} in {size} bytes",
                info.sequences, info.tokens
            );
            return Err(Error::shard(path, 16, reason));
        }
        Ok(Self { path, map, header, verified: OnceLock::new(), touched: Touched::default() })
    }

    /// Compares the checksum, once, and gives back the pages that this took if asked to.
    fn verify(&self, info: &ShardInfo, give_back: bool) -> Result<()> {
        let found = self.verified.get_or_init(|| {
            let found = run_store::hash::bytes(&self.map[..]);
            if give_back {
                self.touched.add(info.bytes, info.bytes);
                self.touched.give_back(&self.map);
            }
            (found != info.sha256).then_some(found)
        });
        match found {
            None => Ok(()),
            Some(found) => {
                let reason = format!("the SHA-256 of the file is {found}, the manifest says {}", info.sha256);
                Err(Error::shard(&self.path, 0, reason))
            }
        }
    }

    fn bytes<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        self.slice(at, N as u64)?.try_into().map_err(|_| Error::shard(&self.path, at, "the file ends too early"))
    }

    fn slice(&self, at: u64, count: u64) -> Result<&[u8]> {
        let range = || {
            let (from, to) = (usize::try_from(at).ok()?, usize::try_from(at.checked_add(count)?).ok()?);
            self.map.get(from..to)
        };
        range().ok_or_else(|| Error::shard(&self.path, at, format!("{count} bytes go beyond the end of the file")))
    }

    fn sequence(&self, entry: Entry, at: u64, manifest: &Manifest) -> Result<Sequence> {
        let bad = |reason: String| Error::shard(&self.path, at, reason);
        let width = self.header.width;
        let end = u64::from(entry.offset) + entry.data_bytes(width);
        if end > self.header.data_bytes {
            return Err(bad(format!("a sequence ends at byte {end} of {} bytes of data", self.header.data_bytes)));
        }
        let most = manifest.settings.max_len;
        if usize::from(entry.len) > most || entry.len == 0 {
            return Err(bad(format!("a sequence of {} tokens; 1 to {most} are possible", entry.len)));
        }
        let data = HEADER_BYTES as u64 + self.header.sequences * ENTRY_BYTES as u64 + u64::from(entry.offset);
        let bytes = self.slice(data, entry.data_bytes(width))?;
        let (ids, rest) = bytes.split_at(usize::from(entry.len) * width as usize);
        let (positions, originals) = rest.split_at(usize::from(entry.masked) * 2);
        let limit = manifest.tokenizer.vocab_size;
        let check = |ids: Vec<u32>| match ids.iter().position(|id| *id as usize >= limit) {
            None => Ok(ids),
            Some(place) => {
                let reason =
                    format!("token {place} is {}, which is not below the size {limit} of the vocabulary", ids[place]);
                Err(Error::shard(&self.path, data, reason))
            }
        };
        let (ids, originals) = (check(decode(ids, width))?, check(decode(originals, width))?);
        let positions = decode(positions, 2);
        if positions.windows(2).any(|w| w[0] >= w[1]) || positions.last().is_some_and(|p| *p >= u32::from(entry.len)) {
            return Err(Error::shard(&self.path, data, "masked positions are out of order or beyond the sequence"));
        }
        let masked = positions.into_iter().zip(originals).map(|(p, id)| Masked { position: p as u16, id }).collect();
        Ok(Sequence { ids, second: usize::from(entry.second), next: entry.next, masked })
    }
}

fn decode(bytes: &[u8], width: u32) -> Vec<u32> {
    if width == 2 {
        bytes.as_chunks().0.iter().map(|b| u32::from(u16::from_le_bytes(*b))).collect()
    } else {
        bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
    }
}

/// What the header of a shard says, where the file proves itself by its trailer.
pub(crate) fn proven(path: &Path, file: String) -> Result<Option<(Header, ShardInfo)>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, e)),
    };
    let Some((body, trailer)) = bytes.split_last_chunk::<TRAILER_BYTES>() else { return Ok(None) };
    let Some(Ok(header)) = body.first_chunk().map(Header::decode) else { return Ok(None) };
    if header.file_bytes() != Some(bytes.len() as u64) || run_store::hash::bytes(body) != run_store::hash::hex(trailer)
    {
        return Ok(None);
    }
    let info = ShardInfo::new(file, bytes.len() as u64, run_store::hash::bytes(&bytes), &header);
    Ok(Some((header, info)))
}
