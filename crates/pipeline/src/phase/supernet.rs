//! The largest student: warm-up on text, and the weight-sharing supernet of stage 3.

use std::path::Path;

use bert_core::weights::{Tensors, apply_internal, collect_internal};
use bert_core::{BertConfig, Parts, TaskModel, student_config, student_frame, supernet_architecture};
use encoder_spec::Encoder;
use kd::job::{GeneralDistillation, TaskDistillation, as_is};
use kd::objective::{Plan, Shape, Source};
use mlp_space::{Architecture, StudentShape};
use nas::space::SearchSpace;
use predict::heads::task_head;

use super::beginning::{Weights, as_teacher};
use super::{Context, PhaseId, PhaseSpec, Teachers, TrainingSpec, trainings};
use crate::recipe::{Begin, Recipe};
use crate::{Error, Result};

/// The student's configuration but for its feed-forwards: everything that the search leaves alone.
pub fn frame(recipe: &Recipe, teacher: &BertConfig) -> BertConfig {
    let s = recipe.student;
    let shape = StudentShape {
        vocab: teacher.vocab_size,
        embed: s.embed,
        hidden: s.hidden,
        base: s.hidden,
        heads: s.heads,
        max_positions: teacher.max_position_embeddings,
        segments: teacher.type_vocab_size,
        fit: Some(teacher.state_width()),
    };
    BertConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        pad_token_id: teacher.pad_token_id,
        task_heads: recipe.tasks.iter().map(task_head).collect(),
        ..student_frame(&shape, s.layers)
    }
}

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

/// The largest student with `genome` active in it.
pub(super) fn largest(run: &Context<'_>, frame: &BertConfig, genome: &Architecture) -> Result<(BertConfig, TaskModel)> {
    let config = student_config(frame, genome)?;
    let model = TaskModel::supernet(&config, Parts::POOLER, &run.device)?;
    Ok((config, model))
}

/// Distills the largest student with plain feed-forwards on text, from random weights or, where the recipe says so, from what
/// its teacher's make; all candidates inherit slices of the weights this returns (module paths).
///
/// # Errors
/// Training that fails, files that cannot be read or written.
pub fn warm_up(run: &mut Context<'_>, frame: &BertConfig, teachers: &Teachers) -> Result<Tensors> {
    let genome = supernet_architecture(frame.num_hidden_layers)?;
    let (config, model) = largest(run, frame, &genome)?;
    let model = model.initialized(&config, run.seed_of("student init"));
    let phase = run.spec(PhaseId::WarmUp)?;
    let training = phase.training()?;
    let model = match run.recipe.student.begin {
        Begin::Random => model,
        Begin::Teacher => largest_as_teacher(run, &config, model, teachers)?,
    };
    if training.settings.train.steps == 0 {
        return Ok(collect_internal(&model));
    }
    let plan = plan(training, &config, &teachers.config)?;
    let text = run.inputs.text(run.recipe, &training.settings)?;
    let teacher = run.teacher_for(phase.id, Source::Text, teachers, &plan)?;
    let (teacher, text) = (teacher.as_ref(), text.as_ref());
    let job = GeneralDistillation { teacher, plan: &plan, text, words: None, prepare: as_is() };
    let trained = run.train(phase, model, &job)?;
    Ok(collect_internal(&trained.model))
}

/// The largest student as its teacher, slices of it too.
fn largest_as_teacher(
    run: &mut Context<'_>,
    config: &BertConfig,
    model: TaskModel,
    teachers: &Teachers,
) -> Result<TaskModel> {
    let training = run.spec(PhaseId::WarmUp)?.training()?;
    let plan = match training.settings.train.steps {
        0 => None,
        _ => Some(plan(training, config, &teachers.config)?),
    };
    let spec = Encoder::supernet(config, Parts::POOLER)?;
    as_teacher(run, (model, &spec), teachers, plan.as_ref(), (&[PhaseId::WarmUp], Weights::Slices))
}

/// Trains the supernet of stage 3: from the warm-up weights, with the expressions of `genome`, one
/// architecture of `space` sampled per step; first on text, then on the tasks.
///
/// # Errors
/// Training that fails, files that cannot be read or written.
pub fn stage_three_supernet(
    run: &mut Context<'_>,
    frame: &BertConfig,
    teachers: &Teachers,
    warm: Tensors,
    genome: &Architecture,
    space: &dyn SearchSpace<Genome = Architecture>,
) -> Result<TaskModel> {
    let (config, model) = largest(run, frame, genome)?;
    let mut model = apply_internal(model, warm, Path::new("warm-up weights"))?;
    let seed = run.recipe.seed;
    let sample = move |purpose: &'static str| {
        move |model: &TaskModel, step: u64| {
            let genome = space.sample(&mut run_store::rng::keyed(seed, purpose, &[step]));
            model.clone().activate(&genome)
        }
    };
    let phase = run.spec(PhaseId::SupernetOnText)?;
    let training = phase.training()?;
    if training.settings.train.steps > 0 {
        let text = run.inputs.text(run.recipe, &training.settings)?;
        let plan = plan(training, &config, &teachers.config)?;
        let teacher = run.teacher_for(phase.id, Source::Text, teachers, &plan)?;
        let job = GeneralDistillation {
            teacher: teacher.as_ref(),
            plan: &plan,
            text: text.as_ref(),
            words: None,
            prepare: Box::new(sample("supernet sample, text")),
        };
        model = run.train(phase, model, &job)?.model;
    }
    let phase = run.spec(PhaseId::SupernetOnTasks)?;
    let training = phase.training()?;
    if training.settings.train.steps > 0 {
        let (data, _) = run.inputs.search(run.recipe, &training.settings)?;
        let heads: Vec<usize> = (0..phase.tasks.len()).collect();
        let plan = plan(training, &config, &teachers.config)?;
        let teacher = run.teacher_for(phase.id, Source::Tasks, teachers, &plan)?;
        let job = TaskDistillation {
            teacher: teacher.as_ref(),
            teacher_heads: heads.clone(),
            student_heads: heads,
            plan: &plan,
            data: &data,
            eval: &[],
            prepare: Box::new(sample("supernet sample, tasks")),
        };
        model = run.train(phase, model, &job)?.model;
    }
    Ok(model)
}
