//! Attention of texts of different lengths that lie one after another.

use burn::nn::Dropout;
use burn::tensor::{Int, Tensor, TensorData};

use super::super::applies;
use super::super::dropout::next_mask;
use super::super::precision::kernel_precision;
use super::composed;
use crate::extension::run;
use crate::kernels::attention::{Heads, Ragged, RaggedAttention, TextRows};

/// Added to the score of what is no key of a text.
const NO_KEY: f32 = -1e9;

/// `dropout(softmax(Q Kᵀ / sqrt(d))) V` for every head of every text, heads side by side again. Nothing is computed for padding,
/// and there may be fewer or more queries than keys.
///
/// # Shapes
/// - `query`, output: `[1, rows of queries, heads * d]`
/// - `key`, `value`: `[1, rows of keys, heads * d]`
///
/// # Panics
/// Other numbers of rows than `texts` has, or heads that do not divide the width.
pub fn ragged_attention(
    [query, key, value]: [Tensor<3>; 3],
    texts: &Ragged,
    heads: usize,
    layer: &Dropout,
) -> Tensor<3> {
    if !applies(&query) {
        return padded([query, key, value], texts, heads, layer);
    }
    let operation = RaggedAttention {
        texts: texts.clone(),
        heads: Heads { count: heads, precision: kernel_precision() },
        dropout: next_mask(layer, &query.device()),
    };
    run([query, key, value].map(Tensor::into_dispatch), operation)
}

/// The same by padding to the longest text, in burn's primitives.
fn padded([query, key, value]: [Tensor<3>; 3], texts: &Ragged, heads: usize, layer: &Dropout) -> Tensor<3> {
    let device = query.device();
    let texts = texts.texts();
    let longest = |rows: fn(&TextRows) -> usize| texts.iter().map(rows).max().unwrap_or(0);
    let (queries, keys) = (longest(|text| text.queries), longest(|text| text.keys));
    // Rows of padding take the place of a real one, and are masked or left out.
    let spread = |rows: fn(&TextRows) -> usize, longest: usize| {
        let (mut ids, mut from) = (Vec::with_capacity(texts.len() * longest), 0);
        for text in texts {
            let n = rows(text);
            ids.extend((0..longest).map(|i| (from + i.min(n - 1)) as i32));
            from += n;
        }
        Tensor::<1, Int>::from_data(ids.as_slice(), &device)
    };
    let batch = texts.len();
    let widen = |x: Tensor<3>, ids: Tensor<1, Int>, longest: usize| {
        let [_, _, width] = x.dims();
        x.select(1, ids).reshape([batch, longest, width])
    };
    let of_keys = spread(|text| text.keys, keys);
    let query = widen(query, spread(|text| text.queries, queries), queries);
    let (key, value) = (widen(key, of_keys.clone(), keys), widen(value, of_keys, keys));
    let mask = texts.iter().flat_map(|text| (0..keys).map(|i| if i < text.keys { 0.0 } else { NO_KEY }));
    let mask = Tensor::from_data(TensorData::new(mask.collect::<Vec<f32>>(), [batch, 1, 1, keys]), &device);
    let [_, _, width] = value.dims();
    let context = composed([query, key, value], mask, heads, layer).0.reshape([1, batch * queries, width]);
    let kept = texts.iter().enumerate().flat_map(|(i, text)| (0..text.queries).map(move |q| (i * queries + q) as i32));
    context.select(1, Tensor::from_data(kept.collect::<Vec<i32>>().as_slice(), &device))
}

#[cfg(test)]
mod tests {
    use burn::nn::DropoutConfig;

    use super::*;
    use crate::attention;
    use crate::ops::dropout::{dropout, with_dropout_seed};
    use crate::testing::{assert_same, assert_same_bits_on_any_threads, gradients_agree, gradients_are_slopes, normal};

    const HEADS: usize = 3;

    fn texts(rows: &[[usize; 2]]) -> Ragged {
        Ragged::new(rows.iter().map(|&[queries, keys]| TextRows { queries, keys }))
    }

    fn inputs(texts: &Ragged) -> [Tensor<3>; 3] {
        let [queries, keys] = texts.rows();
        [normal([1, queries, 21], 1.0, 1), normal([1, keys, 21], 1.0, 2), normal([1, keys, 21], 1.0, 3)]
    }

    #[test]
    fn values_and_gradients_equal_those_of_padded_texts() {
        let none = DropoutConfig::new(0.0).init();
        for rows in [&[[1, 1]][..], &[[5, 5], [1, 1], [40, 40]], &[[3, 9], [1, 70], [12, 4]]] {
            let texts = texts(rows);
            let (ours, theirs) = (|x| ragged_attention(x, &texts, HEADS, &none), |x| padded(x, &texts, HEADS, &none));
            let what = format!("{rows:?}");
            assert_same(&what, ours(inputs(&texts)), theirs(inputs(&texts)));
            // Of a single key neither queries nor keys have a gradient but rounding.
            if rows.len() > 1 {
                gradients_agree(&what, inputs(&texts), ours, theirs);
            }
        }
    }

    #[test]
    fn one_text_is_the_attention_of_a_batch_of_one() {
        let none = DropoutConfig::new(0.0).init();
        let texts = Ragged::of_lengths([33]);
        let mask = Tensor::zeros([1, 1, 1, 33], &inputs(&texts)[0].device());
        let whole = attention(inputs(&texts), mask, HEADS, &none, false).0;
        assert_same("context", ragged_attention(inputs(&texts), &texts, HEADS, &none), whole);
    }

    #[test]
    fn dropout_of_the_probabilities_equals_dropout_by_itself() {
        let layer = DropoutConfig::new(0.3).init();
        let texts = texts(&[[4, 17]]);
        let ours = |x| with_dropout_seed(2, || ragged_attention(x, &texts, HEADS, &layer));
        let reference = |[q, k, v]: [Tensor<3>; 3]| {
            let split = |x: Tensor<3>| {
                let [_, n, _] = x.dims();
                x.reshape([1, n, HEADS, 7]).swap_dims(1, 2)
            };
            let scores = split(q).matmul(split(k).transpose()) / 7f64.sqrt();
            let probs = burn::tensor::activation::softmax(scores, 3);
            let probs = with_dropout_seed(2, || dropout(probs, &layer));
            probs.matmul(split(v)).swap_dims(1, 2).reshape([1, 4, 21])
        };
        gradients_agree("context", inputs(&texts), ours, reference);
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        let none = DropoutConfig::new(0.0).init();
        let texts = texts(&[[2, 3], [1, 2]]);
        gradients_are_slopes("ragged attention", inputs(&texts), |x| ragged_attention(x, &texts, HEADS, &none));
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let layer = DropoutConfig::new(0.1).init();
        let texts = Ragged::of_lengths([40, 3, 77, 12]);
        let f = |x| with_dropout_seed(2, || ragged_attention(x, &texts, HEADS, &layer));
        assert_same_bits_on_any_threads(inputs(&texts), f);
    }
}
