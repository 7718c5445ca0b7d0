//! A loaded model, and which thread computes when.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use cpu_runtime::{Packing, Precision};
use encoder_spec::{BertConfig, TaskHeadConfig};
use predict::{Predictor, Target, Text};
use tokenizer::TextEncoder;

use crate::{Error, Result};

/// How a model is loaded and computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Threads of one computation; 0 counts as 1.
    pub threads: usize,
    /// Computations at the same time, each with `threads` threads and buffers of its own; further calls wait for one to end. 0 counts as 1.
    pub sessions: usize,
    /// Number format of weights and products.
    pub precision: Precision,
    /// When weights are packed; [`Packing::AtUse`] for a model that answers once.
    pub packing: Packing,
}

impl Default for Settings {
    /// One computation with one thread, in `f32`.
    fn default() -> Self {
        Self { threads: 1, sessions: 1, precision: Precision::F32, packing: Packing::Ahead }
    }
}

/// A model directory that answers. Any number of threads may ask it at the same time; what it answers to a text depends on nothing else.
pub struct Runtime {
    /// Reads texts; computes nothing itself.
    reader: Predictor,
    dir: PathBuf,
    settings: Settings,
    sessions: Mutex<Sessions>,
    /// A session has ended its computation.
    free: Condvar,
}

#[derive(Default)]
struct Sessions {
    idle: Vec<Predictor>,
    /// All that there are, those that compute included.
    made: usize,
}

impl Runtime {
    /// Loads a model directory: `config.json`, `model.safetensors` and the files of a tokenizer. In `f32` the tables of the model stay in the
    /// file, which must not be changed in place while the runtime lives; it may be replaced.
    ///
    /// # Errors
    /// A file is missing or damaged, or they do not belong together; the message names file and field or tensor.
    pub fn load(dir: &Path, settings: Settings) -> Result<Self> {
        let Settings { threads, precision, packing, .. } = settings;
        let load = || Predictor::load(dir, &Target::Processor { threads: 1 }, precision, packing);
        let reader = with_threads(threads, load)??;
        Ok(Self { reader, dir: dir.to_owned(), settings, sessions: Mutex::default(), free: Condvar::new() })
    }

    /// As [`Runtime::load`], of the bytes of `config.json`, `model.safetensors` and `tokenizer.json`; `name` stands for their folder in errors.
    /// For programs without files, such as pages of a browser.
    ///
    /// # Errors
    /// As there.
    pub fn from_bytes(config: &[u8], weights: &[u8], tokenizer: &[u8], name: &str, settings: Settings) -> Result<Self> {
        let Settings { precision, packing, .. } = settings;
        let path = Path::new(name);
        let reader = Predictor::from_bytes((config, weights), tokenizer, path, precision, packing)?;
        Ok(Self { reader, dir: path.to_owned(), settings, sessions: Mutex::default(), free: Condvar::new() })
    }

    /// Where the model was loaded from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How it was loaded.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The model's configuration.
    pub fn config(&self) -> &BertConfig {
        &self.reader.config
    }

    /// What the model's heads predict, in their order.
    pub fn heads(&self) -> &[TaskHeadConfig] {
        &self.reader.config.task_heads
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &TextEncoder {
        &self.reader.tokenizer
    }

    /// The longest text in tokens, special tokens included; what is longer loses its end.
    pub fn longest(&self) -> usize {
        self.reader.longest()
    }

    /// A text or a pair as the model reads it, cut to [`Runtime::longest`].
    ///
    /// # Errors
    /// A pair that has no room beside its special tokens, or that the model has no segments for.
    pub fn encode(&self, text: &str, pair: Option<&str>) -> Result<Text> {
        let pairs = pair.map(|_| "this call");
        predict::check_segments(&self.reader.config, &self.reader.tokenizer, pairs)?;
        Ok(self.reader.encode(text, pair)?)
    }

    pub(crate) fn reader(&self) -> &Predictor {
        &self.reader
    }

    /// The head of `task`, or the only one.
    ///
    /// # Errors
    /// There is no such head, or no task is named and there are several.
    pub fn head(&self, task: Option<&str>) -> Result<usize> {
        let heads = self.heads();
        if task.is_none() && heads.len() > 1 {
            let known = heads.iter().map(|head| head.task.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::Ambiguous { known });
        }
        Ok(self.reader.heads(task)?[0])
    }

    /// Waits until a session is free, or makes one where there may be more.
    pub(crate) fn session(&self) -> Session<'_> {
        let most = self.settings.sessions.max(1);
        let mut sessions = lock(&self.sessions);
        loop {
            if let Some(predictor) = sessions.idle.pop() {
                return Session { owner: self, predictor: Some(predictor) };
            }
            if sessions.made < most {
                sessions.made += 1;
                break;
            }
            sessions = self.free.wait(sessions).unwrap_or_else(PoisonError::into_inner);
        }
        drop(sessions);
        // Gives its place back where threads cannot be started and this panics.
        let mut session = Session { owner: self, predictor: None };
        session.predictor = self.reader.beside(self.settings.threads);
        session
    }

    /// Forgets what other threads of a process have left behind that is no more: to be called in the child of a `fork`, in which none but the
    /// calling thread lives. Without it, the child waits for ever for threads that only its parent has.
    pub fn after_fork(&self) {
        // Another thread may have held the lock in the moment of the fork; it does so for a few instructions only, and whoever forks while
        // it computes in another thread is warned by its language.
        if let Ok(mut sessions) = self.sessions.try_lock() {
            // Dropping one would wait for its threads.
            sessions.idle.drain(..).for_each(std::mem::forget);
            sessions.made = 0;
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("dir", &self.dir).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A model that this thread alone computes with.
pub(crate) struct Session<'a> {
    owner: &'a Runtime,
    predictor: Option<Predictor>,
}

const HELD: &str = "held until it is dropped";

impl Deref for Session<'_> {
    type Target = Predictor;

    fn deref(&self) -> &Predictor {
        self.predictor.as_ref().expect(HELD)
    }
}

impl DerefMut for Session<'_> {
    fn deref_mut(&mut self) -> &mut Predictor {
        self.predictor.as_mut().expect(HELD)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let mut sessions = lock(&self.owner.sessions);
        match self.predictor.take() {
            // Its buffers may be half written, which the next run does not mind; but nobody has promised that.
            Some(predictor) if !std::thread::panicking() => sessions.idle.push(predictor),
            _ => sessions.made -= 1,
        }
        drop(sessions);
        self.owner.free.notify_one();
    }
}

/// What the mutex holds is valid at any time, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `work` on threads of its own, so that no more are used than were asked for, and so that they are there in the child of a `fork` too.
pub(crate) fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    if cfg!(target_family = "wasm") {
        return Ok(work());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
    Ok(pool.map_err(|error| Error::Threads(error.to_string()))?.install(work))
}
