//! Final training of the winner and of what it is compared with.

use std::path::Path;
use std::sync::atomic::Ordering;

use bert_core::weights::{Tensors, apply_internal, collect_internal, parameter_shapes};
use bert_core::{BertConfig, LayerSource, ModelDir, Package, Parts, TaskModel, inherit, student_config};
use burn::tensor::Device;
use kd::inherit::continue_from;
use kd::job::as_is;
use mlp_space::Architecture;
use nas::budget::Latency;
use nas::space::EncoderGenome;
use predict::evaluate::evaluate;
use predict::heads::task_head_of;
use tokenizer::TextEncoder;
use train::engine::{Evaluation, Trained};
use train::fine_tune::FineTune;

use super::beginning::{Weights, as_teacher, has_begun};
use super::distillation::{on_tasks, on_text, plan};
use super::encoders::{encoder_space, encoders_within};
use super::plain::{same_latency, same_params};
use super::stages::{MAX_DRAWS, candidate_budget, candidate_latency, fastest_feed_forwards, sized_student, within};
use super::{Context, Network, PhaseId, PhaseSpec, Teachers, Winner};
use crate::evaluate::until;
use crate::events::RunEvent;
use crate::inputs::Inputs;
use crate::recipe::{Inherit, Phase};
use crate::{Error, Result};

/// In the folder of a network that was measured or drawn: what it is, so that a run that goes on takes the same.
const NETWORK: &str = "network.json";

/// A network that was trained to the end.
#[derive(Debug)]
pub struct FinalModel {
    /// Which one.
    pub network: Network,
    /// Which of its seeds, counted from 1.
    pub seed: u32,
    /// Configuration.
    pub config: BertConfig,
    /// Weights.
    pub model: TaskModel,
    /// Score on the held-out examples, by which its weights were chosen.
    pub held_out: f64,
    /// Dev scores of these weights.
    pub evaluation: Evaluation,
}

/// What final trainings begin with.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The student's frame.
    pub frame: &'a BertConfig,
    /// Who teaches.
    pub teachers: &'a Teachers,
    /// Weights of the warm-up's supernet, where there is one.
    pub warm: Option<&'a Tensors>,
    /// What the search has found.
    pub winner: &'a Winner,
    /// The best of the networks drawn at random, once they are trained with the first seed.
    pub best_random: Option<u32>,
}

/// Trains `network` with each of its seeds ([`Network::seeds`]): on text, then on the tasks with the best held-out score kept. Empty where there is
/// no such network, which is then said.
///
/// # Errors
/// No uniform network within 1% of the student's parameters, training that fails, files that cannot be read or written.
pub fn final_models(run: &mut Context<'_>, network: Network, found: Found<'_>) -> Result<Vec<FinalModel>> {
    if let Network::Checkpoint(number) = network {
        return checkpoint(run, number);
    }
    let Some(config) = config_of(run, network, found)? else {
        if network == Network::SameLatency {
            let message = "same latency: no uniform network of this frame is as fast as the student; it is left out";
            run.emit(RunEvent::Note { message: message.into() })?;
        }
        return Ok(Vec::new());
    };
    let mut begun = None;
    let mut one = |run: &mut Context<'_>, seed| {
        let model = start(run, (network, seed), &config, found, &mut begun)?;
        distill(run, (network, seed), &config, model, found.teachers)
    };
    network.seeds(run.recipe).map(|seed| one(run, seed)).collect()
}

/// The configuration of a network that is distilled.
fn config_of(run: &mut Context<'_>, network: Network, found: Found<'_>) -> Result<Option<BertConfig>> {
    let Found { frame, winner, .. } = found;
    let student = &winner.config;
    match network {
        Network::Student => Ok(Some(student.clone())),
        Network::Small | Network::Middle => {
            let found = winner.smaller.iter().find(|(smaller, _)| *smaller == network);
            Ok(found.map(|(_, config)| config.clone()))
        }
        Network::SameParams => {
            let params = encoder_spec::Encoder::describe(student, Parts::POOLER)?;
            let params = params.count(run.recipe.latency.seq).params_without_fit();
            Ok(Some(same_params(run, frame, params)?))
        }
        Network::SameLatency => {
            let width = noted(run, network, |run| {
                Ok(same_latency(run, frame, student)?.map(|config| config.intermediate_size))
            })?;
            Ok(width.map(|width| super::plain::of_width(frame, width)))
        }
        Network::Random(number) if run.recipe.search.encoder.is_some() => {
            let genome = noted(run, network, |run| Ok(random_encoder(run, frame, number)?.to_string()))?;
            let genome = genome.parse::<EncoderGenome>().map_err(Error::Mismatch)?;
            Ok(Some(genome.config(frame)?))
        }
        Network::Random(number) => {
            let genome = noted(run, network, |run| Ok(random(run, frame, number)?.to_string()))?;
            let space = run.parts.space(run.recipe, 1, sized_student(frame, run.recipe)?, None)?;
            Ok(Some(student_config(frame, &space.parse(&genome)?)?))
        }
        Network::BestRandom => match found.best_random {
            Some(number) => config_of(run, Network::Random(number), found),
            None => Ok(None),
        },
        Network::Checkpoint(_) => Ok(None),
    }
}

