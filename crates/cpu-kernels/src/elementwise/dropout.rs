//! Dropout whose mask is a function of a key and a position, so nothing is stored between forward and backward pass.

use super::lanes::{Block, LANES};
use crate::OutSlice;

/// `y_i = x_i / keep` where element `offset + i` of the stream `key` is kept, otherwise 0.
///
/// Each element is kept with probability `keep` by a hash of its position: the gradient is the same function of the
/// output's gradient, and a slice may be worked on in pieces. With `keep` 1 this is a copy.
///
/// # Panics
/// The lengths differ, or `keep` is not in `0..=1`.
pub fn dropout<'a>(x: &[f32], y: impl Into<OutSlice<'a>>, keep: f64, key: u64, offset: u64) -> &'a mut [f32] {
    let y = y.into().copy_from(x);
    dropout_in_place(y, keep, key, offset);
    y
}

/// [`dropout`] over its input.
///
/// # Panics
/// `keep` is not in `0..=1`.
pub fn dropout_in_place(x: &mut [f32], keep: f64, key: u64, offset: u64) {
    assert!((0.0..=1.0).contains(&keep), "{keep} is not a probability");
    let limit = keep * 2.0_f64.powi(32);
    if limit > f64::from(u32::MAX) {
        return;
    }
    let (limit, factor) = (limit as u32, if keep > 0.0 { (1.0 / keep) as f32 } else { 0.0 });
    // The hash takes the position's lower half; the upper half changes the key.
    let (mut rest, mut position) = (x, offset);
    while !rest.is_empty() {
        let until_carry = (1 << 32) - (position & 0xffff_ffff);
        let n = usize::try_from(until_carry).map_or(rest.len(), |n| n.min(rest.len()));
        let (part, after) = rest.split_at_mut(n);
        let mixed = mix(key ^ mix(position >> 32));
        let mask = Mask { low: mixed as u32, high: (mixed >> 32) as u32, limit, factor };
        let first = position as u32;
        let mask = &mask;
        dispatch!(|mask: &Mask, part: &mut [f32], first: u32| {
            let (blocks, rest) = part.as_chunks_mut::<LANES>();
            let mut position = first;
            for block in blocks {
                let values: Block = *block;
                for i in 0..LANES {
                    block[i] = mask.at(values[i], position.wrapping_add(i as u32));
                }
                position = position.wrapping_add(LANES as u32);
            }
            for (i, x) in rest.iter_mut().enumerate() {
                *x = mask.at(*x, position.wrapping_add(i as u32));
            }
        });
        rest = after;
        position = position.wrapping_add(n as u64);
    }
}

/// The finalizer of SplitMix64 (Steele, Lea & Flood 2014).
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

struct Mask {
    low: u32,
    high: u32,
    limit: u32,
    factor: f32,
}

impl Mask {
    #[inline(always)]
    fn at(&self, x: f32, position: u32) -> f32 {
        let hash = scramble(scramble(position ^ self.low).wrapping_add(self.high));
        if hash < self.limit { self.factor * x } else { 0.0 }
    }
}

/// A bijection of 32 bits with little bias from any bit to any other (Wellons, hash-prospector, `lowbias32`).
#[inline(always)]
fn scramble(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}
