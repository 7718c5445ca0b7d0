//! Attention of texts of different lengths that lie one after another, without padding.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use cpu_kernels::OutSlice;
use cpu_kernels::elementwise::softmax::{softmax_backward_rows, softmax_rows};
use cpu_kernels::elementwise::stream;
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, matmul_serial};
use rayon::prelude::*;

use super::forward::{first, with_head_scratch};
use super::heads::Heads;
use crate::kernels::dropout::Mask;
use crate::kernels::host::{self, Fresh, dense, rows, values};
use crate::kernels::{BackwardPass, Operation};

/// How many rows of queries and of keys each of some texts has. Texts lie one after another; a query sees the keys of its text alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ragged(Arc<[TextRows]>);

/// Rows of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextRows {
    /// Rows of queries.
    pub queries: usize,
    /// Rows of keys and of values.
    pub keys: usize,
}

impl Ragged {
    /// Texts of these numbers of rows.
    ///
    /// # Panics
    /// A text without queries or without keys.
    pub fn new(texts: impl IntoIterator<Item = TextRows>) -> Self {
        let texts: Arc<[TextRows]> = texts.into_iter().collect();
        assert!(texts.iter().all(|text| text.queries > 0 && text.keys > 0), "a text has queries and keys");
        Self(texts)
    }

    /// Texts that are queries and keys at once, of these lengths.
    ///
    /// # Panics
    /// An empty text.
    pub fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        Self::new(lengths.into_iter().map(|length| TextRows { queries: length, keys: length }))
    }

    /// The texts in order.
    pub fn texts(&self) -> &[TextRows] {
        &self.0
    }

    /// Rows of queries and of keys of all texts.
    pub fn rows(&self) -> [usize; 2] {
        [self.0.iter().map(|text| text.queries).sum(), self.0.iter().map(|text| text.keys).sum()]
    }
}

/// `dropout(softmax(Q Kᵀ / sqrt(d))) V` of each text and head.
#[derive(Clone, Debug)]
pub(crate) struct RaggedAttention {
    pub texts: Ragged,
    pub heads: Heads,
    pub dropout: Option<Mask>,
}

/// Where a text is.
#[derive(Clone, Copy)]
struct Place {
    rows: TextRows,
    query: usize,
    key: usize,
    /// Its first probability among those of all texts.
    prob: usize,
}

impl RaggedAttention {
    fn places(&self) -> Vec<Place> {
        let (mut query, mut key, mut prob) = (0, 0, 0);
        let place = |&rows: &TextRows| {
            let place = Place { rows, query, key, prob };
            query += rows.queries;
            key += rows.keys;
            prob += self.heads.count * rows.queries * rows.keys;
            place
        };
        self.texts.texts().iter().map(place).collect()
    }

    fn run(&self, inputs: [FlexTensor; 3], keep: bool) -> (FlexTensor, Saved) {
        let inputs = inputs.map(dense);
        let width = self.check(&inputs);
        let places = self.places();
        let [queries, _] = self.texts.rows();
        let size = |place: &Place| self.heads.count * place.rows.queries * place.rows.keys;
        let kept = if keep { places.iter().map(size).sum() } else { 0 };
        let [context, probs] = host::vectors([queries * width, kept], |[mut context, mut probs]| {
            let tasks = places.iter().map(|place| {
                let probs = probs.take_first(if keep { size(place) } else { 0 });
                (place, context.take_first(place.rows.queries * width), probs)
            });
            let tasks: Vec<_> = tasks.collect();
            tasks.into_par_iter().with_max_len(1).for_each(|(place, context, probs)| {
                context.write(|out| self.forward_text(*place, inputs.each_ref().map(values), width, out, probs));
            });
        });
        let shape = inputs[0].shape();
        (host::wrap(context, shape), Saved { inputs, probs: Arc::new(probs), operation: self.clone() })
    }

    /// Checks the shapes; the width of a row.
    fn check(&self, [query, key, value]: &[FlexTensor; 3]) -> usize {
        let (queries, width) = rows(query);
        assert!(self.heads.count > 0 && width.is_multiple_of(self.heads.count), "heads divide {width} columns");
        assert_eq!([(queries, width), rows(key), rows(value)].map(|(n, w)| [n, w]), {
            let [queries, keys] = self.texts.rows();
            [[queries, width], [keys, width], [keys, width]]
        });
        width
    }

    fn forward_text<'o>(
        &self,
        place: Place,
        [query, key, value]: [&[f32]; 3],
        width: usize,
        mut out: OutSlice<'o>,
        mut kept: Fresh<'_>,
    ) -> &'o mut [f32] {
        let TextRows { queries, keys } = place.rows;
        let head = width / self.heads.count;
        with_head_scratch(|[own, dropped, ..]| {
            let own = first(own, queries * keys);
            let dropped = first(dropped, if self.dropout.is_some() { queries * keys } else { 0 });
            for number in 0..self.heads.count {
                let view = |x, row, n| view(x, (row, n), width, number * head, head);
                let (q, k) = (view(query, place.query, queries), view(key, place.key, keys));
                self.product(q, k.t(), MatMut::row_major(&mut *own, queries, keys), Some(scale(head)));
                softmax_rows(own, keys);
                if kept.len() > 0 {
                    kept.take_first(own.len()).write(|out| stream::copy(own, out));
                }
                let probs = self.dropped(place, number, own, dropped);
                let context = columns(out.reborrow(), (queries, width), number * head, head);
                self.product(MatRef::row_major(probs, queries, keys), view(value, place.key, keys), context, None);
            }
        });
        // SAFETY: every head has written its columns, and there are no others: heads divide the width.
        unsafe { out.assume_init() }
    }

    /// The probabilities of a head, masked where there is dropout.
    fn dropped<'a>(&self, place: Place, head: usize, probs: &'a [f32], buffer: &'a mut [f32]) -> &'a [f32] {
        match self.dropout {
            Some(mask) => mask.apply(probs, buffer, place.prob + head * probs.len()),
            None => probs,
        }
    }

    fn product(&self, a: MatRef<'_>, b: MatRef<'_>, out: MatMut<'_>, scale: Option<f32>) {
        matmul_serial(a, b, out, self.heads.precision, &Epilogue { scale, ..Epilogue::default() });
    }
}

