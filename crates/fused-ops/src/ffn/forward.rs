//! The forward pass.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::elementwise::{binary, norm};
use cpu_kernels::matmul::{Epilogue, Input, MatMut, MatRef, Tall, TallPart, Weights, multiply_all};
use rayon::prelude::*;

use super::program::{Layout, Step};
use super::scratch::{Scratch, with_scratch};
use super::{MAX_STEPS, Settings};
use crate::binary::Combine;
use crate::host::{self, dense, rows, values};
use crate::packed::{tokens, with_packed};

/// The operands.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub x: FlexTensor,
    /// `W1`, `W2`.
    pub weights: [FlexTensor; 2],
    /// `b1`, `b2`.
    pub biases: [FlexTensor; 2],
    pub gamma: FlexTensor,
    pub beta: FlexTensor,
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub inputs: Inputs,
    pub settings: Settings,
    pub(super) layout: Layout,
    /// Values of the program that gradients need, `[tokens, width]`; the first one is the input.
    pub values: Vec<Option<FlexTensor>>,
    /// What `W1` and `W2` were applied to.
    pub operands: Arc<[Tall; 2]>,
    /// What was normalised, `[tokens, width]`.
    pub sum: FlexTensor,
    pub mean: FlexTensor,
    pub inv_std: FlexTensor,
}

/// Buffers beside those of the program's values: output, sum, mean, inverse deviation.
const OTHERS: usize = 4;

/// The block's output, and what the backward pass needs where it is wanted.
pub(crate) fn forward(inputs: Inputs, settings: Settings, keep: bool) -> (FlexTensor, Option<Kept>) {
    let Inputs { x, weights, biases, gamma, beta } = inputs;
    let (x, biases) = (dense(x), biases.map(dense));
    let inputs = Inputs { x, weights, biases, gamma: dense(gamma), beta: dense(beta) };
    let (n, width) = rows(&inputs.x);
    let inner = settings.inner;
    let layout = Layout::new(&settings.program, width, inner).expect("only programs with a layout are fused");
    let kept = |wanted: bool, n: usize| if wanted { n } else { 0 };
    let lengths: [usize; OTHERS + MAX_STEPS] = std::array::from_fn(|i| match i {
        0 => n * width,
        1 => kept(keep, n * width),
        2 | 3 => kept(keep, n),
        _ => {
            let value = i - OTHERS + 1;
            layout.widths.get(value).map_or(0, |w| kept(keep && layout.needed[value], n * w))
        }
    });
    let together = tokens(settings.precision);
    let [w1, w2] = &inputs.weights;
    let packed = [(w1, [width, inner]), (w2, [inner, width])];
    let mut operands = [width, inner].map(|w| Tall::left(if keep { n } else { 0 }, w, together, settings.precision));
    let parts = parts(&mut operands, n.div_ceil(together));
    let buffers = with_packed(packed, false, settings.precision, |packed| {
        host::vectors(lengths, |buffers| {
            let tasks = host::pieces(buffers, n.div_ceil(together), |length| length / n * together);
            tasks.into_par_iter().zip(parts).with_max_len(1).enumerate().for_each(|(index, (buffers, operands))| {
                let first = index * together;
                let task = Task { inputs: &inputs, packed, settings: &settings, layout: &layout, width, first };
                with_scratch(|scratch| task.run(buffers, operands, scratch));
            });
        })
    });
    let mut buffers = buffers.into_iter();
    let mut next = || buffers.next().unwrap_or_default();
    let [y, sum, mean, inv_std] = std::array::from_fn(|_| next());
    let y = host::wrap(y, inputs.x.shape());
    let kept = keep.then(|| {
        let mut all = vec![Some(inputs.x.clone())];
        for (&w, &needed) in layout.widths.iter().zip(&layout.needed).skip(1) {
            let data = next();
            all.push(needed.then(|| host::wrap(data, Shape::new([n, w]))));
        }
        let line = |data: Vec<f32>| host::wrap(data, Shape::new([n]));
        let sum = host::wrap(sum, Shape::new([n, width]));
        Kept {
            inputs,
            settings,
            layout,
            values: all,
            operands: Arc::new(operands),
            sum,
            mean: line(mean),
            inv_std: line(inv_std),
        }
    });
    (y, kept)
}

/// The parts of both operands for every task; nothing where they are not kept.
fn parts(operands: &mut [Tall; 2], tasks: usize) -> Vec<[Option<TallPart<'_>>; 2]> {
    let mut both = operands.each_mut().map(|tall| tall.parts().into_iter());
    (0..tasks).map(|_| both.each_mut().map(Iterator::next)).collect()
}

