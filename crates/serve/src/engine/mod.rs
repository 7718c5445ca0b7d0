//! From texts to values: threads that tokenize, a queue, threads that compute.
//!
//! ```text
//! request -> room in the queue, or 429 -> tokenizing thread -> queue -> computing thread -> request
//! ```
//!
//! | file | concern |
//! |---|---|
//! | `loaded` | a model directory in memory |
//! | `job` | a request's sequences on their way |
//! | `queue` | sequences that wait, taken out in batches |
//! | `worker` | a thread that runs the model |
//! | `slice` | how the system divides the cores |
//! | `tokenizers` | threads that turn texts into tokens |
//! | `input` | texts as sequences, cut or refused |

pub mod input;
pub mod job;
mod loaded;
mod queue;
mod slice;
mod tokenizers;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

pub use loaded::{Loaded, Role};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::job::{Answered, Job, Sequence, Want};
use self::queue::Queue;
use self::tokenizers::Tokenizers;
use crate::event::Events;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::{Error, Limits, Result, Threads};

/// Texts of so many bytes together become tokens on the thread that has read them: it takes some ten microseconds, about as long as handing them
/// to another thread, and nobody waits for that thread.
const AT_ONCE: usize = 1024;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Texts or pairs.
    pub texts: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

/// The threads and the queue between them.
pub struct Engine {
    queue: Queue,
    tokenizers: Tokenizers,
    room: Arc<Semaphore>,
    limits: Limits,
    events: Events,
    metrics: Arc<Metrics>,
}

impl Engine {
    /// Starts the threads; they end after [`Engine::close`].
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(
        limits: Limits,
        threads: Threads,
        events: Events,
        metrics: Arc<Metrics>,
    ) -> Result<(Arc<Self>, Vec<JoinHandle<()>>)> {
        let (tokenizers, mut handles) = Tokenizers::start(threads.tokenizers, limits.queue)?;
        let queue = Queue::new(limits.batch_tokens, limits.batch_wait, threads.batches);
        let room = Arc::new(Semaphore::new(limits.queue));
        let engine = Arc::new(Self { queue, tokenizers, room, limits, events, metrics });
        for number in 0..threads.batches {
            let shared = Arc::clone(&engine);
            let work = move || worker::work(&shared, threads.per_batch);
            let started = std::thread::Builder::new().name(format!("serve-batch-{number}")).spawn(work);
            handles.push(started.map_err(|cause| Error::Start { what: "a thread that computes", cause })?);
        }
        Ok((engine, handles))
    }

    /// Lets the threads end when all is done.
    pub(crate) fn close(&self) {
        self.tokenizers.close();
        self.queue.close();
    }

    /// Runs `model` on the sequences that `encode` makes of what is asked: of little at once, else on a thread for that.
    ///
    /// # Errors
    /// 429 where the queue has no room for that many texts, 413 for too many texts or tokens, 504 where it takes too long, and what
    /// `encode` refuses.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        model: &Arc<Loaded>,
        asked: Asked,
        want: Want,
        encode: impl FnOnce(&Loaded) -> Result<(Vec<Sequence>, T), Failure> + Send + 'static,
    ) -> Result<(Answered, T), Failure> {
        let room = self.room(asked.texts)?;
        let (job, waiting) = Job::new(Arc::clone(model), want, room);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let engine = Arc::clone(self);
        let tokenize = move || {
            if !job.is_wanted() {
                return;
            }
            // A text that some code does not survive is its own client's trouble.
            let made = catch_unwind(AssertUnwindSafe(|| encode(&job.model)));
            match made
                .unwrap_or_else(|_| Err(Failure::internal("a text could not be read")))
                .and_then(|m| engine.check(m))
            {
                Ok((sequences, rest)) => {
                    let _ = sender.send(rest);
                    engine.queue.push(job.tokenized(sequences));
                }
                Err(failure) => job.fail(failure),
            }
        };
        match asked.bytes <= AT_ONCE {
            true => tokenize(),
            false => self.tokenizers.submit(Box::new(tokenize)),
        }
        let answered = waiting.answer(self.limits.answer_time).await?;
        let rest = receiver.await.map_err(|_| Failure::internal("the answer was lost"))?;
        Ok((answered, rest))
    }

    /// Does `work` on `texts` texts on a thread that tokenizes; it needs room as what [`Engine::run`] does.
    ///
    /// # Errors
    /// 429 where the queue has no room for that many texts, 413 for too many texts, 504 where it takes too long, and what `work` refuses.
    pub async fn read<T: Send + 'static>(
        &self,
        texts: usize,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let room = self.room(texts)?;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let task = move || {
            // Whoever asked may have left.
            if sender.is_closed() {
                return;
            }
            let made = catch_unwind(AssertUnwindSafe(work));
            let made = made.unwrap_or_else(|_| Err(Failure::internal("a text could not be read")));
            drop(room);
            let _ = sender.send(made);
        };
        self.tokenizers.submit(Box::new(task));
        let made = tokio::time::timeout(self.limits.answer_time, receiver).await.map_err(|_| Failure::late())?;
        made.map_err(|_| Failure::internal("the answer was lost"))?
    }

    /// Room for this many texts.
    ///
    /// # Errors
    /// 413: no request may have so many; 429: there is no room now.
    fn room(&self, texts: usize) -> Result<OwnedSemaphorePermit, Failure> {
        let most = self.limits.texts;
        if texts > most {
            return Err(Failure::too_large(format!("batch size {texts} > maximum allowed batch size {most}")));
        }
        let count = u32::try_from(texts.max(1)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(count).map_err(|_| Failure::overloaded())
    }

    fn check<T>(&self, made: (Vec<Sequence>, T)) -> Result<(Vec<Sequence>, T), Failure> {
        self.limits.check_tokens(made.0.iter().map(|sequence| sequence.ids.len()).sum())?;
        Ok(made)
    }

    /// Whether it takes more texts, and computes: the oldest one has not waited for longer than an answer may take.
    pub fn is_healthy(&self) -> bool {
        self.queue.age() <= self.limits.answer_time
    }

    /// Sequences and tokens that wait.
    pub fn waiting(&self) -> (usize, usize) {
        self.queue.waiting()
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}
