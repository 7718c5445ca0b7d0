//! Attention against burn's primitives.

use burn::nn::DropoutConfig;
use burn::tensor::Device;

use super::*;
use crate::ops::dropout::{dropout, with_dropout_seed};
use crate::testing::{assert_same, assert_same_bits_on_any_threads, gradients_agree, gradients_are_slopes, normal};

/// Batch, tokens, heads, columns of one head.
const SIZES: [[usize; 4]; 4] = [[1, 1, 1, 1], [2, 9, 3, 7], [3, 64, 12, 22], [2, 33, 4, 45]];

type Inputs = [Tensor<3>; 3];

fn inputs([batch, seq, heads, head]: [usize; 4]) -> Inputs {
    [1, 2, 3].map(|seed| normal([batch, seq, heads * head], 1.0, seed))
}

/// The last third of every text is padding, except for the first token.
fn mask([batch, seq, ..]: [usize; 4]) -> Tensor<4> {
    let row: Vec<f32> = (0..seq).map(|i| if i > 0 && i >= seq - seq / 3 { -100.0 } else { 0.0 }).collect();
    Tensor::<1>::from_floats(row.as_slice(), &Device::flex()).reshape([1, 1, 1, seq]).expand([batch, 1, 1, seq])
}

fn with_scores(x: Inputs, mask: Tensor<4>, heads: usize, layer: &Dropout) -> (Tensor<3>, Tensor<4>) {
    let (context, scores) = attention(x, mask, heads, layer, true);
    (context, scores.expect("asked for"))
}

/// Context and scores as one matrix, so that both have gradients.
fn together((context, scores): (Tensor<3>, Tensor<4>)) -> Tensor<2> {
    let flat = |n: usize| [1, n];
    let (c, s) = (context.shape().num_elements(), scores.shape().num_elements());
    Tensor::cat(vec![context.reshape(flat(c)), scores.reshape(flat(s))], 1)
}

#[test]
fn context_scores_and_gradients_equal_those_of_burns_primitives() {
    let none = DropoutConfig::new(0.0).init();
    for sizes in SIZES {
        let what = format!("{sizes:?}");
        let alone = |x: Inputs| attention(x, mask(sizes), sizes[2], &none, false).0;
        let both = |x: Inputs| with_scores(x, mask(sizes), sizes[2], &none);
        let reference = |x: Inputs| composed(x, mask(sizes), sizes[2], &none);
        assert_same(&what, alone(inputs(sizes)), reference(inputs(sizes)).0);
        assert_same(&what, both(inputs(sizes)).0, reference(inputs(sizes)).0);
        assert_same(&what, both(inputs(sizes)).1, reference(inputs(sizes)).1);
        gradients_agree(&what, inputs(sizes), alone, |x| reference(x).0);
        gradients_agree(&what, inputs(sizes), |x| both(x).0, |x| reference(x).0);
        gradients_agree(&what, inputs(sizes), |x| together(both(x)), |x| together(reference(x)));
    }
}

#[test]
fn scores_have_gradients_where_nothing_looks_at_the_context() {
    let none = DropoutConfig::new(0.0).init();
    let sizes = [2, 9, 3, 7];
    let f = |[q, k]: [Tensor<3>; 2]| with_scores([q.clone(), k, q], mask(sizes), 3, &none).1;
    let reference = |[q, k]: [Tensor<3>; 2]| composed([q.clone(), k, q], mask(sizes), 3, &none).1;
    let [q, k, _] = inputs(sizes);
    gradients_agree("scores alone", [q, k], f, reference);
}

#[test]
fn dropout_of_the_probabilities_equals_dropout_by_itself() {
    let layer = DropoutConfig::new(0.3).init();
    let none = DropoutConfig::new(0.0).init();
    let sizes = [3, 17, 4, 5];
    let alone = |x: Inputs| with_dropout_seed(2, || attention(x, mask(sizes), 4, &layer, false).0);
    let both = |x: Inputs| with_dropout_seed(2, || with_scores(x, mask(sizes), 4, &layer));
    let reference = |[q, k, v]: Inputs| {
        let scores = composed([q, k, v.clone()], mask(sizes), 4, &none).1;
        let probs = with_dropout_seed(2, || dropout(softmax(scores.clone(), 3), &layer));
        (probs.matmul(split(v, 4)).swap_dims(1, 2).reshape([3, 17, 20]), scores)
    };
    gradients_agree("context", inputs(sizes), alone, |x| reference(x).0);
    gradients_agree("both", inputs(sizes), |x| together(both(x)), |x| together(reference(x)));
}

#[test]
fn gradients_are_the_slopes_of_the_values() {
    let none = DropoutConfig::new(0.0).init();
    let sizes = [1, 3, 2, 2];
    let f = |x: Inputs| together(with_scores(x, mask(sizes) * 0.0, 2, &none));
    gradients_are_slopes("attention", inputs(sizes), f);
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let layer = DropoutConfig::new(0.1).init();
    let sizes = [5, 40, 12, 22];
    let f = |x: Inputs| with_dropout_seed(2, || together(with_scores(x, mask(sizes), 12, &layer)));
    assert_same_bits_on_any_threads(inputs(sizes), f);
}
