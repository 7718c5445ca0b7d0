//! The shards of one part while its blocks arrive in any order.

use std::collections::BTreeMap;

use crate::shard::{ShardBuffer, ShardInfo};

/// What is finished and what is on its way.
#[derive(Debug)]
pub(super) struct Assembly {
    blocks_per_shard: u64,
    /// Blocks of the part, once its end was seen.
    total: Option<u64>,
    open: BTreeMap<u64, Vec<(u64, ShardBuffer)>>,
    /// Shards handed out to be written.
    writing: usize,
    finished: BTreeMap<u64, ShardInfo>,
}

impl Assembly {
    /// With the shards that are already there.
    pub fn new(blocks_per_shard: u64, finished: BTreeMap<u64, ShardInfo>) -> Self {
        Self { blocks_per_shard, total: None, open: BTreeMap::new(), writing: 0, finished }
    }

    /// Takes a packed block; gives a shard that is thereby complete.
    pub fn add(&mut self, block: u64, packed: ShardBuffer) -> Option<(u64, Vec<ShardBuffer>)> {
        let number = block / self.blocks_per_shard;
        self.open.entry(number).or_default().push((block, packed));
        self.complete(number)
    }

    /// The part ends after so many blocks; gives its last shard if that is thereby complete.
    pub fn end(&mut self, total: u64) -> Option<(u64, Vec<ShardBuffer>)> {
        self.total = Some(total);
        self.complete(total.saturating_sub(1) / self.blocks_per_shard)
    }

    fn complete(&mut self, number: u64) -> Option<(u64, Vec<ShardBuffer>)> {
        let first = number * self.blocks_per_shard;
        let wanted = match self.total {
            Some(total) => self.blocks_per_shard.min(total.saturating_sub(first)),
            None => self.blocks_per_shard,
        };
        if self.open.get(&number).map_or(0, Vec::len) as u64 != wanted || wanted == 0 {
            return None;
        }
        let mut blocks = self.open.remove(&number)?;
        blocks.sort_by_key(|(block, _)| *block);
        self.writing += 1;
        Some((number, blocks.into_iter().map(|(_, packed)| packed).collect()))
    }

    /// A shard was written.
    pub fn written(&mut self, number: u64, info: ShardInfo) {
        self.writing -= 1;
        self.finished.insert(number, info);
    }

    /// All shards in order, once nothing is missing.
    pub fn result(&self) -> Option<Vec<ShardInfo>> {
        let count = self.total?.div_ceil(self.blocks_per_shard);
        let done = self.open.is_empty() && self.writing == 0 && self.finished.range(..count).count() as u64 == count;
        done.then(|| self.finished.range(..count).map(|(_, info)| info.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(tokens: u64) -> ShardBuffer {
        let mut buffer = ShardBuffer::new(9);
        buffer.header.tokens = tokens;
        buffer
    }

    fn info() -> ShardInfo {
        let file = String::new();
        ShardInfo {
            file,
            bytes: 0,
            sha256: String::new(),
            sequences: 0,
            tokens: 0,
            documents: 0,
            sentences: 0,
            text_bytes: 0,
        }
    }

    #[test]
    fn blocks_that_come_in_any_order_form_shards_in_order() {
        let mut assembly = Assembly::new(2, BTreeMap::new());
        assert!(assembly.add(1, block(1)).is_none());
        assert!(assembly.add(2, block(2)).is_none());
        let (number, blocks) = assembly.add(0, block(0)).unwrap();
        assert_eq!((number, blocks.iter().map(|b| b.header.tokens).collect::<Vec<_>>()), (0, vec![0, 1]));
        // The last shard has one block only, which is known when the end is.
        let (number, blocks) = assembly.end(3).unwrap();
        assert_eq!((number, blocks.len()), (1, 1));
        assembly.written(1, info());
        assert!(assembly.result().is_none());
        assembly.written(0, info());
        assert_eq!(assembly.result().unwrap().len(), 2);
    }

    #[test]
    fn shards_that_are_there_count_and_a_part_without_text_is_done_at_its_end() {
        let mut assembly = Assembly::new(1, BTreeMap::from([(0, info()), (7, info())]));
        assert!(assembly.end(1).is_none());
        assert_eq!(assembly.result().unwrap().len(), 1);
        let mut empty = Assembly::new(4, BTreeMap::new());
        assert!(empty.end(0).is_none());
        assert!(empty.result().unwrap().is_empty());
    }
}
