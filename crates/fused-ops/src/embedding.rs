//! Rows of tables, their trigrams, and BERT's sum of three embeddings.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Dispatch, Flex, TensorMetadata};
use burn::tensor::{DType, Int, Shape, Tensor, module};
use cpu_kernels::elementwise::{binary, embedding as kernels};
use rayon::prelude::*;

use crate::extension::FusedOps;
use crate::host::{self, applies, dense, dims, values};

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
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_embedding(table.into_dispatch(), ids.into_dispatch()))
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
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_trigram(x.into_dispatch()))
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
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_embedding_sum(
        words.into_dispatch(),
        positions.into_dispatch(),
        segments.into_dispatch(),
        type_ids.into_dispatch(),
    ))
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

/// Ids as row numbers of a table of `count` rows.
fn row_numbers(ids: &FlexTensor, count: usize) -> Vec<u32> {
    let ids = if ids.is_contiguous() { ids.clone() } else { ids.to_contiguous() };
    let row = |id: i64| {
        let row = u32::try_from(id).ok().filter(|&r| (r as usize) < count);
        row.unwrap_or_else(|| panic!("id {id} has no row in a table of {count}"))
    };
    match ids.dtype() {
        DType::I64 => ids.as_slice::<i64>().expect("dense").iter().map(|&id| row(id)).collect(),
        DType::I32 => ids.as_slice::<i32>().expect("dense").iter().map(|&id| row(i64::from(id))).collect(),
        other => panic!("ids of type {other:?}; expected 32- or 64-bit integers"),
    }
}

/// A table's shape and the rows taken from it.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    shape: [usize; 2],
    rows: Vec<u32>,
}

impl Taken {
    /// The gradient of the table: each row the sum of the gradients of where it went, in order.
    fn table_gradient(&self, grad: &[f32]) -> FlexTensor {
        let [count, width] = self.shape;
        let mut table = host::zeros(count * width);
        kernels::scatter_add_rows(grad, width, &self.rows, &mut table);
        host::wrap(table, Shape::new(self.shape))
    }
}

/// [`embedding`] forward.
pub(crate) fn forward(table: FlexTensor, ids: FlexTensor) -> (FlexTensor, Taken) {
    let table = dense(table);
    let shape: [usize; 2] = dims(&table);
    let [count, width] = shape;
    let rows = row_numbers(&ids, count);
    let [batch, seq] = dims(&ids);
    let output = host::tensor(Shape::new([batch, seq, width]), |out| {
        kernels::gather_rows(values(&table), width, &rows, out);
    });
    (output, Taken { shape, rows })
}

/// [`trigram`] forward.
pub(crate) fn trigram_forward(x: FlexTensor) -> FlexTensor {
    let x = dense(x);
    let [batch, seq, width] = dims(&x);
    host::tensor(Shape::new([batch, seq, 3 * width]), |out| {
        let texts = out.par_chunks_mut((seq * 3 * width).max(1)).zip(values(&x).par_chunks((seq * width).max(1)));
        texts.for_each(|(out, x)| kernels::trigram(x, seq, width, out));
    })
}

fn trigram_gradient(grad: FlexTensor) -> FlexTensor {
    let grad = dense(grad);
    let [batch, seq, triple] = dims(&grad);
    let width = triple / 3;
    host::tensor(Shape::new([batch, seq, width]), |out| {
        let texts = out.par_chunks_mut((seq * width).max(1)).zip(values(&grad).par_chunks((seq * triple).max(1)));
        texts.for_each(|(out, grad)| kernels::trigram_backward(grad, seq, width, out));
    })
}

/// Shapes of positions, and the rows taken from segments.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    positions: [usize; 2],
    seq: usize,
    segments: Taken,
}

/// [`embedding_sum`] forward.
pub(crate) fn sum_forward(
    words: FlexTensor,
    positions: FlexTensor,
    segments: FlexTensor,
    type_ids: FlexTensor,
) -> (FlexTensor, Sums) {
    let (words, positions, segments) = (dense(words), dense(positions), dense(segments));
    let [_, seq, width] = dims(&words);
    let [places, _] = dims(&positions);
    assert!(seq <= places, "{seq} tokens, but positions for {places} only");
    let shape: [usize; 2] = dims(&segments);
    let rows = row_numbers(&type_ids, shape[0]);
    let output = host::tensor(words.shape(), |out| {
        let chunk = (seq * width).max(1);
        let texts = values(&words).par_chunks(chunk).zip(rows.par_chunks(seq.max(1)));
        out.par_chunks_mut(chunk).zip(texts).for_each(|(out, (words, types))| {
            binary::add(words, &values(&positions)[..seq * width], out);
            for (&row, out) in types.iter().zip(out.chunks_exact_mut(width.max(1))) {
                binary::add_in_place(out, &values(&segments)[row as usize * width..][..width]);
            }
        });
    });
    (output, Sums { positions: dims(&positions), seq, segments: Taken { shape, rows } })
}

impl Sums {
    /// The gradient of the positions: sums over the texts.
    fn position_gradient(&self, grad: &[f32]) -> FlexTensor {
        let [places, width] = self.positions;
        let mut table = vec![0.0; places * width];
        crate::linear::column_sums(grad, &mut table[..self.seq * width]);
        host::wrap(table, Shape::new(self.positions))
    }
}

/// Gradient of [`forward`].
#[derive(Debug)]
pub(crate) struct EmbeddingBackward;

impl Backward<Flex, 1> for EmbeddingBackward {
    type State = Taken;

    fn backward(self, ops: Ops<Taken, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = dense(grads.consume::<Flex>(&ops.node));
        let [table] = ops.parents;
        if let Some(table) = table {
            grads.register::<Flex>(table.id, ops.state.table_gradient(values(&grad)));
        }
    }
}

/// Gradient of [`trigram_forward`].
#[derive(Debug)]
pub(crate) struct TrigramBackward;

impl Backward<Flex, 1> for TrigramBackward {
    type State = ();

    fn backward(self, ops: Ops<(), 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let [x] = ops.parents;
        if let Some(x) = x {
            grads.register::<Flex>(x.id, trigram_gradient(grad));
        }
    }
}

/// Gradients of [`sum_forward`].
#[derive(Debug)]
pub(crate) struct SumBackward;

impl Backward<Flex, 3> for SumBackward {
    type State = Sums;

    fn backward(self, ops: Ops<Sums, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = dense(grads.consume::<Flex>(&ops.node));
        let [words, positions, segments] = ops.parents;
        if let Some(positions) = positions {
            grads.register::<Flex>(positions.id, ops.state.position_gradient(values(&grad)));
        }
        if let Some(segments) = segments {
            grads.register::<Flex>(segments.id, ops.state.segments.table_gradient(values(&grad)));
        }
        if let Some(words) = words {
            grads.register::<Flex>(words.id, grad);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::testing::{assert_same, gradients, gradients_agree, list, normal, on_one_and_two_threads};

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
        let [one, two] = on_one_and_two_threads(|| {
            let f = |[w, p, s]: [Tensor<2>; 3]| trigram(embedding_sum(w.reshape([32, 64, 45]), p, s, types.clone()));
            let inputs = [normal([32 * 64, 45], 1.0, 1), normal([64, 45], 1.0, 2), normal([2, 45], 1.0, 3)];
            (list(f(inputs.clone())), gradients(&inputs, f))
        });
        assert!(one == two, "different bits");
    }
}
