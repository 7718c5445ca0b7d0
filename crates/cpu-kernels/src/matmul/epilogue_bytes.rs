//! What happens to a block of sums of bytes before it is stored, with AVX-512.

use std::arch::x86_64::*;
use std::ops::Range;

use super::epilogue::{Bytes, Epilogue, Output};
use super::format::{GROUP, TILE};
use super::kernel::Block;
use super::pack::Quantized;
use crate::elementwise::Activation;
use crate::elementwise::gelu::{gelu_erf, gelu_tanh};

/// Columns of a block in two vectors.
struct Columns {
    scales: [__m512; 2],
    /// Of the columns' bytes.
    sums: [__m512i; 2],
    bias: [__m512; 2],
    masks: [__mmask16; 2],
}

/// [`super::epilogue::finish_bytes`] in one pass over the block.
///
/// # Safety
/// As there; nothing is added to the output; the machine has the features.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) unsafe fn finish(
    bytes: Bytes<'_>,
    block: &mut Block,
    rows: Range<usize>,
    cols: Range<usize>,
    output: Output,
    epilogue: &Epilogue<'_>,
) {
    let columns = columns(bytes.cols, epilogue.bias.map(|bias| &bias[cols.clone()]));
    let out = Output { out: output.out.wrapping_add(rows.start * output.stride + cols.start), ..output };
    let scale = epilogue.scale.unwrap_or(1.0);
    // The function is chosen once for all rows.
    // SAFETY: the caller's promises; `out` leads to the first element.
    unsafe {
        match epilogue.activation {
            None => each(bytes.rows, &columns, block, scale, out, |x| x),
            Some(Activation::GeluErf) => each(bytes.rows, &columns, block, scale, out, |x| gelu_erf(x)),
            Some(Activation::GeluTanh) => each(bytes.rows, &columns, block, scale, out, |x| gelu_tanh(x)),
            Some(activation) => {
                // Beside the block, which is read while this is written.
                let mut values = Block::new();
                let here = Output { out: values.0.as_mut_ptr(), stride: GROUP };
                each(bytes.rows, &Columns { masks: [u16::MAX; 2], ..columns }, block, scale, here, |x| x);
                *block = values;
                activation.forward_in_place(&mut block.0[..rows.len() * GROUP]);
                for (lane, i) in (0..rows.len()).flat_map(|lane| [(lane, 0), (lane, 1)]) {
                    let value = _mm512_load_ps(block.0.as_ptr().add(lane * GROUP + i * TILE));
                    let to = out.below(lane).out.wrapping_add(i * TILE);
                    _mm512_mask_storeu_ps(to, columns.masks[i], value);
                }
            }
        }
    }
}

/// Stores `f(scale_row scale_col (sum - zero_row sum_col) scale + bias)` of every sum.
///
/// # Safety
/// The output has these rows and the columns of the masks, which are this thread's own. The machine has the features.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn each(
    rows: &[Quantized],
    columns: &Columns,
    block: &Block,
    scale: f32,
    output: Output,
    f: impl Fn(__m512) -> __m512,
) {
    for (lane, q) in rows.iter().enumerate() {
        let (zero, row_scale) = (_mm512_set1_epi32(q.offset), _mm512_set1_ps(q.scale * scale));
        for i in 0..2 {
            // SAFETY: a row of the block; elements of the output with masks for the last columns.
            unsafe {
                let sum = _mm512_load_si512(block.0.as_ptr().add(lane * GROUP + i * TILE).cast());
                let sum = _mm512_sub_epi32(sum, _mm512_mullo_epi32(zero, columns.sums[i]));
                let scale = _mm512_mul_ps(row_scale, columns.scales[i]);
                let value = f(_mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, columns.bias[i]));
                _mm512_mask_storeu_ps(output.below(lane).out.wrapping_add(i * TILE), columns.masks[i], value);
            }
        }
    }
}

