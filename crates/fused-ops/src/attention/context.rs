//! From scores to context.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use cpu_kernels::elementwise::softmax as kernels;
use rayon::prelude::*;

use super::heads::{Heads, Sizes};
use crate::dropout::Mask;
use crate::host::{self, dense, values};

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    probs: FlexTensor,
    value: FlexTensor,
    heads: Heads,
    mask: Option<Mask>,
}

/// `dropout(softmax(S)) V`.
pub(crate) fn forward(scores: FlexTensor, value: FlexTensor, heads: Heads, mask: Option<Mask>) -> (FlexTensor, Saved) {
    let (scores, value) = (dense(scores), dense(value));
    let s = Sizes::of(&value, heads);
    let mut probs = Vec::new();
    let context = host::tensor(value.shape(), |out| {
        probs = host::vector(s.batch * s.heads * s.square(), |probs| {
            let inputs = values(&scores).par_chunks(s.squares()).zip(values(&value).par_chunks(s.tokens()));
            let outputs = out.par_chunks_mut(s.tokens()).zip(probs.par_chunks_mut(s.squares()));
            outputs.zip(inputs).enumerate().for_each(|(element, ((out, probs), (scores, value)))| {
                kernels::masked_softmax_rows(scores, s.seq, 1.0, None, probs);
                let mut dropped = Dropped::new(mask, s, element);
                for (head, probs) in probs.chunks(s.square().max(1)).enumerate() {
                    let probs = dropped.of(probs, head);
                    s.product(s.scores(probs), s.view(value, head), s.view_mut(out, head), None, None);
                }
            });
        });
    });
    let probs = host::wrap(probs, scores.shape());
    (context, Saved { probs, value, heads, mask })
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

impl Saved {
    /// `dS = P (dP - Σ dP P)` with `dP = dropout(dC Vᵀ)`, and `dV = dropout(P)ᵀ dC`.
    fn gradients(&self, grad: FlexTensor) -> [FlexTensor; 2] {
        let grad = dense(grad);
        let s = Sizes::of(&self.value, self.heads);
        let mut value_gradient = Vec::new();
        let score_gradient = host::tensor(self.probs.shape(), |ds| {
            value_gradient = host::vector(s.batch * s.seq * s.width, |dv| {
                let inputs =
                    values(&self.probs).par_chunks(s.squares()).zip(values(&self.value).par_chunks(s.tokens()));
                let inputs = inputs.zip(values(&grad).par_chunks(s.tokens()));
                let outputs = ds.par_chunks_mut(s.squares()).zip(dv.par_chunks_mut(s.tokens()));
                outputs.zip(inputs).enumerate().for_each(|(element, ((ds, dv), ((probs, value), grad)))| {
                    let mut dropped = Dropped::new(self.mask, s, element);
                    let mut dp = vec![0.0; s.square()];
                    let heads = probs.chunks(s.square().max(1)).zip(ds.chunks_mut(s.square().max(1)));
                    for (head, (probs, ds)) in heads.enumerate() {
                        head_gradients(s, head, probs, value, grad, ds, dv, &mut dropped, &mut dp);
                    }
                });
            });
        });
        [score_gradient, host::wrap(value_gradient, self.value.shape())]
    }
}

/// Gradients of one head: of its scores into `ds`, of its values into their columns of `dv`. `dp` is a buffer for those
/// of its probabilities.
#[allow(clippy::too_many_arguments, reason = "the operands of one head, as views")]
pub(super) fn head_gradients(
    s: Sizes,
    head: usize,
    probs: &[f32],
    value: &[f32],
    grad: &[f32],
    ds: &mut [f32],
    dv: &mut [f32],
    dropped: &mut Dropped,
    dp: &mut [f32],
) {
    let grad = s.view(grad, head);
    s.product(s.scores(dropped.of(probs, head)).t(), grad, s.view_mut(dv, head), None, None);
    s.product(grad, s.view(value, head).t(), s.scores_mut(dp), None, None);
    dropped.apply(dp, head);
    kernels::softmax_backward_rows(probs, dp, s.seq, ds);
}

/// Gradients of [`forward`].
#[derive(Debug)]
pub(crate) struct ContextBackward;

impl Backward<Flex, 2> for ContextBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let found = ops.state.gradients(grads.consume::<Flex>(&ops.node));
        for (parent, grad) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}
