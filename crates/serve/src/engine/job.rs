//! A request's sequences on their way to the model and back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Loaded;
use crate::failure::Failure;

/// A sequence of tokens for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids with special tokens.
    pub ids: Vec<u32>,
    /// Segment of every token.
    pub segments: Vec<u8>,
    /// 0 where attention does not look; `None`: it looks everywhere.
    pub mask: Option<Vec<u8>>,
}

impl From<tokenizer::Encoded> for Sequence {
    fn from(encoded: tokenizer::Encoded) -> Self {
        Self { ids: encoded.ids, segments: encoded.type_ids, mask: None }
    }
}

impl From<glue_squad::features::Features> for Sequence {
    fn from(features: glue_squad::features::Features) -> Self {
        Self { ids: features.ids, segments: features.type_ids, mask: None }
    }
}

/// What is wanted of each sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Values of these heads.
    pub heads: Vec<usize>,
    /// Last hidden states.
    pub hidden: bool,
}

impl Want {
    /// The values of one head.
    pub fn head(head: usize) -> Self {
        Self { heads: vec![head], hidden: false }
    }
}

/// What the model gave for a sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// Of each wanted head `[outputs]`, or `[tokens, outputs]` of one that looks at tokens. Tokens that are masked at the end are left out.
    pub heads: Vec<Vec<f32>>,
    /// `[tokens, hidden]` if they were wanted.
    pub hidden: Vec<f32>,
}

/// Where a request's time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From texts to tokens, waiting for a thread included.
    pub tokenization: Duration,
    /// From there to the first batch.
    pub queue: Duration,
    /// From there to the last value.
    pub inference: Duration,
}

/// The values of all sequences of a request.
#[derive(Debug)]
pub struct Answered {
    /// In the order of the sequences.
    pub values: Vec<Values>,
    /// Tokens of all sequences.
    pub tokens: usize,
    /// Where the time went.
    pub times: Times,
}

/// Collects what the model gives for the sequences of a request.
pub(crate) struct Job {
    pub model: Arc<Loaded>,
    pub want: Want,
    begun: Instant,
    /// Nobody waits for the answer any more.
    abandoned: AtomicBool,
    missing: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    values: Vec<Values>,
    tokens: usize,
    tokenized: Option<Instant>,
    batched: Option<Instant>,
    sender: Option<oneshot::Sender<Result<Answered, Failure>>>,
    /// Its part of the queue, free when none of its sequences is there any more: at the latest when the last of them drops the job.
    room: Option<OwnedSemaphorePermit>,
}

/// A sequence that waits for the model.
pub(crate) struct Item {
    pub job: Arc<Job>,
    pub index: usize,
    pub sequence: Sequence,
    pub since: Instant,
}

/// The client's end of a job: whoever drops it has no use for the answer.
pub(crate) struct Waiting {
    job: Arc<Job>,
    receiver: oneshot::Receiver<Result<Answered, Failure>>,
}

impl Job {
    /// A job for which `room` was made in the queue.
    pub fn new(model: Arc<Loaded>, want: Want, room: OwnedSemaphorePermit) -> (Arc<Self>, Waiting) {
        let (sender, receiver) = oneshot::channel();
        let state = State {
            values: Vec::new(),
            tokens: 0,
            tokenized: None,
            batched: None,
            sender: Some(sender),
            room: Some(room),
        };
        let job = Arc::new(Self {
            model,
            want,
            begun: Instant::now(),
            abandoned: AtomicBool::new(false),
            missing: AtomicUsize::new(0),
            state: Mutex::new(state),
        });
        (Arc::clone(&job), Waiting { job, receiver })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // What it holds is valid at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody waits for it.
    pub fn is_wanted(&self) -> bool {
        !self.abandoned.load(Ordering::Relaxed)
    }

    /// The texts became these sequences: items for the queue. Without sequences the job is done.
    pub fn tokenized(self: &Arc<Self>, sequences: Vec<Sequence>) -> Vec<Item> {
        let now = Instant::now();
        let mut state = self.state();
        state.tokenized = Some(now);
        state.tokens = sequences.iter().map(|sequence| sequence.ids.len()).sum();
        state.values = vec![Values::default(); sequences.len()];
        self.missing.store(sequences.len(), Ordering::Relaxed);
        if sequences.is_empty() {
            self.finish(&mut state);
            return Vec::new();
        }
        drop(state);
        let item = |(index, sequence)| Item { job: Arc::clone(self), index, sequence, since: now };
        sequences.into_iter().enumerate().map(item).collect()
    }

    /// The first of its sequences is in a batch.
    pub fn batched(&self, now: Instant) {
        self.state().batched.get_or_insert(now);
    }

    /// Takes the values of sequence `index`; the last one completes the answer.
    pub fn put(&self, index: usize, values: Values) {
        let mut state = self.state();
        state.values[index] = values;
        if self.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.finish(&mut state);
        }
    }

    fn finish(&self, state: &mut State) {
        let now = Instant::now();
        let tokenized = state.tokenized.unwrap_or(now);
        let batched = state.batched.unwrap_or(now);
        let times = Times {
            tokenization: tokenized - self.begun,
            queue: batched.saturating_duration_since(tokenized),
            inference: now.saturating_duration_since(batched),
        };
        let values = std::mem::take(&mut state.values);
        self.send(state, Ok(Answered { values, tokens: state.tokens, times }));
    }

    /// Answers with a failure, if nothing was answered before.
    pub fn fail(&self, failure: Failure) {
        self.abandoned.store(true, Ordering::Relaxed);
        let mut state = self.state();
        self.send(&mut state, Err(failure));
    }

    fn send(&self, state: &mut State, answer: Result<Answered, Failure>) {
        if self.missing.load(Ordering::Relaxed) == 0 {
            state.room = None;
        }
        if let Some(sender) = state.sender.take() {
            // Where the client has left nobody is told.
            let _ = sender.send(answer);
        }
    }
}

impl Waiting {
    /// Waits for the answer.
    ///
    /// # Errors
    /// What failed, or `limit` has passed.
    pub async fn answer(mut self, limit: Duration) -> Result<Answered, Failure> {
        match tokio::time::timeout(limit, &mut self.receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Failure::internal("the answer was lost")),
            Err(_) => Err(Failure::late()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Its room is free when its sequences are: they are in the queue until they are reached.
        self.job.abandoned.store(true, Ordering::Relaxed);
    }
}
