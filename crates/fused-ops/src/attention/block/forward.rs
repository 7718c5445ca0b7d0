//! The forward pass.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::elementwise::{binary, norm};
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Weights, multiply_all};
use rayon::prelude::*;

use super::super::Waiting;
use super::super::forward::Element;
use super::super::heads::{Rows, Sizes};
use super::scratch::{Scratch, texts, with_scratch};
use super::{Settings, whole};
use crate::host::{self, dense, dims, values};
use crate::packed::with_packed;

/// The operands. Weights and biases are of queries, keys, values and output.
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
pub(crate) struct Kept {
    pub x: FlexTensor,
    pub weights: [FlexTensor; 4],
    pub gamma: FlexTensor,
    /// Queries, keys and values side by side, `[tokens, 3 inner]`.
    pub projected: FlexTensor,
    /// `[batch, heads, seq, seq]`, before dropout.
    pub probs: FlexTensor,
    /// `[tokens, inner]`.
    pub context: FlexTensor,
    /// What was normalised, `[tokens, width]`.
    pub sum: FlexTensor,
    pub mean: FlexTensor,
    pub inv_std: FlexTensor,
    pub settings: Settings,
    pub scores: Waiting,
}

impl Inputs {
    /// Sizes of the attention, and the width of the block.
    fn sizes(&self, settings: Settings) -> (Sizes, usize) {
        let [batch, seq, width] = dims(&self.x);
        let [_, inner] = dims(&self.weights[0]);
        (Sizes::new([batch, seq, inner], settings.heads), width)
    }
}

/// Which buffer is which.
const PARTS: usize = 8;

/// The block's output and, where wanted, its scores and what the backward pass needs.
pub(crate) fn forward(
    inputs: Inputs,
    settings: Settings,
    keep_scores: bool,
    keep_state: bool,
) -> (FlexTensor, Option<FlexTensor>, Option<Kept>) {
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
    let kept = |wanted: bool, n: usize| if wanted { n } else { 0 };
    let squares = s.batch * s.squares();
    let lengths: [usize; PARTS] = [
        tokens * width,
        kept(keep_scores, squares),
        kept(keep_state, squares),
        kept(keep_state, tokens * 3 * s.width),
        kept(keep_state, tokens * s.width),
        kept(keep_state, tokens * width),
        kept(keep_state, tokens),
        kept(keep_state, tokens),
    ];
    let together = texts(s.seq, s.precision);
    let buffers = with_packed(inputs.weights.each_ref().map(whole), false, s.precision, |packed| {
        host::vectors(lengths, |buffers| {
            let tasks = host::pieces(buffers, s.batch.div_ceil(together), |n| n / s.batch * together);
            tasks.into_par_iter().with_max_len(1).enumerate().for_each(|(index, parts)| {
                let task = Task { inputs: &inputs, packed, settings, s, width, first: index * together };
                with_scratch(|scratch| task.run(parts, scratch));
            });
        })
    });
    let [y, scores, probs, projected, context, sum, mean, inv_std] = buffers;
    let square = Shape::new([s.batch, s.heads, s.seq, s.seq]);
    let scores = keep_scores.then(|| host::wrap(scores, square.clone()));
    let state = keep_state.then(|| Kept {
        x: inputs.x.clone(),
        weights: inputs.weights.clone(),
        gamma: inputs.gamma.clone(),
        projected: host::wrap(projected, Shape::new([tokens, 3 * s.width])),
        probs: host::wrap(probs, square),
        context: host::wrap(context, Shape::new([tokens, s.width])),
        sum: host::wrap(sum, Shape::new([tokens, width])),
        mean: host::wrap(mean, Shape::new([tokens])),
        inv_std: host::wrap(inv_std, Shape::new([tokens])),
        settings,
        scores: Waiting::default(),
    });
    (host::wrap(y, inputs.x.shape()), scores, state)
}

/// Some texts.
struct Task<'a> {
    inputs: &'a Inputs,
    packed: &'a [Weights; 4],
    settings: Settings,
    s: Sizes,
    width: usize,
    /// Index of the first text.
    first: usize,
}

impl Task<'_> {
    fn run(&self, parts: [&mut [f32]; PARTS], scratch: &mut Scratch) {
        let [y, scores, probs, projected, context, sum, mean, inv_std] = parts;
        let (s, width, inner) = (self.s, self.width, self.s.width);
        let n = y.len() / width;
        let Scratch { input, projected: own_projected, context: own_context } = scratch;
        let projected = or_own(projected, own_projected, n * 3 * inner);
        let context = or_own(context, own_context, n * inner);
        let x = &values(&self.inputs.x)[self.first * s.seq * width..][..n * width];

        input.repack(MatRef::row_major(x, n, width), s.precision, false);
        for (which, (weights, bias)) in self.packed.iter().zip(&self.inputs.biases).take(3).enumerate() {
            let out = MatMut::new(&mut projected[which * inner..], n, inner, 3 * inner);
            multiply_all(input, weights, out, &Epilogue { bias: Some(values(bias)), ..Epilogue::default() });
        }

        let masks = &values(&self.inputs.mask)[self.first * s.seq..];
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
            element.forward(out, own(scores, index, s.squares()), own(probs, index, s.squares()));
        }

        input.repack(MatRef::row_major(context, n, inner), s.precision, false);
        let bias = Some(values(&self.inputs.biases[3]));
        let add = |sum: &mut [f32]| {
            let epilogue = Epilogue { bias, ..Epilogue::default() };
            multiply_all(input, &self.packed[3], MatMut::row_major(sum, n, width), &epilogue);
            if let Some(mask) = self.settings.dropout[1] {
                mask.apply_in_place(sum, self.first * s.seq * width);
            }
            binary::add_in_place(sum, x);
        };
        let (gamma, beta) = (values(&self.inputs.gamma), values(&self.inputs.beta));
        if sum.is_empty() {
            add(y);
            norm::layer_norm_in_place(y, gamma, beta, self.settings.eps, None);
        } else {
            add(sum);
            norm::layer_norm(sum, gamma, beta, self.settings.eps, y, Some((mean, inv_std)));
        }
    }
}

/// `part`, or the first `n` values of `own` where nothing is kept.
fn or_own<'a>(part: &'a mut [f32], own: &'a mut Vec<f32>, n: usize) -> &'a mut [f32] {
    if part.is_empty() {
        own.resize(n.max(own.len()), 0.0);
        &mut own[..n]
    } else {
        part
    }
}

/// The values of one text; none where nothing is kept.
fn own(part: &mut [f32], index: usize, size: usize) -> &mut [f32] {
    if part.is_empty() { part } else { &mut part[index * size..][..size] }
}
