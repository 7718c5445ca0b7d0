//! Persistent threads that work on one task together.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks at a changing value this often before the thread offers its core to others. A pause takes 40 to 140 cycles.
const SPINS: u32 = 300;
/// Offers of the core before a thread that waits inside a task takes naps: there are fewer cores than threads then, and an
/// offer is not always taken.
const OFFERS: u32 = 2000;
/// How often a team can be divided.
const LEVELS: usize = 3;
/// Length of a nap.
const NAP: Duration = Duration::from_micros(50);
/// Offers of the core between two tasks before a worker goes to sleep.
const YIELDS: u32 = 50;

/// A number of threads, the caller's included, that run the same function side by side.
///
/// Between two calls of [`Team::run`] the others sleep.
pub struct Team {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
    threads: usize,
}

/// One thread's view of a task, or of the part of the team it was [split](Worker::split) into.
#[derive(Clone, Copy)]
pub struct Worker<'a> {
    shared: &'a Shared,
    barrier: &'a Barrier,
    /// How often the team was divided, and among how many threads.
    level: usize,
    threads: usize,
    /// Among all threads of the team.
    number: usize,
    index: usize,
    count: usize,
}

type Task<'a> = dyn Fn(&Worker<'_>) + Sync + 'a;

struct Shared {
    /// Number of tasks so far; a worker that has seen fewer has something to do.
    tasks: AtomicUsize,
    /// The task, valid while `running` is not 0.
    task: Mutex<Option<TaskPointer>>,
    /// Workers (without the caller) that have not finished the task.
    running: AtomicUsize,
    /// Workers that wait on `wake`.
    sleeping: AtomicUsize,
    stop: AtomicBool,
    /// A thread has panicked: threads that wait stop waiting.
    poisoned: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    bed: Mutex<()>,
    wake: Condvar,
    /// For every level of division one for each thread that a part can begin with.
    barriers: Box<[Barrier]>,
}

#[derive(Clone, Copy)]
struct TaskPointer(*const Task<'static>);

// SAFETY: the function is `Sync`, so threads may share it; `Team::run` keeps it alive until all have finished.
unsafe impl Send for TaskPointer {}

/// Arrivals and generation on lines of their own: everyone polls the generation.
#[repr(align(128))]
#[derive(Default)]
struct Padded(AtomicUsize);

#[derive(Default)]
struct Barrier {
    arrived: Padded,
    generation: Padded,
}

/// Panic of a thread that found the team poisoned; the first panic is the one to report.
struct GaveUp;

impl Team {
    /// Starts `threads - 1` threads; 0 counts as 1.
    ///
    /// # Panics
    /// The system has no more threads.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            tasks: AtomicUsize::new(0),
            task: Mutex::new(None),
            running: AtomicUsize::new(0),
            sleeping: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            panic: Mutex::new(None),
            bed: Mutex::new(()),
            wake: Condvar::new(),
            barriers: (0..LEVELS * threads).map(|_| Barrier::default()).collect(),
        });
        let start = |number: usize| {
            let shared = Arc::clone(&shared);
            let name = format!("cpu-runtime-{number}");
            std::thread::Builder::new()
                .name(name)
                .spawn(move || shared.work(number, threads))
                .expect("a thread for the team")
        };
        let handles = (1..threads).map(start).collect();
        Self { shared, handles, threads }
    }

    /// Number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `task` on every thread at once and returns when all are done.
    ///
    /// # Panics
    /// When `task` panics on any thread, with its first panic. The team can be used again.
    pub fn run(&mut self, task: impl Fn(&Worker<'_>) + Sync) {
        let shared = &*self.shared;
        if self.threads == 1 {
            task(&shared.worker(0, 1));
            return;
        }
        let task: &Task<'_> = &task;
        for barrier in &shared.barriers {
            barrier.arrived.0.store(0, Ordering::Relaxed);
        }
        // SAFETY: only the lifetime changes. The pointer is used by workers between the store of `tasks` and their
        // decrement of `running`, and this function does not return or unwind before `running` is 0.
        let pointer = TaskPointer(unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task) });
        *lock(&shared.task) = Some(pointer);
        shared.running.store(self.threads - 1, Ordering::Relaxed);
        shared.tasks.fetch_add(1, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            let _bed = lock(&shared.bed);
            shared.wake.notify_all();
        }
        shared.guarded(task, &shared.worker(0, self.threads));
        let mut wait = Wait::default();
        while shared.running.load(Ordering::Acquire) > 0 {
            wait.once();
        }
        if shared.poisoned.swap(false, Ordering::Relaxed) {
            let payload = lock(&shared.panic).take();
            resume_unwind(payload.unwrap_or_else(|| Box::new("a worker panicked")));
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        {
            let _bed = lock(&self.shared.bed);
            self.shared.wake.notify_all();
        }
        for handle in self.handles.drain(..) {
            // Panics of tasks are caught in the worker.
            let _ = handle.join();
        }
    }
}

