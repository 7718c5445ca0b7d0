//! Rotary positions.

use burn::tensor::{Tensor, TensorData};
use encoder_spec::Rotary;

/// Queries and keys turned by their positions: channels `i` and `i + d/2` of each head of width `d` are turned as a pair by
/// `position * theta^(-2i/d)` (Su et al. 2021).
///
/// # Shapes
/// - inputs and outputs: `[batch, seq, heads * d]`
pub(crate) fn turned(inputs: [Tensor<3>; 2], heads: usize, rotary: Rotary) -> [Tensor<3>; 2] {
    let [batch, seq, width] = inputs[0].dims();
    let (device, pairs) = (inputs[0].device(), width / heads / 2);
    let [cosines, sines] = rotary
        .turns(width / heads, seq)
        .map(|values| Tensor::<4>::from_data(TensorData::new(values, [1, seq, 1, pairs]), &device));
    inputs.map(|x| {
        let x = x.reshape([batch, seq, heads, 2 * pairs]);
        let (a, b) = (x.clone().narrow(3, 0, pairs), x.narrow(3, pairs, pairs));
        let first = a.clone() * cosines.clone() - b.clone() * sines.clone();
        let second = b * cosines.clone() + a * sines.clone();
        Tensor::cat(vec![first, second], 3).reshape([batch, seq, width])
    })
}
