//! `Xᵀ Y` of tall matrices that are packed some rows at a time, by the task that has just written them.
//!
//! The gradient of the weights of a linear map is such a product over all tokens. A task that takes some tokens through a block has
//! the rows of both operands in its cache; packing them there spares writing them to memory in `f32` and reading them again.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::buffer::Buffer;
use super::driver::run;
use super::epilogue::Epilogue;
use super::format::{Format, GROUP, TILE};
use super::multiply::blocks;
use super::pack::Side;
use super::packed::{Input, Packing, Weights};
use super::{MatMut, MatRef, Precision, Written};
use crate::Isa;

/// Rows that are multiplied together: those of both operands should stay in the second-level cache.
const BLOCK: usize = 512;
/// Bytes of the sums of a task, which should stay there too.
const SUMS: usize = 640 << 10;

/// Bytes from which a left operand goes past the cache.
const STREAMED: usize = 1 << 20;

/// One operand of [`transposed_product`].
///
/// Rows are packed in parts, each by one task; a part begins at a multiple of what the format multiplies in one step, and behind its
/// rows follow zeros up to the next one, which add nothing to the product.
#[derive(Debug)]
pub struct Tall {
    blocks: Vec<Operand>,
    side: Side,
    format: Format,
    isa: Isa,
    precision: Precision,
    rows: usize,
    width: usize,
    /// Rows of a part.
    part: usize,
    /// Inner indices that a part takes.
    slot: usize,
    /// Rows that have been packed.
    packed: AtomicUsize,
}

/// Some parts.
#[derive(Debug)]
enum Operand {
    Left(Input),
    Right(Weights),
}

impl Operand {
    fn buffer(&self) -> &Buffer {
        match self {
            Self::Left(input) => &input.packed,
            Self::Right(weights) => &weights.packed,
        }
    }
}

impl Tall {
    /// Room for `X [rows, width]`, in parts of `part` rows but for the last.
    pub fn left(rows: usize, width: usize, part: usize, precision: Precision) -> Self {
        Self::new(rows, width, part, precision, Side::Left)
    }

    /// Room for `Y [rows, width]`, in parts of `part` rows but for the last.
    pub fn right(rows: usize, width: usize, part: usize, precision: Precision) -> Self {
        Self::new(rows, width, part, precision, Side::Right)
    }

    fn new(rows: usize, width: usize, part: usize, precision: Precision, side: Side) -> Self {
        assert!(part > 0 && precision != Precision::Int8, "parts of rows, not in bytes");
        let isa = Isa::current();
        let format = Format::new(precision, isa);
        let slot = part.next_multiple_of(format.step());
        let together = (BLOCK / slot).max(1) * part;
        let blocks = (0..rows).step_by(together).map(|first| {
            let used = (rows - first).min(together);
            // All parts but the last of all take their whole place.
            let k = (used.div_ceil(part) - 1) * slot + (used - (used.div_ceil(part) - 1) * part);
            let group = format.group_bytes(k, side);
            let packed = Buffer::uninitialized(group * width.div_ceil(GROUP));
            if (1..=TILE).contains(&(width % GROUP)) {
                // Half of the last group has no lanes, and in formats of tiles nobody packs it.
                // SAFETY: the last of the buffer's groups, which nobody else knows yet.
                unsafe { packed.start().add(width / GROUP * group).write_bytes(0, group) };
            }
            match side {
                Side::Left => {
                    Operand::Left(Input { packed, quantized: Buffer::new(0), rows: width, k, precision, isa })
                }
                Side::Right => {
                    Operand::Right(Weights { packed, quantized: Vec::new(), inputs: k, outputs: width, precision, isa })
                }
            }
        });
        let blocks = blocks.collect();
        let packed = AtomicUsize::new(0);
        Self { blocks, side, format, isa, precision, rows, width, part, slot, packed }
    }

    /// The parts in order, each to be packed once.
    ///
    /// # Panics
    /// Parts have been packed before.
    pub fn parts(&mut self) -> Vec<TallPart<'_>> {
        assert_eq!(*self.packed.get_mut(), 0, "parts are packed once");
        let count = self.rows.div_ceil(self.part);
        let tall = &*self;
        (0..count).map(|index| TallPart { tall, index }).collect()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.buffer().bytes()).sum()
    }
}

