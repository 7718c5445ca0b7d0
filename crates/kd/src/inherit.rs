//! A model that goes on from the weights of another one.

use std::collections::BTreeSet;
use std::path::Path;

use bert_core::weights::{HostTensor, Tensors, apply_internal, collect_internal};
use bert_core::{BertConfig, LayerSource, ModelDir, ModelType, TaskModel, inherit};
use glue_squad::task::ClassOrder;
use model_dir::Error;
use predict::heads::AnsweringHead;
use serde::Serialize;

use crate::Result;

const FIT_DENSE: &str = "encoder.fit_dense.";
const WORD_HEAD: &str = "mlm.";

/// `fresh` with the encoder and the pooler of `loaded`, or what a ModernBERT has in its place, and its masked-language-model head where both have one of one form; other heads
/// stay fresh. `source` is named in errors.
///
/// The distillation projection belongs to one teacher: it is taken over where both models have it at one size, and stays
/// fresh otherwise. A pooler that `loaded` lacks stays fresh too.
///
/// # Errors
/// Any other tensor of the encoder that only one of the two has, or of another shape; the message names it.
pub fn continue_from(fresh: TaskModel, loaded: &TaskModel, source: &Path) -> Result<TaskModel> {
    let mut weights = collect_internal(&fresh);
    let from = collect_internal(loaded);
    let is_pooler = |name: &str| name.starts_with("pooler.") || name.starts_with("prediction.");
    let optional = |name: &str| name.starts_with(FIT_DENSE) || is_pooler(name);
    let missing: Vec<String> = weights
        .0
        .keys()
        .filter(|name| name.starts_with("encoder.") && !optional(name) && !from.0.contains_key(*name))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Err(Error::MissingTensors { path: source.to_path_buf(), names: missing }.into());
    }
    let shapes = |tensors: &Tensors| {
        let words = tensors.0.iter().filter(|(name, _)| name.starts_with(WORD_HEAD));
        words.map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect::<Vec<_>>()
    };
    let one_form = shapes(&weights) == shapes(&from);
    for (name, tensor) in from.0 {
        let is_fit = name.starts_with(FIT_DENSE);
        let same_fit = weights.0.get(&name).is_some_and(|own| own.shape == tensor.shape);
        let is_word_head = one_form && name.starts_with(WORD_HEAD);
        if is_word_head || is_fit && same_fit || !is_fit && (name.starts_with("encoder.") || is_pooler(&name)) {
            weights.0.insert(name, tensor);
        }
    }
    Ok(apply_internal(fresh, weights, source)?)
}

/// `model`, whose head i is made for task i, with the heads of `loaded` that answer the tasks: each class in the place that the data give
/// it. `source` is named in errors.
///
/// # Errors
/// A head of `loaded` of another shape.
pub fn with_heads_of(
    model: TaskModel,
    loaded: &TaskModel,
    heads: &[AnsweringHead],
    source: &Path,
) -> Result<TaskModel> {
    let mut weights = collect_internal(&model);
    let from = collect_internal(loaded);
    for (at, head) in heads.iter().enumerate() {
        let (own, theirs) = (format!("heads.{at}."), format!("heads.{}.", head.index));
        for (name, tensor) in from.0.iter().filter(|(name, _)| name.starts_with(&theirs)) {
            weights.0.insert(name.replacen(&theirs, &own, 1), in_order(tensor, &head.order));
        }
    }
    Ok(apply_internal(model, weights, source)?)
}

/// A head's tensor, whose first axis are its outputs, in the order of the classes.
fn in_order(tensor: &HostTensor, order: &ClassOrder) -> HostTensor {
    let outputs = tensor.shape.first().copied().unwrap_or_default();
    if order.is_identity() || outputs != order.outputs().len() {
        return tensor.clone();
    }
    let row = tensor.data.len() / outputs;
    let rows = order.outputs().iter().flat_map(|&output| &tensor.data[output * row..(output + 1) * row]);
    HostTensor { shape: tensor.shape.clone(), data: rows.copied().collect() }
}

const EMBEDDINGS: &str = "encoder.embeddings.";

