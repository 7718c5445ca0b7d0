//! Token ids on a device.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};

/// One padded batch of token sequences.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// Token ids, `[batch, seq]`.
    pub ids: Tensor<2, Int>,
    /// Segment ids (0 for the first text, 1 for the second), `[batch, seq]`.
    pub type_ids: Tensor<2, Int>,
    /// 1 where a real token stands and 0 on padding, `[batch, seq]`.
    pub mask: Tensor<2>,
}

impl TokenBatch {
    /// Uploads a batch from host memory.
    ///
    /// # Shapes
    /// `ids`, `type_ids` and `mask` are row-major `[batch, seq]`; `mask` is non-zero on real tokens.
    ///
    /// # Panics
    /// When a slice does not hold `batch * seq` values: a programming error, not user input.
    pub fn from_host([batch, seq]: [usize; 2], ids: &[i32], type_ids: &[i32], mask: &[u8], device: &Device) -> Self {
        let shape = [batch, seq];
        let mask = mask.iter().map(|&m| if m == 0 { 0.0 } else { 1.0f32 }).collect::<Vec<_>>();
        Self {
            ids: Tensor::from_data(TensorData::new(ids.to_vec(), shape), device),
            type_ids: Tensor::from_data(TensorData::new(type_ids.to_vec(), shape), device),
            mask: Tensor::from_data(TensorData::new(mask, shape), device),
        }
    }

    /// Some of the sequences.
    ///
    /// # Panics
    /// When there are not that many.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Self {
            ids: self.ids.clone().narrow(0, rows.start, rows.len()),
            type_ids: self.type_ids.clone().narrow(0, rows.start, rows.len()),
            mask: self.mask.clone().narrow(0, rows.start, rows.len()),
        }
    }

    /// `[batch, seq]`.
    pub fn dims(&self) -> [usize; 2] {
        self.ids.dims()
    }
}
