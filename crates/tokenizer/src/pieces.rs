//! A vocabulary as one flat table.

use std::fmt;
use std::hash::Hasher;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

/// Ids by piece: the pieces' bytes one after the other, and an open hash table of places in them. Made in one pass, with no
/// allocation per piece.
pub(crate) struct Pieces {
    text: Vec<u8>,
    /// A power of two, at most three quarters of them taken.
    slots: Vec<Slot>,
    count: usize,
    largest: u32,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    start: u32,
    /// 0 in a free slot.
    length: u32,
    id: u32,
    /// Upper half of the hash: it distinguishes most other pieces.
    tag: u32,
}

impl Pieces {
    /// An empty table with room for about `count` pieces.
    pub fn with_capacity(count: usize) -> Self {
        let slots = (2 * count).next_power_of_two().max(16);
        Self { text: Vec::with_capacity(8 * count), slots: vec![Slot::default(); slots], count: 0, largest: 0 }
    }

    /// Adds a piece; false where it is there already, or empty, or the text too long for a table of this kind.
    #[must_use]
    pub fn insert(&mut self, piece: &[u8], id: u32) -> bool {
        if 4 * (self.count + 1) > 3 * self.slots.len() {
            self.grow();
        }
        let (at, tag) = self.place(piece);
        let start = u32::try_from(self.text.len());
        let (Ok(start), Ok(length), 0) = (start, u32::try_from(piece.len()), self.slots[at].length) else {
            return false;
        };
        if length == 0 {
            return false;
        }
        self.text.extend_from_slice(piece);
        self.slots[at] = Slot { start, length, id, tag };
        self.count += 1;
        self.largest = self.largest.max(id);
        true
    }

    /// The id of a piece.
    pub fn get(&self, piece: &[u8]) -> Option<u32> {
        let slot = self.slots[self.place(piece).0];
        (slot.length > 0).then_some(slot.id)
    }

    /// Number of pieces.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The largest id.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// All pieces, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.slots.iter().filter(|s| s.length > 0).map(|s| self.bytes(s))
    }

    fn bytes(&self, slot: &Slot) -> &[u8] {
        &self.text[slot.start as usize..][..slot.length as usize]
    }

    /// The slot that holds the piece or could take it, and the piece's tag.
    fn place(&self, piece: &[u8]) -> (usize, u32) {
        let hash = hash(piece);
        let (mask, tag) = (self.slots.len() - 1, (hash >> 32) as u32);
        let mut at = hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.length == 0 || slot.tag == tag && self.bytes(slot) == piece {
                return (at, tag);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let twice = vec![Slot::default(); 2 * self.slots.len()];
        for slot in std::mem::replace(&mut self.slots, twice).into_iter().filter(|s| s.length > 0) {
            let at = self.place(self.bytes(&slot)).0;
            self.slots[at] = slot;
        }
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Reads a JSON object of ids by piece. A repeated or empty piece is an error.
impl<'de> serde::Deserialize<'de> for Pieces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Pieces;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ids by piece")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pieces, A::Error> {
        // BERT's vocabularies have 30,000 pieces.
        let mut pieces = Pieces::with_capacity(1 << 15);
        let mut key = Vec::new();
        while map.next_key_seed(Key(&mut key))?.is_some() {
            if !pieces.insert(&key, map.next_value()?) {
                return Err(A::Error::custom("a piece is repeated or empty"));
            }
        }
        Ok(pieces)
    }
}

/// Puts a key into a buffer that serves for all of them.
struct Key<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a piece")
    }

    fn visit_str<E: Error>(self, piece: &str) -> Result<(), E> {
        self.0.clear();
        self.0.extend_from_slice(piece.as_bytes());
        Ok(())
    }
}

/// A quick hash of short keys; what collides only costs a second look.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = Fx::default();
    hasher.write(bytes);
    hasher.finish()
}

#[derive(Default, Clone, Copy)]
struct Fx(u64);

impl Fx {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn finish(&self) -> u64 {
        // The upper bits are the well mixed ones; tables use the lower.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    proptest::proptest! {
        #[test]
        fn a_table_holds_what_was_put_in_and_nothing_else(
            given in proptest::collection::hash_map("[ab#é]{1,6}|[a-z]{1,20}", proptest::prelude::any::<u32>(), 0..300),
            asked in proptest::collection::vec("[ab#é]{0,6}", 0..50),
        ) {
            let pieces: Pieces = serde_json::from_str(&serde_json::to_string(&given).unwrap()).unwrap();
            let mut small = Pieces::with_capacity(0);
            for (piece, id) in &given {
                assert!(small.insert(piece.as_bytes(), *id) && !small.insert(piece.as_bytes(), 1));
            }
            for table in [&pieces, &small] {
                for piece in given.keys().chain(&asked) {
                    assert_eq!(table.get(piece.as_bytes()), given.get(piece).copied(), "{piece}");
                }
                let all: HashMap<String, u32> = table
                    .iter()
                    .map(|p| (String::from_utf8(p.to_vec()).unwrap(), table.get(p).unwrap()))
                    .collect();
                assert_eq!(all, given);
                assert_eq!((table.len(), table.largest()), (given.len(), given.values().copied().max().unwrap_or(0)));
            }
        }
    }

    #[test]
    fn what_is_no_object_of_ids_is_refused() {
        for text in [
            "{\"a\":1,\"a\":2}",
            "{\"\":1}",
            "{\"a\":-1}",
            "{\"a\":4294967296}",
            "{\"a\":\"1\"}",
            "[\"a\"]",
            "{\"a\":1",
        ] {
            assert!(serde_json::from_str::<Pieces>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Pieces>("{\"\\u0061\\n\":3}").unwrap().get(b"a\n"), Some(3));
    }
}
