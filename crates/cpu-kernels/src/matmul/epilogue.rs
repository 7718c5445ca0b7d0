//! What happens to a block before it is stored.

use std::ops::Range;

use super::format::GROUP;
use super::kernel::Block;
use super::pack::Quantized;
use crate::Isa;
use crate::elementwise::{Activation, Arith, Plain};

/// What happens to a product before it is stored: `out = act(product * scale + bias)`, or `out += product * scale`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Factor of the product; `None` is 1.
    pub scale: Option<f32>,
    /// One value per output column.
    pub bias: Option<&'a [f32]>,
    /// Applied last.
    pub activation: Option<Activation>,
    /// Adds to what `out` holds instead of replacing it; bias and activation follow the addition.
    pub accumulate: bool,
}

/// Where products go: element `(i, j)` to `out + i * stride + j`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub out: *mut f32,
    pub stride: usize,
}

impl Output {
    /// The same output from a row on.
    pub(super) fn below(self, row: usize) -> Self {
        Self { out: self.out.wrapping_add(row * self.stride), ..self }
    }
}

// SAFETY: threads that share an output divide its elements among themselves.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

/// Stores the rows and columns of a block.
///
/// # Safety
/// The elements of the output are valid and this thread's own; `isa` is available.
pub(super) unsafe fn finish(
    block: &mut Block,
    rows: Range<usize>,
    cols: Range<usize>,
    output: Output,
    epilogue: &Epilogue<'_>,
    isa: Isa,
) {
    // SAFETY: the caller's promises.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Avx512 => avx512(block, rows.clone(), cols.clone(), output, epilogue),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(block, rows.clone(), cols.clone(), output, epilogue),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon | Isa::Dotprod | Isa::I8mm => {
                store::<crate::elementwise::Fused>(block, rows.clone(), cols.clone(), output, epilogue);
            }
            _ => store::<Plain>(block, rows.clone(), cols.clone(), output, epilogue),
        }
    }
}

/// What the sums of bytes of a block stand for: `scale_row scale_col (sum - zero_row sum_col)`.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    /// Of the rows.
    pub rows: &'a [Quantized],
    /// Of the columns.
    pub cols: &'a [Quantized],
}

/// Stores the rows and columns of a block of sums of bytes, as [`finish`] the values that they stand for.
///
/// # Safety
/// As [`finish`].
pub(super) unsafe fn finish_bytes(
    bytes: Bytes<'_>,
    block: &mut Block,
    rows: Range<usize>,
    cols: Range<usize>,
    output: Output,
    epilogue: &Epilogue<'_>,
    isa: Isa,
) {
    assert_eq!((bytes.rows.len(), bytes.cols.len()), (rows.len(), cols.len()), "scales of a block");
    // SAFETY: the caller's promises.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if matches!(isa, Isa::Amx | Isa::Avx512) && !epilogue.accumulate {
            return super::epilogue_bytes::finish(bytes, block, rows, cols, output, epilogue);
        }
        dequantize(bytes, block);
        finish(block, rows, cols, output, epilogue, isa);
    }
}

/// Sums of bytes into values.
fn dequantize(bytes: Bytes<'_>, block: &mut Block) {
    let (mut scales, mut sums) = ([0.0f32; GROUP], [0i32; GROUP]);
    for (i, q) in bytes.cols.iter().enumerate() {
        (scales[i], sums[i]) = (q.scale, q.offset);
    }
    let (rows, scales, sums) = (bytes.rows, &scales, &sums);
    dispatch!(|rows: &[Quantized], scales: &[f32; GROUP], sums: &[i32; GROUP], block: &mut Block| {
        for (q, values) in rows.iter().zip(block.0.as_chunks_mut::<GROUP>().0) {
            for ((value, sum), scale) in values.iter_mut().zip(sums).zip(scales) {
                let bytes = value.to_bits() as i32;
                *value = (bytes - q.offset * sum) as f32 * (q.scale * scale);
            }
        }
    });
}

