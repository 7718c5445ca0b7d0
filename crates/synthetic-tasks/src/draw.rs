//! Seeded draws whose results are part of the data format.
//!
//! The sampling arithmetic is written out here, on the raw ChaCha8 word stream, so that a later
//! release of a random-number crate cannot change a byte of the committed data.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use run_store::rng::keyed;

/// A stream of reproducible choices, keyed by seed and purpose.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    /// Opens the stream that belongs to `seed`, `purpose` and `counters`.
    pub(crate) fn new(seed: u64, purpose: &str, counters: &[u64]) -> Self {
        Self(keyed(seed, purpose, counters))
    }

    /// An integer in `0..n` (multiply-shift; the bias is below `n / 2^32`).
    pub(crate) fn below(&mut self, n: usize) -> usize {
        debug_assert!(n > 0 && u32::try_from(n).is_ok());
        ((u64::from(self.0.next_u32()) * n as u64) >> 32) as usize
    }

    /// True in `percent` of 100 draws.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// `N` distinct elements, in random order, of a list with at least `N`.
    pub(crate) fn pick_distinct<T: Copy, const N: usize>(&mut self, items: &[T]) -> [T; N] {
        let mut order: Vec<usize> = (0..items.len()).collect();
        for i in 0..N {
            let j = i + self.below(order.len() - i);
            order.swap(i, j);
        }
        std::array::from_fn(|i| items[order[i]])
    }

    /// The index drawn with probability proportional to its weight.
    pub(crate) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (i, &weight) in weights.iter().enumerate() {
            if left < weight {
                return i;
            }
            left -= weight;
        }
        unreachable!("a draw below the sum of the weights falls inside one of them")
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }
}

/// The two parts of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Split<T> {
    /// Examples to learn from.
    pub train: Vec<T>,
    /// Held-out examples; none of them occurs in `train`.
    pub dev: Vec<T>,
}

/// One example in this many is held out.
const HELD_OUT_ONE_IN: u64 = 8;

/// Fills both parts with drawn examples; the hash of an example's `key` decides which part may hold
/// it, so the parts are disjoint and follow one distribution. `train` keeps the natural repetitions
/// of short examples, `dev` has none.
///
/// `make` receives the example's number within its part, so that it can alternate labels and keep
/// both parts balanced; the order is shuffled afterwards.
pub(crate) fn fill_split<T>(
    draw: &mut Draw,
    train: usize,
    dev: usize,
    mut make: impl FnMut(&mut Draw, usize) -> T,
    key: impl Fn(&T) -> String,
) -> Split<T> {
    let mut seen = BTreeSet::new();
    let mut part = |draw: &mut Draw, size: usize, held_out: bool| {
        let mut items = Vec::with_capacity(size);
        while items.len() < size {
            let item = make(draw, items.len());
            let key = key(&item);
            let belongs = fnv1a(&key).is_multiple_of(HELD_OUT_ONE_IN) == held_out;
            if belongs && (!held_out || seen.insert(key)) {
                items.push(item);
            }
        }
        draw.shuffle(&mut items);
        items
    };
    let dev = part(draw, dev, true);
    let train = part(draw, train, false);
    Split { train, dev }
}

/// The 64-bit FNV-1a hash, folded so that its low bits depend on every byte.
fn fnv1a(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_gives_the_same_draws_and_another_key_other_ones() {
        let stream = |seed, purpose| {
            let mut draw = Draw::new(seed, purpose, &[]);
            (0..32).map(|_| draw.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(stream(1, "a"), stream(1, "a"));
        assert_ne!(stream(1, "a"), stream(2, "a"));
        assert_ne!(stream(1, "a"), stream(1, "b"));
    }

    #[test]
    fn distinct_picks_never_repeat() {
        let mut draw = Draw::new(3, "test", &[]);
        for _ in 0..200 {
            let [a, b, c] = draw.pick_distinct(&[1, 2, 3]);
            assert_eq!(a + b + c, 6, "{a} {b} {c} are not the three elements");
        }
    }

    #[test]
    fn weights_set_the_frequencies() {
        let mut draw = Draw::new(4, "test", &[]);
        let mut counts = [0usize; 3];
        for _ in 0..10_000 {
            counts[draw.weighted(&[1, 0, 3])] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((2_300..2_700).contains(&counts[0]), "{counts:?}");
    }
}
