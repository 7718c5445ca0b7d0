//! The forward pass.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::OutSlice;
use cpu_kernels::elementwise::{Activation, binary, norm};
use cpu_kernels::matmul::{Epilogue, Input, MatMut, MatRef, Precision, Tall, TallPart, Weights, multiply_all};
use cpu_kernels::store::{Kept, Store, StorePart};
use rayon::prelude::*;

use super::FfnSettings;
use super::program::Step;
use crate::kernels::Operation;
use crate::kernels::binary::Combine;
use crate::kernels::host::{self, Fresh, dense, rows, values};
use crate::kernels::packed::{tokens, with_packed};
use crate::kernels::scratch::{Scratch, with_scratch};

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
pub(crate) struct Saved {
    pub inputs: Inputs,
    pub settings: FfnSettings,
    pub stores: Arc<Stores>,
    pub mean: FlexTensor,
    pub inv_std: FlexTensor,
}

/// What tasks keep for the backward pass.
#[derive(Debug)]
pub(crate) struct Stores {
    /// What `W1` and `W2` are applied to.
    pub operands: [Tall; 2],
    /// Values of the program that gradients need, `[tokens, width]`; the first one is the input.
    pub values: Vec<Option<Store>>,
    /// What was normalized, `[tokens, width]`.
    pub sum: Store,
}

/// A task's part of [`Stores`].
struct StoresPart<'a> {
    operands: [Option<TallPart<'a>>; 2],
    values: Vec<Option<StorePart<'a>>>,
    sum: StorePart<'a>,
}

impl Stores {
    /// Room for what tasks of `part` out of `n` tokens keep.
    fn new(n: usize, part: usize, FfnSettings { layout, precision, .. }: &FfnSettings) -> Self {
        let (width, precision) = (layout.widths[0], *precision);
        let store = |value: usize| {
            let rounded = precision == Precision::Bf16 && !layout.exact[value];
            let w = layout.widths[value];
            Store::new(n * w, part * w, if rounded { Kept::Bf16 } else { Kept::F32 })
        };
        // The input is kept by whoever has made it.
        let values =
            layout.needed.iter().enumerate().map(|(value, &needed)| (needed && value > 0).then(|| store(value)));
        Self {
            operands: layout.maps().map(|[inputs, _]| Tall::left(n, inputs, part, precision)),
            values: values.collect(),
            sum: Store::new(n * width, part * width, Kept::F32),
        }
    }

    fn parts(&mut self) -> Vec<Option<StoresPart<'_>>> {
        let Self { operands, values, sum } = self;
        let mut operands = operands.each_mut().map(|tall| tall.parts().into_iter());
        let mut values: Vec<_> = values.iter_mut().map(|v| v.as_mut().map(|store| store.parts().into_iter())).collect();
        let parts = sum.parts().into_iter().map(|sum| {
            let operands = operands.each_mut().map(Iterator::next);
            let values = values.iter_mut().map(|parts| parts.as_mut().and_then(Iterator::next)).collect();
            Some(StoresPart { operands, values, sum })
        });
        parts.collect()
    }
}

/// The input, `W1`, `b1`, `W2`, `b2`, `gamma` and `beta`.
impl Operation<7> for FfnSettings {
    type Saved = Saved;

    fn forward(self, operands: [FlexTensor; 7]) -> (FlexTensor, Saved) {
        let (y, saved) = evaluate(operands, self, true);
        (y, saved.expect("asked for"))
    }

    fn value(self, operands: [FlexTensor; 7]) -> FlexTensor {
        evaluate(operands, self, false).0
    }
}

/// The block's output, and what the backward pass needs where it is wanted.
fn evaluate(operands: [FlexTensor; 7], settings: FfnSettings, keep: bool) -> (FlexTensor, Option<Saved>) {
    let [x, w1, b1, w2, b2, gamma, beta] = operands;
    let (x, biases) = (dense(x), [dense(b1), dense(b2)]);
    let inputs = Inputs { x, weights: [w1, w2], biases, gamma: dense(gamma), beta: dense(beta) };
    let (n, width) = rows(&inputs.x);
    let together = tokens(settings.precision);
    let mut stores = keep.then(|| Stores::new(n, together, &settings));
    let parts = match &mut stores {
        Some(stores) => stores.parts(),
        None => (0..n.div_ceil(together)).map(|_| None).collect(),
    };
    let statistics = if keep { n } else { 0 };
    let (mut mean, mut inv_std) = (vec![0.0; statistics], vec![0.0; statistics]);
    let ([w1, w2], [map1, map2]) = (&inputs.weights, settings.layout.maps());
    let packed = [(w1, map1), (w2, map2)];
    let y = with_packed(packed, false, settings.precision, |packed| {
        host::vector(n * width, |y| {
            let statistics = host::pieces([&mut mean, &mut inv_std], n.div_ceil(together), together);
            let tasks = y.chunks(together * width).zip(statistics).zip(parts).with_max_len(1);
            tasks.enumerate().for_each(|(index, ((y, statistics), stores))| {
                let first = index * together;
                let task = Task { inputs: &inputs, packed, settings: &settings, width, first };
                with_scratch(|scratch| task.run(y, statistics, stores, scratch));
            });
        })
    });
    let y = host::wrap(y, inputs.x.shape());
    let line = |data: Vec<f32>| host::wrap(data, Shape::new([n]));
    let saved = stores.map(|stores| Saved {
        inputs,
        settings,
        stores: Arc::new(stores),
        mean: line(mean),
        inv_std: line(inv_std),
    });
    (y, saved)
}