/// Up to 32 columns; what is behind them is zeros.
#[inline]
#[target_feature(enable = "avx512f")]
fn columns(quantized: &[Quantized], bias: Option<&[f32]>) -> Columns {
    const { assert!(size_of::<Quantized>() == 8 && std::mem::offset_of!(Quantized, offset) == 4) };
    let mask = if quantized.len() >= GROUP { u32::MAX } else { (1u32 << quantized.len()) - 1 };
    let masks = [mask as u16, (mask >> TILE) as u16];
    let bias = std::array::from_fn(|i| match bias {
        // SAFETY: masked to the values of these columns.
        Some(values) => unsafe { _mm512_maskz_loadu_ps(masks[i], values.as_ptr().wrapping_add(i * TILE)) },
        None => _mm512_setzero_ps(),
    });
    // Of 16 pairs in two vectors the even words are the scales, the odd ones the sums.
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    let pairs: [[__m512i; 2]; 2] = std::array::from_fn(|i| {
        std::array::from_fn(|half| {
            let at = i * TILE + half * TILE / 2;
            // SAFETY: masked to the columns that there are.
            unsafe { _mm512_maskz_loadu_epi64((mask >> at) as u8, quantized.as_ptr().wrapping_add(at).cast()) }
        })
    });
    Columns {
        scales: pairs.map(|[a, b]| _mm512_castsi512_ps(_mm512_permutex2var_epi32(a, even, b))),
        sums: pairs.map(|[a, b]| _mm512_permutex2var_epi32(a, odd, b)),
        bias,
        masks,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Isa;
    use crate::matmul::epilogue::finish_bytes;

    /// What `isa` stores of a block of sums; between and behind the rows there are sevens.
    fn stored(isa: Isa, sums: &[i32], scales: &[Quantized], (rows, cols): (usize, usize), activation: u8) -> Vec<f32> {
        let mut block = Block::new();
        block.0.iter_mut().zip(sums).for_each(|(to, sum)| *to = f32::from_bits(*sum as u32));
        let bias: Vec<f32> = (0..GROUP + cols).map(|i| i as f32 / 8.0 - 3.0).collect();
        let stride = cols + 3;
        let mut out = vec![7.0; rows * stride];
        let bytes = Bytes { rows: &scales[..rows], cols: &scales[GROUP..][..cols] };
        let epilogue = Epilogue {
            scale: (activation % 2 == 1).then_some(0.5),
            bias: (activation > 0).then_some(&bias),
            activation: (activation > 1).then(|| Activation::ALL[usize::from(activation) - 2]),
            accumulate: false,
        };
        // The block's columns are the second 32 of an output that begins as much earlier.
        let output = Output { out: out.as_mut_ptr().wrapping_sub(GROUP), stride };
        // SAFETY: `out` has these rows and columns.
        unsafe { finish_bytes(bytes, &mut block, 0..rows, GROUP..GROUP + cols, output, &epilogue, isa) };
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn sums_stand_for_the_values_of_the_specification(
            sums in prop::collection::vec(-2_000_000..2_000_000i32, GROUP * GROUP),
            scales in prop::collection::vec((1e-4..2e-3f32, 0..256i32), 2 * GROUP),
            (rows, cols) in (1..=GROUP, 1..=GROUP),
            activation in 0..2 + Activation::ALL.len() as u8,
        ) {
            let scales: Vec<Quantized> = scales.into_iter().map(|(scale, offset)| Quantized { scale, offset }).collect();
            let of = |isa| stored(isa, &sums, &scales, (rows, cols), activation);
            let expected = of(Isa::Portable);
            for isa in [Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| *isa <= Isa::best()) {
                for (found, expected) in of(isa).into_iter().zip(&expected) {
                    let error = (found - expected).abs() / expected.abs().max(1.0);
                    prop_assert!(error < 1e-6, "{isa}: {found} for {expected}");
                }
            }
        }
    }
}
