//! How the system divides the cores between threads that compute and all others.

/// Longer than what threads have that ask for none (a few milliseconds), shorter than the 100 ms that the system allows.
#[cfg(target_os = "linux")]
const SLICE_NS: u64 = 20_000_000;

/// Asks for long slices of time for the thread that calls it. Linux from 6.12 on then lets a thread that wakes up and has asked for none, such as one
/// that reads requests, or a client's, go first; else it could wait for the next tick of the clock, some milliseconds. The share of this thread
/// stays as it is. Other systems, and those that refuse, do what they did.
pub(crate) fn ask_for_long_slices() {
    #[cfg(target_os = "linux")]
    linux::ask();
}

#[cfg(target_os = "linux")]
mod linux {
    /// `struct sched_attr` of `sched_setattr(2)` in its first form of 48 bytes.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    pub fn ask() {
        let size = size_of::<Attributes>();
        let mut found = Attributes::default();
        // SAFETY: the system writes at most `size` bytes, which `found` has; 0 is the calling thread.
        let read = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size, 0) };
        // Whoever has chosen another policy for this process has done so on purpose.
        if read != 0 || found.policy != libc::SCHED_OTHER as u32 {
            return;
        }
        let wanted =
            Attributes { size: size as u32, runtime: super::SLICE_NS, nice: found.nice, ..Attributes::default() };
        // SAFETY: the system reads `size` bytes, which `wanted` has; 0 is the calling thread.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_thread_that_asks_keeps_its_policy_and_priority() {
            let read = || {
                let mut found = Attributes::default();
                let size = size_of::<Attributes>();
                // SAFETY: as above.
                let read = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size, 0) };
                assert_eq!(read, 0);
                found
            };
            let before = read();
            ask();
            let after = read();
            assert_eq!((before.policy, before.nice), (after.policy, after.nice));
            // Systems before 6.12 have no slices of threads' own.
            assert!(after.runtime == super::super::SLICE_NS || after.runtime == before.runtime, "{}", after.runtime);
        }
    }
}