/// What the mutexes hold is valid at any time, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Wait {
    spins: u32,
    yields: u32,
}

impl Wait {
    fn once(&mut self) {
        if self.spins < SPINS {
            self.spins += 1;
            std::hint::spin_loop();
        } else if self.yields < OFFERS {
            self.yields += 1;
            std::thread::yield_now();
        } else {
            std::thread::sleep(NAP);
        }
    }
}

impl Shared {
    fn worker(&self, number: usize, count: usize) -> Worker<'_> {
        Worker { shared: self, barrier: &self.barriers[0], level: 0, threads: count, number, index: number, count }
    }

    /// Life of a worker's thread.
    fn work(&self, number: usize, count: usize) {
        let mut seen = 0;
        while self.next_task(&mut seen) {
            let task = lock(&self.task).expect("a task is set before it is announced");
            // SAFETY: `Team::run` keeps the function alive until `running`, which counts this thread, is 0.
            let task = unsafe { &*task.0 };
            self.guarded(task, &self.worker(number, count));
            self.running.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a task; false when the team ends.
    fn next_task(&self, seen: &mut usize) -> bool {
        let ready = |seen: usize| self.tasks.load(Ordering::SeqCst) != seen || self.stop.load(Ordering::SeqCst);
        let mut wait = Wait::default();
        while !ready(*seen) {
            wait.once();
            if wait.yields > YIELDS {
                let mut bed = lock(&self.bed);
                self.sleeping.fetch_add(1, Ordering::SeqCst);
                while !ready(*seen) {
                    bed = self.wake.wait(bed).unwrap_or_else(PoisonError::into_inner);
                }
                self.sleeping.fetch_sub(1, Ordering::SeqCst);
            }
        }
        *seen = self.tasks.load(Ordering::SeqCst);
        !self.stop.load(Ordering::SeqCst)
    }

    fn guarded(&self, task: &Task<'_>, worker: &Worker<'_>) {
        let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(worker))) else { return };
        if !payload.is::<GaveUp>() {
            lock(&self.panic).get_or_insert(payload);
        }
        self.poisoned.store(true, Ordering::Release);
    }
}

