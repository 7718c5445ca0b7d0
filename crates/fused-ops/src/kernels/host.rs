//! Tensors of the CPU backend as slices.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::backend::TensorMetadata;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
use cpu_kernels::OutSlice;
use cpu_kernels::matmul::MatRef;
use rayon::prelude::*;

/// Values that one task of the thread pool works on: large enough to be worth handing over, small enough for the
/// second-level cache. Blocks are cut by this number alone, so results do not depend on the number of threads.
const BLOCK: usize = 1 << 14;

/// Rows of `width` values that make up one block, at least 1.
pub(crate) fn block_rows(width: usize) -> usize {
    (BLOCK / width.max(1)).max(1)
}

/// The tensor with its values next to each other: itself where they are, else a copy.
pub(crate) fn dense(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of a [`dense`] tensor in row-major order.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("a dense tensor of f32")
}

/// The size of every axis.
pub(crate) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.shape().dims()
}

/// Size of the last axis, and how many such rows there are.
pub(crate) fn rows(tensor: &FlexTensor) -> (usize, usize) {
    let shape = tensor.shape();
    let width = shape.iter().last().copied().unwrap_or(1);
    (shape.num_elements().checked_div(width).unwrap_or(0), width)
}

/// Fresh memory of a tensor, or a part of it, that is to be written once.
///
/// Parts count what they have written, so that memory becomes a tensor only where all of it holds values.
pub(crate) struct Fresh<'a> {
    memory: &'a mut [MaybeUninit<f32>],
    written: &'a AtomicUsize,
}

impl<'a> Fresh<'a> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Parts of `size` values, but for the last.
    pub fn chunks(self, size: usize) -> impl IndexedParallelIterator<Item = Self> {
        self.memory.par_chunks_mut(size).map(move |memory| Self { memory, written: self.written })
    }

    /// [`Fresh::chunks`] for `count` tasks; where there is no memory, empty parts.
    pub fn pieces(self, count: usize, size: usize) -> Vec<Self> {
        let mut all = self.memory.chunks_mut(size.max(1));
        let piece = |_| Self { memory: all.next().unwrap_or_default(), written: self.written };
        (0..count).map(piece).collect()
    }

    /// Takes the first `n` values out; the others stay.
    pub fn take_first(&mut self, n: usize) -> Self {
        let (memory, rest) = std::mem::take(&mut self.memory).split_at_mut(n);
        self.memory = rest;
        Self { memory, written: self.written }
    }

    /// Runs a kernel that writes all values and gives them back.
    ///
    /// # Panics
    /// It gives back something else.
    pub fn write(self, kernel: impl FnOnce(OutSlice<'a>) -> &'a mut [f32]) -> &'a mut [f32] {
        let [values] = Self::write_all([self], |[out]| [kernel(out)]);
        values
    }

    /// [`Fresh::write`] for a kernel with several outputs.
    pub fn write_all<const N: usize>(
        all: [Self; N],
        kernel: impl FnOnce([OutSlice<'a>; N]) -> [&'a mut [f32]; N],
    ) -> [&'a mut [f32]; N] {
        let expected = all.each_ref().map(|fresh| (fresh.memory.as_ptr().cast::<f32>(), fresh.len()));
        let counters = all.each_ref().map(|fresh| fresh.written);
        let values = kernel(all.map(|fresh| OutSlice::from(fresh.memory)));
        let found = values.each_ref().map(|values| (values.as_ptr(), values.len()));
        assert_eq!(found, expected, "a kernel gives back what it has written");
        for (written, (_, n)) in counters.into_iter().zip(expected) {
            written.fetch_add(n, Ordering::Release);
        }
        values
    }
}

