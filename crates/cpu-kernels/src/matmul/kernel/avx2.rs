//! Blocks with AVX2 and FMA.
//!
//! Every format ends in the same loop: the sums of up to 6 rows x 16 columns stay in 12 of the 16 registers, two hold a row of
//! the right operand and one a value of the left one. Words of 32 bits are multiplied: an `f32`, two `i16`, or four bytes.
//!
//! Pairs of `bf16` become two `f32` in registers, by a shift and a mask. Bytes are multiplied as they are by processors with AVX-VNNI.
//! Others widen them to `i16`, whose products in pairs are exact in 32 bits (`vpmaddubsw` would saturate: twice 255 x 127 needs 17
//! bits), the rows and columns of a few steps at a time, to memory that stays in the first-level cache: a byte is widened once for a
//! block and multiplied 32 times.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::{Block, Job};
use crate::isa;
use crate::matmul::format::{GROUP, TILE, TILE_BYTES};

/// Most rows computed together.
const TOGETHER: usize = 6;
/// Bytes of a step of one group of tiles.
const STEP_BYTES: usize = 2 * TILE_BYTES;
/// Words of one lane in a step after widening.
const WORDS: usize = 32;
/// Steps widened at a time: both operands take 24 of at least 32 KiB.
const STEPS: usize = 3;

/// A part of both operands in words of 32 bits.
#[repr(C, align(64))]
struct Wide {
    /// Lane by lane.
    left: [[u32; STEPS * WORDS]; GROUP],
    /// Inner index by inner index.
    right: [[u32; GROUP]; STEPS * WORDS],
}

/// Where the words of one block of sums lie.
#[derive(Clone, Copy)]
struct Words {
    /// First word of the first row.
    left: *const u8,
    /// First words of 16 columns.
    right: *const u8,
    /// Words of each row and column.
    count: usize,
    /// Adds to the block instead of replacing it.
    more: bool,
}

/// Distances of words in bytes.
trait Layout {
    /// From row to row of the left operand.
    const ROW: usize;
    /// From one inner index to the next, left.
    const LEFT: usize;
    /// And right.
    const RIGHT: usize;
    /// Words after which both operands go on in the next step; `usize::MAX` where there are no steps.
    const STEP: usize = usize::MAX;
}

/// `f32` as packed: 32 lanes for each inner index.
struct Panel;

impl Layout for Panel {
    const ROW: usize = 4;
    const LEFT: usize = GROUP * 4;
    const RIGHT: usize = GROUP * 4;
}

/// [`Wide`].
struct Widened;

impl Layout for Widened {
    const ROW: usize = STEPS * WORDS * 4;
    const LEFT: usize = 4;
    const RIGHT: usize = GROUP * 4;
}

/// Tiles as packed. The second tile of the left operand begins where the first one's rows end.
struct Tiles;

impl Layout for Tiles {
    const ROW: usize = 64;
    const LEFT: usize = 4;
    const RIGHT: usize = 64;
    const STEP: usize = TILE;
}

/// The sums of `ROWS` rows and 16 columns from `to` on: what the block holds, or zeros.
///
/// # Safety
/// `to` leads to them, aligned to 32 bytes; the machine has AVX.
#[inline]
#[target_feature(enable = "avx")]
unsafe fn begin<const ROWS: usize>(to: *const f32, more: bool) -> [[__m256; 2]; ROWS] {
    if !more {
        return [[_mm256_setzero_ps(); 2]; ROWS];
    }
    // SAFETY: the caller's promise.
    std::array::from_fn(|i| std::array::from_fn(|half| unsafe { _mm256_load_ps(to.add(i * GROUP + 8 * half)) }))
}

/// Stores what [`begin`] began.
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "avx")]
unsafe fn end<const ROWS: usize>(sums: [[__m256; 2]; ROWS], to: *mut f32) {
    for (i, sums) in sums.into_iter().enumerate() {
        // SAFETY: as in `begin`.
        unsafe {
            _mm256_store_ps(to.add(i * GROUP), sums[0]);
            _mm256_store_ps(to.add(i * GROUP + 8), sums[1]);
        }
    }
}

