//! Attention that keeps its probabilities only.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use cpu_kernels::elementwise::softmax as kernels;
use rayon::prelude::*;

use super::context::{Dropped, head_gradients};
use super::heads::{Heads, Sizes};
use crate::dropout::Mask;
use crate::host::{self, dense, values};

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    inputs: [FlexTensor; 3],
    probs: FlexTensor,
    heads: Heads,
    dropout: Option<Mask>,
}

/// `dropout(softmax(Q Kᵀ / sqrt(d) + mask)) V`; without `keep` the probabilities live in one head's buffer per task, and
/// there is nothing to go backward from.
pub(crate) fn forward(
    inputs: [FlexTensor; 3],
    mask: FlexTensor,
    heads: Heads,
    dropout: Option<Mask>,
    keep: bool,
) -> (FlexTensor, Option<Saved>) {
    let inputs = inputs.map(dense);
    let mask = dense(mask);
    let s = Sizes::of(&inputs[0], heads);
    let shape = Shape::new([s.batch, s.heads, s.seq, s.seq]);
    let [query, key, value] = &inputs;
    let mut probs = Vec::new();
    let context = host::tensor(value.shape(), |out| {
        let run = |element: usize, out: &mut [f32], mut probs: Option<&mut [f32]>| {
            let from = |x: &'_ FlexTensor| -> std::ops::Range<usize> {
                debug_assert_eq!(x.shape().num_elements(), s.batch * s.seq * s.width);
                element * s.seq * s.width..(element + 1) * s.seq * s.width
            };
            let (q, k, v) = (&values(query)[from(query)], &values(key)[from(key)], &values(value)[from(value)]);
            let mask = &values(&mask)[element * s.seq..(element + 1) * s.seq];
            let mut own = if probs.is_none() { vec![0.0; s.square()] } else { Vec::new() };
            let mut dropped = Dropped::new(dropout, s, element);
            for head in 0..s.heads {
                let probs = match &mut probs {
                    Some(all) => &mut all[head * s.square()..(head + 1) * s.square()],
                    None => &mut own[..],
                };
                s.product(s.view(q, head), s.view(k, head).t(), s.scores_mut(probs), Some(s.scale()), Some(mask));
                kernels::softmax_rows(probs, s.seq);
                let probs = dropped.of(probs, head);
                s.product(s.scores(probs), s.view(v, head), s.view_mut(out, head), None, None);
            }
        };
        let outputs = out.par_chunks_mut(s.tokens()).enumerate();
        if keep {
            probs = host::vector(shape.num_elements(), |probs| {
                outputs.zip(probs.par_chunks_mut(s.squares())).for_each(|((i, out), probs)| run(i, out, Some(probs)));
            });
        } else {
            outputs.for_each(|(i, out)| run(i, out, None));
        }
    });
    let saved = keep.then(|| Saved { inputs, probs: host::wrap(probs, shape), heads, dropout });
    (context, saved)
}

impl Saved {
    /// Gradients of queries, keys and values; those of the scores never leave a task.
    fn gradients(&self, grad: FlexTensor) -> [FlexTensor; 3] {
        let grad = dense(grad);
        let s = Sizes::of(&self.inputs[0], self.heads);
        let [query, key, value] = &self.inputs;
        let n = s.batch * s.seq * s.width;
        let (mut dk, mut dv) = (Vec::new(), Vec::new());
        let dq = host::tensor(query.shape(), |dq| {
            dk = host::vector(n, |dk| {
                dv = host::vector(n, |dv| {
                    let inputs = values(query).par_chunks(s.tokens()).zip(values(key).par_chunks(s.tokens()));
                    let inputs = inputs.zip(values(value).par_chunks(s.tokens()));
                    let inputs = inputs.zip(values(&self.probs).par_chunks(s.squares()));
                    let inputs = inputs.zip(values(&grad).par_chunks(s.tokens()));
                    let outputs = dq.par_chunks_mut(s.tokens()).zip(dk.par_chunks_mut(s.tokens()));
                    let outputs = outputs.zip(dv.par_chunks_mut(s.tokens()));
                    outputs.zip(inputs).enumerate().for_each(
                        |(element, (((dq, dk), dv), ((((query, key), value), probs), grad)))| {
                            let mut dropped = Dropped::new(self.dropout, s, element);
                            let (mut ds, mut dp) = (vec![0.0; s.square()], vec![0.0; s.square()]);
                            for (head, probs) in probs.chunks(s.square().max(1)).enumerate() {
                                head_gradients(s, head, probs, value, grad, &mut ds, dv, &mut dropped, &mut dp);
                                let ds = s.scores(&ds);
                                s.product(ds, s.view(key, head), s.view_mut(dq, head), Some(s.scale()), None);
                                s.product(ds.t(), s.view(query, head), s.view_mut(dk, head), Some(s.scale()), None);
                            }
                        },
                    );
                });
            });
        });
        [dq, host::wrap(dk, key.shape()), host::wrap(dv, value.shape())]
    }
}

/// Gradients of [`forward`].
#[derive(Debug)]
pub(crate) struct AttentionBackward;

impl Backward<Flex, 3> for AttentionBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let found = ops.state.gradients(grads.consume::<Flex>(&ops.node));
        for (parent, grad) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}
