//! The specification of blocks, in shapes that compilers vectorize.

use super::{Block, Job};
use crate::matmul::format::{GROUP, TILE, TILE_BYTES};

/// Rows computed together, so that a loaded row of the right operand is used more than once.
const TOGETHER: usize = 4;

/// Computes a block of `f32` products.
///
/// # Safety
/// See [`super::run`].
pub(super) unsafe fn panel(job: Job, block: &mut Block) {
    // SAFETY: packed groups have `steps` steps of 32 values.
    let (left, right) = unsafe { (lanes::<f32>(job.left, job.steps), lanes::<f32>(job.right, job.steps)) };
    for row in (0..job.rows).step_by(TOGETHER) {
        for col in (0..job.cols).step_by(TILE) {
            let mut sums = [[0.0f32; TILE]; TOGETHER];
            for (l, r) in left.iter().zip(right) {
                let r: &[f32; TILE] = r[col..col + TILE].try_into().expect("16 of 32 lanes");
                for (sums, &x) in sums.iter_mut().zip(&l[row..row + TOGETHER]) {
                    for (sum, y) in sums.iter_mut().zip(r) {
                        *sum += x * y;
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                block.0[(row + i) * GROUP + col..][..TILE].copy_from_slice(sums);
            }
        }
    }
}

/// Views packed memory as steps of one group of columns.
///
/// # Safety
/// The pointer leads to `steps` steps of 32 values of `T`, aligned.
unsafe fn lanes<'a, T>(at: *const u8, steps: usize) -> &'a [[T; GROUP]] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(at.cast(), steps) }
}

/// Tiles of a step, each as 16 rows of 16 words.
///
/// # Safety
/// The pointer leads to `steps` steps of two tiles, aligned.
unsafe fn tiles<'a>(at: *const u8, steps: usize) -> &'a [[[[u32; TILE]; TILE]; 2]] {
    const { assert!(size_of::<[[u32; TILE]; TILE]>() == TILE_BYTES) };
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(at.cast(), steps) }
}

/// Computes a block of `bf16` products, in pairs.
///
/// # Safety
/// See [`super::run`].
pub(super) unsafe fn pairs(job: Job, block: &mut Block) {
    // SAFETY: packed groups have `steps` steps of two tiles.
    let (left, right) = unsafe { (tiles(job.left, job.steps), tiles(job.right, job.steps)) };
    let (row_tiles, col_tiles) = job.tiles();
    for (rt, ct) in (0..row_tiles).flat_map(|r| (0..col_tiles).map(move |c| (r, c))) {
        for row in (0..TILE).step_by(TOGETHER) {
            let mut sums = [[0.0f32; TILE]; TOGETHER];
            for (l, r) in left.iter().zip(right) {
                for (pair, r) in r[ct].iter().enumerate() {
                    for (sums, l) in sums.iter_mut().zip(&l[rt][row..row + TOGETHER]) {
                        let x = l[pair];
                        let (low, high) = (f32::from_bits(x << 16), f32::from_bits(x & 0xffff_0000));
                        for (sum, y) in sums.iter_mut().zip(r) {
                            *sum += low * f32::from_bits(y << 16);
                            *sum += high * f32::from_bits(y & 0xffff_0000);
                        }
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                block.0[(rt * TILE + row + i) * GROUP + ct * TILE..][..TILE].copy_from_slice(sums);
            }
        }
    }
}

/// The sums of [`pairs`], in the same order, of rows that have been widened before.
///
/// # Safety
/// See [`super::run`].
pub(super) unsafe fn halves(job: Job, block: &mut Block) {
    // SAFETY: packed groups have `steps` steps, of 32 inner indices on the left and of two tiles on the right.
    let (left, right) = unsafe { (lanes::<f32>(job.left, job.steps * 32), tiles(job.right, job.steps)) };
    let begun = job.more;
    for (row, col) in (0..job.rows).flat_map(|row| (0..job.cols).map(move |col| (row, col))) {
        let sum = &mut block.0[row * GROUP + col];
        *sum = if begun { *sum } else { 0.0 };
        for k in 0..job.k {
            let pair = right[k / 32][col / TILE][k % 32 / 2][col % TILE];
            let y = if k % 2 == 0 { pair << 16 } else { pair & 0xffff_0000 };
            *sum += left[k][row] * f32::from_bits(y);
        }
    }
}

/// Computes a block of 8-bit products, in fours.
///
/// # Safety
/// See [`super::run`].
pub(super) unsafe fn quads(job: Job, block: &mut Block) {
    // SAFETY: packed groups have `steps` steps of two tiles.
    let (left, right) = unsafe { (tiles(job.left, job.steps), tiles(job.right, job.steps)) };
    let (row_tiles, col_tiles) = job.tiles();
    for (rt, ct) in (0..row_tiles).flat_map(|r| (0..col_tiles).map(move |c| (r, c))) {
        for row in (0..TILE).step_by(TOGETHER) {
            let mut sums = [[0i32; TILE]; TOGETHER];
            for (l, r) in left.iter().zip(right) {
                for (quad, r) in r[ct].iter().enumerate() {
                    for (sums, l) in sums.iter_mut().zip(&l[rt][row..row + TOGETHER]) {
                        let x = l[quad].to_le_bytes().map(i32::from);
                        for (sum, y) in sums.iter_mut().zip(r) {
                            let y = *y as i32;
                            *sum += x[0] * (y << 24 >> 24)
                                + x[1] * (y << 16 >> 24)
                                + x[2] * (y << 8 >> 24)
                                + x[3] * (y >> 24);
                        }
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                let at = &mut block.0[(rt * TILE + row + i) * GROUP + ct * TILE..][..TILE];
                at.iter_mut().zip(sums).for_each(|(to, sum)| *to = f32::from_bits(*sum as u32));
            }
        }
    }
}