/// What `choose` gives for `network`, or what it gave when the run came here first.
fn noted<T: serde::Serialize + serde::de::DeserializeOwned>(
    run: &mut Context<'_>,
    network: Network,
    choose: impl FnOnce(&mut Context<'_>) -> Result<T>,
) -> Result<T> {
    let folder = run.folder(&network.folder());
    let path = folder.join(NETWORK);
    if path.exists() {
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        return serde_json::from_str(&text)
            .map_err(|e| Error::RunFile { path: path.clone(), message: format!("not what this run wrote: {e}") });
    }
    let chosen = choose(run)?;
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    run_store::atomic::write_json(path, &chosen)?;
    Ok(chosen)
}

/// A network drawn at random within the budget.
fn random(run: &mut Context<'_>, frame: &BertConfig, number: u32) -> Result<Architecture> {
    let recipe = run.recipe;
    let space = run.parts.space(recipe, 1, sized_student(frame, recipe)?, None)?;
    let usual = candidate_latency(run, frame);
    let mut latency = run.parts.latency(usual);
    // As the candidates of the search: within the limit by prediction.
    let fastest = fastest_feed_forwards(run);
    let space = within(run, space, fastest.as_ref(), 0);
    let budget = candidate_budget(run, 0);
    let mut rng = run_store::rng::keyed(recipe.seed, "random network", &[u64::from(number)]);
    for _ in 0..MAX_DRAWS {
        let genome = space.sample(&mut rng);
        if budget.check(space.cost(&genome)).is_some() {
            continue;
        }
        if budget.max_latency_ms.is_some() {
            run.check_stop()?;
            let ms = latency.measure(&genome).map_err(Error::Mismatch)?;
            if budget.check_latency(ms).is_some() {
                continue;
            }
        }
        return Ok(genome);
    }
    Err(Error::Mismatch(format!("none of {MAX_DRAWS} networks drawn at random is within the budget")))
}

/// The same where whole encoders are searched.
fn random_encoder(run: &mut Context<'_>, frame: &BertConfig, number: u32) -> Result<EncoderGenome> {
    let recipe = run.recipe;
    let Some(choices) = &recipe.search.encoder else {
        return Err(Error::Mismatch("the recipe has no `search.encoder`".into()));
    };
    let usual = candidate_latency(run, frame);
    let mut latency = run.parts.encoder_latency(usual);
    let space = encoders_within(run, Box::new(encoder_space(recipe, choices, frame)?));
    let budget = candidate_budget(run, 0);
    for attempt in 0..MAX_DRAWS {
        let number = (u64::from(number) << 32) | attempt;
        let genome = space.sample(&mut run_store::rng::keyed(recipe.seed, "random network", &[number]));
        if budget.max_latency_ms.is_none() {
            return Ok(genome);
        }
        run.check_stop()?;
        if budget.check_latency(latency.measure(&genome).map_err(Error::Mismatch)?).is_none() {
            return Ok(genome);
        }
    }
    Err(Error::Mismatch(format!("none of {MAX_DRAWS} networks drawn at random is within the budget")))
}

/// The weights that a final training begins with. Those that are computed from the teacher's are kept in `begun` for the other seeds, which differ in the
/// order of the examples and in dropout.
fn start(
    run: &mut Context<'_>,
    (network, seed): (Network, u32),
    config: &BertConfig,
    found: Found<'_>,
    begun: &mut Option<TaskModel>,
) -> Result<TaskModel> {
    let model = TaskModel::new(config, Parts::POOLER, &run.device)?;
    // Further seeds of a network that was drawn begin where its first one did.
    let drawn = found.best_random.filter(|_| network == Network::BestRandom).map_or(network, Network::Random);
    let fresh = |run: &Context<'_>, seed| run.seed_of(&format!("{} init", drawn.seed_folder(seed)));
    let from = match run.recipe.inherit(network) {
        Inherit::Nothing => return Ok(model.initialized(config, fresh(run, seed))),
        Inherit::Teacher => {
            if let Some(begun) = begun {
                return Ok(begun.clone());
            }
            let phases = [PhaseId::FinalOnText(network, seed), PhaseId::FinalOnTasks(network, seed)];
            if has_begun(run, &phases)? {
                return Ok(model);
            }
            let plan = plan(run.spec(phases[1])?.training()?, config, &found.teachers.config)?;
            let spec = encoder_spec::Encoder::describe(config, Parts::POOLER)?;
            let model = model.initialized(config, fresh(run, 1));
            let model = as_teacher(run, (model, &spec), found.teachers, Some(&plan), Weights::Whole)?;
            return Ok(begun.insert(model).clone());
        }
        Inherit::WarmUp => found.warm.cloned().ok_or_else(no_supernet)?,
        Inherit::Supernet => collect_internal(found.winner.supernet.as_ref().ok_or_else(no_supernet)?),
    };
    let weights = inherit(&parameter_shapes(&model), &from, LayerSource::Same, |_| false)?;
    Ok(apply_internal(model, weights, Path::new("supernet weights"))?)
}

fn no_supernet() -> Error {
    Error::Mismatch("`final.inherit`: this search has no supernet".into())
}

fn distill(
    run: &mut Context<'_>,
    (network, seed): (Network, u32),
    config: &BertConfig,
    model: TaskModel,
    teachers: &Teachers,
) -> Result<FinalModel> {
    let model = on_text(run, PhaseId::FinalOnText(network, seed), (config, model), teachers, as_is())?;
    let id = PhaseId::FinalOnTasks(network, seed);
    let (recipe, phase) = (run.recipe, run.spec(id)?);
    let settings = &phase.training()?.settings;
    let (data, held_out) = run.inputs.tasks_of(recipe, &recipe.tasks, settings, recipe.order_seed(seed))?;
    let trained = on_tasks(run, id, (config, model), teachers, (&data, &held_out), as_is())?;
    scored(run, (network, seed), config, trained, (run.inputs, phase))
}

/// What was trained, with its scores.
fn scored(
    run: &Context<'_>,
    (network, seed): (Network, u32),
    config: &BertConfig,
    trained: Trained<TaskModel>,
    (inputs, phase): (&Inputs, &PhaseSpec<'_>),
) -> Result<FinalModel> {
    let held_out = trained.evaluation.map_or(0.0, |evaluation| evaluation.score);
    let evaluation = on_dev(run, (inputs, phase), &phase.training()?.settings, &trained.model)?;
    Ok(FinalModel { network, seed, config: config.clone(), model: trained.model, held_out, evaluation })
}

/// A model that the recipe names, fine-tuned on the labels with its own tokenizer.
fn checkpoint(run: &mut Context<'_>, number: u32) -> Result<Vec<FinalModel>> {
    let recipe = run.recipe;
    let dir = &recipe.compare.checkpoints[number as usize - 1];
    let loaded = ModelDir::load(dir, &Device::flex())?;
    let inputs = run.inputs.with_tokenizer(TextEncoder::from_dir(dir)?);
    let task_heads = recipe.tasks.iter().map(|task| task_head_of(task, &loaded.config)).collect();
    let config = BertConfig { task_heads, ..loaded.config }.with_dropout(recipe.teacher.dropout);
    let one = |run: &mut Context<'_>, seed| {
        let network = Network::Checkpoint(number);
        let model = TaskModel::new(&config, Parts::POOLER, &run.device)?;
        let fresh = model.initialized(&config, run.seed_of(&format!("{} init", network.seed_folder(seed))));
        let phase = run.spec(PhaseId::FinalOnTasks(network, seed))?;
        let settings = &phase.training()?.settings;
        let (data, held_out) = inputs.tasks_of(recipe, &recipe.tasks, settings, recipe.order_seed(seed))?;
        let heads = (0..phase.tasks.len()).collect();
        let job = FineTune { data: &data, heads, eval: &held_out };
        let trained = run.train(phase, continue_from(fresh, &loaded.model, dir)?, &job)?;
        scored(run, (network, seed), &config, trained, (&inputs, phase))
    };
    Network::Checkpoint(number).seeds(recipe).map(|seed| one(run, seed)).collect()
}

/// Scores of a trained model on the dev sets of the tasks of `phase`.
///
/// # Errors
/// Files that cannot be read; the host asked to stop.
pub(super) fn on_dev(
    run: &Context<'_>,
    (inputs, phase): (&Inputs, &PhaseSpec<'_>),
    settings: &Phase,
    model: &TaskModel,
) -> Result<Evaluation> {
    let dev = inputs.dev(run.recipe, phase.tasks, settings)?;
    let stop = run.host.stop();
    match evaluate(model, &dev, &run.device, &mut until(stop)) {
        Err(_) if stop.load(Ordering::SeqCst) => Err(Error::Interrupted),
        scored => Ok(scored?),
    }
}

/// Writes a network that the student is compared with to a model directory in the run folder.
///
/// # Errors
/// The folder cannot be written.
pub fn save_compared(run: &Context<'_>, model: &FinalModel, card: &str) -> Result<()> {
    let own = match model.network {
        Network::Checkpoint(number) => {
            Some(TextEncoder::from_dir(&run.recipe.compare.checkpoints[number as usize - 1])?)
        }
        _ => None,
    };
    let files = own.as_ref().unwrap_or(&run.inputs.encoder).files(model.config.max_position_embeddings)?;
    let dir = run.folder(&model.network.seed_folder(model.seed)).join("model");
    ModelDir::save(&dir, &model.config, &model.model, Package { card, files: &files, keep_fit: false })?;
    Ok(())
}
