//! The sentences of a corpus, read in blocks and counted, all of them or a sample.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rayon::prelude::*;
use run_store::rng::keyed;

use super::chunks::{ChunkTable, count_chunks};
use super::settings::LearnSettings;
use crate::error::Result;
use crate::input::{self, Input};
use crate::text::split_sentences;

/// Text of a block, about: a unit of parallel work.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks that are read before they are counted side by side. A constant, so that the table is pruned at the same places on any machine.
const BLOCKS: usize = 16;

/// What was counted.
pub(super) struct Counted {
    pub table: ChunkTable,
    pub sentences: u64,
    pub used: u64,
}

/// A sentence of the sample. The smallest priorities stay, so the largest comes first in a heap.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Drawn {
    priority: u64,
    place: (u64, u64),
    text: Box<str>,
}

/// Reads all inputs. `reading` is called after every round of blocks; its error ends the work.
pub(super) fn count(
    inputs: &[Input],
    settings: &LearnSettings,
    pool: &rayon::ThreadPool,
    read: &Arc<AtomicU64>,
    reading: &dyn Fn() -> Result<()>,
) -> Result<Counted> {
    let mut counter = Counter {
        settings,
        pool,
        table: ChunkTable::default(),
        sample: BinaryHeap::new(),
        blocks_done: 0,
        sentences: 0,
    };
    let (mut blocks, mut block) = (Vec::new(), String::new());
    for input in inputs {
        let mut documents = input::open(input, read)?;
        while documents.next_document(&mut block)? {
            if block.len() < BLOCK_BYTES {
                continue;
            }
            blocks.push(std::mem::take(&mut block));
            if blocks.len() == BLOCKS {
                counter.count(&blocks);
                reading()?;
                blocks.clear();
            }
        }
    }
    blocks.push(block);
    counter.count(&blocks);
    reading()?;
    Ok(counter.finish())
}

struct Counter<'a> {
    settings: &'a LearnSettings,
    pool: &'a rayon::ThreadPool,
    table: ChunkTable,
    sample: BinaryHeap<Drawn>,
    blocks_done: u64,
    sentences: u64,
}

impl Counter<'_> {
    fn count(&mut self, blocks: &[String]) {
        let kind = self.settings.kind;
        let sentences = |block: &'_ String| block.lines().flat_map(split_sentences).count() as u64;
        match self.settings.sample {
            None => {
                let count = |block| {
                    let (mut counts, mut number) = (<[HashMap<&str, u64>; 2]>::default(), 0);
                    for sentence in String::as_str(block).lines().flat_map(split_sentences) {
                        count_chunks(sentence, kind, &mut counts);
                        number += 1;
                    }
                    (counts, number)
                };
                let found: Vec<_> = self.pool.install(|| blocks.par_iter().map(count).collect());
                for (counts, number) in &found {
                    self.table.add(counts);
                    self.sentences += number;
                }
                self.table.prune();
            }
            Some(most) => {
                let full = self.sample.len() as u64 >= most;
                let bound = self.sample.peek().filter(|_| full).map_or(u64::MAX, |drawn| drawn.priority);
                let (seed, done) = (self.settings.seed, self.blocks_done);
                let draw = |(at, block): (usize, &String)| -> Vec<Drawn> {
                    let block_number = done + at as u64;
                    let mut rng = keyed(seed, "learn-tokenizer/sample", &[block_number]);
                    let drawn = |(number, text): (usize, &str)| {
                        let priority = rand::RngCore::next_u64(&mut rng);
                        let place = (block_number, number as u64);
                        (priority <= bound).then(|| Drawn { priority, place, text: text.into() })
                    };
                    block.lines().flat_map(split_sentences).enumerate().filter_map(drawn).collect()
                };
                let found: Vec<(u64, Vec<Drawn>)> = self.pool.install(|| {
                    blocks.par_iter().enumerate().map(|(at, block)| (sentences(block), draw((at, block)))).collect()
                });
                for (number, drawn) in found {
                    self.sentences += number;
                    for one in drawn {
                        self.sample.push(one);
                        if self.sample.len() as u64 > most {
                            self.sample.pop();
                        }
                    }
                }
            }
        }
        self.blocks_done += blocks.len() as u64;
    }

    fn finish(mut self) -> Counted {
        let mut used = self.sentences;
        if self.settings.sample.is_some() {
            // In their order in the corpus, so that a full table is pruned at the same places.
            let mut sample = self.sample.into_vec();
            sample.sort_unstable_by_key(|drawn| drawn.place);
            used = sample.len() as u64;
            for part in sample.chunks(1 << 16) {
                let mut counts = Default::default();
                part.iter().for_each(|drawn| count_chunks(&drawn.text, self.settings.kind, &mut counts));
                self.table.add(&counts);
                self.table.prune();
            }
        }
        Counted { table: self.table, sentences: self.sentences, used }
    }
}
