//! Threads that wait for work without sleeping.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::Yield;

/// In the gate: no thread may begin to wait any more.
const CLOSED: usize = 1 << (usize::BITS - 1);
/// Looks at the gate until it is closed, whoever is missing: some hundred microseconds, which is more than a thread needs to wake.
const LOOKS: usize = 50_000;

/// Runs `work`, and keeps the other threads of the current pool looking for its tasks until it ends.
///
/// A training step hands hundreds of tasks of a few hundred microseconds to the pool, one after the other. A thread
/// that finds none for some microseconds goes to sleep, and waking it costs about as much as a task takes. Here it spins
/// instead, so for that long a pool of n threads keeps n processors busy, also where `work` gives it nothing to do.
/// Results are what they are without it.
///
/// The others begin to wait before `work` begins, or not at all. One that began later could be in the middle of a task of `work`, which rayon
/// interrupts for other work while it waits for a part of it: it would wait for the end of `work`, and `work` for its task.
pub fn busy_wait<R>(work: impl FnOnce() -> R) -> R {
    /// Lets the others go, also where `work` panics.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let (ended, gate) = (AtomicBool::new(false), AtomicUsize::new(0));
    let here = rayon::current_thread_index();
    if rayon::current_num_threads() < 2 || here.is_none() {
        return work();
    }
    rayon::in_place_scope(|scope| {
        scope.spawn_broadcast(|_, context| {
            if Some(context.index()) == here || gate.fetch_add(1, Ordering::AcqRel) & CLOSED != 0 {
                return;
            }
            while !ended.load(Ordering::Acquire) {
                if rayon::yield_now() != Some(Yield::Executed) {
                    // Looking touches the queues of the others; about half a microsecond between two looks.
                    (0..8).for_each(|_| std::hint::spin_loop());
                }
            }
        });
        let _end = End(&ended);
        let others = rayon::current_num_threads() - 1;
        for _ in 0..LOOKS {
            if gate.load(Ordering::Acquire) >= others {
                break;
            }
            std::hint::spin_loop();
        }
        gate.fetch_or(CLOSED, Ordering::AcqRel);
        work()
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::prelude::*;

    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
    }

    #[test]
    fn work_and_its_tasks_are_done_whatever_the_number_of_threads() {
        for threads in [1, 2, 5] {
            let sum = || (0..1000_usize).into_par_iter().with_max_len(1).map(|i| i as u64).sum::<u64>();
            let sums: Vec<u64> = pool(threads).install(|| (0..50).map(|_| busy_wait(sum)).collect());
            assert_eq!(sums, vec![499_500; 50]);
        }
        assert_eq!(busy_wait(|| 3), 3, "outside a pool");
    }

    #[test]
    fn scopes_within_scopes_end() {
        assert_eq!(
            pool(3).install(|| busy_wait(|| busy_wait(|| rayon::join(|| busy_wait(|| 1), || busy_wait(|| 2))))),
            (1, 2)
        );
    }

    /// Rare without the gate: seen once, as a search that did not end, with a thread waiting within a task of the step.
    #[test]
    fn a_thread_that_takes_a_task_first_does_not_wait_within_it() {
        for threads in [2, 3] {
            let pool = pool(threads);
            for round in 0..20_000_usize {
                let sum = || (0..8_usize).into_par_iter().with_max_len(1).map(|i| i + round % 3).sum::<usize>();
                assert_eq!(pool.install(|| busy_wait(sum)), 28 + 8 * (round % 3));
            }
        }
    }

    #[test]
    fn a_panic_ends_the_waiting() {
        let pool = pool(2);
        let caught = pool.install(|| catch_unwind(AssertUnwindSafe(|| busy_wait(|| panic!("in a step")))));
        assert!(caught.is_err());
        assert_eq!(pool.install(|| busy_wait(|| 1)), 1, "the pool works on");
    }
}
