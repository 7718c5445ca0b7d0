//! Values made ahead on threads and handed out in one order.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// How many values are made ahead, and by how many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// Threads; 0 makes each value when it is asked for.
    pub threads: usize,
    /// The most values that wait to be taken, those in the making included.
    pub ahead: usize,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self { threads: 1, ahead: 4 }
    }
}

impl Prefetch {
    /// Values `make(first)`, `make(first + 1)`, ... up to but without `end`. The order never depends on threads; `make` should be a
    /// function of its argument alone.
    ///
    /// # Errors
    /// The system does not start a thread.
    pub fn start<T, F>(self, first: u64, end: Option<u64>, make: F) -> Result<Prefetched<T>>
    where
        T: Send + 'static,
        F: Fn(u64) -> T + Send + Sync + 'static,
    {
        let make: Arc<dyn Fn(u64) -> T + Send + Sync> = Arc::new(make);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                next_made: first,
                next_taken: first,
                ready: BTreeMap::new(),
                stop: false,
                lost: false,
            }),
            changed: Condvar::new(),
        });
        let mut prefetched =
            Prefetched { shared: Arc::clone(&shared), make: Arc::clone(&make), end, threads: Vec::new() };
        for number in 0..self.threads {
            let (shared, make, ahead) = (Arc::clone(&shared), Arc::clone(&make), self.ahead.max(1) as u64);
            let thread = std::thread::Builder::new()
                .name(format!("prefetch-{number}"))
                .spawn(move || shared.work(&*make, end, ahead))
                .map_err(|e| Error::Settings(format!("cannot start thread {} of {}: {e}", number + 1, self.threads)))?;
            prefetched.threads.push(thread);
        }
        Ok(prefetched)
    }
}

/// The values of [`Prefetch::start`]. Dropping it ends its threads, each after the value that it is making.
pub struct Prefetched<T> {
    shared: Arc<Shared<T>>,
    make: Arc<dyn Fn(u64) -> T + Send + Sync>,
    end: Option<u64>,
    threads: Vec<JoinHandle<()>>,
}

impl<T> std::fmt::Debug for Prefetched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prefetched").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    next_made: u64,
    next_taken: u64,
    ready: BTreeMap<u64, T>,
    stop: bool,
    /// A thread panicked: its value will never come.
    lost: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, make: &(dyn Fn(u64) -> T + Send + Sync), end: Option<u64>, ahead: u64) {
        let _alarm = Alarm(self);
        loop {
            let mut state = self.lock();
            while !state.stop && state.next_made >= state.next_taken.saturating_add(ahead) {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let number = state.next_made;
            if state.stop || end.is_some_and(|end| number >= end) {
                return;
            }
            state.next_made += 1;
            drop(state);
            let value = make(number);
            self.lock().ready.insert(number, value);
            self.changed.notify_all();
        }
    }
}

struct Alarm<'a, T>(&'a Shared<T>);

impl<T> Drop for Alarm<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.lock();
            (state.lost, state.stop) = (true, true);
            self.0.changed.notify_all();
        }
    }
}

impl<T> Iterator for Prefetched<T> {
    type Item = T;

    /// The next value.
    ///
    /// # Panics
    /// When making a value panicked, with the same content.
    fn next(&mut self) -> Option<T> {
        let mut state = self.shared.lock();
        let number = state.next_taken;
        if self.end.is_some_and(|end| number >= end) {
            return None;
        }
        if self.threads.is_empty() {
            state.next_taken += 1;
            drop(state);
            return Some((self.make)(number));
        }
        loop {
            if let Some(value) = state.ready.remove(&number) {
                state.next_taken += 1;
                drop(state);
                self.shared.changed.notify_all();
                return Some(value);
            }
            if state.lost {
                drop(state);
                for thread in self.threads.drain(..) {
                    if let Err(panic) = thread.join() {
                        std::panic::resume_unwind(panic);
                    }
                }
                return None;
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Drop for Prefetched<T> {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic in a value that nobody asked for any more.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_order_is_the_same_for_any_number_of_threads() {
        for threads in [0, 1, 2, 7] {
            let make = |n: u64| {
                std::thread::sleep(Duration::from_micros((n * 7919) % 300));
                n * n
            };
            let values: Vec<u64> = Prefetch { threads, ahead: 3 }.start(5, Some(60), make).unwrap().collect();
            assert_eq!(values, (5..60).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_is_made_than_asked_to_be_ahead_and_threads_end_with_their_owner() {
        let made = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&made);
        let make = move |n: u64| {
            count.fetch_add(1, Ordering::SeqCst);
            n
        };
        let mut values = Prefetch { threads: 3, ahead: 4 }.start(0, None, make).unwrap();
        assert_eq!((values.next(), values.next()), (Some(0), Some(1)));
        std::thread::sleep(Duration::from_millis(30));
        assert!(made.load(Ordering::SeqCst) <= 6);
        drop(values);
        assert_eq!(Arc::strong_count(&made), 1);
    }

    #[test]
    fn a_panic_in_a_thread_reaches_the_reader() {
        let make = |n: u64| if n == 3 { panic!("value {n}") } else { n };
        let mut values = Prefetch { threads: 2, ahead: 2 }.start(0, None, make).unwrap();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (0..4).map(|_| values.next()).count()));
        assert_eq!(found.unwrap_err().downcast_ref::<String>().unwrap(), "value 3");
    }
}
