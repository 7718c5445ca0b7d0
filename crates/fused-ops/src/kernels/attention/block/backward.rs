//! The backward pass.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::OutSlice;
use cpu_kernels::elementwise::{binary, norm};
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Tall, TallPart, Weights, multiply_all, transposed_product};
use rayon::prelude::*;

use super::super::backward::{Element, Probs};
use super::super::forward::{first, with_head_scratch};
use super::super::heads::{Projected, Rows, Sizes};
use super::scratch::{Scratch, texts, with_scratch};
use super::{Saved, Stores, whole};
use crate::kernels::BackwardPass;
use crate::kernels::host::{self, dense, dims, values};
use crate::kernels::packed::with_packed;

impl Saved {
    fn sizes(&self) -> (Sizes, usize) {
        let [batch, seq, width] = self.shape.dims();
        let [_, inner] = dims(&self.weights[0]);
        (Sizes::new([batch, seq, inner], self.settings.heads), width)
    }
}

impl BackwardPass<11> for Saved {
    /// Gradients of `x`, the four weights, the four biases, `gamma` and `beta`.
    ///
    /// With `dS` the gradient of what was normalized and `dZ = dropout(dS)`: `dW_o = Aᵀ dZ`, `dA = dZ W_oᵀ`, `dQ`, `dK`, `dV` from
    /// the attention, `dX = dS + dQ W_qᵀ + dK W_kᵀ + dV W_vᵀ`, `dW_q = Xᵀ dQ` and so on.
    fn gradients(self, grad: FlexTensor, _: [bool; 11]) -> [Option<FlexTensor>; 11] {
        let grad = dense(grad);
        let handed_out = self.scores.take().map(dense);
        let (s, width) = self.sizes();
        let tokens = s.batch * s.seq;
        let together = texts(s.seq, s.precision);
        let part = together * s.seq;
        // Each task sums up its own share of the gradients of gamma, beta and the biases; shares are added in order.
        let share = 3 * width + 3 * s.width;
        let mut shares = vec![0.0; s.batch.div_ceil(together) * share];
        let mut behind = [s.width, s.width, s.width, width].map(|w| Tall::right(tokens, w, part, s.precision));
        let dx = with_packed(self.weights.each_ref().map(whole), true, s.precision, |packed| {
            host::vector(tokens * width, |dx| {
                let mut parts = behind.each_mut().map(|tall| tall.parts().into_iter());
                let next = |_| parts.each_mut().map(|part| part.next().expect("a part for every task"));
                let behind: Vec<[TallPart<'_>; 4]> = (0..s.batch.div_ceil(together)).map(next).collect();
                let tasks = dx.chunks(part * width).zip(shares.par_chunks_mut(share)).zip(behind);
                tasks.with_max_len(1).enumerate().for_each(|(index, ((dx, share), behind))| {
                    let (saved, grad, handed_out) = (&self, values(&grad), handed_out.as_ref().map(values));
                    let task = Task { saved, packed, grad, handed_out, s, width, first: index * together };
                    with_scratch(|scratch| dx.write(|dx| task.run(dx, behind, share, scratch)));
                });
            })
        });
        let mut sums = vec![0.0; share];
        binary::add_column_sums(&shares, &mut sums);
        let line = |range: Range<usize>| host::wrap(sums[range.clone()].to_vec(), Shape::new([range.len()]));
        let [d_gamma, d_beta, bo] = [0, 1, 2].map(|i| line(i * width..(i + 1) * width));
        let [bq, bk, bv] = [0, 1, 2].map(|i| line(3 * width + i * s.width..3 * width + (i + 1) * s.width));
        let [q, k, v, o] = &behind;
        let weight = |x: &Tall, grad: &Tall, [rows, cols]: [usize; 2]| {
            host::tensor(Shape::new([rows, cols]), |out| {
                out.write(|out| transposed_product(x, grad, MatMut::row_major(out, rows, cols)).values());
            })
        };
        let Stores { x, context, .. } = &*self.stores;
        let [dq, dk, dv] = [q, k, v].map(|grad| weight(x, grad, [width, s.width]));
        let d_output = weight(context, o, [s.width, width]);
        [host::wrap(dx, self.shape.clone()), dq, dk, dv, d_output, bq, bk, bv, bo, d_gamma, d_beta].map(Some)
    }
}

/// Some texts.
struct Task<'a> {
    saved: &'a Saved,
    packed: &'a [Weights; 4],
    grad: &'a [f32],
    handed_out: Option<&'a [f32]>,
    s: Sizes,
    width: usize,
    /// Index of the first text.
    first: usize,
}