/// Some rows of a [`Tall`] operand.
#[derive(Debug)]
pub struct TallPart<'a> {
    tall: &'a Tall,
    index: usize,
}

impl TallPart<'_> {
    /// Rows of this part.
    pub fn rows(&self) -> usize {
        let Tall { rows, part, .. } = self.tall;
        *part.min(&(rows - self.index * part))
    }

    /// Packs the rows of this part.
    ///
    /// # Panics
    /// `x` has another shape.
    pub fn pack(self, x: MatRef<'_>) {
        let Tall { blocks, side, format, isa, width, slot, packed, .. } = self.tall;
        assert_eq!((x.rows(), x.cols()), (self.rows(), *width), "shape of a part");
        let together = (BLOCK / slot).max(1);
        let operand = &blocks[self.index / together];
        let height = match operand {
            Operand::Left(input) => input.k,
            Operand::Right(weights) => weights.inputs,
        };
        let view = if *side == Side::Left { x.t() } else { x };
        let skipped = self.index % together * slot;
        // The left operand waits for the backward pass, the right one is used at once.
        let stream = *side == Side::Left && self.tall.bytes() > STREAMED;
        let job = Packing { view, side: *side, format: *format, isa: *isa, height, skipped, stream };
        // SAFETY: the block has room for all groups of its parts; this part is packed by this call alone, since it was handed out
        // once and is consumed.
        unsafe { job.all(operand.buffer(), &mut [], false) };
        packed.fetch_add(x.rows(), Ordering::Release);
    }
}

