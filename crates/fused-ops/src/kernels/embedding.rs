//! Rows of tables, their trigrams, and BERT's sum of three embeddings.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, TensorData};
use cpu_kernels::elementwise::{binary, embedding as kernels};
use rayon::prelude::*;

use super::host::{self, dense, dims, values};
use super::{BackwardPass, Operation};

/// Ids as row numbers of a table of `count` rows.
fn row_numbers(ids: &TensorData, count: usize) -> Vec<u32> {
    let row = |id: i64| {
        let row = u32::try_from(id).ok().filter(|&r| (r as usize) < count);
        row.unwrap_or_else(|| panic!("id {id} has no row in a table of {count}"))
    };
    ids.iter::<i64>().map(row).collect()
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

/// Rows of a table by these ids, `[batch, seq]`.
#[derive(Debug)]
pub(crate) struct Lookup(pub TensorData);

impl Operation<1> for Lookup {
    type Saved = Taken;

    fn forward(self, [table]: [FlexTensor; 1]) -> (FlexTensor, Taken) {
        let table = dense(table);
        let shape: [usize; 2] = dims(&table);
        let [count, width] = shape;
        let rows = row_numbers(&self.0, count);
        let [batch, seq] = self.0.shape().dims();
        let output = host::tensor(Shape::new([batch, seq, width]), |out| {
            out.write(|out| kernels::gather_rows(values(&table), width, &rows, out));
        });
        (output, Taken { shape, rows })
    }
}

/// Trigrams of rows; nothing is kept for their gradient.
#[derive(Clone, Debug)]
pub(crate) struct Trigram;

impl Operation<1> for Trigram {
    type Saved = Trigram;

    fn forward(self, [x]: [FlexTensor; 1]) -> (FlexTensor, Trigram) {
        let x = dense(x);
        let [batch, seq, width] = dims(&x);
        let output = host::tensor(Shape::new([batch, seq, 3 * width]), |out| {
            let texts = out.chunks((seq * 3 * width).max(1)).zip(values(&x).par_chunks((seq * width).max(1)));
            texts.for_each(|(out, x)| {
                out.write(|out| kernels::trigram(x, seq, width, out));
            });
        });
        (output, Trigram)
    }
}

impl BackwardPass<1> for Trigram {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let grad = dense(grad);
        let [batch, seq, triple] = dims(&grad);
        let width = triple / 3;
        let gradient = || {
            host::tensor(Shape::new([batch, seq, width]), |out| {
                let texts = out.chunks((seq * width).max(1)).zip(values(&grad).par_chunks((seq * triple).max(1)));
                texts.for_each(|(out, grad)| {
                    out.write(|out| kernels::trigram_backward(grad, seq, width, out));
                });
            })
        };
        [wanted.then(gradient)]
    }
}

/// Shapes of positions, and the rows taken from segments.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    positions: [usize; 2],
    seq: usize,
    segments: Taken,
}

/// The sum of words, positions and segments, which these types choose, `[batch, seq]`.
#[derive(Debug)]
pub(crate) struct EmbeddingSum(pub TensorData);

impl Operation<3> for EmbeddingSum {
    type Saved = Sums;

    fn forward(self, inputs: [FlexTensor; 3]) -> (FlexTensor, Sums) {
        let [words, positions, segments] = inputs.map(dense);
        let [_, seq, width] = dims(&words);
        let [places, _] = dims(&positions);
        assert!(seq <= places, "{seq} tokens, but positions for {places} only");
        let shape: [usize; 2] = dims(&segments);
        let rows = row_numbers(&self.0, shape[0]);
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

impl BackwardPass<3> for Sums {
    fn gradients(self, grad: FlexTensor, [words, positions, segments]: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let grad = dense(grad);
        let positions = positions.then(|| self.position_gradient(values(&grad)));
        let segments = segments.then(|| self.segments.table_gradient(values(&grad)));
        [words.then_some(grad), positions, segments]
    }
}
