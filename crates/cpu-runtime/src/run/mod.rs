//! A session: threads, buffers and the execution of steps.

mod chunk;

use std::sync::{Mutex, PoisonError};

use cpu_kernels::attention::Scratch;
use cpu_kernels::matmul::OneUse;

use self::chunk::Chunk;
use crate::batch::Batch;
use crate::buffer::{Buffer, Shared};
use crate::compile::CompiledHead;
use crate::parts::{Lap, Laps, count};
use crate::plan::{Division, Lane, Pointer};
use crate::team::{Team, Worker};
use crate::{Error, Model};

/// Added to the scores of masked positions: BERT's constant.
const MASKED: f32 = -10_000.0;

/// What a run computes besides the last hidden states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outputs<'a> {
    /// The pooled vectors.
    pub pooled: bool,
    /// The values of these heads.
    pub heads: &'a [usize],
}

/// What a run has computed; lives in the session until its next run.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// Last hidden states, `[tokens, hidden]`.
    pub hidden: &'a [f32],
    /// `[sequences, hidden]`: `tanh(W h_first + b)`, or `h_first` in a model without pooler. Empty unless it was wanted
    /// or a head needs it.
    pub pooled: &'a [f32],
    logits: &'a [f32],
    /// Where each head's values start in `logits`, and the end.
    starts: &'a [usize],
}

impl<'a> Output<'a> {
    /// Values of the wanted heads, in the order of [`Outputs::heads`]: `[sequences, outputs]`, or `[tokens, outputs]` for heads
    /// that look at tokens.
    pub fn heads(&self) -> impl ExactSizeIterator<Item = &'a [f32]> + use<'a> {
        let logits = self.logits;
        self.starts.windows(2).map(move |w| &logits[w[0]..w[1]])
    }
}

/// Runs models: threads and buffers, used again by every run.
pub struct Session {
    team: Team,
    lanes: Vec<Lane>,
    /// One for each thread.
    scratch: Vec<Scratch>,
    one_use: Vec<OneUse>,
    division: Division,
    /// Position of each token in its sequence.
    positions: Vec<u32>,
    /// Added to the scores of each token.
    bias: Vec<f32>,
    hidden: Buffer,
    pooled: Buffer,
    logits: Buffer,
    /// Where each wanted head's values start, and the end.
    starts: Vec<usize>,
}

impl Session {
    /// A session on that many threads, the caller's included; 0 counts as 1.
    ///
    /// # Panics
    /// The system has no more threads.
    pub fn new(threads: usize) -> Self {
        let team = Team::new(threads);
        Self {
            lanes: (0..team.threads()).map(|_| Lane::default()).collect(),
            scratch: (0..team.threads()).map(|_| Scratch::default()).collect(),
            one_use: (0..team.threads()).map(|_| OneUse::default()).collect(),
            team,
            division: Division::default(),
            positions: Vec::new(),
            bias: Vec::new(),
            hidden: Buffer::default(),
            pooled: Buffer::default(),
            logits: Buffer::default(),
            starts: Vec::new(),
        }
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Encodes a batch.
    ///
    /// The values of a sequence do not depend on what else is in the batch, nor on the number of threads. Nothing is
    /// allocated if the session has seen the model with a batch of at least this size, divided alike.
    ///
    /// # Errors
    /// [`Error::Batch`], [`Error::Id`], [`Error::Length`] for a batch that does not fit the model, [`Error::Head`].
    pub fn run(&mut self, model: &Model, batch: &Batch<'_>, want: Outputs<'_>) -> Result<Output<'_>, Error> {
        self.run_timed(model, batch, want, None)
    }

