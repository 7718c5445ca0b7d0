//! Powers of two with AVX-512, where results are rounded to fewer bits afterwards.

use std::arch::x86_64::*;

/// `2^x` within a relative 3e-6 for `x` in `-126..=0`, 0 far below. NaN gives NaN.
///
/// The instructions take `x` apart: one leaves the fraction above the next integer below, the other multiplies by two to that integer.
/// Coefficients are a minimax fit made for this file.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
pub(crate) fn exp2_within_3e_6(x: __m512) -> __m512 {
    let f = _mm512_reduce_ps::<DOWN>(x);
    let c = |value| _mm512_set1_ps(value);
    let p = _mm512_fmadd_ps(c(0.013_534_168), f, c(0.052_011_46));
    let p = _mm512_fmadd_ps(p, f, c(0.241_442_75));
    let p = _mm512_fmadd_ps(p, f, c(0.693_003_83));
    let p = _mm512_fmadd_ps(p, f, c(1.000_002_6));
    _mm512_scalef_ps(p, x)
}

/// As [`exp2_within_3e_6`], within 2e-7.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
pub(crate) fn exp2_within_2e_7(x: __m512) -> __m512 {
    let f = _mm512_reduce_ps::<DOWN>(x);
    let c = |value| _mm512_set1_ps(value);
    let p = _mm512_fmadd_ps(c(0.001_877_576_7), f, c(0.008_989_34));
    let p = _mm512_fmadd_ps(p, f, c(0.055_826_318));
    let p = _mm512_fmadd_ps(p, f, c(0.240_153_61));
    let p = _mm512_fmadd_ps(p, f, c(0.693_153_1));
    let p = _mm512_fmadd_ps(p, f, c(0.999_999_94));
    _mm512_scalef_ps(p, x)
}

/// Rounding of the integer part: down, as `vscalefps` rounds.
const DOWN: i32 = _MM_FROUND_TO_NEG_INF;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    #[target_feature(enable = "avx512f,avx512dq")]
    fn all(x: &[f32; 16]) -> [[f32; 16]; 2] {
        let mut out = [[0.0; 16]; 2];
        // SAFETY: arrays of 16 values.
        unsafe {
            let x = _mm512_loadu_ps(x.as_ptr());
            _mm512_storeu_ps(out[0].as_mut_ptr(), exp2_within_3e_6(x));
            _mm512_storeu_ps(out[1].as_mut_ptr(), exp2_within_2e_7(x));
        }
        out
    }

    #[test]
    fn powers_of_two_are_within_their_tolerances() {
        if Isa::best() < Isa::Avx512 {
            return;
        }
        for start in 0..126 * 256 {
            let x: [f32; 16] = std::array::from_fn(|i| -(start as f32 + i as f32 / 16.0) / 256.0);
            // SAFETY: the machine has AVX-512.
            let found = unsafe { all(&x) };
            for (values, tolerance) in found.iter().zip([3e-6, 2e-7]) {
                for (x, value) in x.iter().zip(values) {
                    let error = f64::from(*value) / f64::from(*x).exp2() - 1.0;
                    assert!(error.abs() < tolerance, "2^{x} = {value}: {error}");
                }
            }
        }
    }

    #[test]
    fn powers_far_below_are_zero_and_nan_stays() {
        if Isa::best() < Isa::Avx512 {
            return;
        }
        let mut x = [f32::NEG_INFINITY; 16];
        (x[1], x[2], x[3]) = (-14_427.0, f32::MIN, f32::NAN);
        // SAFETY: the machine has AVX-512.
        for values in unsafe { all(&x) } {
            assert_eq!(values[..3], [0.0; 3]);
            assert!(values[3].is_nan() && values[4..] == [0.0; 12]);
        }
    }
}