/// `$name(words, rows, to)` adds up the products of `rows` rows and 16 columns and stores them at `to`, the rows of a block.
macro_rules! sums {
    ($name:ident, $some:ident, $features:literal, $sum:expr) => {
        /// # Safety
        /// `words` leads to `rows` rows and 16 columns in the layout `L`, columns aligned to 32 bytes; `to` to as many rows of a block,
        /// aligned too; the machine has the features. `rows` is 1 to 6.
        #[target_feature(enable = $features)]
        unsafe fn $name<L: Layout>(words: Words, rows: usize, to: *mut f32) {
            // SAFETY: the caller's promises.
            unsafe {
                match rows {
                    1 => $some::<L, 1>(words, to),
                    2 => $some::<L, 2>(words, to),
                    3 => $some::<L, 3>(words, to),
                    4 => $some::<L, 4>(words, to),
                    5 => $some::<L, 5>(words, to),
                    _ => $some::<L, 6>(words, to),
                }
            }
        }

        /// # Safety
        #[doc = concat!("See [`", stringify!($name), "`].")]
        #[target_feature(enable = $features)]
        unsafe fn $some<L: Layout, const ROWS: usize>(words: Words, to: *mut f32) {
            let Words { mut left, mut right, count, more } = words;
            // SAFETY: rows and columns of both operands and of the block, as promised. The pointers are moved by wrapping arithmetic,
            // as the last move leads behind the operands.
            unsafe {
                let mut sums = begin::<ROWS>(to, more);
                let mut rest = count;
                while rest > 0 {
                    let here = rest.min(L::STEP);
                    for _ in 0..here {
                        let r = [_mm256_load_ps(right.cast()), _mm256_load_ps(right.cast::<f32>().add(8))];
                        for (i, sums) in sums.iter_mut().enumerate() {
                            let x = _mm256_broadcast_ss(&*left.add(i * L::ROW).cast());
                            sums[0] = $sum(sums[0], x, r[0]);
                            sums[1] = $sum(sums[1], x, r[1]);
                        }
                        left = left.wrapping_add(L::LEFT);
                        right = right.wrapping_add(L::RIGHT);
                    }
                    rest -= here;
                    if L::STEP < usize::MAX {
                        left = left.wrapping_add(STEP_BYTES - L::STEP * L::LEFT);
                        right = right.wrapping_add(STEP_BYTES - L::STEP * L::RIGHT);
                    }
                }
                end(sums, to);
            }
        }
    };
}

sums!(sums_of_floats, some_floats, "avx2,fma", |sum, x, y| _mm256_fmadd_ps(x, y, sum));
sums!(sums_of_words, some_words, "avx2", |sum, x, y| {
    let products = _mm256_madd_epi16(_mm256_castps_si256(x), _mm256_castps_si256(y));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum), products))
});
sums!(sums_of_bytes, some_bytes, "avx2,avxvnni", |sum, x, y| {
    let [sum, x, y] = [sum, x, y].map(|v| _mm256_castps_si256(v));
    _mm256_castsi256_ps(_mm256_dpbusd_avx_epi32(sum, x, y))
});

/// Rows in parts of at most [`TOGETHER`], as equal as they can be: first and number.
fn parts(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = rows.div_ceil(TOGETHER);
    (0..count).map(move |i| (i * rows / count, (i + 1) * rows / count - i * rows / count))
}

/// [`parts`] of the job's rows; before each, columns that come next are brought closer.
fn parts_of(job: Job) -> impl Iterator<Item = (usize, usize)> {
    let count = job.rows.div_ceil(TOGETHER);
    parts(job.rows).enumerate().map(move |(index, part)| {
        job.bring_part(index, count);
        part
    })
}

/// Computes a block of `f32` products.
///
/// # Safety
/// See [`super::run`]; the machine has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn panel(job: Job, block: &mut Block) {
    for (row, rows) in parts_of(job) {
        for col in (0..job.cols).step_by(TILE) {
            // SAFETY: both groups have 32 lanes in each of `steps` steps and start on a cache line, as the block does; `row + rows`
            // and `col + 16` are at most 32.
            unsafe {
                let (left, right) = (job.left.add(row * 4), job.right.add(col * 4));
                let words = Words { left, right, count: job.steps, more: job.more };
                sums_of_floats::<Panel>(words, rows, block.0.as_mut_ptr().add(row * GROUP + col));
            }
        }
    }
}

