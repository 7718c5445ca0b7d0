//! The bytes of a shard.
//!
//! | part | bytes |
//! |---|---|
//! | header | 96: magic, width of an id (2 or 4), flags (0), counts, key of the part |
//! | index | 12 per sequence: offset in the data, length, start of segment B, masked tokens, kind |
//! | data | per sequence its ids; with static masking the masked positions (2 bytes each) and the ids that stood there |
//! | trailer | 32: SHA-256 of everything before |
//!
//! All numbers are little-endian. The trailer proves a shard without its manifest, when an interrupted packing goes on.

/// The first bytes of every shard; the digit is the version of the format.
pub(crate) const MAGIC: [u8; 8] = *b"EBTOKEN1";
/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 96;
/// Bytes of an entry of the index.
pub(crate) const ENTRY_BYTES: usize = 12;
/// Bytes of the checksum at the end.
pub(crate) const TRAILER_BYTES: usize = 32;

/// The counts of a shard and what it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Header {
    /// Bytes of an id: 2 or 4.
    pub width: u32,
    pub sequences: u64,
    pub tokens: u64,
    pub data_bytes: u64,
    pub documents: u64,
    pub sentences: u64,
    pub text_bytes: u64,
    /// Blocks of text; all shards of a part but the last have equally many.
    pub blocks: u64,
    /// The first half of the key of the part.
    pub key: [u8; 16],
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.width.to_le_bytes());
        for (place, value) in self.counts().into_iter().enumerate() {
            bytes[16 + 8 * place..24 + 8 * place].copy_from_slice(&value.to_le_bytes());
        }
        bytes[80..].copy_from_slice(&self.key);
        bytes
    }

    fn counts(&self) -> [u64; 7] {
        let Self { sequences, tokens, data_bytes, documents, sentences, text_bytes, blocks, .. } = *self;
        [sequences, tokens, data_bytes, documents, sentences, text_bytes, blocks]
    }

    /// Adds the counts of another buffer.
    pub fn add(&mut self, other: &Self) {
        self.sequences += other.sequences;
        self.tokens += other.tokens;
        self.documents += other.documents;
        self.sentences += other.sentences;
        self.text_bytes += other.text_bytes;
        self.blocks += other.blocks;
    }

    /// Reads a header, or says at which offset what is wrong.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, (u64, String)> {
        if bytes[..8] != MAGIC {
            let found = String::from_utf8_lossy(&bytes[..8]).escape_debug().to_string();
            return Err((0, format!("the file begins with `{found}`, no shard of this version")));
        }
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let width = (word(8) & 0xffff_ffff) as u32;
        if width != 2 && width != 4 {
            return Err((8, format!("ids of {width} bytes; 2 or 4 are possible")));
        }
        if word(8) >> 32 != 0 || word(72) != 0 {
            return Err((12, "bits are set that this version does not know".to_owned()));
        }
        Ok(Self {
            width,
            sequences: word(16),
            tokens: word(24),
            data_bytes: word(32),
            documents: word(40),
            sentences: word(48),
            text_bytes: word(56),
            blocks: word(64),
            key: std::array::from_fn(|i| bytes[80 + i]),
        })
    }

    /// The size of the file, where the counts are not absurd.
    pub fn file_bytes(&self) -> Option<u64> {
        let index = self.sequences.checked_mul(ENTRY_BYTES as u64)?;
        index.checked_add(self.data_bytes)?.checked_add((HEADER_BYTES + TRAILER_BYTES) as u64)
    }
}

/// What the second segment of a sequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There is none.
    Single,
    /// What follows the first in its document.
    Follows,
    /// A run of another document.
    Random,
}

/// A sequence in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub offset: u32,
    pub len: u16,
    pub second: u16,
    pub masked: u16,
    pub next: Next,
}

impl Entry {
    pub fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.offset.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.len.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.second.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.masked.to_le_bytes());
        bytes[10] = match self.next {
            Next::Single => 0,
            Next::Follows => 1,
            Next::Random => 2,
        };
        bytes
    }

    /// Reads an entry, or says what is wrong.
    pub fn decode(bytes: &[u8; ENTRY_BYTES]) -> Result<Self, String> {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let next = match (bytes[10], bytes[11]) {
            (0, 0) => Next::Single,
            (1, 0) => Next::Follows,
            (2, 0) => Next::Random,
            (kind, rest) => return Err(format!("kind {kind}, {rest} of a sequence is not known")),
        };
        let offset = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let entry = Self { offset, len: half(4), second: half(6), masked: half(8), next };
        if entry.second > entry.len || entry.masked > entry.len {
            let Self { len, second, masked, .. } = entry;
            return Err(format!("a sequence of {len} tokens with segment B at {second} and {masked} masked tokens"));
        }
        Ok(entry)
    }

    /// Bytes of the sequence in the data.
    pub fn data_bytes(&self, width: u32) -> u64 {
        let (len, masked, width) = (u64::from(self.len), u64::from(self.masked), u64::from(width));
        (len + masked) * width + masked * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_entries_survive_their_bytes() {
        let header = Header {
            width: 2,
            sequences: 3,
            tokens: 40,
            data_bytes: 90,
            documents: 5,
            sentences: 6,
            text_bytes: 7,
            blocks: 8,
            key: std::array::from_fn(|i| i as u8),
        };
        assert_eq!(Header::decode(&header.encode()).unwrap(), header);
        assert_eq!(header.file_bytes(), Some(96 + 36 + 90 + 32));
        assert_eq!(Header { sequences: u64::MAX, ..header }.file_bytes(), None);
        let entry = Entry { offset: 70_000, len: 128, second: 60, masked: 19, next: Next::Random };
        assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        assert_eq!(entry.data_bytes(2), 2 * 147 + 38);
    }

    #[test]
    fn damaged_headers_and_entries_are_refused() {
        let header = Header { width: 2, ..Header::default() }.encode();
        for at in [0, 8, 12, 75] {
            let mut bytes = header;
            bytes[at] ^= 0x41;
            assert!(Header::decode(&bytes).is_err(), "{at}");
        }
        assert!(Entry::decode(&[0, 0, 0, 0, 5, 0, 6, 0, 0, 0, 0, 0]).unwrap_err().contains("segment B at 6"));
        assert!(Entry::decode(&[0, 0, 0, 0, 5, 0, 5, 0, 0, 0, 3, 0]).unwrap_err().contains("kind 3"));
    }
}
