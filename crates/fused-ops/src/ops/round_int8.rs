//! Linear maps as 8-bit products compute them, for quantization-aware training.

use std::cell::Cell;

use burn::tensor::Tensor;

use super::applies;
use crate::extension::run;
use crate::kernels::round_int8::Grid;

thread_local! {
    static CURRENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with the operands of linear maps rounded as inference in `int8` rounds them, if `on`: weights by output to 255 levels, activations
/// by token to 256, rows of word tables as weights. Products, sums and everything else stay as they are.
///
/// The gradient of rounding is taken to be that of the identity (the straight-through estimator of Bengio et al. 2013, as in Jacob et al.
/// 2018), so weights learn where their rounded values do well. Scopes nest and belong to one thread.
pub fn with_rounded_int8<R>(on: bool, work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(on));
    work()
}

/// Whether linear maps are to be rounded.
pub(crate) fn rounds() -> bool {
    CURRENT.get()
}

/// `x` on the grid of each row of activations.
pub(crate) fn round_activations<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    rounded(x, Grid::Activations)
}

/// A matrix `[inputs, outputs]` on the grid of each output.
pub(crate) fn round_weights(weight: Tensor<2>) -> Tensor<2> {
    rounded(weight, Grid::Weights)
}

/// Rows of a word table, each on its grid, where the scope asks for it.
///
/// # Shapes
/// - `rows`: `[.., width]`
pub fn round_table_rows<const D: usize>(rows: Tensor<D>) -> Tensor<D> {
    if rounds() { rounded(rows, Grid::Rows) } else { rows }
}

fn rounded<const D: usize>(x: Tensor<D>, grid: Grid) -> Tensor<D> {
    if applies(&x) {
        return run([x.into_dispatch()], grid);
    }
    // The difference is a constant to autodiff.
    let change = composed(x.clone().detach(), grid) - x.clone().detach();
    x + change
}

/// The grid in burn's primitives.
fn composed<const D: usize>(x: Tensor<D>, grid: Grid) -> Tensor<D> {
    let symmetric = |axis: usize| {
        let scale = x.clone().abs().max_dim(axis) / 127.0;
        let scale = scale.clone().mask_fill(scale.equal_elem(0.0), 1.0);
        (x.clone() / scale.clone()).round() * scale
    };
    match grid {
        Grid::Weights => symmetric(D - 2),
        Grid::Rows => symmetric(D - 1),
        Grid::Activations => {
            let low = x.clone().min_dim(D - 1).clamp_max(0.0);
            let high = x.clone().max_dim(D - 1).clamp_min(0.0);
            let scale = (high - low.clone()) / 255.0;
            let scale = scale.clone().mask_fill(scale.equal_elem(0.0), 1.0);
            let zero = (low.neg() / scale.clone()).round();
            ((x.clone() / scale.clone() + zero.clone()).clamp(0.0, 255.0).round() - zero) * scale
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::{DropoutConfig, LinearConfig};
    use burn::tensor::Device;
    use cpu_kernels::matmul::{Epilogue, Input, MatMut, MatRef, Precision, Weights, multiply_all};

    use super::*;
    use crate::ops::linear::{dense_activated, linear};
    use crate::testing::{assert_close, assert_same, gradients, list, normal};
    use crate::{Activation, Affine, Ffn, Program, ffn_block};

    fn operands() -> [Tensor<2>; 2] {
        [normal([24, 90], 1.0, 1) + 0.4, normal([90, 33], 0.3, 2)]
    }

    #[test]
    fn a_rounded_linear_map_is_the_product_in_bytes() {
        let [x, w] = operands();
        let ours = list(with_rounded_int8(true, || linear(x.clone(), w.clone(), None)));
        let (x, w) = (list(x), list(w));
        let mut bytes = vec![0.0; 24 * 33];
        let b = MatRef::row_major(&w, 90, 33);
        let (mut input, weights) = (Input::default(), Weights::pack(b, Precision::Int8));
        input.reserve(24, 90, Precision::Int8);
        // SAFETY: 24 rows of 90 values, for which there is room; the input is this test's own.
        unsafe { input.pack(0..24, x.as_ptr(), 90) };
        multiply_all(&input, &weights, MatMut::row_major(&mut bytes, 24, 33), &Epilogue::default());
        // The inference multiplies by the inverse of a scale and sums up in integers.
        assert_close("int8", &ours, &bytes, 1e-5);
        let exact = list(linear(operands()[0].clone(), operands()[1].clone(), None));
        assert!(exact.iter().zip(&ours).any(|(a, b)| (a - b).abs() > 1e-3), "nothing was rounded");
    }

    #[test]
    fn gradients_are_those_of_the_product_of_rounded_operands() {
        let f = |[x, w]: [Tensor<2>; 2]| linear(x, w, None);
        let aware = gradients(&operands(), |inputs| with_rounded_int8(true, || f(inputs)));
        let [x, w] = operands();
        let rounded = gradients(&[round_activations(x), round_weights(w)], f);
        for (ours, expected) in aware.iter().zip(&rounded) {
            assert_close("gradient", ours, expected, 1e-6);
        }
    }

    #[test]
    fn grids_in_primitives_are_the_same() {
        let [x, w] = operands();
        let zeros = Tensor::<2>::zeros([3, 8], &Device::flex());
        for (grid, x) in [(Grid::Activations, x), (Grid::Weights, w.clone()), (Grid::Rows, w)] {
            // A value that lies between two levels may go to either, since one form multiplies where the other divides.
            let (ours, theirs) = (list(rounded(x.clone(), grid)), list(composed(x.clone(), grid)));
            let differ = ours.iter().zip(&theirs).filter(|(a, b)| (*a - *b).abs() > 1e-5).count();
            assert!(differ * 1000 <= ours.len(), "{grid:?}: {differ} of {} values", ours.len());
            assert_same("zeros", rounded(zeros.clone(), grid), zeros.clone());
        }
    }

    #[test]
    fn fused_blocks_round_too_and_nothing_does_outside_the_scope() {
        let device = Device::flex();
        let [first, second] = [LinearConfig::new(16, 40).init(&device), LinearConfig::new(40, 16).init(&device)];
        let dropout = DropoutConfig::new(0.0).init();
        let x = normal([2, 9, 16], 1.0, 5);
        let affine = || Affine { weight: Tensor::ones([16], &device), bias: Tensor::zeros([16], &device), eps: 1e-12 };
        let program = Program::plain(Activation::GeluErf);
        let block = || ffn_block(x.clone(), &Ffn::new(&first, &second, 40, &dropout), program.clone(), affine());
        let plain = block();
        let aware = with_rounded_int8(true, block);
        let by_hand = with_rounded_int8(true, || {
            let inner = dense_activated(&first, x.clone(), Activation::GeluErf);
            let y = linear(inner, second.weight.val(), second.bias.as_ref().map(burn::module::Param::val));
            crate::residual_layer_norm(y, x.clone(), &dropout, affine())
        });
        assert_same("rounded block", aware.clone(), by_hand);
        assert!(list(aware).iter().zip(list(plain.clone())).any(|(a, b)| (a - b).abs() > 1e-4));
        assert_same("after the scope", block(), plain);
        // Weights that a training follows are rounded in the same way.
        let tracked = first.clone().train();
        let value = |layer| with_rounded_int8(true, || dense_activated(layer, x.clone(), Activation::Relu).inner());
        assert_same(
            "tracked",
            value(&tracked),
            with_rounded_int8(true, || dense_activated(&first, x.clone(), Activation::Relu)),
        );
    }
}