/// `model` with the embedding of `teacher`, a model's tensors by module path: how MobileBERT's transfer begins. The norm is taken
/// over where `norm` says so, which means something only where both are of one kind.
///
/// # Errors
/// A tensor of the embedding that only one of the two has, or of another shape; the message names it and both shapes.
pub fn with_embedding_of(model: TaskModel, teacher: &Tensors, norm: bool, source: &Path) -> Result<TaskModel> {
    let mut weights = collect_internal(&model);
    let of_norm = |name: &str| name.starts_with("encoder.embeddings.norm.");
    let names: BTreeSet<&String> = weights.0.keys().chain(teacher.0.keys()).collect();
    let wanted = names.into_iter().filter(|name| name.starts_with(EMBEDDINGS) && (norm || !of_norm(name)));
    let wanted: Vec<String> = wanted.cloned().collect();
    for name in wanted {
        let shape = |tensors: &Tensors| tensors.0.get(&name).map(|tensor| tensor.shape.clone());
        let (ours, theirs) = (shape(&weights), shape(teacher));
        match teacher.0.get(&name).filter(|_| ours == theirs) {
            Some(tensor) => drop(weights.0.insert(name, tensor.clone())),
            None => {
                let said =
                    |shape: Option<Vec<usize>>| shape.map_or("nothing of that name".into(), |s| format!("{s:?}"));
                return Err(crate::Error::Mismatch(format!(
                    "{}: its embedding cannot be taken over: `{name}` is {} there and {} in the student",
                    source.display(),
                    said(theirs),
                    said(ours)
                )));
            }
        }
    }
    Ok(apply_internal(model, weights, source)?)
}

/// Checks that both models have the same kind of feed-forward.
///
/// # Errors
/// One model has plain feed-forwards, the other searched ones.
fn same_kind(config: &BertConfig, loaded: &ModelDir) -> Result<()> {
    let kind = |config: &BertConfig| match config.model_type {
        ModelType::EfficientBert => "searched",
        _ => "plain",
    };
    let (new, old) = (kind(config), kind(&loaded.config));
    if new == old {
        return Ok(());
    }
    let message = format!("{}: has {old} feed-forwards, the new model {new} ones", loaded.path.display());
    Err(crate::Error::Mismatch(message))
}

/// How weights of a model become those of another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Inherit {
    /// As they are; all sizes are equal.
    #[default]
    Same,
    /// The first channels of every tensor, as EfficientBERT-TINY has them from EfficientBERT.
    Cut,
    /// The same, and every layer twice in a row, as EfficientBERT++ has them from EfficientBERT+.
    Doubled,
}

/// `fresh`, whose configuration is `config`, with what `how` makes of the encoder of `loaded`, and of its masked-language-model head
/// where both have one of one form. Heads of tasks and, but for [`Inherit::Same`], the pooler stay fresh, as in EfficientBERT's code;
/// the projection is inherited where it leads to the same width.
///
/// # Errors
/// Models of different kinds, depths that do not go with `how`, or a tensor that is smaller than it has to be.
pub fn inherited(fresh: TaskModel, config: &BertConfig, loaded: &ModelDir, how: Inherit) -> Result<TaskModel> {
    same_kind(config, loaded)?;
    let (layers, times) = match how {
        Inherit::Same => return continue_from(fresh, &loaded.model, &loaded.path),
        Inherit::Cut => (LayerSource::Same, 1),
        Inherit::Doubled => (LayerSource::Halved, 2),
    };
    let (ours, theirs) = (config.num_hidden_layers, loaded.config.num_hidden_layers);
    let source = &loaded.path;
    if ours != theirs * times {
        let message =
            format!("{}: has {theirs} layers, of which {} become the student's", source.display(), theirs * times);
        return Err(crate::Error::Depth(format!("{message}; it has {ours}")));
    }
    let with_fit = config.fit_size == loaded.config.fit_size;
    let (ours, theirs) = (fresh.parts(), loaded.model.parts());
    let with_words = ours.mlm && theirs.mlm && ours.mlm_extra == theirs.mlm_extra;
    let mut shapes = fresh.shapes();
    shapes.retain(|name, _| match name.starts_with(FIT_DENSE) {
        true => with_fit,
        false => name.starts_with("encoder.") || with_words && name.starts_with(WORD_HEAD),
    });
    let found = inherit(&shapes, &loaded.model.collect_internal(), layers, |name| name.starts_with(FIT_DENSE))?;
    let mut weights = fresh.collect_internal();
    weights.0.extend(found.0);
    Ok(apply_internal(fresh, weights, source)?)
}

