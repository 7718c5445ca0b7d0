//! Keeps small what a process holds of large mapped files.

use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;

/// Pages of shards that a process holds at once, in bytes, about. Smaller corpora are held as a whole.
pub(super) const MOST_BYTES: u64 = 512 << 20;
/// What the read of a sequence maps, about: its entry and its tokens, each with what the system maps around it. 64 KiB is the default of Linux,
/// but where the cache holds larger pieces of the file, these are mapped as a whole: of shards just written, twice as much was seen.
pub(super) const READ_BYTES: u64 = 256 << 10;

/// How much of a file may be mapped at the moment.
#[derive(Debug, Default)]
pub(super) struct Touched(AtomicU64);

impl Touched {
    /// Counts a read of so many bytes; tells how many more may be mapped thereby.
    pub fn add(&self, bytes: u64, file: u64) -> u64 {
        let before = self.0.load(Ordering::Relaxed).min(file);
        let more = bytes.min(file - before);
        if more > 0 {
            self.0.fetch_add(more, Ordering::Relaxed);
        }
        more
    }

    /// Gives the pages back, if there may be any. They stay in the system's cache, so that the next read of them is no read of the disk.
    pub fn give_back(&self, map: &Mmap) {
        if self.0.swap(0, Ordering::Relaxed) == 0 {
            return;
        }
        // SAFETY: the map is one of a file, shared and never written to: what is read of it later comes from the same file again, so no
        // value of Rust changes, whoever else reads at the same time.
        #[cfg(unix)]
        let outcome = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        #[cfg(not(unix))]
        let outcome: std::io::Result<()> = {
            let _ = map;
            Ok(())
        };
        // Where the system does not listen, memory is as it would be without this.
        drop(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_counts_than_the_file_has() {
        let touched = Touched::default();
        assert_eq!([touched.add(60, 100), touched.add(60, 100), touched.add(60, 100)], [60, 40, 0]);
    }

    #[test]
    fn what_was_given_back_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, [7; 100_000]).unwrap();
        // SAFETY: nobody else writes to the file.
        let map = unsafe { Mmap::map(&std::fs::File::open(path).unwrap()) }.unwrap();
        let touched = Touched::default();
        assert!(map.iter().all(|byte| *byte == 7));
        assert_eq!(touched.add(100_000, 100_000), 100_000);
        touched.give_back(&map);
        assert!(map.iter().all(|byte| *byte == 7));
        assert_eq!(touched.add(1, 100_000), 1);
    }
}
