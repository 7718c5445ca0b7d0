//! A model that goes on from the weights of another one.

use std::path::Path;

use bert_core::weights::{apply_internal, collect_internal};
use bert_core::{Error, FeedForward, TaskModel};

use crate::Result;

const FIT_DENSE: &str = "encoder.fit_dense.";

/// `fresh` with the encoder and the pooler of `loaded`; heads stay fresh. `source` is named in errors.
///
/// The distillation projection belongs to one teacher: it is taken over where both models have it at one size, and stays
/// fresh otherwise. A pooler that `loaded` lacks stays fresh too.
///
/// # Errors
/// Any other tensor of the encoder that only one of the two has, or of another shape; the message names it.
pub fn continue_from<F: FeedForward>(
    fresh: TaskModel<F>,
    loaded: &TaskModel<F>,
    source: &Path,
) -> Result<TaskModel<F>> {
    let mut weights = collect_internal(&fresh);
    let from = collect_internal(loaded);
    let optional = |name: &str| name.starts_with(FIT_DENSE) || name.starts_with("pooler.");
    let missing: Vec<String> = weights
        .0
        .keys()
        .filter(|name| name.starts_with("encoder.") && !optional(name) && !from.0.contains_key(*name))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Err(Error::MissingTensors { path: source.to_path_buf(), names: missing }.into());
    }
    for (name, tensor) in from.0 {
        let is_fit = name.starts_with(FIT_DENSE);
        let same_fit = weights.0.get(&name).is_some_and(|own| own.shape == tensor.shape);
        if is_fit && same_fit || !is_fit && (name.starts_with("encoder.") || name.starts_with("pooler.")) {
            weights.0.insert(name, tensor);
        }
    }
    Ok(apply_internal(fresh, weights, source)?)
}

#[cfg(test)]
mod tests {
    use bert_core::{BertConfig, StackedFfn, init};
    use burn::tensor::Device;

    use super::*;
    use crate::data::task_head;

    fn model(layers: usize, fit: Option<usize>, pooler: bool, seed: u64) -> TaskModel<StackedFfn> {
        let device = Device::flex();
        let config = BertConfig {
            fit_size: fit,
            task_heads: vec![task_head(glue_squad::task::TaskKind::Rte)],
            max_position_embeddings: 4,
            ..BertConfig::bert(9, 4, layers, 2, 6)
        };
        let plain = |_| StackedFfn::new(&config, &device);
        init::normal(TaskModel::new(&config, pooler, false, &device, plain).unwrap(), seed, 0.5)
    }

    #[test]
    fn encoder_and_pooler_are_taken_over_and_heads_stay_fresh() {
        let (fresh, loaded) = (model(2, Some(6), true, 1), model(2, Some(6), true, 2));
        let (new, from) = (collect_internal(&fresh), collect_internal(&loaded));
        let found = collect_internal(&continue_from(fresh, &loaded, Path::new("m")).unwrap());
        for (name, tensor) in &found.0 {
            let expected = if name.starts_with("heads.") { &new } else { &from };
            assert_eq!(tensor, &expected.0[name], "{name}");
        }
    }

    #[test]
    fn a_projection_for_another_teacher_and_a_missing_pooler_stay_fresh() {
        for fit in [Some(8), None] {
            let (fresh, loaded) = (model(1, Some(6), true, 1), model(1, fit, false, 2));
            let (new, from) = (collect_internal(&fresh), collect_internal(&loaded));
            let found = collect_internal(&continue_from(fresh, &loaded, Path::new("m")).unwrap());
            for name in ["encoder.fit_dense.weight", "pooler.weight"] {
                assert_eq!(found.0[name], new.0[name], "{name}");
            }
            let word = "encoder.embeddings.word_embeddings.weight";
            assert_eq!(found.0[word], from.0[word]);
        }
    }

    #[test]
    fn another_depth_is_an_error_that_names_the_tensor() {
        for (layers, other) in [(1, 2), (2, 1)] {
            let message = continue_from(model(layers, None, true, 1), &model(other, None, true, 2), Path::new("m"))
                .unwrap_err()
                .to_string();
            assert!(message.contains("encoder.layers.1."), "{message}");
        }
    }
}
