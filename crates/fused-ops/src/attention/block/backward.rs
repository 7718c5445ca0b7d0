//! The backward pass.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use cpu_kernels::elementwise::norm;
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Weights, matmul, multiply_all};
use rayon::prelude::*;

use super::super::backward::Element;
use super::super::forward::Dropped;
use super::super::heads::{Projected, Rows, Sizes};
use super::scratch::{Scratch, texts, with_scratch};
use super::{Kept, whole};
use crate::host::{self, dense, dims, values};
use crate::linear::column_sums;
use crate::packed::with_packed;
use crate::tape::hand_on;

impl Kept {
    fn sizes(&self) -> (Sizes, usize) {
        let [batch, seq, width] = dims(&self.x);
        let [_, inner] = dims(&self.context);
        (Sizes::new([batch, seq, inner], self.settings.heads), width)
    }

    /// Gradients of `x`, the four weights, the four biases, `gamma` and `beta`.
    ///
    /// With `dS` the gradient of what was normalised and `dZ = dropout(dS)`: `dW_o = Aᵀ dZ`, `dA = dZ W_oᵀ`, `dQ`, `dK`, `dV` from
    /// the attention, `dX = dS + dQ W_qᵀ + dK W_kᵀ + dV W_vᵀ`, `dW_q = Xᵀ dQ` and so on.
    fn gradients(&self, grad: FlexTensor) -> [FlexTensor; 11] {
        let grad = dense(grad);
        let handed_out = self.scores.take().map(dense);
        let (s, width) = self.sizes();
        let tokens = s.batch * s.seq;
        let together = texts(s.seq, s.precision);
        let tasks = s.batch.div_ceil(together);
        let lengths = [tokens * width, tokens * width, tokens * 3 * s.width];
        // Each task sums up its own share of the gradients of gamma and beta; shares are added in order.
        let mut shares = vec![0.0; tasks * 2 * width];
        let [dx, dz, projected] = with_packed(self.weights.each_ref().map(whole), true, s.precision, |packed| {
            host::vectors(lengths, |buffers| {
                let parts = host::pieces(buffers, tasks, |n| n / s.batch * together);
                parts.into_par_iter().zip(shares.par_chunks_mut(2 * width)).with_max_len(1).enumerate().for_each(
                    |(index, (parts, share))| {
                        let (kept, grad, handed_out) = (self, values(&grad), handed_out.as_ref().map(values));
                        let first = index * together;
                        let task = Task { kept, packed, grad, handed_out, s, width, first };
                        with_scratch(|scratch| task.run(parts, share, scratch));
                    },
                );
            })
        });
        let mut norms = vec![0.0; 2 * width];
        column_sums(&shares, &mut norms);
        let d_beta = norms.split_off(width);
        let [dq, dk, dv] = self.projection_gradients(&projected, s, width);
        let d_output = host::tensor(Shape::new([s.width, width]), |out| {
            let context = MatRef::row_major(values(&self.context), tokens, s.width);
            let dz = MatRef::row_major(&dz, tokens, width);
            matmul(context.t(), dz, MatMut::row_major(out, s.width, width), s.precision, &Epilogue::default());
        });
        let mut biases = vec![0.0; 3 * s.width];
        column_sums(&projected, &mut biases);
        let mut d_output_bias = vec![0.0; width];
        column_sums(&dz, &mut d_output_bias);
        let line = |data: Vec<f32>| {
            let n = data.len();
            host::wrap(data, Shape::new([n]))
        };
        let [bq, bk, bv] = [0, 1, 2].map(|i| line(biases[i * s.width..][..s.width].to_vec()));
        let dx = host::wrap(dx, self.x.shape());
        [dx, dq, dk, dv, d_output, bq, bk, bv, line(d_output_bias), line(norms), line(d_beta)]
    }

    /// `Xᵀ dQ`, `Xᵀ dK`, `Xᵀ dV`.
    fn projection_gradients(&self, projected: &[f32], s: Sizes, width: usize) -> [FlexTensor; 3] {
        let tokens = s.batch * s.seq;
        let x = MatRef::row_major(values(&self.x), tokens, width).t();
        [0, 1, 2].map(|which| {
            host::tensor(Shape::new([width, s.width]), |out| {
                let grad = MatRef::new(&projected[which * s.width..], tokens, s.width, 3 * s.width, 1);
                matmul(x, grad, MatMut::row_major(out, width, s.width), s.precision, &Epilogue::default());
            })
        })
    }
}

/// Some texts.
struct Task<'a> {
    kept: &'a Kept,
    packed: &'a [Weights; 4],
    grad: &'a [f32],
    handed_out: Option<&'a [f32]>,
    s: Sizes,
    width: usize,
    /// Index of the first text.
    first: usize,
}

impl Task<'_> {
    fn run(&self, [dx, dz, projected]: [&mut [f32]; 3], share: &mut [f32], scratch: &mut Scratch) {
        let (s, width, inner, kept) = (self.s, self.width, self.s.width, self.kept);
        let n = dx.len() / width;
        let tokens = self.first * s.seq..self.first * s.seq + n;
        let place = |width: usize| tokens.start * width..tokens.end * width;

        let (d_gamma, d_beta) = share.split_at_mut(width);
        let (mean, inv_std) = (&values(&kept.mean)[tokens.clone()], &values(&kept.inv_std)[tokens.clone()]);
        let grad = &self.grad[place(width)];
        norm::layer_norm_backward(
            &values(&kept.sum)[place(width)],
            mean,
            inv_std,
            values(&kept.gamma),
            grad,
            dx,
            d_gamma,
            d_beta,
        );
        match kept.settings.dropout[1] {
            Some(mask) => mask.apply(dx, dz, tokens.start * width),
            None => dz.copy_from_slice(dx),
        }

        let Scratch { input, context, .. } = scratch;
        context.resize(context.len().max(n * inner), 0.0);
        let d_context = &mut context[..n * inner];
        input.repack(MatRef::row_major(dz, n, width), s.precision, false);
        multiply_all(input, &self.packed[3], MatMut::row_major(d_context, n, inner), &Epilogue::default());

        for (index, out) in projected.chunks_mut(s.tokens() * 3).enumerate() {
            let text = self.first + index;
            let before = &values(&kept.projected)[text * s.seq * 3 * inner..][..s.seq * 3 * inner];
            let part = |which: usize| Rows { data: &before[which * inner..], stride: 3 * inner };
            let squares = text * s.squares()..(text + 1) * s.squares();
            let element = Element {
                s,
                query: part(0),
                key: part(1),
                value: part(2),
                grad: Rows { data: &d_context[index * s.tokens()..][..s.tokens()], stride: inner },
                probs: &values(&kept.probs)[squares.clone()],
                handed_out: self.handed_out.map(|x| &x[squares]),
                dropped: Dropped::new(kept.settings.dropout[0], s, text),
            };
            element.backward(&mut Projected::Together(out));
        }

        let epilogue = Epilogue { accumulate: true, ..Epilogue::default() };
        for (which, weights) in self.packed.iter().take(3).enumerate() {
            input.repack(MatRef::new(&projected[which * inner..], n, inner, 3 * inner, 1), s.precision, false);
            multiply_all(input, weights, MatMut::row_major(dx, n, width), &epilogue);
        }
    }
}

/// Gradients of `x`, weights and biases of queries, keys, values and output, gamma and beta.
#[derive(Debug)]
pub(crate) struct BlockBackward;

impl Backward<Flex, 11> for BlockBackward {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, 11>, grads: &mut Gradients, _: &mut Checkpointer) {
        hand_on(ops, grads, |saved, grad| saved.gradients(grad));
    }
}