/// Computes a block of `bf16` products, widened to `f32`.
///
/// # Safety
/// See [`super::run`]; the machine has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn halves(job: Job, block: &mut Block) {
    for (row, rows) in parts_of(job) {
        for col in (0..job.cols).step_by(TILE) {
            // SAFETY: the left group has 32 lanes for each of 32 `steps` inner indices, the right one two tiles in each of `steps`
            // steps; all start on a cache line.
            unsafe {
                let (left, right) = (job.left.add(row * 4), job.right.add(col / TILE * TILE_BYTES));
                let words = Words { left, right, count: job.k.div_ceil(2), more: job.more };
                let to = block.0.as_mut_ptr().add(row * GROUP + col);
                match rows {
                    1 => some_halves::<1>(words, to),
                    2 => some_halves::<2>(words, to),
                    3 => some_halves::<3>(words, to),
                    4 => some_halves::<4>(words, to),
                    5 => some_halves::<5>(words, to),
                    _ => some_halves::<6>(words, to),
                }
            }
        }
    }
}

/// As [`sums`], of rows in `f32` and columns in pairs of `bf16`: the lower ones with the first of two inner indices, the upper ones with
/// the second.
///
/// # Safety
/// `words` leads to `ROWS` lanes of a group of `f32` and a tile of a group of pairs; the rest as in [`sums`].
#[target_feature(enable = "avx2,fma")]
unsafe fn some_halves<const ROWS: usize>(words: Words, to: *mut f32) {
    let Words { left, mut right, count, more } = words;
    let mut left = left.cast::<f32>();
    let upper = _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32.cast_signed()));
    // SAFETY: rows and columns of both operands and of the block, as promised.
    unsafe {
        let mut sums = begin::<ROWS>(to, more);
        let mut rest = count;
        while rest > 0 {
            let here = rest.min(TILE);
            for _ in 0..here {
                let r = [_mm256_load_si256(right.cast()), _mm256_load_si256(right.add(32).cast())];
                let r = r.map(|r| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(r)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_broadcast_ss(&*left.add(i));
                    sums[0] = _mm256_fmadd_ps(x, r[0], sums[0]);
                    sums[1] = _mm256_fmadd_ps(x, r[1], sums[1]);
                }
                let r = [_mm256_load_ps(right.cast()), _mm256_load_ps(right.add(32).cast())];
                let r = r.map(|r| _mm256_and_ps(r, upper));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_broadcast_ss(&*left.add(GROUP + i));
                    sums[0] = _mm256_fmadd_ps(x, r[0], sums[0]);
                    sums[1] = _mm256_fmadd_ps(x, r[1], sums[1]);
                }
                left = left.wrapping_add(2 * GROUP);
                right = right.wrapping_add(64);
            }
            rest -= here;
            right = right.wrapping_add(TILE_BYTES);
        }
        end(sums, to);
    }
}

/// Widens a part of both operands, multiplies it, and so on.
///
/// # Safety
/// See [`super::run`]; the machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn quads_in_words(job: Job, block: &mut Block) {
    let mut wide = MaybeUninit::<Wide>::uninit();
    let wide = wide.as_mut_ptr();
    for first in (0..job.steps).step_by(STEPS) {
        let steps = STEPS.min(job.steps - first);
        // Two words for every quad, of which only those that hold values are multiplied.
        let count = (job.k.saturating_sub(first * 64)).min(steps * 64).div_ceil(4) * 2;
        // SAFETY: steps of both groups; `wide` has room for them. All of it that is read, `count` words of the rows and of the tiles'
        // columns that are wanted, has been written. Alignment as in `panel`.
        unsafe {
            let (left, right) = (&raw mut (*wide).left, &raw mut (*wide).right);
            // What is widened takes a part of the first-level cache, so the columns that come next wait in the second one.
            job.bring_part(first / STEPS, job.steps.div_ceil(STEPS));
            left_quads(job.left.add(first * STEP_BYTES), steps, job.rows, left);
            right_quads(job.right.add(first * STEP_BYTES), steps, job.cols.div_ceil(TILE), right);
            for (row, rows) in parts(job.rows) {
                for col in (0..job.cols).step_by(TILE) {
                    let words = Words {
                        left: left.cast::<u8>().add(row * Widened::ROW),
                        right: right.cast::<u8>().add(col * 4),
                        count,
                        more: job.more || first > 0,
                    };
                    sums_of_words::<Widened>(words, rows, block.0.as_mut_ptr().add(row * GROUP + col));
                }
            }
        }
    }
}

