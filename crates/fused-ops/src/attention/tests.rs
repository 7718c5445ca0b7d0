//! Attention against burn's primitives.

use burn::nn::DropoutConfig;
use burn::tensor::Device;

use super::*;
use crate::dropout::{dropout, with_dropout_seed};
use crate::testing::{
    assert_same, gradients, gradients_agree, gradients_are_slopes, list, normal, on_one_and_two_threads,
};

/// Batch, tokens, heads, columns of one head.
const SIZES: [[usize; 4]; 4] = [[1, 1, 1, 1], [2, 9, 3, 7], [3, 64, 12, 22], [2, 33, 4, 45]];

fn inputs([batch, seq, heads, head]: [usize; 4]) -> [Tensor<3>; 3] {
    [1, 2, 3].map(|seed| normal([batch, seq, heads * head], 1.0, seed))
}

/// The last third of every text is padding, except for the first token.
fn mask([batch, seq, ..]: [usize; 4]) -> Tensor<4> {
    let row: Vec<f32> = (0..seq).map(|i| if i > 0 && i >= seq - seq / 3 { -10_000.0 } else { 0.0 }).collect();
    Tensor::<1>::from_floats(row.as_slice(), &Device::flex()).reshape([1, 1, 1, seq]).expand([batch, 1, 1, seq])
}

#[test]
fn scores_and_their_gradients_equal_those_of_burns_primitives() {
    for sizes in SIZES {
        let [q, k, _] = inputs(sizes);
        let fused = |[q, k]: [Tensor<3>; 2]| attention_scores(q, k, mask(sizes), sizes[2]);
        let reference = |[q, k]: [Tensor<3>; 2]| composed_scores(q, k, mask(sizes), sizes[2]);
        assert_same(&format!("{sizes:?}"), fused([q.clone(), k.clone()]), reference([q.clone(), k.clone()]));
        gradients_agree(&format!("{sizes:?}"), [q, k], fused, reference);
    }
}

#[test]
fn the_context_and_its_gradients_equal_those_of_burns_primitives() {
    let none = DropoutConfig::new(0.0).init();
    for sizes in SIZES {
        let fused =
            |[q, k, v]: [Tensor<3>; 3]| attention_context(attention_scores(q, k, mask(sizes), sizes[2]), v, &none);
        let whole = |inputs: [Tensor<3>; 3]| attention(inputs, mask(sizes), sizes[2], &none);
        let reference =
            |[q, k, v]: [Tensor<3>; 3]| composed_context(composed_scores(q, k, mask(sizes), sizes[2]), v, &none);
        let what = format!("{sizes:?}");
        assert_same(&what, fused(inputs(sizes)), reference(inputs(sizes)));
        assert_same(&what, whole(inputs(sizes)), reference(inputs(sizes)));
        gradients_agree(&what, inputs(sizes), fused, reference);
        gradients_agree(&what, inputs(sizes), whole, reference);
    }
}

#[test]
fn dropout_of_the_probabilities_equals_dropout_by_itself() {
    let layer = DropoutConfig::new(0.3).init();
    let sizes = [3, 17, 4, 5];
    let fused = |[q, k, v]: [Tensor<3>; 3]| {
        let scores = attention_scores(q, k, mask(sizes), 4);
        with_dropout_seed(2, || attention_context(scores, v, &layer))
    };
    let whole = |inputs: [Tensor<3>; 3]| with_dropout_seed(2, || attention(inputs, mask(sizes), 4, &layer));
    let reference = |[q, k, v]: [Tensor<3>; 3]| {
        let probs = with_dropout_seed(2, || dropout(softmax(composed_scores(q, k, mask(sizes), 4), 3), &layer));
        probs.matmul(split(v, 4)).swap_dims(1, 2).reshape([3, 17, 20])
    };
    gradients_agree("two steps", inputs(sizes), fused, reference);
    gradients_agree("one step", inputs(sizes), whole, reference);
}

#[test]
fn gradients_are_the_slopes_of_the_values() {
    let none = DropoutConfig::new(0.0).init();
    let sizes = [1, 3, 2, 2];
    gradients_are_slopes("attention", inputs(sizes), |inputs| attention(inputs, mask(sizes), 2, &none));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let layer = DropoutConfig::new(0.1).init();
    let sizes = [5, 40, 12, 22];
    let [one, two] = on_one_and_two_threads(|| {
        let f = |[q, k, v]: [Tensor<3>; 3]| {
            with_dropout_seed(2, || attention_context(attention_scores(q, k, mask(sizes), 12), v, &layer))
        };
        (list(f(inputs(sizes))), gradients(&inputs(sizes), f))
    });
    assert!(one == two, "different bits");
}
