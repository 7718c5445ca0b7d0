//! Principal components of what the feed-forwards compute before their activations.

use bert_core::{AttentionOptions, FeedForward, TaskModel};
use burn::tensor::Tensor;
use encoder_spec::{Encoder, Shape};
use linear_fit::low_rank;

use crate::from_teacher::Sample;
use crate::from_teacher::modules::read;
use crate::from_teacher::program::Expression;
use crate::{Error, Result};

/// The share of the variance that the components explain; the paper's eta.
pub const VARIANCE_SHARE: f64 = 0.99;

/// The principal components of the feed-forwards, summed over layers and stacks: for the output `Z` of each first linear map, before the
/// activation, the least number of components that explain more than `share` of the variance of its values on the texts of `sample`.
///
/// Times the parameters this is W-PCA (Wang et al. 2025, "W-PCA Based Gradient-Free Proxy for Efficient Search of Lightweight Language Models",
/// ICLR 2025, arXiv 2504.15983). The released code counts in the same place with a share of 0.99, on all positions of a batch; here padding
/// is left out, so that the score does not depend on how texts are batched.
///
/// # Shapes
/// - `Z`: `[tokens, inner width]`
///
/// # Errors
/// [`Error::Mismatch`] for a model with bottlenecks, or with values that are not finite.
pub fn principal_components(model: &TaskModel, spec: &Encoder<Shape>, sample: &Sample, share: f64) -> Result<usize> {
    if model.encoder.layers.iter().any(|layer| layer.bottleneck.is_some()) {
        return Err(Error::Mismatch("principal components are counted in layers without bottlenecks".into()));
    }
    let mut states = sample.embedded(&model.encoder.embeddings);
    let mut all = 0;
    for (layer, spec) in model.encoder.layers.iter().zip(&spec.layers) {
        if let Some(attention) = &layer.attention {
            states =
                sample.through(states, |x, mask| attention.forward_self(x, mask, AttentionOptions::default()).hidden);
        }
        for (block, described) in layer.feed_forward.blocks.iter().zip(&spec.feed_forward.blocks) {
            let x = sample.gather(&states);
            let (width, inner) = (x.nrows(), described.dense1.outputs());
            let expression = Expression::new(&spec.feed_forward.program, width, inner, sample.device());
            let z = read(&block.dense1).apply(&expression.first_input(&x));
            if !z.iter().all(|value| value.is_finite()) {
                return Err(Error::Mismatch("a feed-forward's value on the sample is not a finite number".into()));
            }
            all += low_rank::principal_components(&z, share);
            let mut alone = layer.feed_forward.clone();
            alone.blocks = vec![block.clone()];
            states = through(sample, states, &alone);
        }
    }
    Ok(all)
}

fn through(sample: &Sample, states: Vec<Tensor<3>>, block: &FeedForward) -> Vec<Tensor<3>> {
    sample.through(states, |x, _| block.forward(x))
}
