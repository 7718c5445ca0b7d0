//! Draws from a keyed generator that never change with a version of `rand`.

use rand::RngCore;
pub(crate) use run_store::rng::keyed;

/// A whole number in `0..bound` (0 for an empty range) by multiply-shift of 64 bits; the bias is below `bound` / 2^64.
pub(crate) fn below(rng: &mut impl RngCore, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// A number in [0, 1) with 53 random bits.
pub(crate) fn unit(rng: &mut impl RngCore) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Fisher-Yates shuffle.
pub(crate) fn shuffle<T>(rng: &mut impl RngCore, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last + 1));
    }
}
