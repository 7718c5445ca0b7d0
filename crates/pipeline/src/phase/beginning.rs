//! Students that begin as their teacher.

use bert_core::{BertConfig, TaskModel};
use encoder_spec::{Encoder, Shape};
use kd::from_teacher::{self, Sample, Settings, Start, layer_map};
use kd::objective::Plan;
use predict::heads::AnsweringHead;

use super::{Context, Data, PhaseId, Teachers};
use crate::Result;
use crate::events::RunEvent;

/// What of a student's weights is a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// All of them.
    Whole,
    /// Leading slices too.
    Slices,
}

/// `model`, which `spec` describes, with weights computed from its teacher's: the fine-tuned one with all heads, or the loaded one where each
/// task has a teacher, and heads are new then. Texts are the first of the search's training examples; nothing that is held out is among them.
/// `plan` is what is learned in `phase` later, which says which layer begins as which.
///
/// A training that has begun has its weights, so that nothing is computed for it.
///
/// # Errors
/// The models do not go together, or files cannot be read.
pub(crate) fn as_teacher(
    run: &mut Context<'_>,
    (model, spec): (TaskModel, &Encoder<Shape>),
    teachers: &Teachers,
    plan: Option<&Plan>,
    (phases, weights): (&[PhaseId], Weights),
) -> Result<TaskModel> {
    if phases.iter().map(|&phase| run.has_begun(phase)).collect::<Result<Vec<_>>>()?.contains(&true) {
        return Ok(model);
    }
    let recipe = run.recipe;
    let (teacher, heads) = match &teachers.tuned[..] {
        [one] => (one, in_order(&one.config)),
        _ => (&teachers.general, vec![None; spec.heads.len()]),
    };
    let stage = run.spec(PhaseId::Stage(1))?.training_on(Data::Tasks)?;
    let (mix, _) = run.inputs.tasks(recipe, &stage.settings)?;
    let batch = |step| Ok(mix.batch(step)?.1);
    let sample = Sample::of_training(mix.batches_per_epoch(), batch, &run.device)?;
    let layers = layer_map(plan, spec.layers.len(), teacher.config.num_hidden_layers)?;
    let (texts, tokens) = (sample.texts(), sample.len());
    let message = format!("a student begins as its teacher, by {tokens} tokens of {texts} texts");
    run.emit(RunEvent::Note { message })?;
    let start = Start {
        teacher: &teacher.model,
        config: &teacher.config,
        layers: &layers,
        heads: &heads,
        sample: &sample,
        settings: &Settings::new(recipe.seed),
        slices: weights == Weights::Slices,
    };
    Ok(from_teacher::begin(model, spec, &start)?)
}

fn in_order(teacher: &BertConfig) -> Vec<Option<AnsweringHead>> {
    let head = |(index, head): (usize, &encoder_spec::TaskHeadConfig)| AnsweringHead::in_order(index, head.outputs());
    teacher.task_heads.iter().enumerate().map(head).map(Some).collect()
}
