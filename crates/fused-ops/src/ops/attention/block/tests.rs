//! The block against its single operations, and against burn's primitives through them.

use burn::nn::DropoutConfig;
use burn::tensor::Device;

use super::*;
use crate::ops::dropout::with_dropout_seed;
use crate::ops::precision::{Precision, with_precision};
use crate::testing::{
    assert_close, assert_same, assert_same_bits_on_any_threads, gradients_agree, gradients_are_slopes, list, normal,
};

/// Batch, tokens, width, heads, columns of one head. The last has several texts in a task and a last task with fewer.
const SIZES: [[usize; 5]; 4] = [[1, 1, 2, 1, 1], [2, 9, 24, 3, 7], [2, 130, 33, 2, 5], [7, 33, 90, 2, 45]];

/// `x` and the parameters as rows of one matrix each: x, four weights, four biases, gamma, beta.
type Operands = [Tensor<2>; 11];

fn operands([batch, seq, width, heads, head]: [usize; 5]) -> Operands {
    let inner = heads * head;
    let projection = |seed| normal([width, inner], 1.0 / (width as f64).sqrt(), seed);
    let bias = |n, seed| normal([1, n], 0.3, seed);
    [
        normal([batch * seq, width], 1.0, 1),
        projection(2),
        projection(3),
        projection(4),
        normal([inner, width], 1.0 / (inner as f64).sqrt(), 5),
        bias(inner, 6),
        bias(inner, 7),
        bias(inner, 8),
        bias(width, 9),
        bias(width, 10) + 1.0,
        bias(width, 11),
    ]
}

fn mask([batch, seq, ..]: [usize; 5]) -> Tensor<4> {
    let row: Vec<f32> = (0..seq).map(|i| if i > 0 && i >= seq - seq / 3 { -100.0 } else { 0.0 }).collect();
    Tensor::<1>::from_floats(row.as_slice(), &Device::flex()).reshape([1, 1, 1, seq]).expand([batch, 1, 1, seq])
}

type Outputs = (Tensor<3>, Option<Tensor<4>>);

