//! Matrix products in burn's primitives, for devices that have no kernels here.

use burn::tensor::{FloatDType, Tensor, module};

use crate::ops::precision::{Precision, precision};

/// `a b` in the precision of the current scope: in half precision both operands are rounded and the product is returned as `f32`, in
/// the backward pass too.
///
/// # Shapes
/// - `a`: `[.., n, k]`
/// - `b`: `[.., k, m]`
/// - output: `[.., n, m]`
pub(crate) fn product<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let short = match precision() {
        Precision::F32 => return a.matmul(b),
        Precision::Bf16 => FloatDType::BF16,
        Precision::F16 => FloatDType::F16,
    };
    a.cast(short).matmul(b.cast(short)).cast(FloatDType::F32)
}

/// `x W + b`, see [`product`].
///
/// # Shapes
/// - `x`: `[.., inputs]`
/// - `weight`: `[inputs, outputs]`
/// - `bias`: `[outputs]`
/// - output: `[.., outputs]`
pub(crate) fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    if precision() == Precision::F32 {
        return module::linear(x, weight, bias);
    }
    let mut shape = x.dims();
    let rows: usize = shape[..D - 1].iter().product();
    let [inputs, outputs] = weight.dims();
    let y = product(x.reshape([rows, inputs]), weight);
    // The sum with the bias is one of f32.
    let y = match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    };
    shape[D - 1] = outputs;
    y.reshape(shape)
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::*;
    use crate::ops::precision::with_precision;
    use crate::testing::{assert_close, assert_same, gradients, list, normal};

    #[test]
    fn short_products_and_their_gradients_are_near_the_exact_ones_and_handed_on_as_f32() {
        let inputs = || [normal([24, 45], 1.0, 1), normal([45, 30], 0.3, 2), normal([1, 30], 1.0, 3)];
        let map = |[x, w, b]: [Tensor<2>; 3]| linear(x.reshape([2, 12, 45]), w, Some(b.reshape([30])));
        for (precision, tolerance) in [(Precision::Bf16, 1e-2), (Precision::F16, 1e-3)] {
            let short = |inputs| with_precision(precision, || map(inputs));
            let (exact, rounded) = (map(inputs()), short(inputs()));
            assert_eq!((rounded.dtype(), rounded.dims()), (DType::F32, [2, 12, 30]));
            let (exact, rounded) = (list(exact), list(rounded));
            assert!(exact != rounded, "products are in bf16");
            assert_close("values", &rounded, &exact, tolerance);
            let (exact, rounded) = (gradients(&inputs(), map), gradients(&inputs(), short));
            for (exact, rounded) in exact.iter().zip(&rounded) {
                assert_close("gradients", rounded, exact, tolerance);
            }
        }
    }

    #[test]
    fn exact_products_are_burns() {
        let [a, b] = [normal([5, 7], 1.0, 1), normal([7, 3], 1.0, 2)];
        assert_same("product", product(a.clone(), b.clone()), a.matmul(b));
    }
}
