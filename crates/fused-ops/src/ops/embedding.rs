//! Rows of tables, their trigrams, and BERT's sum of three embeddings.

use burn::tensor::{Int, Tensor, module};

use super::applies;
use crate::extension::run;
use crate::kernels::embedding::{EmbeddingSum, Lookup, Trigram};

/// `table[ids]`.
///
/// # Shapes
/// - `table`: `[rows, width]`
/// - `ids`: `[batch, seq]`, below `rows`
/// - output: `[batch, seq, width]`
///
/// # Panics
/// An id that the table has no row for.
pub fn embedding(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    if !applies(&table) {
        return module::embedding(table, ids);
    }
    run([table.into_dispatch()], Lookup(ids.into_data()))
}

/// `[x_next; x; x_previous]` along the last axis, zeros outside the sequence (MobileBERT, Sun et al. 2020).
///
/// # Shapes
/// - `x`: `[batch, seq, width]`
/// - output: `[batch, seq, 3 width]`
pub fn trigram(x: Tensor<3>) -> Tensor<3> {
    if !applies(&x) {
        return composed_trigram(x);
    }
    run([x.into_dispatch()], Trigram)
}

/// `words + positions[place] + segments[type_ids]`.
///
/// # Shapes
/// - `words`, output: `[batch, seq, width]`
/// - `positions`: `[at least seq, width]`
/// - `segments`: `[types, width]`
/// - `type_ids`: `[batch, seq]`, below `types`
///
/// # Panics
/// A sequence longer than the table of positions, or a type that the table has no row for.
pub fn embedding_sum(
    words: Tensor<3>,
    positions: Tensor<2>,
    segments: Tensor<2>,
    type_ids: Tensor<2, Int>,
) -> Tensor<3> {
    if !applies(&words) {
        return composed_sum(words, positions, segments, type_ids);
    }
    let operands = [words.into_dispatch(), positions.into_dispatch(), segments.into_dispatch()];
    run(operands, EmbeddingSum(type_ids.into_data()))
}

/// [`trigram`] in burn's primitives.
fn composed_trigram(x: Tensor<3>) -> Tensor<3> {
    let [batch, seq, width] = x.dims();
    let edge = Tensor::zeros([batch, 1, width], &x.device());
    if seq == 1 {
        return Tensor::cat(vec![edge.clone(), x, edge], 2);
    }
    let next = Tensor::cat(vec![x.clone().narrow(1, 1, seq - 1), edge.clone()], 1);
    let previous = Tensor::cat(vec![edge, x.clone().narrow(1, 0, seq - 1)], 1);
    Tensor::cat(vec![next, x, previous], 2)
}

/// [`embedding_sum`] in burn's primitives.
fn composed_sum(words: Tensor<3>, positions: Tensor<2>, segments: Tensor<2>, type_ids: Tensor<2, Int>) -> Tensor<3> {
    let [_, seq, _] = words.dims();
    words + module::embedding(segments, type_ids) + positions.narrow(0, 0, seq).unsqueeze()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::testing::{assert_same, assert_same_bits_on_any_threads, gradients_agree, normal};

    fn ids(shape: [usize; 2], below: i32) -> Tensor<2, Int> {
        let n = (shape[0] * shape[1]) as i32;
        let ids: Vec<i32> = (0..n).map(|i| (i * 7 + i / 3) % below).collect();
        Tensor::from_data(TensorData::new(ids, shape), &Device::flex())
    }

    #[test]
    fn rows_and_their_gradients_equal_those_of_burns_embedding() {
        for (shape, width) in [([1, 1], 1), ([3, 7], 45), ([32, 64], 128)] {
            let table = normal([50, width], 1.0, 1);
            let ids = ids(shape, 40);
            assert_same("rows", embedding(table.clone(), ids.clone()), module::embedding(table.clone(), ids.clone()));
            let (fused, reference) = (
                |[t]: [Tensor<2>; 1]| embedding(t, ids.clone()),
                |[t]: [Tensor<2>; 1]| module::embedding(t, ids.clone()),
            );
            gradients_agree("table", [table], fused, reference);
        }
    }

    #[test]
    #[should_panic(expected = "id 50 has no row in a table of 50")]
    fn an_id_outside_the_table_is_named() {
        embedding(normal([50, 3], 1.0, 1), ids([1, 2], 40) + 50);
    }

    #[test]
    fn trigrams_equal_those_of_burns_primitives() {
        for shape in [[1, 1, 3], [2, 1, 4], [3, 2, 5], [4, 33, 45]] {
            let x = normal(shape, 1.0, 1);
            assert_same("trigrams", trigram(x.clone()), composed_trigram(x.clone()));
            gradients_agree("trigrams", [x], |[x]: [Tensor<3>; 1]| trigram(x), |[x]| composed_trigram(x));
        }
    }

    #[test]
    fn the_sum_equals_that_of_burns_primitives() {
        for (shape, width) in [([1, 1], 2), ([5, 9], 45), ([32, 24], 264)] {
            let [batch, seq] = shape;
            let types = ids(shape, 2);
            let inputs =
                [normal([batch * seq, width], 1.0, 1), normal([30, width], 1.0, 2), normal([2, width], 1.0, 3)];
            let words = |x: Tensor<2>| x.reshape([batch, seq, width]);
            let fused = |[w, p, s]: [Tensor<2>; 3]| embedding_sum(words(w), p, s, types.clone());
            let reference = |[w, p, s]: [Tensor<2>; 3]| composed_sum(words(w), p, s, types.clone());
            assert_same("sum", fused(inputs.clone()), reference(inputs.clone()));
            gradients_agree("sum", inputs, fused, reference);
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let types = ids([32, 64], 2);
        let f = |[w, p, s]: [Tensor<2>; 3]| trigram(embedding_sum(w.reshape([32, 64, 45]), p, s, types.clone()));
        let inputs = [normal([32 * 64, 45], 1.0, 1), normal([64, 45], 1.0, 2), normal([2, 45], 1.0, 3)];
        assert_same_bits_on_any_threads(inputs, f);
    }
}
