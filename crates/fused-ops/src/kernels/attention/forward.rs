//! The forward pass.

use std::cell::RefCell;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::OutSlice;
use cpu_kernels::elementwise::softmax::{masked_softmax_rows, softmax_rows};
use cpu_kernels::elementwise::stream;
use cpu_kernels::store::StorePart;
use rayon::prelude::*;

use super::heads::{Heads, Rows, Sizes};
use crate::kernels::dropout::Mask;
use crate::kernels::host::{self, Fresh, dense, values};

/// What an attention writes to memory beside the context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outputs {
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
    outputs: Outputs,
) -> Attended {
    let [query, key, value] = inputs;
    let mask = dense(mask);
    let s = Sizes::of(query, heads);
    let n = s.batch * s.heads * s.square();
    let lengths = [value.shape().num_elements(), if outputs.scores { n } else { 0 }, if outputs.probs { n } else { 0 }];
    let [context, scores, probs] = host::vectors(lengths, |[context, scores, probs]| {
        let inputs = values(query).par_chunks(s.tokens()).zip(values(key).par_chunks(s.tokens()));
        let inputs = inputs.zip(values(value).par_chunks(s.tokens()));
        let inputs = inputs.zip(values(&mask).par_chunks(s.seq.max(1)));
        let kept = scores.pieces(s.batch, s.squares()).into_par_iter().zip(probs.pieces(s.batch, s.squares()));
        let tasks = context.chunks(s.tokens()).zip(kept).zip(inputs);
        tasks.enumerate().for_each(|(index, ((context, (scores, probs)), (((query, key), value), mask)))| {
            let rows = |data| Rows { data, stride: s.width };
            let (query, key, value) = (rows(query), rows(key), rows(value));
            let element = Element { s, index, query, key, value, mask, dropout };
            with_head_scratch(|scratch| {
                let (mut scores, mut probs) = (Sink::Fresh(scores), Sink::Fresh(probs));
                context.write(|context| element.forward(context, &mut scores, &mut probs, scratch));
            });
        });
    });
    let square = |data: Vec<f32>| host::wrap(data, Shape::new([s.batch, s.heads, s.seq, s.seq]));
    Attended {
        context: host::wrap(context, value.shape()),
        scores: outputs.scores.then(|| square(scores)),
        probs: outputs.probs.then(|| square(probs)),
    }
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

/// Where the values that a head computes are written.
pub(super) enum Sink<'a> {
    /// To fresh memory, from the start; not at all if there is none.
    Fresh(Fresh<'a>),
    /// To what is kept for the backward pass.
    Kept(StorePart<'a>),
    /// Not at all.
    Nowhere,
}

impl Sink<'_> {
    fn put(&mut self, x: &[f32]) {
        match self {
            Self::Fresh(fresh) if fresh.len() > 0 => {
                fresh.take_first(x.len()).write(|out| stream::copy(x, out));
            }
            Self::Kept(part) => part.put(x),
            Self::Fresh(_) | Self::Nowhere => {}
        }
    }

    fn wants(&self) -> bool {
        match self {
            Self::Fresh(fresh) => fresh.len() > 0,
            Self::Kept(_) => true,
            Self::Nowhere => false,
        }
    }
}

/// Buffers for scores or probabilities of one head.
pub(super) type HeadScratch = [Vec<f32>; 4];

/// Runs a task with this thread's buffers for squares. The task must not wait for others.
pub(super) fn with_head_scratch<R>(task: impl FnOnce(&mut HeadScratch) -> R) -> R {
    thread_local! {
        static HEAD_SCRATCH: RefCell<HeadScratch> = const { RefCell::new([const { Vec::new() }; 4]) };
    }
    HEAD_SCRATCH.with_borrow_mut(task)
}

/// The first `n` values of a buffer, which grows where it has to.
pub(super) fn first(buffer: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if buffer.len() < n {
        buffer.resize(n, 0.0);
    }
    &mut buffer[..n]
}

impl Element<'_> {
    /// Head by head, in buffers that stay in the core's cache; what is wanted is copied from there.
    pub fn forward<'o>(
        &self,
        mut out: OutSlice<'o>,
        scores: &mut Sink<'_>,
        probs: &mut Sink<'_>,
        squares: &mut HeadScratch,
    ) -> &'o mut [f32] {
        let s = self.s;
        assert_eq!(out.len(), s.seq * s.width, "the context of one batch element");
        let [own_scores, own_probs, dropped, _] = squares;
        let (own_scores, own_probs) = (first(own_scores, s.square()), first(own_probs, s.square()));
        let mut dropped = Dropped::new(self.dropout, s, self.index, dropped);
        for head in 0..s.heads {
            let (q, k) = (s.view(self.query, head), s.view(self.key, head).t());
            if scores.wants() {
                s.product(q, k, s.scores_mut(own_scores), Some(s.scale()), Some(self.mask));
                masked_softmax_rows(own_scores, s.seq, 1.0, None, own_probs);
                scores.put(own_scores);
            } else {
                s.product(q, k, s.scores_mut(own_probs), Some(s.scale()), Some(self.mask));
                softmax_rows(own_probs, s.seq);
            }
            probs.put(own_probs);
            let probs = dropped.of(own_probs, head);
            s.product(s.scores(probs), s.view(self.value, head), s.view_mut(out.reborrow(), head), None, None);
        }
        // SAFETY: every head has written its columns, and there are no others (`Sizes::new`).
        unsafe { out.assume_init() }
    }
}

/// The masked probabilities of one batch element, one head at a time.
pub(super) struct Dropped<'b> {
    mask: Option<Mask>,
    /// Index of the element's first probability in the whole tensor.
    offset: usize,
    buffer: &'b mut [f32],
}

impl<'b> Dropped<'b> {
    pub fn new(mask: Option<Mask>, s: Sizes, element: usize, buffer: &'b mut Vec<f32>) -> Self {
        let buffer = first(buffer, if mask.is_some() { s.square() } else { 0 });
        Self { mask, offset: element * s.heads * s.square(), buffer }
    }

    /// `values` of head `head` masked; themselves where there is no mask.
    pub fn of<'a>(&'a mut self, values: &'a [f32], head: usize) -> &'a [f32] {
        match self.mask {
            Some(mask) => mask.apply(values, &mut *self.buffer, self.offset + head * values.len()),
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