/// Some tokens.
struct Task<'a> {
    inputs: &'a Inputs,
    packed: &'a [Weights; 2],
    settings: &'a FfnSettings,
    width: usize,
    /// Index of the first token.
    first: usize,
}

impl Task<'_> {
    fn run(
        &self,
        y: Fresh<'_>,
        [mean, inv_std]: [&mut [f32]; 2],
        stores: Option<StoresPart<'_>>,
        scratch: &mut Scratch,
    ) {
        let (n, width, steps) = (y.len() / self.width, self.width, self.settings.program.steps());
        let x = &values(&self.inputs.x)[self.first * width..][..n * width];
        let lengths = self.settings.layout.widths[1..].iter().map(|w| n * w);
        let (input, mut parts) = scratch.parts(lengths);
        let last = parts.len() - 1;
        let keep = stores.is_some();
        let (mut operands, mut kept) = match stores {
            Some(stores) => (stores.operands, Some((stores.values, stores.sum))),
            None => ([None, None], None),
        };
        // Where nothing is kept, the last value goes where the residual is added to it.
        let (mut y, mut sum) = (Some(y), None);

        let mut skip = false;
        for (i, &step) in steps.iter().enumerate() {
            if std::mem::take(&mut skip) {
                continue;
            }
            // Where the sum of a linear map is not needed, the function after it is applied before anything is written.
            let function = match (step, steps.get(i + 1)) {
                (Step::First(_) | Step::Second(_), Some(&Step::Unary(function, a))) if a == i + 1 => {
                    (!keep).then_some(function)
                }
                _ => None,
            };
            skip = function.is_some();
            let target = i + usize::from(skip);
            let (before, after) = parts.split_at_mut(target);
            let value = |v: usize| -> &[f32] { if v == 0 { x } else { &*before[v - 1] } };
            match step {
                Step::First(a) => self.keep(operands[0].take(), value(a)),
                Step::Second(a) => self.keep(operands[1].take(), value(a)),
                _ => {}
            }
            let out = match y.take_if(|_| !keep && target == last) {
                Some(y) => sum.insert(y.write(|y| self.step(step, value, function, y, input))),
                None => self.step(step, value, function, OutSlice::from(&mut *after[0]), input),
            };
            if let Some(part) = kept.as_mut().and_then(|(values, _)| values[i + 1].as_mut()) {
                part.put(out);
            }
        }

        let sum = sum.unwrap_or(&mut *parts[last]);
        if let Some(mask) = self.settings.dropout {
            mask.apply_in_place(sum, self.first * width);
        }
        binary::add_in_place(sum, x);
        let (gamma, beta, eps) = (values(&self.inputs.gamma), values(&self.inputs.beta), self.settings.eps);
        match (kept, y) {
            (Some((_, mut part)), Some(y)) => {
                y.write(|y| norm::layer_norm(sum, gamma, beta, eps, y, Some((mean, inv_std))));
                part.put(sum);
            }
            _ => norm::layer_norm_in_place(sum, gamma, beta, eps, None),
        }
    }

    /// Writes the value of a step, to which `function` is applied last.
    fn step<'v, 'o>(
        &self,
        step: Step,
        value: impl Fn(usize) -> &'v [f32],
        function: Option<Activation>,
        mut out: OutSlice<'o>,
        input: &mut Input,
    ) -> &'o mut [f32] {
        match step {
            Step::First(a) => self.linear(0, value(a), out, function, input),
            Step::Second(a) => self.linear(1, value(a), out, function, input),
            Step::Unary(function, a) => function.forward(value(a), out),
            Step::Binary(Combine::Add, a, b) => binary::add(value(a), value(b), out),
            Step::Binary(Combine::Mul, a, b) => binary::mul(value(a), value(b), out),
            Step::Binary(Combine::Max, a, b) => binary::max(value(a), value(b), out),
            Step::Cut(a, narrow) => {
                let wide = self.settings.layout.widths[a];
                let rows = value(a).chunks_exact(wide);
                assert_eq!(rows.len() * narrow, out.len(), "rows of a cut");
                for (from, to) in rows.zip(out.reborrow().chunks(narrow)) {
                    to.copy_from(&from[..narrow]);
                }
                // SAFETY: `out` is as many rows as the value has, and each has been written.
                unsafe { out.assume_init() }
            }
            Step::Pad(..) => unreachable!("programs with padding have no layout"),
        }
    }

    /// Packs what a linear map is applied to for the gradient of its weights.
    fn keep(&self, operand: Option<TallPart<'_>>, x: &[f32]) {
        if let Some(part) = operand {
            let rows = part.rows();
            part.pack(MatRef::row_major(x, rows, x.len() / rows));
        }
    }

    fn linear<'o>(
        &self,
        which: usize,
        x: &[f32],
        out: OutSlice<'o>,
        activation: Option<Activation>,
        input: &mut Input,
    ) -> &'o mut [f32] {
        let [inputs, outputs] = self.settings.layout.maps()[which];
        let n = x.len() / inputs;
        input.repack(MatRef::row_major(x, n, inputs), self.settings.precision, false);
        let bias = Some(&values(&self.inputs.biases[which])[..outputs]);
        let epilogue = Epilogue { bias, activation, ..Epilogue::default() };
        multiply_all(input, &self.packed[which], MatMut::row_major(out, n, outputs), &epilogue).values()
    }
}
