//! Threads that turn texts into tokens, so that neither the threads of connections nor those of the model wait for it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::{Error, Result};

type Task = Box<dyn FnOnce() + Send>;

/// The threads. Its queue is bounded by the room that jobs have before they come here.
pub(crate) struct Tokenizers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    closed: bool,
}

impl Tokenizers {
    /// Starts `count` threads for up to `room` tasks.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(count: usize, room: usize) -> Result<(Self, Vec<JoinHandle<()>>)> {
        let shared = Arc::new(Shared::default());
        shared.lock().tasks.reserve(room.min(1024));
        let start = |number: usize| {
            let shared = Arc::clone(&shared);
            let started = std::thread::Builder::new().name(format!("serve-text-{number}")).spawn(move || {
                while let Some(task) = shared.next() {
                    // A task that fails drops its job, whose client then hears of it.
                    let _ = catch_unwind(AssertUnwindSafe(task));
                }
            });
            started.map_err(|cause| Error::Start { what: "a thread that tokenizes", cause })
        };
        let handles = (0..count).map(start).collect::<Result<_>>()?;
        Ok((Self(shared), handles))
    }

    /// Hands a task to one of the threads.
    pub fn submit(&self, task: Task) {
        self.0.lock().tasks.push_back(task);
        self.0.filled.notify_one();
    }

    /// Lets the threads end when all is done.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.filled.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                return Some(task);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
