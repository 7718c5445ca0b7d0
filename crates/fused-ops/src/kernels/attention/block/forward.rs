//! The forward pass.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::elementwise::{binary, norm};
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Precision, Tall, TallPart, Weights, multiply_all};
use cpu_kernels::store::{Kept, Store, StorePart};
use rayon::prelude::*;

use super::super::forward::{Element, Sink, first, with_head_scratch};
use super::super::heads::{Rows, Sizes};
use super::scratch::{Scratch, texts, with_scratch};
use super::{BlockSettings, whole};
use crate::kernels::PendingGradient;
use crate::kernels::host::{self, Fresh, dense, dims, values};
use crate::kernels::packed::with_packed;

/// The operands, in the order in which the operation takes them. Weights and biases are of queries, keys, values and output.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub x: FlexTensor,
    pub weights: [FlexTensor; 4],
    pub biases: [FlexTensor; 4],
    pub gamma: FlexTensor,
    pub beta: FlexTensor,
    pub mask: FlexTensor,
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// Of `x`.
    pub shape: Shape,
    pub weights: [FlexTensor; 4],
    pub gamma: FlexTensor,
    pub stores: Arc<Stores>,
    pub mean: FlexTensor,
    pub inv_std: FlexTensor,
    pub settings: BlockSettings,
    /// Gradients of the output and of the scores, where both are returned.
    pub output: PendingGradient,
    pub scores: PendingGradient,
}

/// What tasks keep for the backward pass.
#[derive(Debug)]
pub(crate) struct Stores {
    /// `x`, the operand of queries, keys and values.
    pub x: Tall,
    /// `[tokens, inner]`.
    pub context: Tall,
    /// Queries, keys and values side by side, `[tokens, 3 inner]`.
    pub projected: Store,
    /// `[batch, heads, seq, seq]`, before dropout.
    pub probs: Store,
    /// What was normalized, `[tokens, width]`.
    pub sum: Store,
}

/// A task's part of [`Stores`].
struct StoresPart<'a> {
    x: TallPart<'a>,
    context: TallPart<'a>,
    projected: StorePart<'a>,
    probs: StorePart<'a>,
    sum: StorePart<'a>,
}

impl Stores {
    /// Room for what tasks of `together` texts keep.
    fn new(s: Sizes, width: usize, together: usize) -> Self {
        let (tokens, part) = (s.batch * s.seq, together * s.seq);
        // Queries, keys and values are rounded for every product anyway.
        let format = if s.precision == Precision::Bf16 { Kept::Bf16 } else { Kept::F32 };
        Self {
            x: Tall::left(tokens, width, part, s.precision),
            context: Tall::left(tokens, s.width, part, s.precision),
            projected: Store::new(tokens * 3 * s.width, part * 3 * s.width, format),
            probs: Store::new(s.batch * s.squares(), together * s.squares(), format),
            sum: Store::new(tokens * width, part * width, Kept::F32),
        }
    }

    fn parts(&mut self) -> Vec<Option<StoresPart<'_>>> {
        let Self { x, context, projected, probs, sum } = self;
        let parts =
            x.parts().into_iter().zip(context.parts()).zip(projected.parts()).zip(probs.parts()).zip(sum.parts());
        let part = |((((x, context), projected), probs), sum)| Some(StoresPart { x, context, projected, probs, sum });
        parts.map(part).collect()
    }
}

impl Inputs {
    /// The operands that have gradients, and the mask.
    pub fn new(operands: [FlexTensor; 11], mask: FlexTensor) -> Self {
        let [x, w_q, w_k, w_v, w_o, b_q, b_k, b_v, b_o, gamma, beta] = operands;
        Self { x, weights: [w_q, w_k, w_v, w_o], biases: [b_q, b_k, b_v, b_o], gamma, beta, mask }
    }

    /// Sizes of the attention, and the width of the block.
    fn sizes(&self, settings: BlockSettings) -> (Sizes, usize) {
        let [batch, seq, width] = dims(&self.x);
        let [_, inner] = dims(&self.weights[0]);
        (Sizes::new([batch, seq, inner], settings.heads), width)
    }
}

