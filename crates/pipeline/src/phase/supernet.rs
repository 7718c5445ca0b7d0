//! The largest student: warm-up on text, and the weight-sharing supernet of stage 3.

use std::path::Path;

use bert_core::weights::{Tensors, apply_internal, collect_internal};
use bert_core::{BertConfig, ModelType, TaskModel, init};
use kd::data::task_head;
use kd::job::{GeneralDistillation, TaskDistillation, as_is};
use kd::objective::LayerMap;
use nas::space::{Genome, SearchSpace};
use searched_ffn::{SearchedFfn, activate, searched_model, student_config, supernet_architecture};

use super::{Context, TeacherPair};
use crate::Result;
use crate::recipe::Recipe;

/// The student's configuration but for its feed-forwards: everything that the search leaves alone.
pub fn frame(recipe: &Recipe, teacher: &BertConfig) -> BertConfig {
    let s = recipe.student;
    BertConfig {
        model_type: ModelType::EfficientBert,
        hidden_act: bert_core::Activation::GeluTanh,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        max_position_embeddings: teacher.max_position_embeddings,
        layer_norm_eps: 1e-5,
        pad_token_id: teacher.pad_token_id,
        embedding_size: Some(s.embed),
        trigram_input: true,
        fit_size: Some(teacher.fit_size.unwrap_or(teacher.hidden_size)),
        task_heads: recipe.tasks.iter().map(|&t| task_head(t)).collect(),
        ..BertConfig::bert(teacher.vocab_size, s.hidden, s.layers, s.heads, s.hidden)
    }
}

/// The layer map of a student with configuration `student`, checked against the teacher.
///
/// # Errors
/// Layers, widths or heads that do not fit.
pub(super) fn layer_map(student: &BertConfig, teacher: &BertConfig) -> Result<LayerMap> {
    Ok(LayerMap::between(student, teacher)?)
}

/// Whether the teacher can teach a student of this frame.
///
/// # Errors
/// Layers, widths or heads that do not fit.
pub(crate) fn check_fit(frame: &BertConfig, teacher: &BertConfig) -> Result<()> {
    layer_map(frame, teacher).map(|_| ())
}

/// The largest student with `genome` active in it.
pub(super) fn largest(
    run: &Context<'_>,
    frame: &BertConfig,
    genome: &Genome,
) -> Result<(BertConfig, TaskModel<SearchedFfn>)> {
    let config = student_config(frame, genome)?;
    let model = searched_model(&config, true, true, &run.device)?;
    Ok((config, model))
}

/// Distils the largest student with plain feed-forwards on text; all candidates inherit slices of
/// the weights this returns (module paths).
///
/// # Errors
/// Training that fails, files that cannot be read or written.
pub fn warm_up(run: &mut Context<'_>, frame: &BertConfig, teacher: &TeacherPair) -> Result<Tensors> {
    let genome = supernet_architecture(frame.num_hidden_layers)?;
    let (config, model) = largest(run, frame, &genome)?;
    let model = init::normal(model, run.seed_of("student init"), config.initializer_range);
    let phase = &run.recipe.warm_up;
    if phase.steps == 0 {
        return Ok(collect_internal(&model));
    }
    let map = layer_map(&config, &teacher.config)?;
    let text = run.inputs.text(run.recipe, phase)?;
    let device = run.device.clone();
    let (teacher, text) = (&teacher.general, text.as_ref());
    let mut job = GeneralDistillation { teacher, map: &map, text, prepare: as_is(), device };
    let trained = run.train("supernet/warm-up", model, &mut job, phase)?;
    Ok(collect_internal(&trained.model))
}

/// Trains the supernet of stage 3: from the warm-up weights, with the expressions of `genome`, one
/// architecture of `space` sampled per step; first on text, then on the tasks.
///
/// # Errors
/// Training that fails, files that cannot be read or written.
pub fn stage_three_supernet(
    run: &mut Context<'_>,
    frame: &BertConfig,
    teacher: &TeacherPair,
    warm: Tensors,
    genome: &Genome,
    space: &dyn SearchSpace,
) -> Result<TaskModel<SearchedFfn>> {
    let (config, model) = largest(run, frame, genome)?;
    let mut model = apply_internal(model, warm, Path::new("warm-up weights"))?;
    let map = layer_map(&config, &teacher.config)?;
    let device = run.device.clone();
    let settings = &run.recipe.search.stage3;
    let seed = run.recipe.seed;
    let sample = move |purpose: &'static str| {
        move |model: &TaskModel<SearchedFfn>, step: u64| {
            let genome = space.sample(&mut durable::rng::keyed(seed, purpose, &[step]));
            activate(model.clone(), &genome)
        }
    };
    if settings.general.steps > 0 {
        let text = run.inputs.text(run.recipe, &settings.general)?;
        let mut job = GeneralDistillation {
            teacher: &teacher.general,
            map: &map,
            text: text.as_ref(),
            prepare: Box::new(sample("supernet sample, text")),
            device: device.clone(),
        };
        model = run.train("supernet/general", model, &mut job, &settings.general)?.model;
    }
    if settings.task.steps > 0 {
        let (data, _) = run.inputs.search(run.recipe, &settings.task)?;
        let heads: Vec<usize> = (0..run.recipe.tasks.len()).collect();
        let mut job = TaskDistillation {
            teacher: &teacher.tuned,
            teacher_heads: heads.clone(),
            student_heads: heads,
            map: &map,
            data: &data,
            eval: &[],
            prepare: Box::new(sample("supernet sample, tasks")),
            device,
        };
        model = run.train("supernet/task", model, &mut job, &settings.task)?.model;
    }
    Ok(model)
}