/// `out = Xᵀ Y`, with all threads of the current pool. The result does not depend on their number.
///
/// # Shapes
/// `x [rows, m]`, `y [rows, n]`, `out [m, n]`.
///
/// # Panics
/// The shapes or the parts do not fit, or rows have not been packed.
pub fn transposed_product<'a>(x: &Tall, y: &Tall, mut out: MatMut<'a>) -> Written<'a> {
    let (m, n) = (x.width, y.width);
    assert_eq!((out.rows(), out.cols()), (m, n), "shape of a product");
    assert_eq!((x.side, y.side), (Side::Left, Side::Right), "sides of a product");
    let parts = |tall: &Tall| (tall.rows, tall.part, tall.precision, tall.isa);
    assert_eq!(parts(x), parts(y), "operands packed alike");
    for tall in [x, y] {
        assert_eq!(tall.packed.load(Ordering::Acquire), tall.rows, "rows that have been packed");
    }
    let output = out.output(false);
    // The bits of a row do not depend on what else its task computes.
    let threads = if x.rows * m * n > super::driver::SMALL { rayon::current_num_threads() } else { 1 };
    let most = (SUMS / (n.max(1) * size_of::<f32>()) / GROUP).max(1) * GROUP;
    let rows = m.div_ceil(threads).next_multiple_of(GROUP).min(most);
    run(m.div_ceil(rows), threads > 1, |task| {
        let range = task * rows..m.min((task + 1) * rows);
        if x.rows == 0 {
            for row in range.clone() {
                // SAFETY: the rows of a task are its own and have room for `n` values; zeros are values.
                unsafe { output.below(row).out.write_bytes(0, n) };
            }
        }
        for (index, pair) in x.blocks.iter().zip(&y.blocks).enumerate() {
            let (Operand::Left(x), Operand::Right(y)) = pair else { unreachable!("sides have been compared") };
            let epilogue = Epilogue { accumulate: index > 0, ..Epilogue::default() };
            let steps = 0..y.format().steps(y.inputs);
            // SAFETY: every task writes its own rows of `out`, which `MatMut` has checked; all rows have been packed.
            unsafe { blocks(x, y, range.clone(), 0..n, steps, output, &epilogue) };
        }
    });
    // SAFETY: the tasks have written all rows, each with all its columns; without columns there are no elements.
    unsafe { Written::new(out) }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::matmul::matmul;

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i + seed) * 7919 % 2003) as f32 - 1000.0) * 1.7e-3).collect()
    }

    fn packed(mut tall: Tall, x: &[f32], part: usize) -> Tall {
        let width = tall.width;
        let rows = x.chunks(part * width);
        tall.parts().into_par_iter().zip(rows.collect::<Vec<_>>()).for_each(|(place, rows)| {
            place.pack(MatRef::row_major(rows, rows.len() / width, width));
        });
        tall
    }

    #[test]
    fn the_product_is_that_of_the_whole_matrices() {
        for (rows, m, n) in [(1, 1, 1), (50, 45, 7), (64, 64, 32), (700, 70, 33), (1500, 17, 130), (513, 33, 5)] {
            let (x, y) = (values(rows * m, 1), values(rows * n, 2));
            for precision in [Precision::F32, Precision::Bf16] {
                let mut expected = vec![0.0; m * n];
                let (a, b) = (MatRef::row_major(&x, rows, m), MatRef::row_major(&y, rows, n));
                matmul(a.t(), b, MatMut::row_major(&mut expected, m, n), precision, &Epilogue::default());
                for part in [1, 13, 50, 64, 128, 600] {
                    let left = packed(Tall::left(rows, m, part, precision), &x, part);
                    let right = packed(Tall::right(rows, n, part, precision), &y, part);
                    // Rows further apart than they are long; what lies between is left alone.
                    let mut found = vec![f32::NAN; m * (n + 3)];
                    transposed_product(&left, &right, MatMut::new(&mut found, m, n, n + 3));
                    for i in 0..m {
                        for j in 0..n {
                            let (found, expected) = (found[i * (n + 3) + j], expected[i * n + j]);
                            let off = (found - expected).abs();
                            assert!(
                                off <= 2e-5 * (rows as f32).sqrt(),
                                "{rows} {m} {n} {part} {precision:?}: {found} {expected}"
                            );
                        }
                        assert!(found[i * (n + 3) + n..].iter().take(3).all(|v| v.is_nan()));
                    }
                }
            }
        }
    }

    #[test]
    fn parts_of_no_whole_steps_leave_nothing_unwritten_between_them() {
        for (m, n) in [(7, 5), (20, 33)] {
            let (x, y) = (values(20 * m, 1), values(20 * n, 2));
            for precision in [Precision::F32, Precision::Bf16] {
                let (mut found, mut expected) = (vec![0.0; m * n], vec![0.0; m * n]);
                let left = packed(Tall::left(20, m, 9, precision), &x, 9);
                let right = packed(Tall::right(20, n, 9, precision), &y, 9);
                transposed_product(&left, &right, MatMut::row_major(&mut found, m, n));
                let (a, b) = (MatRef::row_major(&x, 20, m), MatRef::row_major(&y, 20, n));
                matmul(a.t(), b, MatMut::row_major(&mut expected, m, n), precision, &Epilogue::default());
                assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{m} {n} {precision:?}");
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let (rows, m, n) = (900, 200, 150);
        let (x, y) = (values(rows * m, 1), values(rows * n, 2));
        let find = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
            pool.install(|| {
                let left = packed(Tall::left(rows, m, 64, Precision::F32), &x, 64);
                let right = packed(Tall::right(rows, n, 64, Precision::F32), &y, 64);
                let mut found = vec![0.0; m * n];
                transposed_product(&left, &right, MatMut::row_major(&mut found, m, n));
                found
            })
        };
        assert_eq!(find(1), find(2));
        assert_eq!(find(1), find(5));
    }

    #[test]
    fn a_product_of_no_rows_is_zero() {
        let (left, right) = (Tall::left(0, 3, 64, Precision::Bf16), Tall::right(0, 2, 64, Precision::Bf16));
        let mut found = [f32::NAN; 6];
        transposed_product(&left, &right, MatMut::row_major(&mut found, 3, 2));
        assert_eq!(found, [0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "rows that have been packed")]
    fn rows_that_nobody_packed_are_noticed() {
        let (x, y) = (values(100 * 3, 1), values(100 * 2, 2));
        let left = packed(Tall::left(100, 3, 64, Precision::Bf16), &x, 64);
        let mut right = Tall::right(100, 2, 64, Precision::Bf16);
        right.parts().remove(0).pack(MatRef::row_major(&y[..128], 64, 2));
        transposed_product(&left, &right, MatMut::row_major(&mut [0.0; 6], 3, 2));
    }
}
