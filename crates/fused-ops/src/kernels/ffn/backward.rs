//! The backward pass.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use cpu_kernels::OutSlice;
use cpu_kernels::elementwise::{binary, norm};
use cpu_kernels::matmul::{Epilogue, Input, MatMut, MatRef, Tall, TallPart, Weights, multiply_all, transposed_product};
use rayon::prelude::*;

use super::forward::Saved;
use super::program::Step;
use crate::kernels::BackwardPass;
use crate::kernels::binary::Combine;
use crate::kernels::host::{self, dense, rows, values};
use crate::kernels::linear::LinearSettings;
use crate::kernels::packed::{tokens, with_packed};
use crate::kernels::scratch::{Scratch, with_scratch};

impl BackwardPass<7> for Saved {
    /// Gradients of `x`, `W1`, `b1`, `W2`, `b2`, `gamma` and `beta`.
    ///
    /// With `dS` the gradient of what was normalized, `dropout(dS)` goes back through the program, and what arrives at the input
    /// is added to `dS`. Where `dU` arrives behind a linear map of `V`: `dW = Vᵀ dU`, `db` the sums of its columns.
    fn gradients(self, grad: FlexTensor, _: [bool; 7]) -> [Option<FlexTensor>; 7] {
        let grad = dense(grad);
        let (n, width) = rows(&self.inputs.x);
        let (inner, precision) = (self.settings.layout.inner, self.settings.precision);
        let together = tokens(precision);
        let tasks = n.div_ceil(together);
        // Each task sums up its own share of the gradients of gamma, beta and the biases; shares are added in order.
        let share = 3 * width + inner;
        let mut shares = vec![0.0; tasks * share];
        let ([w1, w2], maps) = (&self.inputs.weights, self.settings.layout.maps());
        let packed = [(w1, maps[0]), (w2, maps[1])];
        let mut d1 = Tall::right(n, inner, together, precision);
        let mut d2 = Tall::right(n, width, together, precision);
        let dx = with_packed(packed, true, precision, |packed| {
            host::vector(n * width, |dx| {
                let behind = d1.parts().into_par_iter().zip(d2.parts());
                let parts = dx.chunks(together * width).zip(shares.par_chunks_mut(share)).zip(behind);
                parts.with_max_len(1).enumerate().for_each(|(index, ((dx, share), (d1, d2)))| {
                    let task = Task { saved: &self, packed, grad: values(&grad), width, first: index * together };
                    with_scratch(|scratch| dx.write(|dx| task.run(dx, [d1, d2], share, scratch)));
                });
            })
        });
        let mut sums = vec![0.0; share];
        binary::add_column_sums(&shares, &mut sums);
        let [d_gamma, d_beta, db1, db2] = cut(&mut sums, width, inner);
        let line = |used: &[f32], like: &FlexTensor| {
            let shape = like.shape();
            let mut data = used.to_vec();
            data.resize(shape.num_elements(), 0.0);
            host::wrap(data, shape)
        };
        let weight = |which: usize, grad: &Tall| {
            let [inputs, outputs] = maps[which];
            let settings = LinearSettings { inputs, outputs, precision };
            settings.weight_gradient(&self.inputs.weights[which], |out| {
                transposed_product(&self.stores.operands[which], grad, out)
            })
        };
        let [b1, b2] = &self.inputs.biases;
        [
            host::wrap(dx, self.inputs.x.shape()),
            weight(0, &d1),
            line(db1, b1),
            weight(1, &d2),
            line(db2, b2),
            line(d_gamma, &self.inputs.gamma),
            line(d_beta, &self.inputs.beta),
        ]
        .map(Some)
    }
}

/// A share's gradients of gamma, beta, `b1` and `b2`.
fn cut(share: &mut [f32], width: usize, inner: usize) -> [&mut [f32]; 4] {
    let (d_gamma, rest) = share.split_at_mut(width);
    let (d_beta, rest) = rest.split_at_mut(width);
    let (db1, db2) = rest.split_at_mut(inner);
    [d_gamma, d_beta, db1, db2]
}

/// Packs what arrives behind a linear map, and adds up its columns.
fn behind(part: Option<TallPart<'_>>, grad: &[f32], bias: &mut [f32]) {
    part.expect("each linear map is there once").pack(MatRef::row_major(grad, grad.len() / bias.len(), bias.len()));
    binary::add_column_sums(grad, bias);
}

/// Some tokens.
struct Task<'a> {
    saved: &'a Saved,
    packed: &'a [Weights; 2],
    grad: &'a [f32],
    width: usize,
    /// Index of the first token.
    first: usize,
}

