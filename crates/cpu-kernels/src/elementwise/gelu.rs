//! GELU of a vector of AVX-512, for products whose operands are bytes.

use std::arch::x86_64::*;

use super::exp2::exp2_within_2e_7;

/// `x Phi(x)` within an absolute 3e-7: [`super::Activation::GeluErf`] with a shorter exponential.
///
/// `max(x, 0) - |x| 2^-(1 + |x| L(|x|))`, with the polynomial of [`super::math::normal_tail`] in units of `ln 2`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
pub(crate) fn gelu_erf(x: __m512) -> __m512 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    let c = |value: f32| _mm512_set1_ps(value * LOG2_E);
    let a = _mm512_min_ps(_mm512_set1_ps(20.0), _mm512_abs_ps(x));
    let l = _mm512_fmadd_ps(a, c(1.380_718_7e-6), c(-2.029_035e-5));
    let l = _mm512_fmadd_ps(l, a, c(9.571_849e-5));
    let l = _mm512_fmadd_ps(l, a, c(1.756_601_3e-4));
    let l = _mm512_fmadd_ps(l, a, c(-5.002_006_4e-3));
    let l = _mm512_fmadd_ps(l, a, c(3.646_164_4e-2));
    let l = _mm512_fmadd_ps(l, a, c(0.318_273_93));
    let l = _mm512_fmadd_ps(l, a, c(0.797_888_46));
    let tail = exp2_within_2e_7(_mm512_fnmsub_ps(l, a, _mm512_set1_ps(1.0)));
    _mm512_fnmadd_ps(a, tail, _mm512_max_ps(_mm512_setzero_ps(), x))
}

/// `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))` within an absolute 5e-7: [`super::Activation::GeluTanh`] with a shorter exponential.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
pub(crate) fn gelu_tanh(x: __m512) -> __m512 {
    const SCALE: f32 = 1.595_769 * std::f32::consts::LOG2_E;
    let c = |value: f32| _mm512_set1_ps(value);
    let x = _mm512_max_ps(c(-11.0), x);
    let u = _mm512_mul_ps(x, _mm512_fmadd_ps(_mm512_mul_ps(x, x), c(0.044_715 * SCALE), c(SCALE)));
    let e = exp2_within_2e_7(_mm512_or_ps(_mm512_abs_ps(u), c(-0.0)));
    // A Newton step from 14 bits.
    let d = _mm512_add_ps(e, c(1.0));
    let y = _mm512_rcp14_ps(d);
    let s = _mm512_fmadd_ps(_mm512_fnmadd_ps(d, y, c(1.0)), y, y);
    let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(u, _mm512_setzero_ps());
    _mm512_mul_ps(x, _mm512_mask_mul_ps(s, negative, s, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::elementwise::Activation;

    #[target_feature(enable = "avx512f,avx512dq")]
    fn both(x: &[f32; 16]) -> [[f32; 16]; 2] {
        let mut out = [[0.0; 16]; 2];
        // SAFETY: arrays of 16 values.
        unsafe {
            let x = _mm512_loadu_ps(x.as_ptr());
            _mm512_storeu_ps(out[0].as_mut_ptr(), gelu_erf(x));
            _mm512_storeu_ps(out[1].as_mut_ptr(), gelu_tanh(x));
        }
        out
    }

    #[test]
    fn values_are_those_of_the_activations() {
        if Isa::best() < Isa::Avx512 {
            return;
        }
        for start in -8192..8192 {
            let x: [f32; 16] = std::array::from_fn(|i| (start as f32 + i as f32 / 16.0) / 512.0);
            // SAFETY: the machine has AVX-512.
            let found = unsafe { both(&x) };
            for (values, activation) in found.iter().zip([Activation::GeluErf, Activation::GeluTanh]) {
                let mut expected = [0.0; 16];
                activation.forward(&x, &mut expected[..]);
                for ((x, value), expected) in x.iter().zip(values).zip(expected) {
                    let error = (value - expected).abs() / x.abs().max(1.0);
                    assert!(error < 5e-7, "{activation:?}({x}) = {value}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn far_values_are_the_limits_and_nan_stays() {
        if Isa::best() < Isa::Avx512 {
            return;
        }
        let mut x = [1e4; 16];
        (x[0], x[1], x[2], x[3], x[4]) = (-1e4, 0.0, f32::NAN, f32::INFINITY, f32::MAX);
        // SAFETY: the machine has AVX-512.
        for values in unsafe { both(&x) } {
            assert!(values[0].abs() < 1e-30 && values[1] == 0.0 && values[2].is_nan(), "{values:?}");
            assert_eq!((values[3], values[4], values[5]), (f32::INFINITY, f32::MAX, 1e4));
        }
    }
}