/// Some tokens.
struct Task<'a> {
    inputs: &'a Inputs,
    packed: &'a [Weights; 2],
    settings: &'a Settings,
    layout: &'a Layout,
    width: usize,
    /// Index of the first token.
    first: usize,
}

impl Task<'_> {
    fn run(
        &self,
        parts: [&mut [f32]; OTHERS + MAX_STEPS],
        [mut operand1, mut operand2]: [Option<TallPart<'_>>; 2],
        scratch: &mut Scratch,
    ) {
        let [y, sum, mean, inv_std, kept @ ..] = parts;
        let (n, width, steps) = (y.len() / self.width, self.width, self.settings.program.steps());
        let x = &values(&self.inputs.x)[self.first * width..][..n * width];
        let widths = &self.layout.widths[1..];
        // The last value goes where the residual is added to it.
        let own = |(i, part): (usize, &&mut [f32])| {
            if part.is_empty() && i + 1 < steps.len() { n * widths[i] } else { 0 }
        };
        let lengths: Vec<usize> = kept.iter().take(steps.len()).enumerate().map(own).collect();
        let (input, own) = scratch.parts(lengths.into_iter());
        let (added, normed) = if sum.is_empty() { (y, None) } else { (sum, Some(y)) };
        let mut parts: Vec<&mut [f32]> =
            kept.into_iter().zip(own).map(|(kept, own)| if kept.is_empty() { own } else { kept }).collect();
        let last = parts.len() - 1;
        parts[last] = added;

        let mut skip = false;
        for (i, &step) in steps.iter().enumerate() {
            if std::mem::take(&mut skip) {
                continue;
            }
            // Where the sum of a linear map is not needed, the function after it is applied before anything is written.
            let function = match (step, steps.get(i + 1)) {
                (Step::First(_) | Step::Second(_), Some(&Step::Unary(function, a))) if a == i + 1 => {
                    normed.is_none().then_some(function)
                }
                _ => None,
            };
            skip = function.is_some();
            let (before, after) = parts.split_at_mut(i + usize::from(skip));
            let out = &mut *after[0];
            let value = |v: usize| -> &[f32] { if v == 0 { x } else { &*before[v - 1] } };
            match step {
                Step::First(a) => {
                    self.keep(operand1.take(), value(a));
                    self.linear(0, value(a), out, function, input);
                }
                Step::Second(a) => {
                    self.keep(operand2.take(), value(a));
                    self.linear(1, value(a), out, function, input);
                }
                Step::Unary(function, a) => function.forward(value(a), out),
                Step::Binary(Combine::Add, a, b) => binary::add(value(a), value(b), out),
                Step::Binary(Combine::Mul, a, b) => binary::mul(value(a), value(b), out),
                Step::Binary(Combine::Max, a, b) => binary::max(value(a), value(b), out),
                Step::Cut(a, narrow) => {
                    let wide = self.layout.widths[a];
                    let rows = value(a).chunks_exact(wide).zip(out.chunks_exact_mut(narrow));
                    rows.for_each(|(from, to)| to.copy_from_slice(&from[..narrow]));
                }
                Step::Pad(..) => unreachable!("programs with padding have no layout"),
            }
        }

        let sum = &mut *parts[last];
        if let Some(mask) = self.settings.dropout {
            mask.apply_in_place(sum, self.first * width);
        }
        binary::add_in_place(sum, x);
        let (gamma, beta, eps) = (values(&self.inputs.gamma), values(&self.inputs.beta), self.settings.eps);
        match normed {
            None => norm::layer_norm_in_place(sum, gamma, beta, eps, None),
            Some(y) => norm::layer_norm(sum, gamma, beta, eps, y, Some((mean, inv_std))),
        }
    }

    /// Packs what a linear map is applied to for the gradient of its weights.
    fn keep(&self, operand: Option<TallPart<'_>>, x: &[f32]) {
        if let Some(part) = operand {
            let rows = part.rows();
            part.pack(MatRef::row_major(x, rows, x.len() / rows));
        }
    }

    fn linear(
        &self,
        which: usize,
        x: &[f32],
        out: &mut [f32],
        activation: Option<crate::Activation>,
        input: &mut Input,
    ) {
        let (width, inner) = (self.width, self.settings.inner);
        let [inputs, outputs] = if which == 0 { [width, inner] } else { [inner, width] };
        let n = x.len() / inputs;
        input.repack(MatRef::row_major(x, n, inputs), self.settings.precision, false);
        let bias = Some(&values(&self.inputs.biases[which])[..outputs]);
        let epilogue = Epilogue { bias, activation, ..Epilogue::default() };
        multiply_all(input, &self.packed[which], MatMut::row_major(out, n, outputs), &epilogue);
    }
}
