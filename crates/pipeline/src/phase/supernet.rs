//! The largest student: warm-up on text, and the weight-sharing supernet of stage 3.

use std::path::Path;

use bert_core::weights::{Tensors, apply_internal, collect_internal};
use bert_core::{BertConfig, Parts, TaskModel, student_config, student_frame, supernet_architecture};
use encoder_spec::Encoder;
use kd::job::as_is;
use mlp_space::{Architecture, StudentShape};
use nas::space::SearchSpace;
use predict::heads::student_head;

use super::beginning::{Weights, as_teacher, has_begun};
use super::distillation::{on_tasks, on_text, plan};
use super::{Context, PhaseId, Teachers};
use crate::Result;
use crate::recipe::{Begin, Recipe};

/// The student's configuration but for its feed-forwards: everything that the search leaves alone.
pub fn frame(recipe: &Recipe, teacher: &BertConfig) -> BertConfig {
    let s = recipe.student;
    let shape = StudentShape {
        vocab: teacher.vocab_size,
        embed: s.embed,
        hidden: s.hidden,
        base: s.hidden,
        heads: s.heads,
        // Never fewer than the texts of the run need, of which preflight knows that the teacher takes them.
        max_positions: teacher.student_positions().max(recipe.max_len.min(teacher.max_position_embeddings)),
        segments: teacher.type_vocab_size,
        fit: Some(teacher.state_width()),
    };
    BertConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        pad_token_id: teacher.pad_token_id,
        task_heads: recipe.tasks.iter().map(|task| student_head(task, teacher)).collect(),
        ..student_frame(&shape, s.layers)
    }
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
    let model = match run.recipe.student.begin {
        Begin::Random => model,
        Begin::Teacher => largest_as_teacher(run, &config, model, teachers)?,
    };
    let model = on_text(run, PhaseId::WarmUp, (&config, model), teachers, as_is())?;
    Ok(collect_internal(&model))
}

/// Weights of the largest student, slices of it too, as they are computed from the teacher's; nothing is trained.
///
/// # Errors
/// Models that do not go together, files that cannot be read.
pub(crate) fn supernet_as_teacher(run: &mut Context<'_>, frame: &BertConfig, teachers: &Teachers) -> Result<Tensors> {
    let genome = supernet_architecture(frame.num_hidden_layers)?;
    let (config, model) = largest(run, frame, &genome)?;
    let model = model.initialized(&config, run.seed_of("student init"));
    Ok(collect_internal(&largest_as_teacher(run, &config, model, teachers)?))
}

/// The largest student as its teacher, slices of it too.
fn largest_as_teacher(
    run: &mut Context<'_>,
    config: &BertConfig,
    model: TaskModel,
    teachers: &Teachers,
) -> Result<TaskModel> {
    if has_begun(run, &[PhaseId::WarmUp])? {
        return Ok(model);
    }
    let training = run.spec(PhaseId::WarmUp)?.training()?;
    let plan = match training.settings.train.steps {
        0 => None,
        _ => Some(plan(training, config, &teachers.config)?),
    };
    let spec = Encoder::supernet(config, Parts::POOLER)?;
    as_teacher(run, (model, &spec), teachers, plan.as_ref(), Weights::Slices)
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
    let model = apply_internal(model, warm, Path::new("warm-up weights"))?;
    let seed = run.recipe.seed;
    let sample = move |purpose: &'static str| {
        move |model: &TaskModel, step: u64| {
            let genome = space.sample(&mut run_store::rng::keyed(seed, purpose, &[step]));
            model.clone().activate(&genome)
        }
    };
    let prepare = Box::new(sample("supernet sample, text"));
    let model = on_text(run, PhaseId::SupernetOnText, (&config, model), teachers, prepare)?;
    let settings = &run.spec(PhaseId::SupernetOnTasks)?.training()?.settings;
    if settings.train.steps == 0 {
        return Ok(model);
    }
    let (data, _) = run.inputs.tasks(run.recipe, settings)?;
    let prepare = Box::new(sample("supernet sample, tasks"));
    Ok(on_tasks(run, PhaseId::SupernetOnTasks, (&config, model), teachers, (&data, &[]), prepare)?.model)
}
