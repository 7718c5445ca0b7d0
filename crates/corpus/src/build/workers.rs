//! Threads that take blocks from parts, pack them and write shards.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokenizer::WordCache;

use super::Progress;
use super::assembly::Assembly;
use super::found::{self, Found};
use super::input_groups::InputGroup;
use crate::error::{Error, Result};
use crate::pack::{BlockReader, Packer, TextBlock, block_bytes};
use crate::settings::PackSettings;
use crate::shard::{ShardBuffer, ShardInfo, shard_file, shard_path};

/// One part is read by one thread at a time; with so many more threads, another part is opened beside it.
const THREADS_PER_READER: usize = 6;
/// More parts are not read side by side: each holds a shard in the making.
const MAX_READERS: usize = 4;

/// What there is to do, and with what.
pub(super) struct Job<'a> {
    pub parts: &'a [InputGroup],
    pub packer: &'a Packer<'a>,
    pub settings: &'a PackSettings,
    pub out: &'a Path,
    pub threads: usize,
    pub progress: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync),
    pub stop: AtomicBool,
}

/// Packs all parts and gives their shards in the order of the parts.
pub(super) fn run(job: &Job<'_>) -> Result<Vec<ShardInfo>> {
    let read = Arc::new(AtomicU64::new(0));
    let bytes_total = job.parts.iter().map(|part| part.bytes).sum();
    // About as much text as asked for, in whole blocks; copies make a shard larger, so it gets fewer of them.
    let text = job.settings.shard_text_bytes / u64::from(job.settings.copies);
    let team = Team {
        job,
        blocks_per_shard: text.div_ceil(block_bytes(job.settings) as u64).max(1),
        readers: (1 + job.threads / THREADS_PER_READER).min(MAX_READERS),
        read: Arc::clone(&read),
        state: Mutex::new(State {
            waiting: (0..job.parts.len()).collect(),
            readable: Vec::new(),
            reading: 0,
            parts: BTreeMap::new(),
            results: job.parts.iter().map(|_| None).collect(),
            progress: Progress { bytes_total, ..Progress::default() },
            error: None,
        }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 0..job.threads {
            scope.spawn(|| team.work());
        }
    });
    let state = team.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, error)) = state.error {
        return Err(error);
    }
    let results: Option<Vec<Vec<ShardInfo>>> = state.results.into_iter().collect();
    Ok(results.ok_or(Error::Worker)?.concat())
}

struct Team<'a> {
    job: &'a Job<'a>,
    blocks_per_shard: u64,
    readers: usize,
    read: Arc<AtomicU64>,
    state: Mutex<State>,
    /// Something happened that a waiting thread may be waiting for.
    changed: Condvar,
}

struct State {
    waiting: VecDeque<usize>,
    /// Readers that no thread holds, by part.
    readable: Vec<(usize, Reader)>,
    /// Parts whose end was not seen yet.
    reading: usize,
    parts: BTreeMap<usize, Assembly>,
    results: Vec<Option<Vec<ShardInfo>>>,
    progress: Progress,
    /// The error of the earliest part and block: the same whichever thread was first, as long as one thread reads a part.
    error: Option<((usize, u64), Error)>,
}

struct Reader {
    blocks: BlockReader,
    /// Shards that are there and need no tokens.
    there: Arc<BTreeMap<u64, ShardInfo>>,
}

/// What a thread does next.
enum Task {
    Open(usize),
    Read(usize, Reader),
    Done,
}

/// A thread that panics must not leave the others waiting.
struct Alarm<'a>(&'a Team<'a>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop_all();
        }
    }
}

impl Team<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_all(&self) {
        // Under the lock, or a thread between its look at the flag and its sleep would miss the call.
        let _state = self.lock();
        self.job.stop.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    fn work(&self) {
        let _alarm = Alarm(self);
        let mut cache = WordCache::default();
        loop {
            let (place, outcome) = match self.next_task() {
                Task::Done => return,
                Task::Open(part) => ((part, 0), self.open(part)),
                Task::Read(part, reader) => {
                    let place = (part, reader.blocks.count());
                    (place, self.read(part, reader, &mut cache))
                }
            };
            if let Err(error) = outcome {
                let mut state = self.lock();
                // Stopping is what the others then report; the cause comes first.
                let first = state.error.as_ref().is_none_or(|(held, was)| {
                    matches!(was, Error::Stopped) || (place < *held && !matches!(error, Error::Stopped))
                });
                if first {
                    state.error = Some((place, error));
                }
                drop(state);
                self.stop_all();
                return;
            }
        }
    }

