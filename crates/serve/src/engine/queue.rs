//! Sequences that wait for a thread that computes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::job::Item;

/// Sequences in the order of their arrival. Its length is bounded by the room that jobs have before they come here.
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    batch_tokens: usize,
    batch_wait: Duration,
    /// Threads that take batches.
    threads: usize,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    tokens: usize,
    /// Threads that wait for a batch.
    idle: usize,
    closed: bool,
}

impl Queue {
    pub fn new(batch_tokens: usize, batch_wait: Duration, threads: usize) -> Self {
        Self { state: Mutex::default(), filled: Condvar::new(), batch_tokens, batch_wait, threads: threads.max(1) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the sequences of a request.
    pub fn push(&self, items: Vec<Item>) {
        let many = items.len() > 1;
        {
            let mut state = self.state();
            state.tokens += items.iter().map(|item| item.sequence.ids.len()).sum::<usize>();
            state.items.extend(items);
        }
        match many {
            true => self.filled.notify_all(),
            false => self.filled.notify_one(),
        }
    }

    /// Sequences and tokens that wait.
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.state();
        (state.items.len(), state.tokens)
    }

    /// The next batch, all of one model: this thread's share of what waits, up to the most tokens of a batch. Threads that are busy have their
    /// share too: they will be free before a batch of all texts would be done. `None` when the queue is closed and empty.
    pub fn next(&self) -> Option<Vec<Item>> {
        let mut state = self.state();
        loop {
            if let Some(first) = state.items.front() {
                let waited = first.since.elapsed();
                if waited >= self.batch_wait || state.tokens >= self.batch_tokens || state.closed {
                    let batch = self.take(&mut state);
                    if !batch.is_empty() {
                        return Some(batch);
                    }
                    continue;
                }
                let rest = self.batch_wait - waited;
                state.idle += 1;
                state = self.filled.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
            } else if state.closed {
                return None;
            } else {
                state.idle += 1;
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.idle -= 1;
        }
    }

    fn take(&self, state: &mut State) -> Vec<Item> {
        let most = state.tokens.div_ceil(self.threads).min(self.batch_tokens);
        let (mut batch, mut tokens): (Vec<Item>, usize) = (Vec::new(), 0);
        while let Some(item) = state.items.front() {
            let more = item.sequence.ids.len();
            if let Some(first) = batch.first()
                && (tokens >= most
                    || tokens + more > self.batch_tokens
                    || !Arc::ptr_eq(&first.job.model, &item.job.model))
            {
                break;
            }
            let Some(item) = state.items.pop_front() else { break };
            state.tokens -= more;
            if item.job.is_wanted() {
                tokens += more;
                batch.push(item);
            }
        }
        if !state.items.is_empty() && state.idle > 0 {
            self.filled.notify_one();
        }
        batch
    }

    /// Lets threads end when all is done.
    pub fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
    }

    /// How long the oldest sequence has waited.
    pub fn age(&self) -> Duration {
        let now = Instant::now();
        self.state().items.front().map_or(Duration::ZERO, |item| now.saturating_duration_since(item.since))
    }
}