    /// Encodes a batch as [`Session::run`] does, up to the last hidden states, and gives the times that the last thread has spent in
    /// each of the model's [`parts`](crate::parts()), in their order. Where the batch is divided among lanes, those are its lane's.
    ///
    /// `now` is a clock that does not go back, such as nanoseconds since the start of the program.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn time_parts(
        &mut self,
        model: &Model,
        batch: &Batch<'_>,
        now: &(dyn Fn() -> u64 + Sync),
    ) -> Result<Vec<Lap>, Error> {
        let mut laps = vec![Lap::default(); count(&model.body)];
        self.run_timed(model, batch, Outputs::default(), Some(Laps::new(now, &mut laps)))?;
        Ok(laps)
    }

    fn run_timed(
        &mut self,
        model: &Model,
        batch: &Batch<'_>,
        want: Outputs<'_>,
        laps: Option<Laps<'_>>,
    ) -> Result<Output<'_>, Error> {
        batch.check(model)?;
        let count = model.heads.len();
        if let Some(&head) = want.heads.iter().find(|&&h| h >= count) {
            return Err(Error::Head { head, heads: count });
        }
        let pooled = want.pooled || want.heads.iter().any(|&h| model.heads[h].kind.is_on_pooled());
        let pooled_len = if pooled { batch.sequences() * model.hidden } else { 0 };
        let hidden_len = batch.tokens() * model.hidden;
        self.prepare(model, batch, want);
        self.hidden.reserve(hidden_len);
        self.pooled.reserve(pooled_len);
        let logits_len = self.starts.last().copied().unwrap_or(0);
        self.logits.reserve(logits_len);

        let run = Run {
            model,
            batch,
            positions: &self.positions,
            bias: &self.bias,
            hidden: Pointer(self.hidden.pointer()),
            pooled: Pointer(self.pooled.pointer()),
            logits: Pointer(self.logits.pointer()),
            scratch: Shared::new(&mut self.scratch),
            one_use: Shared::new(&mut self.one_use),
        };
        let (division, lanes, starts) = (&self.division, &self.lanes, &self.starts);
        let (laps, last) = (laps.map(Mutex::new), self.team.threads() - 1);
        self.team.run(|worker| {
            // The last one: where rows cannot be shared evenly it has most of them.
            let clock = laps.as_ref().filter(|_| worker.number() == last);
            let mut clock = clock.map(|laps| laps.lock().unwrap_or_else(PoisonError::into_inner));
            let (lane, all) = worker.split(division.lanes());
            let (index, part) = all.split(division.parts());
            let workers = Workers { all, part, index, parts: division.parts() };
            for sequences in division.chunks(batch, lane) {
                let mut chunk = Chunk::new(&run, &lanes[lane], sequences, &workers);
                if let Some(laps) = clock.as_deref_mut() {
                    laps.begin();
                }
                chunk.steps(&model.body, clock.as_deref_mut());
                if pooled {
                    chunk.steps(&model.pool, None);
                }
                for (&head, &start) in want.heads.iter().zip(starts) {
                    let head = &model.heads[head];
                    (chunk.logits, chunk.outputs) = (start, head.outputs);
                    chunk.steps(&head.steps, None);
                }
            }
        });
        Ok(Output {
            hidden: self.hidden.values(hidden_len),
            pooled: self.pooled.values(pooled_len),
            logits: self.logits.values(logits_len),
            starts: &self.starts,
        })
    }

    /// Divides the batch and makes room for it.
    fn prepare(&mut self, model: &Model, batch: &Batch<'_>, want: Outputs<'_>) {
        let mut end = 0;
        self.starts.clear();
        self.starts.push(end);
        for &head in want.heads {
            let CompiledHead { kind, outputs, .. } = model.heads[head];
            end += outputs * if kind.is_on_tokens() { batch.tokens() } else { batch.sequences() };
            self.starts.push(end);
        }
        self.division.plan(batch, self.team.threads(), model.bytes);
        for (lane, buffers) in self.lanes.iter_mut().enumerate().take(self.division.lanes()) {
            buffers.reserve(model, self.division.tokens(batch, lane));
        }
        self.positions.clear();
        for s in 0..batch.sequences() {
            self.positions.extend(0..batch.range(s).len() as u32);
        }
        self.bias.clear();
        if batch.mask.contains(&0) {
            self.bias.extend(batch.mask.iter().map(|&m| if m == 0 { MASKED } else { 0.0 }));
        }
    }
}

/// What all workers see of a run.
struct Run<'a> {
    model: &'a Model,
    batch: &'a Batch<'a>,
    positions: &'a [u32],
    /// Empty where nothing is masked.
    bias: &'a [f32],
    hidden: Pointer,
    pooled: Pointer,
    logits: Pointer,
    scratch: Shared<'a, Scratch>,
    one_use: Shared<'a, OneUse>,
}

/// This thread among those of its lane.
struct Workers<'a> {
    /// The lane.
    all: Worker<'a>,
    /// The part of it that has this thread's tokens.
    part: Worker<'a>,
    /// Number of the part.
    index: usize,
    parts: usize,
}