/// A new tensor whose values `fill` writes; clearing them first would cost as much as many a kernel.
///
/// # Panics
/// `fill` does not write all of them, here and below.
pub(crate) fn tensor(shape: Shape, fill: impl FnOnce(Fresh<'_>)) -> FlexTensor {
    let n = shape.num_elements();
    wrap(vector(n, fill), shape)
}

/// A new vector whose values `fill` writes; see [`tensor`].
pub(crate) fn vector(n: usize, fill: impl FnOnce(Fresh<'_>)) -> Vec<f32> {
    let [data] = vectors([n], |[fresh]| fill(fresh));
    data
}

/// New vectors of these lengths, whose values `fill` writes; see [`tensor`].
pub(crate) fn vectors<const N: usize>(lengths: [usize; N], fill: impl FnOnce([Fresh<'_>; N])) -> [Vec<f32>; N] {
    let mut all = lengths.map(Vec::<f32>::with_capacity);
    let counters = [const { AtomicUsize::new(0) }; N];
    let mut parts = all.iter_mut().zip(&counters).zip(lengths);
    fill([(); N].map(|()| {
        let ((data, written), n) = parts.next().expect("as many of each");
        Fresh { memory: &mut data.spare_capacity_mut()[..n], written }
    }));
    for ((data, written), n) in all.iter_mut().zip(counters).zip(lengths) {
        assert_eq!(written.into_inner(), n, "values that have been written");
        // SAFETY: the capacity is at least `n`, and the first `n` values have been written: a `Fresh` and what is cut from it are
        // disjoint parts of them, each of which is consumed by its one `write`, which counts only what came back as values.
        unsafe { data.set_len(n) };
    }
    all
}

/// Cuts every buffer into `count` pieces of `size` values but for the last; an empty one into empty ones.
pub(crate) fn pieces<const N: usize>(
    buffers: [&mut [f32]; N],
    count: usize,
    size: usize,
) -> impl IndexedParallelIterator<Item = [&mut [f32]; N]> {
    let mut all = buffers.map(|buffer| buffer.chunks_mut(size.max(1)));
    let pieces: Vec<_> = (0..count).map(|_| all.each_mut().map(|pieces| pieces.next().unwrap_or_default())).collect();
    pieces.into_par_iter()
}

/// `n` zeros, written by all threads: clearing a table of embeddings takes as long as many a kernel.
pub(crate) fn zeros(n: usize) -> Vec<f32> {
    vector(n, |data| {
        data.chunks(BLOCK).for_each(|part| {
            part.write(|out| out.fill(0.0));
        });
    })
}

/// A tensor that owns `data`, without a copy.
pub(crate) fn wrap(data: Vec<f32>, shape: Shape) -> FlexTensor {
    debug_assert_eq!(data.len(), shape.num_elements());
    FlexTensor::new(Bytes::from_elems(data), Layout::contiguous(shape), DType::F32)
}

/// One value as a tensor of shape `[1]`.
pub(crate) fn scalar(value: f32) -> FlexTensor {
    wrap(vec![value], Shape::new([1]))
}

/// The leading `rows x cols` block of a matrix, wherever its values lie.
///
/// The tensor must have positive strides, as views by transposing and narrowing do; see [`matrix`].
pub(crate) fn leading(tensor: &FlexTensor, rows: usize, cols: usize) -> MatRef<'_> {
    let layout = tensor.layout();
    let strides = layout.strides();
    let data = &tensor.storage::<f32>()[layout.start_offset()..];
    MatRef::new(data, rows, cols, strides[0] as usize, strides[1] as usize)
}

/// A matrix that [`leading`] can look at: itself, or a copy where a stride is not positive.
pub(crate) fn matrix(tensor: FlexTensor) -> FlexTensor {
    if tensor.layout().strides().iter().all(|&s| s > 0) { tensor } else { tensor.to_contiguous() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_never_empty() {
        assert_eq!(block_rows(0), BLOCK);
        assert_eq!(block_rows(1 << 20), 1);
        assert_eq!(block_rows(1 << 12), 4);
    }

    #[test]
    fn parts_are_written_in_any_order() {
        let [data, none] = vectors([5, 0], |[mut fresh, none]| {
            assert_eq!(none.pieces(2, 3).into_iter().map(|piece| piece.len()).sum::<usize>(), 0);
            let first = fresh.take_first(1);
            for (i, piece) in fresh.pieces(2, 3).into_iter().enumerate() {
                piece.write(|out| out.fill(i as f32));
            }
            first.write(|out| out.copy_from(&[7.0]));
        });
        assert_eq!((data, none), (vec![7.0, 0.0, 0.0, 0.0, 1.0], vec![]));
        assert_eq!(zeros(3 * BLOCK + 1), vec![0.0; 3 * BLOCK + 1]);
    }

    #[test]
    #[should_panic(expected = "values that have been written")]
    fn a_value_that_no_kernel_wrote_is_noticed() {
        vector(3, |mut fresh| {
            fresh.take_first(2).write(|out| out.fill(1.0));
        });
    }

    #[test]
    #[should_panic(expected = "a kernel gives back what it has written")]
    fn other_values_do_not_count() {
        vector(3, |fresh| {
            fresh.write(|_| vec![1.0; 3].leak());
        });
    }
}
