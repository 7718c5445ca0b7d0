//! What is checked before anything is trained or written.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bert_core::weights::parameter_shapes;
use bert_core::{BertConfig, ModelDir, ModelType, Parts, TaskModel, student_config, supernet_architecture};
use burn::tensor::Device;
use encoder_spec::Encoder;
use glue_squad::task::Task;
use kd::from_teacher::{self, layer_map};
use mlp_space::Architecture;
use predict::heads::{AnsweringHead, task_head_of};
use tokenizer::{PairFrame, TextEncoder};
use train::engine::Devices;
use train::optim::check_groups;

use crate::check_teacher::{answers, other_vocabulary, unknown_pieces};
use crate::corpus::Corpus;
use crate::error::Problem;
use crate::inputs::{Inputs, add};
use crate::latency::check_precision;
use crate::phase::{self, Input, Model, Network, PhaseSpec, SearchParts, trainings};
use crate::recipe::Recipe;
use crate::{Error, Result};

/// The feed-forward that every candidate has at least the parameters of.
const SMALLEST: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2)";

/// The teacher's configuration and what the run is given, found and judged as far as that costs little.
///
/// # Errors
/// [`Error::Inputs`] with everything that is wrong with the inputs; no teacher at all; [`Error::Interrupted`] once `stop` is set.
pub fn given(recipe: &Recipe, folder: &Path, stop: &AtomicBool) -> Result<(BertConfig, Option<Inputs>)> {
    let inputs = recipe.data.glue.is_some().then(|| Inputs::open(recipe, folder, stop)).transpose();
    if let Err(Error::Interrupted) = inputs {
        return Err(Error::Interrupted);
    }
    let there = recipe.teacher.model.as_ref().is_none_or(|dir| dir.exists());
    let encoder = inputs.as_ref().ok().and_then(Option::as_ref).map(|inputs| &inputs.encoder);
    match (there.then(|| teacher_config(recipe, encoder)), inputs) {
        (Some(Ok(teacher)), Ok(inputs)) => {
            let whole = inputs.as_ref().map(Inputs::whole_encoder);
            if let Some(message) = whole.and_then(|encoder| other_vocabulary(recipe, encoder, &teacher)) {
                return Err(Error::Mismatch(message));
            }
            let teacher =
                inputs.as_ref().map_or_else(|| teacher.clone(), |inputs| inputs.teacher_config(teacher.clone()));
            Ok((teacher, inputs))
        }
        (teacher, inputs) => {
            let mut problems: Vec<Problem> = Vec::new();
            add(&mut problems, inputs.err());
            add(&mut problems, teacher.and_then(Result::err));
            Err(Error::Inputs(problems))
        }
    }
}

/// Reads everything that the run is given, the teacher's weights included, before anything is written; what was read is kept for the
/// phases. A teacher that is taken as it is, whose `heads` teach, is asked about dev examples. Gives what is to be said of that.
///
/// # Errors
/// [`Error::Inputs`] with everything that is wrong; [`Error::Interrupted`] once `stop` is set.
pub fn read(
    recipe: &Recipe,
    heads: &[(Task, AnsweringHead)],
    inputs: Option<&Inputs>,
    stop: &AtomicBool,
) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let teacher = recipe.teacher.model.as_ref().map(|dir| ModelDir::load(dir, &Device::flex()));
    let teacher = teacher.transpose().unwrap_or_else(|e| {
        add(&mut problems, [Error::from(e)]);
        None
    });
    if stop.load(Ordering::SeqCst) {
        return Err(Error::Interrupted);
    }
    match inputs.map_or(Ok(()), |inputs| inputs.read_all(recipe, stop)) {
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        read => add(&mut problems, read.err()),
    }
    let mut notes = Vec::new();
    if let Some(inputs) = inputs.filter(|_| problems.is_empty()) {
        problems.extend(unknown_pieces(recipe, inputs)?);
        if let Some(teacher) = teacher.filter(|_| problems.is_empty()) {
            let teacher = inputs.trimmed_teacher(teacher, (recipe, !heads.is_empty()), stop)?;
            let (wrong, said) = answers(recipe, heads, inputs, &teacher, stop)?;
            problems.extend(wrong);
            notes.extend(said);
        }
    }
    if problems.is_empty() { Ok(notes) } else { Err(Error::Inputs(problems)) }
}