impl Task<'_> {
    fn run<'o>(
        &self,
        dx: OutSlice<'o>,
        behind: [TallPart<'_>; 4],
        share: &mut [f32],
        scratch: &mut Scratch,
    ) -> &'o mut [f32] {
        let (s, width, inner, saved) = (self.s, self.width, self.s.width, self.saved);
        let n = dx.len() / width;
        let tokens = self.first * s.seq..self.first * s.seq + n;
        let place = |width: usize| tokens.start * width..tokens.end * width;
        let stores = &*saved.stores;
        let Scratch { input, projected, context, sum } = scratch;
        let [dq_part, dk_part, dv_part, dz_part] = behind;

        let (norms, biases) = share.split_at_mut(2 * width);
        let (d_gamma, d_beta) = norms.split_at_mut(width);
        let (bo, biases) = biases.split_at_mut(width);
        let (mean, inv_std) = (&values(&saved.mean)[tokens.clone()], &values(&saved.inv_std)[tokens.clone()]);
        let before = &stores.sum.floats()[place(width)];
        let dx = norm::layer_norm_backward(
            before,
            mean,
            inv_std,
            values(&saved.gamma),
            &self.grad[place(width)],
            dx,
            d_gamma,
            d_beta,
        );
        let dz = match saved.settings.dropout[1] {
            Some(mask) => {
                let dz = first(sum, n * width);
                &*mask.apply(dx, dz, tokens.start * width)
            }
            None => &*dx,
        };
        let d_context = first(context, n * inner);
        input.repack(MatRef::row_major(dz, n, width), s.precision, false);
        multiply_all(input, &self.packed[3], MatMut::row_major(&mut *d_context, n, inner), &Epilogue::default());
        dz_part.pack(MatRef::row_major(dz, n, width));
        binary::add_column_sums(dz, bo);

        let (before, after) = first(projected, n * 6 * inner).split_at_mut(n * 3 * inner);
        stores.projected.read(place(3 * inner), before);
        with_head_scratch(|squares| {
            for (index, out) in after.chunks_mut(s.tokens() * 3).enumerate() {
                let before = &before[index * s.seq * 3 * inner..][..s.seq * 3 * inner];
                let part = |which: usize| Rows { data: &before[which * inner..], stride: 3 * inner };
                let text = self.first + index;
                let squares_of = text * s.squares()..(text + 1) * s.squares();
                let element = Element {
                    s,
                    index: text,
                    query: part(0),
                    key: part(1),
                    value: part(2),
                    grad: Rows { data: &d_context[index * s.tokens()..][..s.tokens()], stride: inner },
                    probs: Probs::Kept(&stores.probs),
                    handed_out: self.handed_out.map(|x| &x[squares_of]),
                    dropout: saved.settings.dropout[0],
                };
                element.backward(&mut Projected::SideBySide(out), squares);
            }
        });

        binary::add_column_sums(after, biases);
        let epilogue = Epilogue { accumulate: true, ..Epilogue::default() };
        for (which, (weights, part)) in self.packed.iter().zip([dq_part, dk_part, dv_part]).enumerate() {
            let grad = MatRef::new(&after[which * inner..], n, inner, 3 * inner, 1);
            input.repack(grad, s.precision, false);
            multiply_all(input, weights, MatMut::row_major(&mut *dx, n, width), &epilogue);
            part.pack(grad);
        }
        dx
    }
}