impl Worker<'_> {
    /// Number among the workers of this part, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Number among all threads of the team, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Workers in this part.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Waits until all workers of this part have arrived; what they wrote before is seen after.
    ///
    /// # Panics
    /// Another worker has panicked.
    pub fn barrier(&self) {
        if self.count == 1 {
            return;
        }
        let barrier = self.barrier;
        // No thread advances the generation before this worker has arrived.
        let generation = barrier.generation.0.load(Ordering::Relaxed);
        if barrier.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == self.count {
            barrier.arrived.0.store(0, Ordering::Relaxed);
            barrier.generation.0.store(generation.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut wait = Wait::default();
        while barrier.generation.0.load(Ordering::Acquire) == generation {
            if self.shared.poisoned.load(Ordering::Acquire) {
                resume_unwind(Box::new(GaveUp));
            }
            wait.once();
        }
    }

    /// This worker's part of `0..n`: whole multiples of `granularity`, the last one cut, as even as that allows.
    pub fn share(&self, n: usize, granularity: usize) -> Range<usize> {
        share(n, granularity, self.index, self.count)
    }

    /// Divides the workers into `parts` of neighbors, as even as possible, each with a barrier of its own.
    /// Gives the number of this worker's part and its view of it.
    ///
    /// All workers must ask for the same number, and leave together what they entered.
    ///
    /// # Panics
    /// `parts` is 0 or more than there are workers, or these workers are parts of parts already.
    pub fn split(&self, parts: usize) -> (usize, Self) {
        assert!((1..=self.count).contains(&parts), "{} workers in {parts} parts", self.count);
        assert!(self.level + 1 < LEVELS, "parts of parts are not divided");
        let first = |part: usize| part * self.count / parts;
        let part = ((self.index + 1) * parts - 1) / self.count;
        let count = first(part + 1) - first(part);
        let begin = self.number - self.index + first(part);
        let level = self.level + 1;
        let barrier = &self.shared.barriers[level * self.threads + begin];
        (part, Self { barrier, level, index: self.index - first(part), count, ..*self })
    }
}

/// Part `index` of `count` of `0..n` in multiples of `granularity`.
pub(crate) fn share(n: usize, granularity: usize, index: usize, count: usize) -> Range<usize> {
    let groups = n.div_ceil(granularity);
    let bound = |i: usize| (groups * i / count * granularity).min(n);
    bound(index)..bound(index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_runs_and_sees_what_the_others_wrote_before_a_barrier() {
        for threads in 1..=5 {
            let mut team = Team::new(threads);
            for _ in 0..50 {
                let slots: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
                team.run(|worker| {
                    for round in 1..=20 {
                        slots[worker.index()].store(round, Ordering::Relaxed);
                        worker.barrier();
                        assert!(slots.iter().all(|s| s.load(Ordering::Relaxed) == round));
                        worker.barrier();
                    }
                });
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_hangs_nobody() {
        let mut team = Team::new(3);
        for guilty in 0..3 {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                team.run(|worker| {
                    worker.barrier();
                    if worker.index() == guilty {
                        resume_unwind(Box::new(guilty));
                    }
                    worker.barrier();
                });
            }));
            assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&guilty));
            let done = AtomicUsize::new(0);
            team.run(|worker| {
                worker.barrier();
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn parts_cover_the_team_and_have_barriers_of_their_own() {
        for (threads, parts) in [(5, 2), (4, 4), (3, 1), (7, 3)] {
            let arrived: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            let inside: Vec<AtomicUsize> = (0..2 * parts).map(|_| AtomicUsize::new(0)).collect();
            let sizes: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            Team::new(threads).run(|worker| {
                let (part, worker) = worker.split(parts);
                let (half, inner) = worker.split(worker.count().min(2));
                for round in 1..=10 {
                    arrived[part].fetch_add(1, Ordering::Relaxed);
                    worker.barrier();
                    assert_eq!(arrived[part].load(Ordering::Relaxed), round * worker.count());
                    worker.barrier();
                    inside[2 * part + half].fetch_add(1, Ordering::Relaxed);
                    inner.barrier();
                    assert_eq!(inside[2 * part + half].load(Ordering::Relaxed), round * inner.count());
                    inner.barrier();
                }
                sizes[part].fetch_add(1, Ordering::Relaxed);
            });
            let sizes: Vec<usize> = sizes.iter().map(|s| s.load(Ordering::Relaxed)).collect();
            assert_eq!(sizes.iter().sum::<usize>(), threads);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
    }

    #[test]
    fn shares_cover_everything_once_in_whole_groups() {
        for n in [0, 1, 31, 32, 33, 128, 540] {
            for count in 1..6 {
                let mut end = 0;
                for index in 0..count {
                    let range = share(n, 32, index, count);
                    assert_eq!(range.start, end);
                    assert!(range.start.is_multiple_of(32) || range.is_empty());
                    end = range.end;
                }
                assert_eq!(end, n);
            }
        }
    }
}
