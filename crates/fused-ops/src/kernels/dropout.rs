//! Dropout by masks that are functions of a key.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use cpu_kernels::OutSlice;
use cpu_kernels::elementwise::dropout as kernels;
use rayon::prelude::*;

use super::host::{self, dense, values};
use super::{BackwardPass, Operation};

/// Which values one call of dropout keeps: value `i` is kept, and scaled by `1 / keep`, as a function of `(key, i)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    /// Names the mask.
    pub key: u64,
    /// Probability of keeping a value, in (0, 1].
    pub keep: f64,
}

/// Dropout of a whole tensor; its own gradient, since the mask is the same.
pub(crate) fn apply(x: FlexTensor, mask: Mask) -> FlexTensor {
    let x = dense(x);
    host::tensor(x.shape(), |out| {
        let block = host::block_rows(1);
        out.chunks(block).zip(values(&x).par_chunks(block)).enumerate().for_each(|(i, (out, x))| {
            out.write(|out| mask.apply(x, out, i * block));
        });
    })
}

impl Mask {
    /// Writes the masked `x` to `out`; the first value has index `offset` in the whole tensor.
    pub(crate) fn apply<'a>(self, x: &[f32], out: impl Into<OutSlice<'a>>, offset: usize) -> &'a mut [f32] {
        kernels::dropout(x, out, self.keep, self.key, offset as u64)
    }

    /// [`Mask::apply`] over its input.
    pub(crate) fn apply_in_place(self, x: &mut [f32], offset: usize) {
        kernels::dropout_in_place(x, self.keep, self.key, offset as u64);
    }
}

impl Operation<1> for Mask {
    type Saved = Mask;

    fn forward(self, [x]: [FlexTensor; 1]) -> (FlexTensor, Mask) {
        (apply(x, self), self)
    }
}

impl BackwardPass<1> for Mask {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then(|| apply(grad, self))]
    }
}