    fn next_task(&self) -> Task {
        let mut state = self.lock();
        loop {
            if self.job.stop.load(Ordering::Relaxed) {
                return Task::Done;
            }
            if let Some(at) = (0..state.readable.len()).min_by_key(|at| state.readable[*at].0) {
                let (part, reader) = state.readable.swap_remove(at);
                return Task::Read(part, reader);
            }
            if state.reading < self.readers
                && let Some(part) = state.waiting.pop_front()
            {
                state.reading += 1;
                return Task::Open(part);
            }
            if state.reading == 0 && state.waiting.is_empty() {
                return Task::Done;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Looks for what is there of a part and makes the rest readable.
    fn open(&self, part: usize) -> Result<()> {
        let plan = &self.job.parts[part];
        match found::look(self.job.out, plan, self.blocks_per_shard)? {
            Found::All(shards) => {
                self.read.fetch_add(plan.bytes, Ordering::Relaxed);
                let mut state = self.lock();
                state.reading -= 1;
                state.reuse(&shards);
                state.results[part] = Some(shards);
                drop(state);
            }
            Found::Some(there) => {
                let bytes = block_bytes(self.job.settings);
                let blocks = BlockReader::new(plan.inputs.clone(), bytes, Arc::clone(&self.read));
                let mut state = self.lock();
                state.reuse(there.values());
                state.parts.insert(part, Assembly::new(self.blocks_per_shard, there.clone()));
                state.readable.push((part, Reader { blocks, there: Arc::new(there) }));
            }
        }
        self.changed.notify_all();
        self.report()
    }

    /// Takes one block from a part, gives the reader back, and packs the block.
    fn read(&self, part: usize, mut reader: Reader, cache: &mut WordCache) -> Result<()> {
        let there = Arc::clone(&reader.there);
        let wanted = |block: u64| !there.contains_key(&(block / self.blocks_per_shard));
        let block = reader.blocks.next_block(wanted, &self.job.stop)?;
        let mut state = self.lock();
        let complete = match &block {
            Some(_) => {
                state.readable.push((part, reader));
                None
            }
            None => {
                state.reading -= 1;
                let total = reader.blocks.count();
                state.parts.get_mut(&part).and_then(|assembly| assembly.end(total))
            }
        };
        drop(state);
        self.changed.notify_all();
        let complete = match block {
            Some(block) => self.pack(part, block, cache)?,
            None => complete,
        };
        if let Some((number, blocks)) = complete {
            self.write(part, number, blocks)?;
        }
        self.finish(part)?;
        self.report()
    }

    fn pack(&self, part: usize, block: TextBlock, cache: &mut WordCache) -> Result<Option<(u64, Vec<ShardBuffer>)>> {
        let packed = self.job.packer.pack(&block, self.job.parts[part].source, cache)?;
        let number = block.number;
        drop(block);
        let mut state = self.lock();
        state.progress.sequences += packed.header.sequences;
        state.progress.tokens += packed.header.tokens;
        Ok(state.parts.get_mut(&part).and_then(|assembly| assembly.add(number, packed)))
    }

    fn write(&self, part: usize, number: u64, blocks: Vec<ShardBuffer>) -> Result<()> {
        let mut blocks = blocks.into_iter();
        let mut shard = blocks.next().ok_or(Error::Worker)?;
        for block in blocks {
            shard.append(&block)?;
        }
        let plan = &self.job.parts[part];
        let file = shard_file(&plan.key, number);
        let info = shard.write(&shard_path(self.job.out, &file), file, plan.key_bytes)?;
        let mut state = self.lock();
        state.progress.shards_written += 1;
        if let Some(assembly) = state.parts.get_mut(&part) {
            assembly.written(number, info);
        }
        Ok(())
    }

    /// Records a part of which nothing is missing any more.
    fn finish(&self, part: usize) -> Result<()> {
        let mut state = self.lock();
        let Some(shards) = state.parts.get(&part).and_then(Assembly::result) else { return Ok(()) };
        state.parts.remove(&part);
        drop(state);
        found::record(self.job.out, &self.job.parts[part], &shards)?;
        self.lock().results[part] = Some(shards);
        Ok(())
    }

    fn report(&self) -> Result<()> {
        let mut progress = self.lock().progress;
        progress.bytes_read = self.read.load(Ordering::Relaxed).min(progress.bytes_total);
        match (self.job.progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        }
    }
}

impl State {
    fn reuse<'s>(&mut self, shards: impl IntoIterator<Item = &'s ShardInfo>) {
        for shard in shards {
            self.progress.shards_reused += 1;
            self.progress.sequences += shard.sequences;
            self.progress.tokens += shard.tokens;
        }
    }
}