/// `student`, whose configuration is `config`, with the embedding of `teacher`, see [`with_embedding_of`]; with its norm where both
/// have one kind of norm.
///
/// # Errors
/// The embeddings are of different sizes.
pub fn embedded(student: TaskModel, config: &BertConfig, teacher: &ModelDir) -> Result<TaskModel> {
    let norm = config.normalization_type == teacher.config.normalization_type;
    let (tensors, source) = (teacher.model.collect_internal(), &teacher.path);
    with_embedding_of(student, &tensors, norm, source)
}

#[cfg(test)]
mod tests {
    use bert_core::{BertConfig, Parts, init};
    use burn::tensor::Device;
    use predict::heads::task_head;

    use super::*;

    fn model(layers: usize, fit: Option<usize>, pooler: bool, seed: u64) -> TaskModel {
        let device = Device::flex();
        let config = BertConfig {
            fit_size: fit,
            task_heads: vec![task_head(glue_squad::task::TaskKind::Rte.task())],
            max_position_embeddings: 4,
            ..BertConfig::bert(9, 4, layers, 2, 6)
        };
        let parts = Parts { pooler, ..Parts::NONE };
        init::normal(TaskModel::new(&config, parts, &device).unwrap(), seed, 0.5)
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
    fn what_stands_before_the_heads_of_a_modernbert_is_taken_over_from_its_masked_language_model() {
        let device = Device::flex();
        let config = BertConfig { max_position_embeddings: 4, ..BertConfig::modernbert(9, 4, 2, 2, 6) };
        let tasks = vec![task_head(glue_squad::task::TaskKind::Rte.task())];
        let tuned = BertConfig { task_heads: tasks, ..config.clone() };
        let built = |config, parts, seed| init::normal(TaskModel::new(config, parts, &device).unwrap(), seed, 0.5);
        let loaded = built(&config, Parts { mlm: true, ..Parts::POOLER }, 1);
        let (fresh, from) = (built(&tuned, Parts::POOLER, 2), collect_internal(&loaded));
        let own = collect_internal(&fresh);
        let found = collect_internal(&continue_from(fresh, &loaded, Path::new("m")).unwrap());
        assert!(found.0.contains_key("prediction.dense.weight") && !found.0.contains_key("mlm.bias"));
        for (name, tensor) in &found.0 {
            let expected = if name.starts_with("heads.") { &own } else { &from };
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
    fn the_embedding_of_the_teacher_is_taken_over_whatever_the_rest_of_it_is() {
        let (student, teacher) = (model(1, None, true, 1), collect_internal(&model(3, None, false, 2)));
        let own = collect_internal(&student);
        let found = collect_internal(&with_embedding_of(student, &teacher, true, Path::new("m")).unwrap());
        for (name, tensor) in &found.0 {
            let expected = if name.starts_with("encoder.embeddings.") { &teacher } else { &own };
            assert_eq!(tensor, &expected.0[name], "{name}");
        }
        let mut marked = teacher.clone();
        marked.0.get_mut("encoder.embeddings.norm.weight").unwrap().data[0] = 7.0;
        for (norm, expected) in [(true, 7.0), (false, 1.0)] {
            let found = with_embedding_of(model(1, None, true, 1), &marked, norm, Path::new("m")).unwrap();
            assert_eq!(collect_internal(&found).0["encoder.embeddings.norm.weight"].data[0], expected);
        }
    }

    #[test]
    fn an_embedding_of_other_sizes_is_refused_with_both_shapes() {
        let mut teacher = collect_internal(&model(1, None, true, 2));
        let refused = |teacher: &Tensors, words: &[&str]| {
            let message = with_embedding_of(model(1, None, true, 1), teacher, true, Path::new("dir")).unwrap_err();
            words.iter().for_each(|word| assert!(message.to_string().contains(word), "{message}"));
        };
        let words = teacher.0.get_mut("encoder.embeddings.word_embeddings.weight").unwrap();
        (words.shape, words.data) = (vec![5, 4], vec![0.0; 20]);
        refused(&teacher, &["dir", "word_embeddings", "[5, 4]", "[9, 4]"]);
        teacher.0.retain(|name, _| !name.contains("word_embeddings"));
        refused(&teacher, &["word_embeddings", "nothing of that name", "[9, 4]"]);
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