/// One pass over the block where nothing but a sum follows the product, two with an activation.
///
/// # Safety
/// See [`finish`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(block: &mut Block, rows: Range<usize>, cols: Range<usize>, output: Output, epilogue: &Epilogue<'_>) {
    use std::arch::x86_64::*;

    let wide = cols.len();
    let mask = if wide == GROUP { u32::MAX } else { (1u32 << wide) - 1 };
    let masks = [mask as u16, (mask >> 16) as u16];
    let bias: [__m512; 2] = std::array::from_fn(|i| match epilogue.bias {
        // SAFETY: masked to the values of these columns.
        Some(values) => unsafe {
            _mm512_maskz_loadu_ps(masks[i], values.as_ptr().add(cols.start).wrapping_add(16 * i))
        },
        None => _mm512_setzero_ps(),
    });
    let scale = _mm512_set1_ps(epilogue.scale.unwrap_or(1.0));
    for (lane, row) in rows.clone().enumerate() {
        // SAFETY: a row of the block; elements of the output, this thread's own, with masks for the last columns.
        unsafe {
            let values = block.0.as_mut_ptr().add(lane * GROUP);
            let out = output.out.add(row * output.stride + cols.start);
            for i in 0..2 {
                let out = out.wrapping_add(16 * i);
                let mut value = _mm512_load_ps(values.add(16 * i));
                if epilogue.accumulate {
                    let before = _mm512_maskz_loadu_ps(masks[i], out);
                    value = _mm512_add_ps(_mm512_fmadd_ps(value, scale, before), bias[i]);
                } else {
                    value = _mm512_fmadd_ps(value, scale, bias[i]);
                }
                if epilogue.activation.is_some() {
                    _mm512_store_ps(values.add(16 * i), value);
                } else {
                    _mm512_mask_storeu_ps(out, masks[i], value);
                }
            }
        }
    }
    let Some(activation) = epilogue.activation else { return };
    // All rows at once: the choice of the function is made once.
    activation.forward_in_place(&mut block.0[..rows.len() * GROUP]);
    for (lane, row) in rows.enumerate() {
        // SAFETY: as above.
        unsafe {
            let values = block.0.as_ptr().add(lane * GROUP);
            let out = output.out.add(row * output.stride + cols.start);
            for (i, mask) in masks.into_iter().enumerate() {
                _mm512_mask_storeu_ps(out.wrapping_add(16 * i), mask, _mm512_load_ps(values.add(16 * i)));
            }
        }
    }
}

/// As [`avx512`], with four vectors in a row.
///
/// # Safety
/// See [`finish`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(block: &mut Block, rows: Range<usize>, cols: Range<usize>, output: Output, epilogue: &Epilogue<'_>) {
    use std::arch::x86_64::*;

    const WIDE: usize = 8;
    const VECTORS: usize = GROUP / WIDE;
    let wide = i32::try_from(cols.len()).expect("columns of a block");
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let masks: [__m256i; VECTORS] =
        std::array::from_fn(|i| _mm256_cmpgt_epi32(_mm256_set1_epi32(wide - (i * WIDE) as i32), lane));
    let bias: [__m256; VECTORS] = std::array::from_fn(|i| match epilogue.bias {
        // SAFETY: masked to the values of these columns.
        Some(values) => unsafe { _mm256_maskload_ps(values.as_ptr().add(cols.start).wrapping_add(WIDE * i), masks[i]) },
        None => _mm256_setzero_ps(),
    });
    let scale = _mm256_set1_ps(epilogue.scale.unwrap_or(1.0));
    // Masked stores are slow, and most blocks have all columns.
    // SAFETY: the caller of these promises the columns of a row of the output.
    let put = |out: *mut f32, i: usize, value: __m256| unsafe {
        if cols.len() >= (i + 1) * WIDE {
            _mm256_storeu_ps(out.wrapping_add(WIDE * i), value);
        } else {
            _mm256_maskstore_ps(out.wrapping_add(WIDE * i), masks[i], value);
        }
    };
    for (lane, row) in rows.clone().enumerate() {
        // SAFETY: a row of the block; elements of the output, this thread's own, with masks for the last columns.
        unsafe {
            let values = block.0.as_mut_ptr().add(lane * GROUP);
            let out = output.out.add(row * output.stride + cols.start);
            for i in 0..VECTORS {
                let mut value = _mm256_load_ps(values.add(WIDE * i));
                if epilogue.accumulate {
                    let before = _mm256_maskload_ps(out.wrapping_add(WIDE * i), masks[i]);
                    value = _mm256_add_ps(_mm256_fmadd_ps(value, scale, before), bias[i]);
                } else {
                    value = _mm256_fmadd_ps(value, scale, bias[i]);
                }
                if epilogue.activation.is_some() {
                    _mm256_store_ps(values.add(WIDE * i), value);
                } else {
                    put(out, i, value);
                }
            }
        }
    }
    let Some(activation) = epilogue.activation else { return };
    // All rows at once: the choice of the function is made once.
    activation.forward_in_place(&mut block.0[..rows.len() * GROUP]);
    for (lane, row) in rows.enumerate() {
        // SAFETY: as above.
        unsafe {
            let values = block.0.as_ptr().add(lane * GROUP);
            let out = output.out.add(row * output.stride + cols.start);
            (0..VECTORS).for_each(|i| put(out, i, _mm256_load_ps(values.add(WIDE * i))));
        }
    }
}

