//! Sequences gathered in memory and written as one file.

use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use run_store::hash::hex;

use super::format::{ENTRY_BYTES, Entry, HEADER_BYTES, Header, Next, TRAILER_BYTES};
use super::manifest::ShardInfo;
use crate::error::{Error, Result};
use crate::mask::Masked;

/// Sequences of a block or a shard.
#[derive(Debug)]
pub(crate) struct ShardBuffer {
    /// Counts of what is in it; the key and the size of the data are known when it is written.
    pub header: Header,
    data: Vec<u8>,
    entries: Vec<Entry>,
}

impl ShardBuffer {
    /// An empty one for ids below `vocab_size`.
    pub fn new(vocab_size: usize) -> Self {
        let width = if vocab_size <= 1 << 16 { 2 } else { 4 };
        Self { header: Header { width, ..Header::default() }, data: Vec::new(), entries: Vec::new() }
    }

    /// Adds a sequence of at most 32,768 tokens.
    pub fn push(&mut self, ids: &[u32], second: usize, next: Next, masked: &[Masked]) -> Result<()> {
        let offset = u32::try_from(self.data.len()).map_err(|_| too_large())?;
        for id in ids {
            self.push_id(*id);
        }
        for Masked { position, .. } in masked {
            self.data.extend(position.to_le_bytes());
        }
        for Masked { id, .. } in masked {
            self.push_id(*id);
        }
        let (len, second, masked) = (ids.len() as u16, second as u16, masked.len() as u16);
        self.entries.push(Entry { offset, len, second, masked, next });
        self.header.sequences += 1;
        self.header.tokens += ids.len() as u64;
        Ok(())
    }

    fn push_id(&mut self, id: u32) {
        match self.header.width {
            2 => self.data.extend((id as u16).to_le_bytes()),
            _ => self.data.extend(id.to_le_bytes()),
        }
    }

    /// The entries, to bring them into another order; the data stay where they are.
    pub fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    /// Adds all sequences of another buffer.
    pub fn append(&mut self, other: &Self) -> Result<()> {
        let base = u32::try_from(self.data.len()).map_err(|_| too_large())?;
        if u32::try_from(self.data.len() + other.data.len()).is_err() {
            return Err(too_large());
        }
        self.data.extend_from_slice(&other.data);
        self.entries.extend(other.entries.iter().map(|e| Entry { offset: e.offset + base, ..*e }));
        self.header.add(&other.header);
        Ok(())
    }

    /// Writes the shard whole or not at all; `file` is its name in the manifest.
    pub fn write(&self, path: &Path, file: String, key: [u8; 16]) -> Result<ShardInfo> {
        let header = Header { data_bytes: self.data.len() as u64, key, ..self.header };
        let mut index = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for entry in &self.entries {
            index.extend(entry.encode());
        }
        let mut sum = Sha256::new();
        let head = header.encode();
        for part in [&head[..], &index, &self.data] {
            sum.update(part);
        }
        let trailer = sum.clone().finalize();
        sum.update(trailer);
        run_store::atomic::write_with(path, |out| -> io::Result<()> {
            out.write_all(&head)?;
            out.write_all(&index)?;
            out.write_all(&self.data)?;
            out.write_all(&trailer)
        })?;
        let bytes = HEADER_BYTES + index.len() + self.data.len() + TRAILER_BYTES;
        Ok(ShardInfo::new(file, bytes as u64, hex(&sum.finalize()), &header))
    }
}

fn too_large() -> Error {
    Error::Settings("a shard would exceed 4 GiB; ask for less text per shard or fewer copies".to_owned())
}