impl Task<'_> {
    fn run<'o>(
        &self,
        dx: OutSlice<'o>,
        [d1, d2]: [TallPart<'_>; 2],
        share: &mut [f32],
        scratch: &mut Scratch,
    ) -> &'o mut [f32] {
        let (saved, width, steps) = (self.saved, self.width, self.saved.settings.program.steps());
        let n = dx.len() / width;
        let [d_gamma, d_beta, db1, db2] = cut(share, width, saved.settings.layout.inner);
        let (mean, inv_std) = (&values(&saved.mean)[self.first..][..n], &values(&saved.inv_std)[self.first..][..n]);
        let place = self.first * width..(self.first + n) * width;
        let sum = &saved.stores.sum.floats()[place.clone()];
        let dx = norm::layer_norm_backward(
            sum,
            mean,
            inv_std,
            values(&saved.inputs.gamma),
            &self.grad[place],
            dx,
            d_gamma,
            d_beta,
        );

        // Gradients of the values; that of the input is added up in `dx`, and the first place holds what is to be added there.
        let widths = &saved.settings.layout.widths;
        let largest = widths.iter().copied().max().unwrap_or(0);
        let lengths = widths.iter().chain([&largest, &largest]).map(|w| n * w);
        let (input, mut grads) = scratch.parts(lengths);
        // What a step has read.
        let mut read = grads.split_off(widths.len());
        let (mut d1, mut d2) = (Some(d1), Some(d2));
        let last = grads.last_mut().expect("at least one step");
        match saved.settings.dropout {
            Some(mask) => drop(mask.apply(dx, &mut **last, self.first * width)),
            None => last.copy_from_slice(dx),
        }
        for (i, &step) in steps.iter().enumerate().rev() {
            let (before, after) = grads.split_at_mut(i + 1);
            let grad = &*after[0];
            match step {
                Step::First(a) => {
                    behind(d1.take(), grad, db1);
                    self.linear(0, grad, if a == 0 { &mut *dx } else { &mut *before[a] }, a == 0, input);
                }
                Step::Second(a) => {
                    behind(d2.take(), grad, db2);
                    self.linear(1, grad, if a == 0 { &mut *dx } else { &mut *before[a] }, a == 0, input);
                }
                Step::Unary(function, a) => {
                    function.backward(self.value(a, n, read[0]), grad, &mut *before[a]);
                    self.arrived(a, before, dx);
                }
                Step::Binary(Combine::Add, a, b) => {
                    for operand in [a, b] {
                        if operand == 0 {
                            binary::add_in_place(dx, grad);
                        } else {
                            before[operand].copy_from_slice(grad);
                        }
                    }
                }
                Step::Binary(how, a, b) => self.binary(how, [a, b], grad, before, dx, &mut read),
                Step::Cut(a, narrow) => {
                    let wide = widths[a];
                    let out = if a == 0 { &mut *dx } else { &mut *before[a] };
                    for (from, to) in grad.chunks_exact(narrow).zip(out.chunks_exact_mut(wide)) {
                        let (used, rest) = to.split_at_mut(narrow);
                        if a == 0 {
                            binary::add_in_place(used, from);
                        } else {
                            used.copy_from_slice(from);
                            rest.fill(0.0);
                        }
                    }
                }
                Step::Pad(..) => unreachable!("programs with padding have no layout"),
            }
        }
        dx
    }

    /// The kept value of these tokens, in `place` where it has to be widened.
    fn value<'b>(&'b self, value: usize, n: usize, place: &'b mut [f32]) -> &'b [f32] {
        let width = self.saved.settings.layout.widths[value];
        let range = self.first * width..(self.first + n) * width;
        if value == 0 {
            return &values(&self.saved.inputs.x)[range];
        }
        let place = &mut place[..n * width];
        self.saved.stores.values[value].as_ref().expect("kept where a gradient needs it").read(range, place);
        place
    }

    /// Adds the gradient of the input that was left in its place.
    fn arrived(&self, value: usize, grads: &[&mut [f32]], dx: &mut [f32]) {
        if value == 0 {
            binary::add_in_place(dx, grads[0]);
        }
    }

    fn binary(
        &self,
        how: Combine,
        [a, b]: [usize; 2],
        grad: &[f32],
        grads: &mut [&mut [f32]],
        dx: &mut [f32],
        read: &mut [&mut [f32]],
    ) {
        let n = dx.len() / self.width;
        let [place_a, place_b] = read else { unreachable!("places for two values") };
        let (x, y) = (self.value(a, n, place_a), self.value(b, n, place_b));
        let apply = |da: &mut [f32], db: &mut [f32]| {
            _ = match how {
                Combine::Max => binary::max_backward(x, y, grad, da, db),
                Combine::Add | Combine::Mul => binary::mul_backward(x, y, grad, da, db),
            }
        };
        if let Ok([da, db]) = grads.get_disjoint_mut([a, b]) {
            apply(da, db);
        } else {
            // The input with itself.
            let mut other = vec![0.0; grad.len()];
            apply(grads[a], &mut other);
            binary::add_in_place(dx, &other);
        }
        if a == 0 || b == 0 {
            self.arrived(0, grads, dx);
        }
    }

    /// `dU Wᵀ`, written or added.
    fn linear(&self, which: usize, grad: &[f32], out: &mut [f32], accumulate: bool, input: &mut Input) {
        let [inputs, outputs] = self.saved.settings.layout.maps()[which];
        let n = grad.len() / outputs;
        input.repack(MatRef::row_major(grad, n, outputs), self.saved.settings.precision, false);
        let epilogue = Epilogue { accumulate, ..Epilogue::default() };
        multiply_all(input, &self.packed[which], MatMut::row_major(out, n, inputs), &epilogue);
    }
}