/// The specification, in loops that compilers turn into vectors.
///
/// # Safety
/// See [`finish`].
unsafe fn store<A: Arith>(
    block: &mut Block,
    rows: Range<usize>,
    cols: Range<usize>,
    output: Output,
    epilogue: &Epilogue<'_>,
) {
    let wide = cols.len();
    let mut bias = [0.0; GROUP];
    if let Some(values) = epilogue.bias {
        bias[..wide].copy_from_slice(&values[cols.clone()]);
    }
    let scale = epilogue.scale.unwrap_or(1.0);
    for (lane, row) in rows.clone().enumerate() {
        let values: &mut [f32; GROUP] =
            (&mut block.0[lane * GROUP..][..GROUP]).try_into().expect("a row of the block has 32 values");
        // SAFETY: elements of the output, this thread's own.
        let out = unsafe { output.out.add(row * output.stride + cols.start) };
        let mut result = [0.0f32; GROUP];
        if epilogue.accumulate {
            let mut before = [0.0f32; GROUP];
            // SAFETY: as above.
            unsafe { before.as_mut_ptr().copy_from_nonoverlapping(out, wide) };
            for i in 0..GROUP {
                result[i] = A::fma(values[i], scale, before[i]) + bias[i];
            }
        } else {
            for i in 0..GROUP {
                result[i] = A::fma(values[i], scale, bias[i]);
            }
        }
        if epilogue.activation.is_some() {
            *values = result;
        } else {
            // SAFETY: as above.
            unsafe { copy(&result, out, wide) };
        }
    }
    let Some(activation) = epilogue.activation else { return };
    // All rows at once: the choice of the function is made once.
    activation.forward_in_place(&mut block.0[..rows.len() * GROUP]);
    for (lane, row) in rows.enumerate() {
        let values: &[f32; GROUP] =
            block.0[lane * GROUP..][..GROUP].try_into().expect("a row of the block has 32 values");
        // SAFETY: elements of the output, this thread's own.
        unsafe { copy(values, output.out.add(row * output.stride + cols.start), wide) };
    }
}

/// Copies the first `wide` values; whole rows without a loop over a length that only this call knows.
///
/// # Safety
/// `out` has room for `wide` values, of which a row of the block has as many.
unsafe fn copy(values: &[f32; GROUP], out: *mut f32, wide: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if wide == GROUP {
            out.copy_from_nonoverlapping(values.as_ptr(), GROUP);
        } else {
            out.copy_from_nonoverlapping(values.as_ptr(), wide);
        }
    }
}
