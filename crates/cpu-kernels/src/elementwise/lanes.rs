//! Loops over slices in blocks of [`LANES`] values, which the compiler turns into vector instructions.
//!
//! What does not fill a block is a block too: the last [`LANES`] values once more, so that rows of odd widths cost
//! little. Sums are taken in an order that depends on the length only.

use std::mem::MaybeUninit;

use super::dispatch::Arith;

/// Values in a block: a vector of AVX-512, two of AVX2, four of NEON.
pub(crate) const LANES: usize = 16;

/// Values of one block.
pub(crate) type Block = [f32; LANES];

/// Blocks that a sum adds separately, so that it does not wait for one addition after another.
const STREAMS: usize = 4;

/// A function of `1 + N` values.
pub(crate) trait Map<const N: usize> {
    /// Its value.
    fn at<A: Arith>(&self, x: f32, rest: [f32; N]) -> f32;
}

/// Where a value can be written.
pub(crate) trait Slot: Sized {
    /// Writes it.
    fn put(&mut self, value: f32);

    /// Writes all of `out`, which has as many values.
    fn put_all(out: &mut [Self], values: &[f32]);
}

impl Slot for f32 {
    #[inline(always)]
    fn put(&mut self, value: f32) {
        *self = value;
    }

    #[inline(always)]
    fn put_all(out: &mut [Self], values: &[f32]) {
        out.copy_from_slice(values);
    }
}

impl Slot for MaybeUninit<f32> {
    #[inline(always)]
    fn put(&mut self, value: f32) {
        self.write(value);
    }

    #[inline(always)]
    fn put_all(out: &mut [Self], values: &[f32]) {
        out.write_copy_of_slice(values);
    }
}

/// `out[i] = f(x[i], rest[..][i])`: writes every value of `out`, which has the length of `x`.
#[inline(always)]
pub(crate) fn map<A: Arith, F: Map<N>, const N: usize>(f: &F, x: &[f32], rest: [&[f32]; N], out: &mut [impl Slot]) {
    let n = x.len();
    assert_eq!(n, out.len());
    let rest = rest.map(|r| &r[..n]);
    if n < LANES {
        let mut result = [0.0; LANES];
        block::<A, F, N>(f, &padded(x), rest.map(padded).each_ref(), &mut result);
        Slot::put_all(out, &result[..n]);
        return;
    }
    let count = n / LANES;
    let (xs, rests) = (&x.as_chunks().0[..count], rest.map(|r| &r.as_chunks().0[..count]));
    let outs = &mut out.as_chunks_mut().0[..count];
    for b in 0..count {
        one_block_at_a_time();
        block::<A, F, N>(f, &xs[b], rests.map(|r| &r[b]), &mut outs[b]);
    }
    if !n.is_multiple_of(LANES) {
        block::<A, F, N>(f, last(x), rest.map(last), last_mut(out));
    }
}

/// `x[i] = f(x[i], rest[..][i])`
#[inline(always)]
pub(crate) fn map_in_place<A: Arith, F: Map<N>, const N: usize>(f: &F, x: &mut [f32], rest: [&[f32]; N]) {
    let n = x.len();
    let rest = rest.map(|r| &r[..n]);
    if n < LANES {
        let mut result = [0.0; LANES];
        block::<A, F, N>(f, &padded(x), rest.map(padded).each_ref(), &mut result);
        x.copy_from_slice(&result[..n]);
        return;
    }
    // The block at the end overlaps others: taken from the values as they were, written last.
    let mut end = [0.0; LANES];
    if !n.is_multiple_of(LANES) {
        block::<A, F, N>(f, last(x), rest.map(last), &mut end);
    }
    let count = n / LANES;
    let (xs, rests) = (&mut x.as_chunks_mut().0[..count], rest.map(|r| &r.as_chunks().0[..count]));
    for b in 0..count {
        one_block_at_a_time();
        let values: Block = xs[b];
        block::<A, F, N>(f, &values, rests.map(|r| &r[b]), &mut xs[b]);
    }
    if !n.is_multiple_of(LANES) {
        *last_mut(x) = end;
    }
}

/// `x[i] = f(x[i])`; their sum.
#[inline(always)]
pub(crate) fn map_in_place_sum<A: Arith, F: Map<0>>(f: &F, x: &mut [f32]) -> f32 {
    let n = x.len();
    if n < LANES {
        let mut values = [0.0; LANES];
        block::<A, F, 0>(f, &padded(x), [], &mut values);
        x.copy_from_slice(&values[..n]);
        values[n..].fill(0.0);
        return fold(values);
    }
    // As in `map_in_place`; of the block at the end only what is in no other one is added.
    let mut end = [0.0; LANES];
    if !n.is_multiple_of(LANES) {
        block::<A, F, 0>(f, last(x), [], &mut end);
    }
    let mut sums = [[0.0; LANES]; 2];
    let (pairs, rest) = x.as_chunks_mut::<LANES>().0.as_chunks_mut::<2>();
    for [first, second] in pairs {
        one_block_at_a_time();
        map_and_add::<A, F>(f, first, &mut sums[0]);
        map_and_add::<A, F>(f, second, &mut sums[1]);
    }
    for block in rest {
        one_block_at_a_time();
        map_and_add::<A, F>(f, block, &mut sums[0]);
    }
    let mut total = [0.0; LANES];
    for i in 0..LANES {
        total[i] = sums[0][i] + sums[1][i];
    }
    if !n.is_multiple_of(LANES) {
        let new: &[u32; LANES] = WINDOW[n % LANES..].first_chunk().expect("two blocks, less than one cut");
        for i in 0..LANES {
            total[i] += f32::from_bits(end[i].to_bits() & new[i]);
        }
        *last_mut(x) = end;
    }
    // Opaque: what follows must not make the compiler take vectors apart.
    fold(*std::hint::black_box(&total))
}

