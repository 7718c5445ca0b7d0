//! The backward pass.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use cpu_kernels::elementwise::{binary, softmax};
use cpu_kernels::store::Store;
use rayon::prelude::*;

use super::forward::{Dropped, HeadScratch, first, with_head_scratch};
use super::heads::{Heads, Projected, Rows, Sizes};
use crate::kernels::dropout::Mask;
use crate::kernels::host::{self, Fresh, dense, values};
use crate::kernels::{BackwardPass, PendingGradient};

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub inputs: [FlexTensor; 3],
    pub probs: FlexTensor,
    pub heads: Heads,
    pub dropout: Option<Mask>,
    pub scores: PendingGradient,
}

impl BackwardPass<3> for Saved {
    /// Gradients of queries, keys and values.
    ///
    /// `dV = dropout(P)ᵀ dC`; `dS = P (dP - Σ dP P)` with `dP = dropout(dC Vᵀ)`, plus the gradient of scores that were
    /// handed out; `dQ = dS K / sqrt(d)`, `dK = dSᵀ Q / sqrt(d)`.
    fn gradients(self, grad: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let grad = dense(grad);
        let handed_out = self.scores.take().map(dense);
        let s = Sizes::of(&self.inputs[0], self.heads);
        let [query, key, value] = &self.inputs;
        let n = s.batch * s.seq * s.width;
        let gradients = host::vectors([n; 3], |[dq, dk, dv]| {
            let outputs = dq.chunks(s.tokens()).zip(dk.chunks(s.tokens())).zip(dv.chunks(s.tokens()));
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
                Fresh::write_all([dq, dk, dv], |memory| {
                    let mut out = Projected::Separate(memory);
                    with_head_scratch(|scratch| element.backward(&mut out, scratch));
                    // SAFETY: the backward pass writes all heads.
                    unsafe { out.separate() }
                });
            });
        });
        gradients.map(|data| Some(host::wrap(data, query.shape())))
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
    pub fn backward(self, out: &mut Projected<'_>, squares: &mut HeadScratch) {
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
