//! The teachers: loaded, pre-trained or made from scratch, then fine-tuned.

use std::path::Path;

use bert_core::weights::collect_internal;
use bert_core::{BertConfig, ModelDir, Package, Parts, TaskModel};
use glue_squad::task::{Head, Task};
use kd::cache::fingerprint;
use kd::inherit::{continue_from, with_heads_of};
use model_dir::Origin;
use predict::card::scored_card;
use predict::heads::{answering_head, task_head_of};
use predict::majority::{MajorityBaseline, card_lines, doubts};
use train::engine::Evaluation;
use train::fine_tune::FineTune;

use super::finish::on_dev;
use super::pretrain::pretrained;
use super::{Context, PhaseId, PhaseSpec};
use crate::events::{NOTED_WARNING, RunEvent};
use crate::recipe::ScratchTeacher;
use crate::{Error, Result};

/// Teachers of a run, without autodiff. All of them stay in memory: one batch after the other is of another task.
#[derive(Debug)]
pub struct Teachers {
    /// Configuration of the first fine-tuned one; the others differ from it in their heads.
    pub config: BertConfig,
    /// The teacher of general distillation: the loaded model, or the first fine-tuned one where there is no other.
    pub general: TunedTeacher,
    /// The fine-tuned teacher with one head per task of the recipe; or one teacher for each task, in their order.
    pub tuned: Vec<TunedTeacher>,
    /// Dev scores of the fine-tuned ones on all tasks.
    pub evaluation: Evaluation,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct TunedTeacher {
    /// The phase of its fine-tuning.
    pub phase: String,
    /// Configuration.
    pub config: BertConfig,
    /// Weights.
    pub model: TaskModel,
    /// Hash of both, where its answers are kept; else empty.
    pub identity: String,
}

/// Loads or makes the teacher and fine-tunes it, on all tasks together or on each alone; the results are kept in `teacher/model/`,
/// or in `teacher/TASK/model/`.
///
/// # Errors
/// A model directory that cannot be read, training that fails, files that cannot be written.
pub fn teacher(run: &mut Context<'_>) -> Result<Teachers> {
    let recipe = run.recipe;
    let (config, loaded) = match (&recipe.teacher.model, recipe.teacher.scratch) {
        (Some(dir), _) => {
            let loaded = run.inputs.teacher(dir)?;
            (loaded.config, Some(loaded.model))
        }
        (None, Some(scratch)) => {
            let config = scratch_config(scratch, run.inputs.encoder.vocab_size(), recipe.max_len);
            let model = pretrained(run, &config)?;
            (config, model)
        }
        (None, None) => return Err(Error::Mismatch("the recipe names no teacher".into())),
    };
    if run.inputs.encoder.vocab_size() > config.vocab_size {
        return Err(Error::Mismatch(format!(
            "the tokenizer has {} word pieces, the teacher {}",
            run.inputs.encoder.vocab_size(),
            config.vocab_size
        )));
    }
    let untrained = loaded.map(|model| (config.clone(), model));
    let config = config.with_dropout(recipe.teacher.dropout);

    let mut general = None;
    let (mut tuned, mut evaluations) = (Vec::new(), Vec::new());
    for spec in run.phases.iter().filter(|phase| phase.id == PhaseId::Teacher) {
        let (phase, tasks) = (&spec.name, spec.tasks);
        let config =
            BertConfig { task_heads: tasks.iter().map(|task| task_head_of(task, &config)).collect(), ..config.clone() };
        let loaded = untrained.as_ref().map(|(config, model)| (config, model));
        let start = start(run, spec, &config, loaded)?;
        // Text is taught by what was pre-trained on it.
        if general.is_none() && untrained.is_some() {
            general = Some(taught(run, phase, &config, start.clone()));
        }
        let (model, evaluation) = fine_tune(run, spec, &config, start)?;
        tuned.push(taught(run, phase, &config, model));
        evaluations.push((tasks.len(), evaluation));
    }
    let general = general.unwrap_or_else(|| tuned[0].clone());
    Ok(Teachers { config: tuned[0].config.clone(), general, tuned, evaluation: together(evaluations) })
}

/// The model that a fine-tuning begins with. Everything that a loaded model has comes from it; its heads are new, unless nothing is
/// trained: then they are the loaded one's.
fn start(
    run: &Context<'_>,
    spec: &PhaseSpec<'_>,
    config: &BertConfig,
    loaded: Option<(&BertConfig, &TaskModel)>,
) -> Result<TaskModel> {
    let model = TaskModel::new(config, Parts::POOLER, &run.device)?;
    let fresh = model.initialized(config, run.seed_of(&format!("{} init", spec.name)));
    let dir = run.recipe.teacher.model.as_deref().unwrap_or(Path::new("teacher"));
    let Some((of_loaded, loaded)) = loaded else { return Ok(fresh) };
    let model = continue_from(fresh, loaded, dir)?;
    // A model that makes vectors goes on from its own.
    let goes_on =
        spec.tasks.iter().all(|task| task.head() == Head::Embedding && answering_head(of_loaded, task).is_ok());
    if spec.training()?.settings.train.steps > 0 && !goes_on {
        return Ok(model);
    }
    let heads = spec.tasks.iter().map(|task| answering_head(of_loaded, task));
    Ok(with_heads_of(model, loaded, &heads.collect::<predict::Result<Vec<_>>>()?, dir)?)
}

/// Fine-tunes on the phase's tasks and writes the model directory.
fn fine_tune(
    run: &mut Context<'_>,
    spec: &PhaseSpec<'_>,
    config: &BertConfig,
    start: TaskModel,
) -> Result<(TaskModel, Evaluation)> {
    let recipe = run.recipe;
    let (phase, tasks, settings) = (&spec.name, spec.tasks, &spec.training()?.settings);
    let (data, held_out) = run.inputs.tasks_of(recipe, tasks, settings, recipe.seed)?;
    let heads = (0..tasks.len()).collect();
    let job = FineTune { data: &data, heads, eval: &held_out };
    let trained = run.train(spec, start, &job)?;
    let evaluation = on_dev(run, (run.inputs, spec), settings, &trained.model)?;
    let dev = run.inputs.dev(recipe, tasks, settings)?;
    let majority = MajorityBaseline::of_sets(|task| data.labels(task), &dev)?;
    // Said here, since everything that follows learns from this model.
    for doubt in doubts(&evaluation, &majority) {
        run.emit(RunEvent::Note { message: format!("{NOTED_WARNING}{phase}: {doubt}") })?;
    }
    let made = if settings.train.steps > 0 { "Fine-tuned on" } else { "Taken as it was for" };
    let card = format!(
        "# Teacher of run `{}`\n\n{made} {}; dev scores: {}\n{}",
        recipe.name,
        tasks.iter().map(Task::name).collect::<Vec<_>>().join(", "),
        evaluation,
        card_lines(&evaluation, &majority)
    ) + &run.inputs.card_line();
    let origin = recipe.teacher.model.as_deref().map_or_else(Origin::default, |dir| Origin::of(dir, None));
    let card = scored_card(&card, &origin, config, &evaluation, &majority);
    let files = run.inputs.encoder.files(config.max_position_embeddings)?;
    let package = Package { card: &card, files: &files, keep_fit: false };
    let dir = run.folder(phase).join("model");
    ModelDir::save(&dir, config, &trained.model, package)?;
    Ok((trained.model, evaluation))
}

fn taught(run: &Context<'_>, phase: &str, config: &BertConfig, model: TaskModel) -> TunedTeacher {
    let identity = if run.has_cache() { fingerprint(config, &collect_internal(&model)) } else { String::new() };
    TunedTeacher { phase: phase.into(), config: config.clone(), model, identity }
}

/// Evaluations of several models, each with its number of tasks, as if one model had all their heads.
fn together(evaluations: Vec<(usize, Evaluation)>) -> Evaluation {
    match <[_; 1]>::try_from(evaluations) {
        Ok([(_, one)]) => one,
        Err(several) => {
            let tasks: usize = several.iter().map(|(tasks, _)| tasks).sum();
            let sum: f64 = several.iter().map(|(tasks, e)| e.score * *tasks as f64).sum();
            let mut all = Evaluation { score: sum / tasks.max(1) as f64, ..Evaluation::default() };
            for (_, one) in several {
                all.metrics.extend(one.metrics);
                all.one_answer.extend(one.one_answer);
            }
            all
        }
    }
}

/// The configuration of a teacher trained from scratch.
pub(crate) fn scratch_config(scratch: ScratchTeacher, vocab: usize, max_len: usize) -> BertConfig {
    let ScratchTeacher { hidden, layers, heads, intermediate } = scratch;
    BertConfig { max_position_embeddings: max_len, ..BertConfig::bert(vocab, hidden, layers, heads, intermediate) }
}
