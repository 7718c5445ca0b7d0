//! The backward pass.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use cpu_kernels::elementwise::{binary, softmax};
use cpu_kernels::store::Store;
use rayon::prelude::*;

use super::forward::{Dropped, Squares, first, with_squares};
use super::heads::{Heads, Projected, Rows, Sizes};
use crate::dropout::Mask;
use crate::host::{self, dense, values};
use crate::tape::hand_on;

/// Where the gradient of scores that were handed out waits for the backward pass of the attention they come from.
///
/// burn's operations have one output. Attention's is the context, and its scores are the output of a second operation
/// that follows the first: its backward pass runs earlier and leaves here what it is given. So the gradients of scores and
/// of probabilities meet head by head in a core's cache, not in two tensors of `[batch, heads, seq, seq]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<Mutex<Option<FlexTensor>>>);

impl Waiting {
    pub(super) fn put(&self, grad: FlexTensor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(grad);
    }

    pub(super) fn take(&self) -> Option<FlexTensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub inputs: [FlexTensor; 3],
    pub probs: FlexTensor,
    pub heads: Heads,
    pub dropout: Option<Mask>,
    pub scores: Waiting,
}

impl Saved {
    /// Gradients of queries, keys and values.
    ///
    /// `dV = dropout(P)ᵀ dC`; `dS = P (dP - Σ dP P)` with `dP = dropout(dC Vᵀ)`, plus the gradient of scores that were
    /// handed out; `dQ = dS K / sqrt(d)`, `dK = dSᵀ Q / sqrt(d)`.
    fn gradients(&self, grad: FlexTensor) -> [FlexTensor; 3] {
        let grad = dense(grad);
        let handed_out = self.scores.take().map(dense);
        let s = Sizes::of(&self.inputs[0], self.heads);
        let [query, key, value] = &self.inputs;
        let n = s.batch * s.seq * s.width;
        let (mut dk, mut dv) = (Vec::new(), Vec::new());
        let dq = host::tensor(query.shape(), |dq| {
            dk = host::vector(n, |dk| {
                dv = host::vector(n, |dv| {
                    let outputs = dq.par_chunks_mut(s.tokens()).zip(dk.par_chunks_mut(s.tokens()));
                    let outputs = outputs.zip(dv.par_chunks_mut(s.tokens()));
                    outputs.enumerate().for_each(|(index, ((dq, dk), dv))| {
                        let tokens = |x| Rows { data: part(x, index, s.tokens()), stride: s.width };
                        let element = Element {
                            s,
                            query: tokens(query),
                            key: tokens(key),
                            value: tokens(value),
                            grad: tokens(&grad),
                            index,
                            probs: Probs::Values(values(&self.probs)),
                            handed_out: handed_out.as_ref().map(|x| part(x, index, s.squares())),
                            dropout: self.dropout,
                        };
                        with_squares(|squares| element.backward(&mut Projected::Apart([dq, dk, dv]), squares));
                    });
                });
            });
        });
        [dq, host::wrap(dk, key.shape()), host::wrap(dv, value.shape())]
    }
}

/// The values of one batch element, of which each has `size`.
fn part(x: &FlexTensor, index: usize, size: usize) -> &[f32] {
    &values(x)[index * size..(index + 1) * size]
}

/// The probabilities of all batch elements.
#[derive(Clone, Copy)]
pub(super) enum Probs<'a> {
    Values(&'a [f32]),
    Kept(&'a Store),
}

/// One batch element.
pub(super) struct Element<'a> {
    pub s: Sizes,
    pub index: usize,
    pub query: Rows<'a>,
    pub key: Rows<'a>,
    pub value: Rows<'a>,
    pub grad: Rows<'a>,
    pub probs: Probs<'a>,
    pub handed_out: Option<&'a [f32]>,
    pub dropout: Option<Mask>,
}

impl Element<'_> {
    pub fn backward(self, out: &mut Projected<'_>, squares: &mut Squares) {
        let s = self.s;
        let [read, dp, dropped, ds] = squares;
        let [read, dp, ds] = [read, dp, ds].map(|buffer| first(buffer, s.square()));
        let mut dropped = Dropped::new(self.dropout, s, self.index, dropped);
        for head in 0..s.heads {
            let place = head * s.square()..(head + 1) * s.square();
            let whole = self.index * s.squares() + place.start..self.index * s.squares() + place.end;
            let probs = match self.probs {
                Probs::Values(values) => &values[whole],
                Probs::Kept(store) => {
                    store.read(whole, read);
                    &*read
                }
            };
            let grad = s.view(self.grad, head);
            s.product(s.scores(dropped.of(probs, head)).t(), grad, out.view_mut(2, &s, head), None, None);
            s.product(grad, s.view(self.value, head).t(), s.scores_mut(dp), None, None);
            dropped.apply(dp, head);
            softmax::softmax_backward_rows(probs, dp, s.seq, ds);
            if let Some(handed_out) = self.handed_out {
                binary::add_in_place(ds, &handed_out[place]);
            }
            let ds = s.scores(ds);
            s.product(ds, s.view(self.key, head), out.view_mut(0, &s, head), Some(s.scale()), None);
            s.product(ds.t(), s.view(self.query, head), out.view_mut(1, &s, head), Some(s.scale()), None);
        }
    }
}

/// Gradients of the context.
#[derive(Debug)]
pub(crate) struct AttentionBackward;

impl Backward<Flex, 3> for AttentionBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        hand_on(ops, grads, |saved, grad| saved.gradients(grad));
    }
}

/// Gradient of the scores that were handed out.
#[derive(Debug)]
pub(crate) struct ScoresBackward;

impl Backward<Flex, 1> for ScoresBackward {
    type State = (Waiting, Shape);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (waiting, shape) = ops.state;
        waiting.put(grads.consume::<Flex>(&ops.node));
        let [context] = ops.parents;
        if let Some(context) = context {
            // So that the attention's backward pass runs with a gradient even where nothing else looks at its context.
            let zeros = host::zeros(shape.num_elements());
            grads.register::<Flex>(context.id, host::wrap(zeros, shape));
        }
    }
}