/// The block's output and, where wanted, its scores and what the backward pass needs.
pub(crate) fn forward(
    inputs: Inputs,
    settings: BlockSettings,
    keep_scores: bool,
    keep_state: bool,
) -> (FlexTensor, Option<FlexTensor>, Option<Saved>) {
    let Inputs { x, weights, biases, gamma, beta, mask } = inputs;
    let dense_all = |tensors: [FlexTensor; 4]| tensors.map(dense);
    let inputs = Inputs {
        x: dense(x),
        weights,
        biases: dense_all(biases),
        gamma: dense(gamma),
        beta: dense(beta),
        mask: dense(mask),
    };
    let (s, width) = inputs.sizes(settings);
    let tokens = s.batch * s.seq;
    let squares = if keep_scores { s.batch * s.squares() } else { 0 };
    let statistics = if keep_state { tokens } else { 0 };
    let (mut mean, mut inv_std) = (vec![0.0; statistics], vec![0.0; statistics]);
    let together = texts(s.seq, s.precision);
    let tasks = s.batch.div_ceil(together);
    let mut stores = keep_state.then(|| Stores::new(s, width, together));
    let stores_parts = match &mut stores {
        Some(stores) => stores.parts(),
        None => (0..tasks).map(|_| None).collect(),
    };
    let [y, scores] = with_packed(inputs.weights.each_ref().map(whole), false, s.precision, |packed| {
        host::vectors([tokens * width, squares], |[y, scores]| {
            let statistics = host::pieces([&mut mean, &mut inv_std], tasks, together * s.seq);
            let outputs = y.chunks(together * s.seq * width).zip(scores.pieces(tasks, together * s.squares()));
            let parts = outputs.zip(statistics).zip(stores_parts).with_max_len(1).enumerate();
            parts.for_each(|(index, (((y, scores), statistics), stores))| {
                let task = Task { inputs: &inputs, packed, settings, s, width, first: index * together };
                with_scratch(|scratch| task.run(y, scores, statistics, stores, scratch));
            });
        })
    });
    let square = Shape::new([s.batch, s.heads, s.seq, s.seq]);
    let scores = keep_scores.then(|| host::wrap(scores, square));
    let state = stores.map(|stores| Saved {
        shape: inputs.x.shape(),
        weights: inputs.weights.clone(),
        gamma: inputs.gamma.clone(),
        stores: Arc::new(stores),
        mean: host::wrap(mean, Shape::new([tokens])),
        inv_std: host::wrap(inv_std, Shape::new([tokens])),
        settings,
        output: PendingGradient::default(),
        scores: PendingGradient::default(),
    });
    (host::wrap(y, inputs.x.shape()), scores, state)
}

/// Some texts.
struct Task<'a> {
    inputs: &'a Inputs,
    packed: &'a [Weights; 4],
    settings: BlockSettings,
    s: Sizes,
    width: usize,
    /// Index of the first text.
    first: usize,
}

impl Task<'_> {
    fn run(
        &self,
        y: Fresh<'_>,
        scores: Fresh<'_>,
        [mean, inv_std]: [&mut [f32]; 2],
        mut stores: Option<StoresPart<'_>>,
        scratch: &mut Scratch,
    ) {
        let (s, width, inner) = (self.s, self.width, self.s.width);
        let n = y.len() / width;
        let Scratch { input, projected, context, sum } = scratch;
        let (projected, context) = (first(projected, n * 3 * inner), first(context, n * inner));
        let x = &values(&self.inputs.x)[self.first * s.seq * width..][..n * width];

        input.repack(MatRef::row_major(x, n, width), s.precision, false);
        for (which, (weights, bias)) in self.packed.iter().zip(&self.inputs.biases).take(3).enumerate() {
            let out = MatMut::new(&mut projected[which * inner..], n, inner, 3 * inner);
            multiply_all(input, weights, out, &Epilogue { bias: Some(values(bias)), ..Epilogue::default() });
        }

        let masks = &values(&self.inputs.mask)[self.first * s.seq..];
        let mut scores = Sink::Fresh(scores);
        let mut probs = Sink::Nowhere;
        let kept =
            stores.take().map(|StoresPart { x: x_part, context, projected: mut projected_part, probs: part, sum }| {
                x_part.pack(MatRef::row_major(x, n, width));
                projected_part.put(projected);
                probs = Sink::Kept(part);
                (context, sum)
            });
        with_head_scratch(|squares| {
            for (index, out) in context.chunks_mut(s.tokens()).enumerate() {
                let rows = &projected[index * s.seq * 3 * inner..][..s.seq * 3 * inner];
                let part = |which: usize| Rows { data: &rows[which * inner..], stride: 3 * inner };
                let element = Element {
                    s,
                    index: self.first + index,
                    query: part(0),
                    key: part(1),
                    value: part(2),
                    mask: &masks[index * s.seq..][..s.seq],
                    dropout: self.settings.dropout[0],
                };
                element.forward(out.into(), &mut scores, &mut probs, squares);
            }
        });

        input.repack(MatRef::row_major(context, n, inner), s.precision, false);
        let epilogue = Epilogue { bias: Some(values(&self.inputs.biases[3])), ..Epilogue::default() };
        let (sum, kept) = match kept {
            Some(parts) => {
                let out = MatMut::row_major(first(sum, n * width), n, width);
                (multiply_all(input, &self.packed[3], out, &epilogue).values(), Some((parts, y)))
            }
            None => {
                let sum = y.write(|y| {
                    multiply_all(input, &self.packed[3], MatMut::row_major(y, n, width), &epilogue).values()
                });
                (sum, None)
            }
        };
        if let Some(mask) = self.settings.dropout[1] {
            mask.apply_in_place(sum, self.first * s.seq * width);
        }
        binary::add_in_place(sum, x);
        let (gamma, beta, eps) = (values(&self.inputs.gamma), values(&self.inputs.beta), self.settings.eps);
        match kept {
            None => norm::layer_norm_in_place(sum, gamma, beta, eps, None),
            Some(((context_part, mut sum_part), y)) => {
                context_part.pack(MatRef::row_major(context, n, inner));
                y.write(|y| norm::layer_norm(sum, gamma, beta, eps, y, Some((mean, inv_std))));
                sum_part.put(sum);
            }
        }
    }
}