/// The teacher's configuration, before it gets its heads. One from scratch has the vocabulary of `encoder`, or of the generated data.
pub(crate) fn teacher_config(recipe: &Recipe, encoder: Option<&TextEncoder>) -> Result<BertConfig> {
    match (&recipe.teacher.model, recipe.teacher.scratch) {
        (Some(dir), _) => Ok(model_dir::outline(dir)?.0),
        (None, Some(s)) => {
            // Of a tokenizer that is not there yet, what it is going to have at most.
            let learned = || recipe.teacher.tokenizer.as_ref().map(|settings| settings.vocab_size);
            let vocab = encoder.map(TextEncoder::vocab_size).or_else(learned);
            let vocab = vocab.unwrap_or_else(|| synthetic_tasks::vocabulary().len());
            Ok(phase::scratch_config(s, vocab, recipe.max_len))
        }
        (None, None) => Err(Error::Mismatch("the recipe names no teacher".into())),
    }
}

/// Refuses what cannot succeed: a budget that nothing meets, layers that do not fit, a precision that a device does not have, tasks
/// without data, parameter groups without parameters.
///
/// # Errors
/// [`Error::Mismatch`] naming the key.
pub fn before_training(
    (recipe, phases): (&Recipe, &[PhaseSpec<'_>]),
    parts: &mut dyn SearchParts,
    (teacher, given): (&BertConfig, Option<&Inputs>),
    devices: &Devices,
) -> Result<()> {
    let device = devices.main();
    for (_, training) in trainings(phases) {
        let checked = devices.check_precision(training.settings.train_config(recipe.seed).precision);
        checked.map_err(|e| Error::Mismatch(format!("`{}`: {e}", training.key)))?;
    }
    if recipe.max_len > teacher.max_position_embeddings {
        return Err(Error::Mismatch(format!(
            "max_len {} is more than the teacher's {} positions",
            recipe.max_len, teacher.max_position_embeddings
        )));
    }
    // The generated data have BERT's tokenizer.
    let frame = given.map_or(PairFrame::Bert, |inputs| inputs.encoder.frame());
    if teacher.type_vocab_size < frame.segments()
        && let Some(pairs) = pairs(recipe, phases)?
    {
        return Err(Error::Mismatch(format!(
            "the teacher's type_vocab_size is {}; the pairs of texts of {pairs} need 2",
            teacher.type_vocab_size
        )));
    }
    if recipe.data.glue.is_none() {
        generated_tasks(&recipe.tasks)?;
    }
    for dir in &recipe.compare.checkpoints {
        let (config, _) = model_dir::outline(dir)?;
        tokenizer::TextEncoder::from_dir(dir)?;
        if recipe.max_len > config.max_position_embeddings {
            return Err(Error::Mismatch(format!(
                "`compare.checkpoints`: {} has {} positions, fewer than max_len {}",
                dir.display(),
                config.max_position_embeddings,
                recipe.max_len
            )));
        }
    }
    let trained = teacher.clone().with_dropout(recipe.teacher.dropout);
    trained.validate().map_err(|e| Error::Mismatch(format!("teacher: {e}")))?;
    let frame = phase::frame(recipe, teacher);
    match &recipe.search.encoder {
        None => {
            let largest = student_config(&frame, &supernet_architecture(frame.num_hidden_layers)?)?;
            TaskModel::supernet(&largest, Parts::POOLER, device)?;
            phase::check_fit(phases, &frame, teacher)?;
            begins_as_teacher(recipe, &largest, &trained)?;
        }
        Some(choices) => {
            for student in phase::extremes(recipe, choices, &frame)? {
                phase::check_fit(phases, &student, teacher)?;
                begins_as_teacher(recipe, &student, &trained)?;
            }
        }
    }
    parameter_groups((recipe, phases), &trained, &frame, device)?;
    check_precision(recipe.latency, device)?;
    phase::check_budget(parts, recipe, &frame)
}

/// A student that cannot begin as its teacher is refused before the teacher is made.
fn begins_as_teacher(recipe: &Recipe, student: &BertConfig, teacher: &BertConfig) -> Result<()> {
    if !recipe.begins_as_teacher() {
        return Ok(());
    }
    let layers = layer_map(None, student.num_hidden_layers, teacher.num_hidden_layers)?;
    let described = |config: &BertConfig| Encoder::describe(config, Parts::POOLER);
    from_teacher::check(&described(student)?, &described(teacher)?, &layers).map_err(|e| Error::Mismatch(e.to_string()))
}

/// What the run reads that has pairs of texts: a task, or text.
fn pairs(recipe: &Recipe, phases: &[PhaseSpec<'_>]) -> Result<Option<String>> {
    if let Some(task) = recipe.tasks.iter().find(|task| task.is_pair()) {
        return Ok(Some(task.to_string()));
    }
    let reads_text = phases.iter().any(|phase| phase.reads(&Input::Corpus));
    let generated = recipe.data.glue.is_none();
    let has_pairs = reads_text && (generated || Corpus::find(&recipe.data.corpus)?.has_pairs());
    Ok(has_pairs.then(|| "`data.corpus`".to_owned()))
}

/// The generated data have some of the tasks only.
fn generated_tasks(tasks: &[Task]) -> Result<()> {
    let files = synthetic_tasks::generate(synthetic_tasks::DEFAULT_SEED);
    let has = |task: &&Task| files.iter().any(|file| file.relative_path.starts_with(task.folder()));
    let Some(missing) = tasks.iter().find(|task| !has(task)) else { return Ok(()) };
    let known: Vec<&str> = Task::built_in().iter().filter(has).map(Task::name).collect();
    let message = format!(
        "`tasks`: the generated data have {}, not {missing}; give other data with `data.glue`",
        known.join(", ")
    );
    Err(Error::Mismatch(message))
}

/// A pattern has to fit in every model that its training may get; which of them a search ends with is not known yet.
fn parameter_groups(
    (recipe, phases): (&Recipe, &[PhaseSpec<'_>]),
    teacher: &BertConfig,
    frame: &BertConfig,
    device: &Device,
) -> Result<()> {
    if trainings(phases).all(|(_, training)| training.settings.train.groups.is_empty()) {
        return Ok(());
    }
    let paths = |config: &BertConfig| -> Result<Vec<String>> {
        Ok(parameter_shapes(&TaskModel::new(config, Parts::POOLER, device)?).into_keys().collect())
    };
    let searched = |architecture: &Architecture| paths(&student_config(frame, architecture)?);
    let heads = if recipe.teacher.per_task { 1 } else { recipe.tasks.len() };
    let task_heads = recipe.tasks[..heads].iter().map(|task| task_head_of(task, teacher)).collect();
    let pretrained = parameter_shapes(&TaskModel::new(teacher, Parts::NONE.with_words(teacher), device)?);
    let pretrained = ("the teacher", pretrained.into_keys().collect());
    let teacher = ("the teacher", paths(&BertConfig { task_heads, ..teacher.clone() })?);
    let smallest = vec![SMALLEST.parse().map_err(Error::from)?; frame.num_hidden_layers];
    let smallest = Architecture::new(smallest).map_err(Error::from)?;
    let largest = ("the largest student", searched(&supernet_architecture(frame.num_hidden_layers)?)?);
    let smallest = ("the smallest student", searched(&smallest)?);
    let uniform = BertConfig { model_type: ModelType::Bert, ..frame.clone() };
    let plain = ("the uniform plain network", paths(&uniform)?);
    for (phase, training) in trainings(phases) {
        let fits = |(who, paths): &(&str, Vec<String>)| {
            let checked = check_groups(&training.settings.train.groups, paths);
            checked.map_err(|e| Error::Mismatch(format!("`{}`: {who}: {e}", training.key)))
        };
        match phase.id.model() {
            Model::Pretrained => fits(&pretrained)?,
            Model::Teacher => fits(&teacher)?,
            Model::Final(Network::SameParams | Network::SameLatency) => fits(&plain)?,
            // Its parameters are those of its own family; what does not fit shows when it is trained.
            Model::Final(Network::Checkpoint(_)) => {}
            Model::Largest => fits(&largest)?,
            Model::Candidate
            | Model::Final(
                Network::Student | Network::Small | Network::Middle | Network::Random(_) | Network::BestRandom,
            ) => {
                [&largest, &smallest].into_iter().try_for_each(fits)?;
            }
        }
    }
    Ok(())
}