/// Factor of the scores, `1 / sqrt(d)`.
fn scale(head: usize) -> f32 {
    1.0 / (head as f32).sqrt()
}

/// `n` rows from `row` on, `columns` of them from `column` on.
fn view(x: &[f32], (row, n): (usize, usize), width: usize, column: usize, columns: usize) -> MatRef<'_> {
    MatRef::new(&x[row * width + column..(row + n) * width], n, columns, width, 1)
}

/// Some columns of rows, to write.
fn columns(out: OutSlice<'_>, (n, width): (usize, usize), column: usize, columns: usize) -> MatMut<'_> {
    MatMut::new(out.split_at(column).1, n, columns, width)
}

impl Operation<3> for RaggedAttention {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 3]) -> (FlexTensor, Saved) {
        self.run(inputs, true)
    }

    fn value(self, inputs: [FlexTensor; 3]) -> FlexTensor {
        self.run(inputs, false).0
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    inputs: [FlexTensor; 3],
    probs: Arc<Vec<f32>>,
    operation: RaggedAttention,
}

impl BackwardPass<3> for Saved {
    /// As of the attention of one length: `dV = dropout(P)ᵀ dC`, `dS = P (dP - Σ dP P)` with `dP = dropout(dC Vᵀ)`,
    /// `dQ = dS K / sqrt(d)`, `dK = dSᵀ Q / sqrt(d)`.
    fn gradients(self, grad: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let grad = dense(grad);
        let (_, width) = rows(&grad);
        let [queries, keys] = self.operation.texts.rows();
        let places = self.operation.places();
        let gradients = host::vectors([queries, keys, keys].map(|n| n * width), |[mut dq, mut dk, mut dv]| {
            let tasks = places.iter().map(|place| {
                let TextRows { queries, keys } = place.rows;
                (place, [dq.take_first(queries * width), dk.take_first(keys * width), dv.take_first(keys * width)])
            });
            let tasks: Vec<_> = tasks.collect();
            tasks.into_par_iter().with_max_len(1).for_each(|(place, out)| {
                Fresh::write_all(out, |memory| self.backward_text(*place, values(&grad), width, memory));
            });
        });
        let shapes = self.inputs.each_ref().map(TensorMetadata::shape);
        let mut shapes = shapes.into_iter();
        gradients.map(|data| shapes.next().map(|shape| host::wrap(data, shape)))
    }
}

impl Saved {
    fn backward_text<'o>(
        &self,
        place: Place,
        grad: &[f32],
        width: usize,
        mut out: [OutSlice<'o>; 3],
    ) -> [&'o mut [f32]; 3] {
        let TextRows { queries, keys } = place.rows;
        let (operation, head) = (&self.operation, width / self.operation.heads.count);
        let [query, key, value] = self.inputs.each_ref().map(values);
        let square = queries * keys;
        with_head_scratch(|[dp, dropped, ds, _]| {
            let [dp, ds] = [dp, ds].map(|buffer| first(buffer, square));
            let dropped = first(dropped, if operation.dropout.is_some() { square } else { 0 });
            for number in 0..operation.heads.count {
                let view = |x, row, n| view(x, (row, n), width, number * head, head);
                let from = place.prob + number * square;
                let probs = &self.probs[from..from + square];
                let grad = view(grad, place.query, queries);
                let [dq, dk, dv] = out.each_mut();
                let masked = operation.dropped(place, number, probs, dropped);
                let dv = columns(dv.reborrow(), (keys, width), number * head, head);
                operation.product(MatRef::row_major(masked, queries, keys).t(), grad, dv, None);
                let v = view(value, place.key, keys);
                operation.product(grad, v.t(), MatMut::row_major(&mut *dp, queries, keys), None);
                if let Some(mask) = operation.dropout {
                    mask.apply_in_place(dp, from);
                }
                softmax_backward_rows(probs, dp, keys, ds);
                let (ds, scale) = (MatRef::row_major(ds, queries, keys), Some(scale(head)));
                let dq = columns(dq.reborrow(), (queries, width), number * head, head);
                operation.product(ds, view(key, place.key, keys), dq, scale);
                let dk = columns(dk.reborrow(), (keys, width), number * head, head);
                operation.product(ds.t(), view(query, place.query, queries), dk, scale);
            }
        });
        // SAFETY: every head has written its columns of each, and there are no others.
        out.map(|out| unsafe { out.assume_init() })
    }
}