/// Calls `block` with layers made of the operands.
fn call(
    sizes: [usize; 5],
    [x, wq, wk, wv, wo, bq, bk, bv, bo, gamma, beta]: Operands,
    rates: [f64; 2],
    block: impl Fn(Tensor<3>, Tensor<4>, Block<'_>, Affine) -> Outputs,
) -> Outputs {
    let [batch, seq, width, heads, _] = sizes;
    let map = |weight: Tensor<2>, bias: Tensor<2>| Projection { weight, bias: Some(bias.flatten(0, 1)) };
    let [score_dropout, output_dropout] = rates.map(|rate| DropoutConfig::new(rate).init());
    let norm = Affine { weight: gamma.flatten(0, 1), bias: beta.flatten(0, 1), eps: 1e-5 };
    let parts = Block {
        query: map(wq, bq),
        key: map(wk, bk),
        value: map(wv, bv),
        output: map(wo, bo),
        score_dropout: &score_dropout,
        output_dropout: &output_dropout,
        heads,
    };
    with_dropout_seed(4, || block(x.reshape([batch, seq, width]), mask(sizes), parts, norm))
}

/// Output and scores as one matrix, so that both have gradients.
fn together((y, scores): Outputs) -> Tensor<2> {
    let n = y.shape().num_elements();
    let y = y.reshape([1, n]);
    match scores {
        Some(scores) => {
            let n = scores.shape().num_elements();
            Tensor::cat(vec![y, scores.reshape([1, n])], 1)
        }
        None => y,
    }
}

/// Adds the keys' bias to every value: a softmax does not depend on it, so without this its gradient is rounding alone.
fn anchored(x: Operands, f: impl Fn(Operands) -> Outputs) -> Tensor<2> {
    let anchor = x[6].clone().sum().reshape([1, 1]);
    together(f(x)) + anchor
}

fn fused(sizes: [usize; 5], rates: [f64; 2], scores: bool) -> impl Fn(Operands) -> Tensor<2> {
    move |x| {
        anchored(x, |x| call(sizes, x, rates, |x, mask, block, norm| attention_block(x, mask, block, norm, scores)))
    }
}

fn single(sizes: [usize; 5], rates: [f64; 2], scores: bool) -> impl Fn(Operands) -> Tensor<2> {
    move |x| anchored(x, |x| call(sizes, x, rates, |x, mask, block, norm| unfused(x, mask, block, norm, scores)))
}

#[test]
fn values_and_gradients_equal_those_of_the_single_operations() {
    for sizes in SIZES {
        for scores in [false, true] {
            let what = format!("{sizes:?}, scores: {scores}");
            let (fused, single) = (fused(sizes, [0.0; 2], scores), single(sizes, [0.0; 2], scores));
            assert_same(&what, fused(operands(sizes)), single(operands(sizes)));
            gradients_agree(&what, operands(sizes), fused, single);
        }
    }
}

#[test]
fn dropout_has_the_masks_of_the_single_operations() {
    let (sizes, rates) = ([3, 17, 20, 4, 5], [0.2, 0.3]);
    for scores in [false, true] {
        gradients_agree("dropout", operands(sizes), fused(sizes, rates, scores), single(sizes, rates, scores));
    }
}

#[test]
fn scores_have_gradients_where_nothing_looks_at_the_output() {
    let sizes = [2, 9, 24, 3, 7];
    let scores_of = |outputs: Outputs| {
        let scores = outputs.1.expect("asked for");
        let n = scores.shape().num_elements();
        scores.reshape([1, n])
    };
    let find = |x: Operands| {
        let device = Device::flex().autodiff();
        let tracked = x.map(|x| Tensor::<2>::from_data(x.into_data(), &device).require_grad());
        let y = scores_of(call(sizes, tracked.clone(), [0.0; 2], |x, mask, block, norm| {
            attention_block(x, mask, block, norm, true)
        }));
        let grads = (y.clone() * normal(y.dims(), 1.0, 99)).sum().backward();
        [0, 1, 2].map(|i| list(tracked[i].grad(&grads).expect("a gradient")))
    };
    let device = Device::flex().autodiff();
    let tracked = operands(sizes).map(|x| Tensor::<2>::from_data(x.into_data(), &device).require_grad());
    let y =
        scores_of(call(sizes, tracked.clone(), [0.0; 2], |x, mask, block, norm| unfused(x, mask, block, norm, true)));
    let grads = (y.clone() * normal(y.dims(), 1.0, 99)).sum().backward();
    for (i, ours) in find(operands(sizes)).iter().enumerate() {
        assert_close("scores alone", ours, &list(tracked[i].grad(&grads).expect("a gradient")), 1e-5);
    }
}

#[test]
fn gradients_are_the_slopes_of_the_values() {
    let sizes = [1, 3, 4, 2, 2];
    gradients_are_slopes("block", operands(sizes), fused(sizes, [0.0; 2], true));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let sizes = [9, 40, 64, 4, 16];
    assert_same_bits_on_any_threads(operands(sizes), fused(sizes, [0.1, 0.1], true));
}

#[test]
fn bf16_is_close() {
    let sizes = [3, 20, 64, 4, 16];
    let f = fused(sizes, [0.0; 2], true);
    let exact = list(f(operands(sizes)));
    let short = with_precision(Precision::Bf16, || list(f(operands(sizes))));
    assert_close("values", &short, &exact, 1e-2);
    assert!(short != exact, "products are in bf16");
}

#[test]
fn without_a_bias_or_with_nothing_to_compute_the_single_operations_serve() {
    let sizes = [2, 9, 24, 3, 7];
    let without = |block: &dyn Fn(Tensor<3>, Tensor<4>, Block<'_>, Affine) -> Outputs| {
        together(call(sizes, operands(sizes), [0.0; 2], |x, mask, parts, norm| {
            let query = Projection { bias: None, ..parts.query };
            block(x, mask, Block { query, ..parts }, norm)
        }))
    };
    let ours = without(&|x, mask, block, norm| attention_block(x, mask, block, norm, false));
    assert_same("no bias", ours, without(&|x, mask, block, norm| unfused(x, mask, block, norm, false)));
}
