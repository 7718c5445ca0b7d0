//! Tensors of the CPU backend as slices.

use burn::backend::TensorMetadata;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
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

/// A new tensor whose values `fill` writes.
///
/// `fill` must write every value and read none before it has written it: the memory is fresh, and clearing it first would
/// cost as much as many a kernel.
pub(crate) fn tensor(shape: Shape, fill: impl FnOnce(&mut [f32])) -> FlexTensor {
    let n = shape.num_elements();
    wrap(vector(n, fill), shape)
}

/// A new vector whose values `fill` writes; see [`tensor`].
pub(crate) fn vector(n: usize, fill: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let [data] = vectors([n], |[slots]| fill(slots));
    data
}

/// New vectors of these lengths, whose values `fill` writes; see [`tensor`].
pub(crate) fn vectors<const N: usize>(lengths: [usize; N], fill: impl FnOnce([&mut [f32]; N])) -> [Vec<f32>; N] {
    let mut all = lengths.map(Vec::<f32>::with_capacity);
    // In this crate's own tests a value that no kernel wrote is NaN instead of whatever was there.
    #[cfg(test)]
    for (data, n) in all.iter_mut().zip(lengths) {
        data.resize(n, f32::NAN);
        data.clear();
    }
    let mut lengths_left = lengths.into_iter();
    let slots = all.each_mut().map(|data| {
        let n = lengths_left.next().unwrap_or_default();
        // SAFETY: the capacity is at least `n`, the pointer is aligned and nobody else holds it. Every kernel handed in writes
        // all `n` values and reads none before that (its contract, checked by this crate's tests, where they start as NaN);
        // any bit pattern is an f32, and f32 has no destructor.
        unsafe { std::slice::from_raw_parts_mut(data.as_mut_ptr(), n) }
    });
    fill(slots);
    for (data, n) in all.iter_mut().zip(lengths) {
        // SAFETY: `fill` has initialised the first `n` values, which are within the capacity.
        unsafe { data.set_len(n) };
    }
    all
}

/// Cuts every buffer into `count` pieces, of `size(its length)` values but for the last; an empty one into empty ones.
pub(crate) fn pieces<const N: usize>(
    buffers: [&mut [f32]; N],
    count: usize,
    size: impl Fn(usize) -> usize,
) -> Vec<[&mut [f32]; N]> {
    let mut all = buffers.map(|buffer| {
        let size = size(buffer.len()).max(1);
        buffer.chunks_mut(size)
    });
    (0..count).map(|_| all.each_mut().map(|pieces| pieces.next().unwrap_or_default())).collect()
}

/// `n` zeros, written by all threads: clearing a table of embeddings takes as long as many a kernel.
pub(crate) fn zeros(n: usize) -> Vec<f32> {
    vector(n, |data| data.par_chunks_mut(BLOCK).for_each(|part| part.fill(0.0)))
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
    fn a_value_that_no_kernel_wrote_is_seen_by_tests() {
        let data = vector(3, |out| out[1] = 5.0);
        assert!(data[0].is_nan() && data[2].is_nan());
        assert_eq!(data[1], 5.0);
    }
}