/// Computes a block of 8-bit products, in fours, with AVX-VNNI where the machine has it.
///
/// # Safety
/// See [`super::run`]; the machine has AVX2 and FMA.
pub(super) unsafe fn quads(job: Job, block: &mut Block) {
    // SAFETY: the caller's promises.
    unsafe {
        if isa::has_avx_vnni() {
            quads_in_bytes(job, block);
        } else {
            quads_in_words(job, block);
        }
    }
}

/// Computes a block of 8-bit products, in fours, with AVX-VNNI.
///
/// # Safety
/// See [`super::run`]; the machine has AVX2 and AVX-VNNI.
#[target_feature(enable = "avx2,avxvnni")]
pub(super) unsafe fn quads_in_bytes(job: Job, block: &mut Block) {
    for (row, rows) in parts_of(job) {
        for col in (0..job.cols).step_by(TILE) {
            // SAFETY: both groups have two tiles in each of `steps` steps and start on a cache line, as the block does.
            unsafe {
                let (left, right) = (job.left.add(row * Tiles::ROW), job.right.add(col / TILE * TILE_BYTES));
                let words = Words { left, right, count: job.k.div_ceil(4), more: job.more };
                sums_of_bytes::<Tiles>(words, rows, block.0.as_mut_ptr().add(row * GROUP + col));
            }
        }
    }
}

/// Unsigned bytes of `rows` rows into `i16`: of each quad the first and third, then the second and fourth.
///
/// # Safety
/// `from` leads to `steps` steps of a left operand, aligned, and `to` to memory of this thread; `steps` is at most [`STEPS`]; the machine
/// has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn left_quads(from: *const u8, steps: usize, rows: usize, to: *mut [[u32; STEPS * WORDS]; GROUP]) {
    let order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    for row in 0..rows {
        for step in 0..steps {
            for part in 0..4 {
                // SAFETY: 16 of the 64 bytes of the row in this step, to 8 words.
                unsafe {
                    let values = _mm_load_si128(from.add(step * STEP_BYTES + row * 64 + part * 16).cast());
                    let values = _mm256_cvtepu8_epi16(_mm_shuffle_epi8(values, order));
                    _mm256_store_si256(to.cast::<u32>().add((row * STEPS + step) * WORDS + part * 8).cast(), values);
                }
            }
        }
    }
}

/// Signed bytes of `tiles` times 16 columns into `i16`, in the order of [`left_quads`].
///
/// # Safety
/// As [`left_quads`] for `tiles` tiles of a right operand.
#[target_feature(enable = "avx2")]
unsafe fn right_quads(from: *const u8, steps: usize, tiles: usize, to: *mut [[u32; GROUP]; STEPS * WORDS]) {
    for step in 0..steps {
        for half in 0..2 * tiles {
            for quad in 0..TILE {
                // SAFETY: 8 of the 16 columns of a quad, to as many words twice.
                unsafe {
                    let at = step * STEP_BYTES + half / 2 * TILE_BYTES + quad * 64 + half % 2 * 32;
                    let values = _mm256_load_si256(from.add(at).cast());
                    let to = to.cast::<u32>().add((step * WORDS + 2 * quad) * GROUP + half * 8);
                    _mm256_store_si256(to.cast(), _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(values)));
                    _mm256_store_si256(to.add(GROUP).cast(), _mm256_srai_epi16::<8>(values));
                }
            }
        }
    }
}
