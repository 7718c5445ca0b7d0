//! Scores before the softmax.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use rayon::prelude::*;

use super::heads::{Heads, Sizes};
use crate::host::{self, dense, values};

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    query: FlexTensor,
    key: FlexTensor,
    heads: Heads,
}

/// `Q Kᵀ / sqrt(d) + mask`.
pub(crate) fn forward(query: FlexTensor, key: FlexTensor, mask: FlexTensor, heads: Heads) -> (FlexTensor, Saved) {
    let (query, key, mask) = (dense(query), dense(key), dense(mask));
    let s = Sizes::of(&query, heads);
    let scores = host::tensor(Shape::new([s.batch, s.heads, s.seq, s.seq]), |out| {
        let inputs = values(&query).par_chunks(s.tokens()).zip(values(&key).par_chunks(s.tokens()));
        let inputs = inputs.zip(values(&mask).par_chunks(s.seq.max(1)));
        out.par_chunks_mut(s.squares()).zip(inputs).for_each(|(out, ((query, key), mask))| {
            for (head, out) in out.chunks_mut(s.square().max(1)).enumerate() {
                let (q, k) = (s.view(query, head), s.view(key, head));
                s.product(q, k.t(), s.scores_mut(out), Some(s.scale()), Some(mask));
            }
        });
    });
    (scores, Saved { query, key, heads })
}

impl Saved {
    /// `dQ = dS K / sqrt(d)` and `dK = dSᵀ Q / sqrt(d)`.
    fn gradients(&self, grad: FlexTensor) -> [FlexTensor; 2] {
        let grad = dense(grad);
        let s = Sizes::of(&self.query, self.heads);
        let mut keys = Vec::new();
        let queries = host::tensor(self.query.shape(), |dq| {
            keys = host::vector(s.batch * s.seq * s.width, |dk| {
                let inputs = values(&self.query).par_chunks(s.tokens()).zip(values(&self.key).par_chunks(s.tokens()));
                let inputs = inputs.zip(values(&grad).par_chunks(s.squares()));
                let outputs = dq.par_chunks_mut(s.tokens()).zip(dk.par_chunks_mut(s.tokens()));
                outputs.zip(inputs).for_each(|((dq, dk), ((query, key), grad))| {
                    for (head, grad) in grad.chunks(s.square().max(1)).enumerate() {
                        let grad = s.scores(grad);
                        s.product(grad, s.view(key, head), s.view_mut(dq, head), Some(s.scale()), None);
                        s.product(grad.t(), s.view(query, head), s.view_mut(dk, head), Some(s.scale()), None);
                    }
                });
            });
        });
        [queries, host::wrap(keys, self.key.shape())]
    }
}

/// Gradients of [`forward`].
#[derive(Debug)]
pub(crate) struct ScoresBackward;

impl Backward<Flex, 2> for ScoresBackward {
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
