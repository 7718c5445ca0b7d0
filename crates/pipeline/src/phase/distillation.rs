//! One distillation of a run: what is learned, and the trainings on text and on tasks.

use bert_core::{BertConfig, TaskModel};
use kd::job::{GeneralDistillation, Prepare, TaskDistillation};
use kd::objective::{Plan, Shape, Source};
use train::data::{EvalSet, TaskMix};
use train::engine::Trained;

use super::{Context, PhaseId, PhaseSpec, Teachers, TrainingSpec, trainings};
use crate::{Error, Result};

/// What a student of configuration `student` learns in `training`, checked against both models.
///
/// # Errors
/// Layers, widths or heads that do not fit, or a step without any term; a training on labels.
pub(super) fn plan(training: &TrainingSpec<'_>, student: &BertConfig, teacher: &BertConfig) -> Result<Plan> {
    let labels = || Error::Mismatch(format!("`{}` is a training on labels", training.key));
    let objective = training.objective.ok_or_else(labels)?;
    let source = training.data.source();
    Ok(objective.plan(Shape::of(student), Shape::of(teacher), source, training.settings.train.steps)?)
}

/// Whether the teacher can teach a student of this frame in every distillation of the recipe.
///
/// # Errors
/// As [`plan`], naming the training; or nothing that would train the heads.
pub(crate) fn check_fit(phases: &[PhaseSpec<'_>], frame: &BertConfig, teacher: &BertConfig) -> Result<()> {
    let distills = |training: &TrainingSpec<'_>| training.objective.is_some() && training.settings.train.steps > 0;
    for (_, training) in trainings(phases).filter(|(_, training)| distills(training)) {
        let fail = |message: String| Err(Error::Mismatch(format!("`{}`: {message}", training.key)));
        match plan(training, frame, teacher) {
            Err(e) => return fail(e.to_string()),
            Ok(plan) if training.data.source() == Source::Tasks && !plan.has_prediction() => {
                return fail("the objective has no prediction term, so nothing would train the student's heads".into());
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Distills `model` on text in phase `id`; a phase of no steps leaves the model as it is.
pub(super) fn on_text(
    run: &mut Context<'_>,
    id: PhaseId,
    (config, model): (&BertConfig, TaskModel),
    teachers: &Teachers,
    prepare: Prepare<'_>,
) -> Result<TaskModel> {
    let phase = run.spec(id)?;
    let training = phase.training()?;
    if training.settings.train.steps == 0 {
        return Ok(model);
    }
    let text = run.inputs.text_in_order(run.recipe, &training.settings, run.recipe.order_seed(id.seed()))?;
    let plan = plan(training, config, &teachers.config)?;
    let teacher = run.teacher_for(id, Source::Text, teachers, &plan)?;
    let (teacher, text) = (teacher.as_ref(), text.as_ref());
    let job = GeneralDistillation { teacher, plan: &plan, text, words: None, prepare };
    Ok(run.train(phase, model, &job)?.model)
}

/// Distills `model` on the training examples `data` of all tasks in phase `id`, and keeps the weights that score best on
/// `held_out`, if it holds anything.
pub(super) fn on_tasks(
    run: &mut Context<'_>,
    id: PhaseId,
    (config, model): (&BertConfig, TaskModel),
    teachers: &Teachers,
    (data, held_out): (&TaskMix, &[(usize, EvalSet)]),
    prepare: Prepare<'_>,
) -> Result<Trained<TaskModel>> {
    let phase = run.spec(id)?;
    let heads: Vec<usize> = (0..phase.tasks.len()).collect();
    let plan = plan(phase.training()?, config, &teachers.config)?;
    let teacher = run.teacher_for(id, Source::Tasks, teachers, &plan)?;
    let job = TaskDistillation {
        teacher: teacher.as_ref(),
        teacher_heads: heads.clone(),
        student_heads: heads,
        plan: &plan,
        data,
        eval: held_out,
        prepare,
    };
    run.train(phase, model, &job)
}
