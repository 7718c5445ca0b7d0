//! Sums, products and maxima of two tensors of one shape.

use burn::tensor::Tensor;

use super::applies;
use crate::extension::run;
use crate::kernels::binary::Combine;

/// Combines values at the same place.
///
/// # Shapes
/// - `a`, `b`, output: any, equal
///
/// # Panics
/// The shapes differ.
pub fn combine<const D: usize>(a: Tensor<D>, b: Tensor<D>, how: Combine) -> Tensor<D> {
    assert_eq!(a.dims(), b.dims(), "shapes of what is combined");
    if !applies(&a) || !applies(&b) {
        return composed(a, b, how);
    }
    run([a.into_dispatch(), b.into_dispatch()], how)
}

/// [`combine`] in burn's primitives.
fn composed<const D: usize>(a: Tensor<D>, b: Tensor<D>, how: Combine) -> Tensor<D> {
    match how {
        Combine::Add => a + b,
        Combine::Mul => a * b,
        Combine::Max => a.max_pair(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_same, assert_same_bits_on_any_threads, gradients, gradients_agree, gradients_are_slopes, normal,
    };

    const ALL: [Combine; 3] = [Combine::Add, Combine::Mul, Combine::Max];

    fn pair(shape: [usize; 2]) -> [Tensor<2>; 2] {
        [normal(shape, 1.0, 1), normal(shape, 1.0, 2)]
    }

    #[test]
    fn values_and_gradients_equal_those_of_burns_primitives() {
        for how in ALL {
            for shape in [[1, 1], [7, 45], [90, 541]] {
                let [a, b] = pair(shape);
                assert_same(&format!("{how:?}"), combine(a.clone(), b.clone(), how), composed(a, b, how));
                let reference = |[a, b]: [Tensor<2>; 2]| composed(a, b, how);
                gradients_agree(&format!("{how:?}"), pair(shape), |[a, b]| combine(a, b, how), reference);
            }
        }
    }

    #[test]
    fn of_equal_values_the_first_has_the_gradient_of_the_maximum() {
        let a = normal([3, 5], 1.0, 1);
        let both = |[a, b]: [Tensor<2>; 2]| combine(a, b, Combine::Max);
        let [first, second] = gradients(&[a.clone(), a.clone()], both);
        assert!(first.iter().all(|&g| g != 0.0) && second.iter().all(|&g| g == 0.0));
        let reference = |[a, b]: [Tensor<2>; 2]| composed(a, b, Combine::Max);
        gradients_agree("equal values", [a.clone(), a], both, reference);
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        for how in [Combine::Add, Combine::Mul] {
            gradients_are_slopes(&format!("{how:?}"), pair([3, 4]), |[a, b]| combine(a, b, how));
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        assert_same_bits_on_any_threads(pair([300, 300]), |[a, b]| combine(a, b, Combine::Mul));
    }
}