#[inline(always)]
fn map_and_add<A: Arith, F: Map<0>>(f: &F, x: &mut Block, sums: &mut Block) {
    let values: Block = *x;
    block::<A, F, 0>(f, &values, [], x);
    for i in 0..LANES {
        sums[i] += x[i];
    }
}

/// `sum_i f(x[i], rest[..][i])`
#[inline(always)]
pub(crate) fn sum<A: Arith, F: Map<N>, const N: usize>(f: &F, x: &[f32], rest: [&[f32]; N]) -> f32 {
    let n = x.len();
    let rest = rest.map(|r| &r[..n]);
    let mut values = [0.0; LANES];
    if n < LANES {
        block::<A, F, N>(f, &padded(x), rest.map(padded).each_ref(), &mut values);
        values[n..].fill(0.0);
        return fold(values);
    }
    let count = n / LANES;
    let (xs, rests) = (&x.as_chunks().0[..count], rest.map(|r| &r.as_chunks().0[..count]));
    let mut sums = [[0.0; LANES]; STREAMS];
    let whole = count / STREAMS * STREAMS;
    let mut b = 0;
    while b < whole {
        one_block_at_a_time();
        add_block::<A, F, N>(f, &xs[b], rests.map(|r| &r[b]), &mut sums[0]);
        add_block::<A, F, N>(f, &xs[b + 1], rests.map(|r| &r[b + 1]), &mut sums[1]);
        add_block::<A, F, N>(f, &xs[b + 2], rests.map(|r| &r[b + 2]), &mut sums[2]);
        add_block::<A, F, N>(f, &xs[b + 3], rests.map(|r| &r[b + 3]), &mut sums[3]);
        b += STREAMS;
    }
    for b in whole..count {
        one_block_at_a_time();
        add_block::<A, F, N>(f, &xs[b], rests.map(|r| &r[b]), &mut sums[0]);
    }
    block::<A, F, N>(f, last(x), rest.map(last), &mut values);
    // All but the last `n % LANES` values of the last block were in other blocks already.
    let new: &[u32; LANES] = WINDOW[n % LANES..].first_chunk().expect("two blocks, less than one cut");
    // Opaque, here and below: what follows must not make the compiler take vectors apart.
    let values = std::hint::black_box(&values);
    let mut total = [0.0; LANES];
    for i in 0..LANES {
        let value = f32::from_bits(values[i].to_bits() & new[i]);
        total[i] = (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]) + value;
    }
    fold(*std::hint::black_box(&total))
}

/// No bits in the first block, all in the second.
static WINDOW: [u32; 2 * LANES] = {
    let mut window = [0; 2 * LANES];
    let mut i = LANES;
    while i < 2 * LANES {
        window[i] = u32::MAX;
        i += 1;
    }
    window
};

/// The largest value, not below `f32::MIN`, with every NaN left out.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    if x.len() < LANES {
        return x.iter().fold(f32::MIN, |m, &x| larger(x, m));
    }
    let mut largest = [f32::MIN; LANES];
    let blocks = x.as_chunks().0.iter().chain([last(x)]);
    for block in blocks {
        one_block_at_a_time();
        for i in 0..LANES {
            largest[i] = larger(block[i], largest[i]);
        }
    }
    let mut largest = *std::hint::black_box(&largest);
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            largest[i] = larger(largest[i + half], largest[i]);
        }
        half /= 2;
    }
    largest[0]
}

/// `x` if it is larger than `m`; otherwise, and if `x` is NaN, `m`.
#[inline(always)]
fn larger(x: f32, m: f32) -> f32 {
    if x > m { x } else { m }
}

#[inline(always)]
fn block<A: Arith, F: Map<N>, const N: usize>(f: &F, x: &Block, rest: [&Block; N], out: &mut [impl Slot; LANES]) {
    for i in 0..LANES {
        let mut others = [0.0; N];
        for k in 0..N {
            others[k] = rest[k][i];
        }
        out[i].put(f.at::<A>(x[i], others));
    }
}

#[inline(always)]
fn add_block<A: Arith, F: Map<N>, const N: usize>(f: &F, x: &Block, rest: [&Block; N], sums: &mut Block) {
    for i in 0..LANES {
        let mut others = [0.0; N];
        for k in 0..N {
            others[k] = rest[k][i];
        }
        sums[i] += f.at::<A>(x[i], others);
    }
}

/// Keeps the compiler from turning a loop over blocks into vectors of one value from each of 16 blocks, which it then
/// has to gather and scatter: a loop with assembly in it, of no instructions, stays as it is.
#[inline(always)]
fn one_block_at_a_time() {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    // SAFETY: no instructions.
    unsafe {
        std::arch::asm!("", options(nomem, nostack, preserves_flags));
    }
}

/// Sum of a block, in halves.
#[inline(always)]
fn fold(mut v: Block) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            v[i] += v[i + half];
        }
        half /= 2;
    }
    v[0]
}

#[inline(always)]
fn last(x: &[f32]) -> &Block {
    x.last_chunk().expect("at least one block")
}

#[inline(always)]
fn last_mut<T>(x: &mut [T]) -> &mut [T; LANES] {
    x.last_chunk_mut().expect("at least one block")
}

/// The values of a slice shorter than a block, then zeros.
#[inline(always)]
fn padded(x: &[f32]) -> Block {
    let mut block = [0.0; LANES];
    block[..x.len()].copy_from_slice(x);
    block
}
