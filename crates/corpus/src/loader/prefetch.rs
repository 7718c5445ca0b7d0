//! Values made ahead on threads and handed out in one order.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// How many values are made ahead, and by how many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// Threads; 0 makes each value when it is asked for. There are never more than values ahead.
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
        let ahead = self.ahead.max(1);
        let threads = self.threads.min(ahead);
        let mut prefetched = Prefetched { lanes: Vec::new(), make: Arc::clone(&make), next: first, first, end };
        for number in 0..threads {
            // Each thread makes every value whose turn it is, and holds one while it waits for room.
            let room = ahead / threads - usize::from(number >= ahead % threads);
            let (sender, values) = sync_channel(room);
            let make = Arc::clone(&make);
            let work = move || {
                let mut own = (first + number as u64..end.unwrap_or(u64::MAX)).step_by(threads);
                // Nobody listens any more once the owner is gone.
                while own.next().is_some_and(|number| sender.send(make(number)).is_ok()) {}
            };
            let thread = std::thread::Builder::new()
                .name(format!("prefetch-{number}"))
                .spawn(work)
                .map_err(|e| Error::Settings(format!("cannot start thread {} of {threads}: {e}", number + 1)))?;
            prefetched.lanes.push(Lane { values, thread });
        }
        Ok(prefetched)
    }
}

/// The values of [`Prefetch::start`]. Dropping it ends its threads, each after the value that it is making.
pub struct Prefetched<T> {
    /// Values come from one after the other, in turns.
    lanes: Vec<Lane<T>>,
    make: Arc<dyn Fn(u64) -> T + Send + Sync>,
    next: u64,
    first: u64,
    end: Option<u64>,
}

/// A thread and what it has made.
struct Lane<T> {
    values: Receiver<T>,
    thread: JoinHandle<()>,
}

impl<T> std::fmt::Debug for Prefetched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prefetched").field("threads", &self.lanes.len()).finish_non_exhaustive()
    }
}

impl<T> Prefetched<T> {
    /// Ends the threads; the panic of one that had one, if any.
    fn stop(&mut self) -> std::thread::Result<()> {
        let (values, threads): (Vec<_>, Vec<_>) = self.lanes.drain(..).map(|lane| (lane.values, lane.thread)).unzip();
        drop(values);
        threads.into_iter().map(JoinHandle::join).fold(Ok(()), Result::and)
    }
}

impl<T> Iterator for Prefetched<T> {
    type Item = T;

    /// The next value.
    ///
    /// # Panics
    /// When making a value panicked, with the same content.
    fn next(&mut self) -> Option<T> {
        let number = self.next;
        if self.end.is_some_and(|end| number >= end) {
            return None;
        }
        let value = match self.lanes.len() as u64 {
            0 => (self.make)(number),
            count => match self.lanes[((number - self.first) % count) as usize].values.recv() {
                Ok(value) => value,
                // A thread ends before its last value only by a panic.
                Err(_) => {
                    self.end = Some(number);
                    if let Err(panic) = self.stop() {
                        std::panic::resume_unwind(panic);
                    }
                    return None;
                }
            },
        };
        self.next += 1;
        Some(value)
    }
}

impl<T> Drop for Prefetched<T> {
    fn drop(&mut self) {
        // A panic in a value that nobody asked for any more.
        let _ = self.stop();
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
