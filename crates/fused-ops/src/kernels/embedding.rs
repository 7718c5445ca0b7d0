//! Rows of tables, their trigrams, and BERT's sum of three embeddings.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Shape};
use cpu_kernels::elementwise::{binary, embedding as kernels};
use rayon::prelude::*;

use super::BackwardPass;
use super::host::{self, dense, dims, values};

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
        out.write(|out| kernels::gather_rows(values(&table), width, &rows, out));
    });
    (output, Taken { shape, rows })
}

/// [`trigram`] forward.
pub(crate) fn trigram_forward(x: FlexTensor) -> FlexTensor {
    let x = dense(x);
    let [batch, seq, width] = dims(&x);
    host::tensor(Shape::new([batch, seq, 3 * width]), |out| {
        let texts = out.chunks((seq * 3 * width).max(1)).zip(values(&x).par_chunks((seq * width).max(1)));
        texts.for_each(|(out, x)| {
            out.write(|out| kernels::trigram(x, seq, width, out));
        });
    })
}

fn trigram_gradient(grad: FlexTensor) -> FlexTensor {
    let grad = dense(grad);
    let [batch, seq, triple] = dims(&grad);
    let width = triple / 3;
    host::tensor(Shape::new([batch, seq, width]), |out| {
        let texts = out.chunks((seq * width).max(1)).zip(values(&grad).par_chunks((seq * triple).max(1)));
        texts.for_each(|(out, grad)| {
            out.write(|out| kernels::trigram_backward(grad, seq, width, out));
        });
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
        out.chunks(chunk).zip(texts).for_each(|(out, (words, types))| {
            let out = out.write(|out| binary::add(words, &values(&positions)[..seq * width], out));
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
        super::linear::column_sums(grad, &mut table[..self.seq * width]);
        host::wrap(table, Shape::new(self.positions))
    }
}

impl BackwardPass<1> for Taken {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then(|| self.table_gradient(values(&dense(grad))))]
    }
}

/// [`trigram_forward`] keeps nothing.
#[derive(Clone, Debug)]
pub(crate) struct Trigram;

impl BackwardPass<1> for Trigram {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then(|| trigram_gradient(grad))]
    }
}

impl BackwardPass<3> for Sums {
    fn gradients(self, grad: FlexTensor, [words, positions, segments]: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let grad = dense(grad);
        let positions = positions.then(|| self.position_gradient(values(&grad)));
        let segments = segments.then(|| self.segments.table_gradient(values(&grad)));
        [words.then_some(grad), positions, segments]
    }
}
