//! The forward pass.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::elementwise::softmax::{masked_softmax_rows, softmax_rows};
use rayon::prelude::*;

use super::heads::{Heads, Rows, Sizes};
use crate::dropout::Mask;
use crate::host::{self, dense, values};

/// What is held in memory beside the context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// The scores before the softmax.
    pub scores: bool,
    /// The probabilities, before dropout.
    pub probs: bool,
}

/// What one attention computes.
pub(crate) struct Attended {
    pub context: FlexTensor,
    pub scores: Option<FlexTensor>,
    pub probs: Option<FlexTensor>,
}

/// `dropout(softmax(S)) V` with `S = Q Kᵀ / sqrt(d) + mask`; the inputs are dense.
pub(crate) fn forward(
    inputs: &[FlexTensor; 3],
    mask: FlexTensor,
    heads: Heads,
    dropout: Option<Mask>,
    keep: Keep,
) -> Attended {
    let [query, key, value] = inputs;
    let mask = dense(mask);
    let s = Sizes::of(query, heads);
    let shape = Shape::new([s.batch, s.heads, s.seq, s.seq]);
    let kept = |wanted: bool| if wanted { s.batch * s.heads * s.square() } else { 0 };
    let (mut scores, mut probs) = (Vec::new(), Vec::new());
    let context = host::tensor(value.shape(), |out| {
        scores = host::vector(kept(keep.scores), |scores| {
            probs = host::vector(kept(keep.probs), |probs| {
                let inputs = values(query).par_chunks(s.tokens()).zip(values(key).par_chunks(s.tokens()));
                let inputs = inputs.zip(values(value).par_chunks(s.tokens()));
                let inputs = inputs.zip(values(&mask).par_chunks(s.seq.max(1)));
                let outputs = out.par_chunks_mut(s.tokens());
                let outputs = outputs.zip(elements(scores, keep.scores, s)).zip(elements(probs, keep.probs, s));
                outputs.zip(inputs).enumerate().for_each(
                    |(index, (((out, scores), probs), (((query, key), value), mask)))| {
                        let rows = |data| Rows { data, stride: s.width };
                        let (query, key, value) = (rows(query), rows(key), rows(value));
                        let element = Element { s, index, query, key, value, mask, dropout };
                        element.forward(out, scores, probs);
                    },
                );
            });
        });
    });
    let wrap = |data: Vec<f32>, wanted: bool| wanted.then(|| host::wrap(data, shape.clone()));
    Attended { context, scores: wrap(scores, keep.scores), probs: wrap(probs, keep.probs) }
}

/// The part of each batch element in a buffer of scores or probabilities; empty parts where nothing is kept.
fn elements<'a>(
    buffer: &'a mut [f32],
    kept: bool,
    s: Sizes,
) -> impl IndexedParallelIterator<Item = &'a mut [f32]> + 'a {
    let mut parts: Vec<&'a mut [f32]> = buffer.chunks_mut(s.squares()).collect();
    if !kept {
        parts.resize_with(s.batch, Default::default);
    }
    parts.into_par_iter()
}

/// One batch element.
pub(super) struct Element<'a> {
    pub s: Sizes,
    pub index: usize,
    pub query: Rows<'a>,
    pub key: Rows<'a>,
    pub value: Rows<'a>,
    pub mask: &'a [f32],
    pub dropout: Option<Mask>,
}

impl Element<'_> {
    /// Head by head; what is not kept lives in one head's buffer.
    pub fn forward(&self, out: &mut [f32], scores: &mut [f32], probs: &mut [f32]) {
        let s = self.s;
        let mut own = if probs.is_empty() { vec![0.0; s.square()] } else { Vec::new() };
        let mut dropped = Dropped::new(self.dropout, s, self.index);
        for head in 0..s.heads {
            let place = head * s.square()..(head + 1) * s.square();
            let probs = if own.is_empty() { &mut probs[place.clone()] } else { &mut own[..] };
            let (q, k) = (s.view(self.query, head), s.view(self.key, head).t());
            if scores.is_empty() {
                s.product(q, k, s.scores_mut(probs), Some(s.scale()), Some(self.mask));
                softmax_rows(probs, s.seq);
            } else {
                let scores = &mut scores[place];
                s.product(q, k, s.scores_mut(scores), Some(s.scale()), Some(self.mask));
                masked_softmax_rows(scores, s.seq, 1.0, None, probs);
            }
            let probs = dropped.of(probs, head);
            s.product(s.scores(probs), s.view(self.value, head), s.view_mut(out, head), None, None);
        }
    }
}

/// The masked probabilities of one batch element, one head at a time.
pub(super) struct Dropped {
    mask: Option<Mask>,
    /// Index of the element's first probability in the whole tensor.
    offset: usize,
    buffer: Vec<f32>,
}

impl Dropped {
    pub fn new(mask: Option<Mask>, s: Sizes, element: usize) -> Self {
        let buffer = if mask.is_some() { vec![0.0; s.square()] } else { Vec::new() };
        Self { mask, offset: element * s.heads * s.square(), buffer }
    }

    /// `values` of head `head` masked; themselves where there is no mask.
    pub fn of<'a>(&'a mut self, values: &'a [f32], head: usize) -> &'a [f32] {
        match self.mask {
            Some(mask) => {
                mask.apply(values, &mut self.buffer, self.offset + head * values.len());
                &self.buffer
            }
            None => values,
        }
    }

    /// Masks the values of head `head` where they are.
    pub fn apply(&self, values: &mut [f32], head: usize) {
        if let Some(mask) = self.mask {
            mask.apply_in_place(values, self.offset + head * values.len());
        }
    }
}
