//! Students that begin as their teacher.

use bert_core::{BertConfig, TaskModel};
use encoder_spec::{Encoder, Shape};
use kd::from_teacher::{self, Sample, Settings, Start, layer_map};
use kd::objective::Plan;
use predict::heads::AnsweringHead;

use super::{Context, Data, PhaseId, Teachers, TunedTeacher};
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
/// `plan` is what is learned later, which says which layer begins as which.
///
/// # Errors
/// The models do not go together, or files cannot be read.
pub(super) fn as_teacher(
    run: &mut Context<'_>,
    (model, spec): (TaskModel, &Encoder<Shape>),
    teachers: &Teachers,
    plan: Option<&Plan>,
    weights: Weights,
) -> Result<TaskModel> {
    let origin = Origin::of(run, teachers, None)?;
    let (texts, tokens) = (origin.sample.texts(), origin.sample.len());
    let message = format!("a student begins as its teacher, by {tokens} tokens of {texts} texts");
    run.emit(RunEvent::Note { message })?;
    Ok(origin.begin(model, spec, plan, weights)?)
}

/// Whether one of these trainings has its weights in a checkpoint already, so that nothing need be computed for it.
///
/// # Errors
/// Files that cannot be read.
pub(super) fn has_begun(run: &Context<'_>, phases: &[PhaseId]) -> Result<bool> {
    for &phase in phases {
        if run.has_begun(phase)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What students begin as, with the texts that they are fitted on.
pub(crate) struct Origin<'t> {
    teacher: &'t TunedTeacher,
    /// Whether the heads are the teacher's.
    has_heads: bool,
    sample: Sample,
    settings: Settings,
}

impl<'t> Origin<'t> {
    /// The teacher of a run: the fine-tuned one with all heads, or the loaded one where each task has a teacher. Students are fitted on about
    /// `tokens` tokens, or as many as is usual.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn of(run: &Context<'_>, teachers: &'t Teachers, tokens: Option<usize>) -> Result<Self> {
        let (teacher, has_heads) = match &teachers.tuned[..] {
            [one] => (one, true),
            _ => (&teachers.general, false),
        };
        let stage = run.spec(PhaseId::Stage(1))?.training_on(Data::Tasks)?;
        let (mix, _) = run.inputs.tasks(run.recipe, &stage.settings)?;
        let batch = |step| Ok(mix.batch(step)?.1);
        let epoch = mix.batches_per_epoch();
        let sample = match tokens {
            None => Sample::of_training(epoch, batch, &run.device)?,
            Some(tokens) => Sample::of_tokens(tokens, epoch, batch, &run.device)?,
        };
        Ok(Self { teacher, has_heads, sample, settings: Settings::new(run.recipe.seed) })
    }

    /// `model`, which `spec` describes, with weights computed from the teacher's.
    ///
    /// # Errors
    /// The models do not go together.
    pub fn begin(
        &self,
        model: TaskModel,
        spec: &Encoder<Shape>,
        plan: Option<&Plan>,
        weights: Weights,
    ) -> std::result::Result<TaskModel, kd::Error> {
        let config = &self.teacher.config;
        let heads = if self.has_heads { in_order(config) } else { vec![None; spec.heads.len()] };
        let start = Start {
            teacher: &self.teacher.model,
            config,
            layers: &layer_map(plan, spec.layers.len(), config.num_hidden_layers)?,
            heads: &heads,
            sample: &self.sample,
            settings: &self.settings,
            slices: weights == Weights::Slices,
        };
        from_teacher::begin(model, spec, &start)
    }
}

fn in_order(teacher: &BertConfig) -> Vec<Option<AnsweringHead>> {
    let head = |(index, head): (usize, &encoder_spec::TaskHeadConfig)| {
        AnsweringHead::in_order(index, head.outputs(teacher.hidden_size))
    };
    teacher.task_heads.iter().enumerate().map(head).map(Some).collect()
}
