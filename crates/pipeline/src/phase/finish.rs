//! Final distillation of the winner and of the uniform baseline.

use std::path::Path;

use bert_core::weights::{Tensors, apply_internal, collect_internal, parameter_shapes};
use bert_core::{BertConfig, LayerSource, ModelType, Parts, TaskModel, inherit, student_config};
use encoder_spec::Encoder;
use kd::job::{GeneralDistillation, TaskDistillation, as_is};
use kd::objective::Source;
use train::engine::Evaluation;

use super::beginning::{Weights, as_teacher};
use super::supernet::plan;
use super::{Context, PhaseId, Teachers, Winner};
use crate::recipe::Inherit;
use crate::{Error, Result};

/// A distilled model with its dev scores.
#[derive(Debug)]
pub struct FinalModel {
    /// Configuration.
    pub config: BertConfig,
    /// Weights.
    pub model: TaskModel,
    /// Dev scores of the kept weights.
    pub evaluation: Evaluation,
}

/// Distills the winner: on text, then on the tasks with the best dev score kept.
///
/// # Errors
/// Training that fails, files that cannot be read or written.
pub fn student(
    run: &mut Context<'_>,
    frame: &BertConfig,
    teachers: &Teachers,
    warm: &Tensors,
    winner: &Winner,
) -> Result<FinalModel> {
    let config = student_config(frame, &winner.genome)?;
    let model = TaskModel::new(&config, Parts::POOLER, &run.device)?;
    let shapes = parameter_shapes(&model);
    let phases = [PhaseId::StudentOnText, PhaseId::StudentOnTasks];
    let model = match run.recipe.final_.inherit {
        Inherit::Nothing => model.initialized(&config, run.seed_of("final init")),
        Inherit::Teacher => {
            let fresh = model.initialized(&config, run.seed_of("final init"));
            whole_as_teacher(run, &config, fresh, teachers, phases)?
        }
        source => {
            let from = match source {
                Inherit::Supernet => collect_internal(&winner.supernet),
                _ => warm.clone(),
            };
            let weights = inherit(&shapes, &from, LayerSource::Same, |_| false)?;
            apply_internal(model, weights, Path::new("supernet weights"))?
        }
    };
    let (model, evaluation) = distill(run, phases, &config, model, teachers)?;
    Ok(FinalModel { config, model, evaluation })
}

/// A student as its teacher, by the layers of its distillation on the tasks.
fn whole_as_teacher(
    run: &mut Context<'_>,
    config: &BertConfig,
    model: TaskModel,
    teachers: &Teachers,
    phases: [PhaseId; 2],
) -> Result<TaskModel> {
    let plan = plan(run.spec(phases[1])?.training()?, config, &teachers.config)?;
    let spec = Encoder::describe(config, Parts::POOLER)?;
    as_teacher(run, (model, &spec), teachers, Some(&plan), (&phases, Weights::Whole))
}

/// Distills the uniform baseline: plain GELU feed-forwards of one width in every layer, as many
/// parameters as the student within 1%, from random weights or from its teacher's as the recipe says, with the student's
/// distillation steps plus the warm-up's.
///
/// # Errors
/// No width comes within 1%, training that fails, files that cannot be read or written.
pub fn baseline(run: &mut Context<'_>, frame: &BertConfig, teachers: &Teachers, params: u64) -> Result<FinalModel> {
    let config = baseline_config(run, frame, params)?;
    let device = run.device.clone();
    let model = TaskModel::new(&config, Parts::POOLER, &device)?;
    let model = model.initialized(&config, run.seed_of("baseline init"));
    let phases = [PhaseId::BaselineOnText, PhaseId::BaselineOnTasks];
    let model = match run.recipe.baseline_inherit() {
        Inherit::Teacher => whole_as_teacher(run, &config, model, teachers, phases)?,
        _ => model,
    };
    let (model, evaluation) = distill(run, phases, &config, model, teachers)?;
    Ok(FinalModel { config, model, evaluation })
}

fn baseline_config(run: &Context<'_>, frame: &BertConfig, params: u64) -> Result<BertConfig> {
    let of_width = |width: usize| BertConfig { intermediate_size: width, model_type: ModelType::Bert, ..frame.clone() };
    let count = |width: usize| -> Result<u64> {
        let config = of_width(width);
        Ok(Encoder::describe(&config, Parts::POOLER)?.count(run.recipe.latency.seq).params_without_fit())
    };
    // Parameters are linear in the width.
    let (one, two) = (count(1)?, count(2)?);
    let width = (1.0 + params.saturating_sub(one) as f64 / (two - one) as f64).round().max(1.0) as usize;
    let found = count(width)?;
    if found.abs_diff(params) * 100 > params {
        return Err(Error::Mismatch(format!(
            "no uniform baseline within 1% of {params} parameters; the nearest has {found}"
        )));
    }
    Ok(of_width(width))
}

fn distill(
    run: &mut Context<'_>,
    [on_text, on_tasks]: [PhaseId; 2],
    config: &BertConfig,
    model: TaskModel,
    teachers: &Teachers,
) -> Result<(TaskModel, Evaluation)> {
    let recipe = run.recipe;
    let mut model = model;
    let phase = run.spec(on_text)?;
    let training = phase.training()?;
    if training.settings.train.steps > 0 {
        let text = run.inputs.text(recipe, &training.settings)?;
        let plan = plan(training, config, &teachers.config)?;
        let teacher = run.teacher_for(phase.id, Source::Text, teachers, &plan)?;
        let job = GeneralDistillation {
            teacher: teacher.as_ref(),
            plan: &plan,
            text: text.as_ref(),
            words: None,
            prepare: as_is(),
        };
        model = run.train(phase, model, &job)?.model;
    }
    let phase = run.spec(on_tasks)?;
    let training = phase.training()?;
    let data = run.inputs.train(recipe, &training.settings)?;
    let dev = run.inputs.dev(recipe, &training.settings)?;
    let heads: Vec<usize> = (0..phase.tasks.len()).collect();
    let plan = plan(training, config, &teachers.config)?;
    let teacher = run.teacher_for(phase.id, Source::Tasks, teachers, &plan)?;
    let job = TaskDistillation {
        teacher: teacher.as_ref(),
        teacher_heads: heads.clone(),
        student_heads: heads,
        plan: &plan,
        data: &data,
        eval: &dev,
        prepare: as_is(),
    };
    let trained = run.train(phase, model, &job)?;
    Ok((trained.model, trained.evaluation.unwrap_or_default()))
}
