//! What a run is going to do and how long that takes here, from a few measured steps of each of its trainings.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use bert_core::{BertConfig, Parts, TaskModel, student_config, supernet_architecture};
use kd::job::{GeneralDistillation, TaskDistillation, as_is};
use kd::objective::Plan;
use mlp_space::Architecture;
use predict::evaluate::evaluate;
use predict::heads::task_head_of;
use serde::{Deserialize, Serialize};
use train::fine_tune::FineTune;
use train::pretrain::MaskedLanguageModeling;

use super::batch_order::BatchOrders;
use super::distillation::plan;
use super::encoders::drawn;
use super::plain::of_width;
use super::stages::sized_student;
use super::stopwatch::{StepTime, Timed, step_time};
use super::supernet::frame;
use super::{Context, Data, Model, Network, PhaseSpec, TrainingSpec};
use crate::Result;
use crate::evaluate::until;
use crate::teachers::teacher_on;

/// Dev examples that are scored to know how long that takes.
const SCORED: usize = 64;
/// Examples of a pass of these; an evaluation sorts far more by length, so that its passes have as little padding.
const PASS: usize = 8;

/// What a phase is going to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseForecast {
    /// Its name.
    pub phase: String,
    /// Candidates of a stage.
    pub trials: Option<u64>,
    /// Training steps; of a stage those of each candidate.
    pub steps: u64,
    /// Examples that are scored in all its evaluations; of a stage those of each candidate.
    pub scored: u64,
    /// Seconds of all of it; `None` where some of it could not be measured.
    pub seconds: Option<f64>,
}

/// A run before it begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Its phases that do something, in order.
    pub phases: Vec<PhaseForecast>,
    /// Most memory of the process while the steps were measured, in MiB, where the host knows it.
    pub memory_mib: Option<f64>,
    /// Bytes of the teacher's answers that are kept at most, in memory.
    pub cache_bytes: u64,
    /// Seconds that measuring took.
    pub measured_seconds: f64,
}

impl Forecast {
    /// Seconds of all phases, where each is known.
    pub fn seconds(&self) -> Option<f64> {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }
}

/// What a run of the context's recipe with a teacher of configuration `teacher` is going to do. Nothing of what is measured stays.
///
/// Times are those of steps with a candidate drawn at random, at random weights, on this machine as busy as it is now.
///
/// # Errors
/// Data that cannot be read, models that cannot be built, or the host wants to stop.
pub(crate) fn forecast(run: &mut Context<'_>, teacher: &BertConfig, cache_bytes: u64) -> Result<Forecast> {
    let start = Instant::now();
    let models = Models::of(run, teacher)?;
    let phases = run.phases;
    let orders = BatchOrders::of(run.recipe, phases);
    // Of answers in memory; what comes from a disk takes time as well.
    let kept = run.has_cache() && cache_bytes > 0;
    let mut known: Vec<(Asked<'_>, Option<StepTime>)> = Vec::new();
    let mut scoring: Vec<(Model, Option<f64>)> = Vec::new();
    let mut asked_before: BTreeSet<u64> = BTreeSet::new();
    let mut memory_mib = run.host.memory_mib();
    let mut forecasts = Vec::new();
    for phase in phases {
        let (mut steps, mut seconds) = (0, Some(0.0));
        let candidates = phase.trials.unwrap_or(1);
        for training in phase.trainings.iter().filter(|training| training.settings.train.steps > 0) {
            let asked = Asked { model: phase.id.model(), training };
            let time = match known.iter().find(|(other, _)| other.is_same(&asked)) {
                Some((_, time)) => *time,
                None => {
                    run.check_stop()?;
                    let time = models.step_time(run, phase, training, &mut memory_mib)?;
                    known.push((asked, time));
                    time
                }
            };
            let of_one = training.settings.train.steps;
            steps += of_one;
            // Whoever is shown batches that were shown before finds the teacher's answers there.
            let order = orders.expected(phase.id, training.data.source()).map(|expected| expected.order);
            let asks = match order.filter(|_| kept && training.objective.is_some()) {
                None => candidates,
                Some(order) => u64::from(asked_before.insert(order)),
            };
            seconds = seconds.zip(time).map(|(sum, time)| {
                let saved = (candidates - asks.min(candidates)) as f64 * time.teacher;
                sum + of_one as f64 * (candidates as f64 * time.seconds - saved)
            });
        }
        let scored = scored(run, phase)?;
        if scored > 0 {
            let model = phase.id.model();
            let example = match scoring.iter().find(|(other, _)| *other == model) {
                Some((_, seconds)) => *seconds,
                None => {
                    run.check_stop()?;
                    let seconds = models.scoring_time(run, phase)?;
                    scoring.push((model, seconds));
                    seconds
                }
            };
            seconds = seconds.zip(example).map(|(sum, example)| sum + (candidates * scored) as f64 * example);
        }
        if steps > 0 || scored > 0 {
            forecasts.push(PhaseForecast { phase: phase.name.clone(), trials: phase.trials, steps, scored, seconds });
        }
    }
    run.check_stop()?;
    let measured_seconds = start.elapsed().as_secs_f64();
    Ok(Forecast { phases: forecasts, memory_mib, cache_bytes, measured_seconds })
}

/// Examples that a phase scores: in all evaluations of its training, or of each candidate.
fn scored(run: &Context<'_>, phase: &PhaseSpec<'_>) -> Result<u64> {
    let count = |sets: &[(usize, predict::data::EvalSet)]| sets.iter().map(|(_, set)| set.len() as u64).sum::<u64>();
    let recipe = run.recipe;
    if let Some(stage) = phase.id.stage() {
        let search = &recipe.search;
        let settings = match stage {
            1 => &search.stage1.proxy.task,
            2 => &search.stage2.proxy.task,
            _ => &search.stage3.task,
        };
        return Ok(count(&run.inputs.tasks(recipe, settings)?.1));
    }
    let Some(training) = phase.trainings.iter().find(|training| training.evaluated) else { return Ok(0) };
    let settings = &training.settings.train;
    let evaluations = match settings.eval_every {
        0 => 1,
        every => settings.steps.div_ceil(every).max(1),
    };
    let held_out = run.inputs.tasks_of(recipe, phase.tasks, &training.settings, recipe.seed)?.1;
    Ok(evaluations * count(&held_out) + count(&run.inputs.dev(recipe, phase.tasks, &training.settings)?))
}

/// Everything that decides how long a step takes, but for the model's weights.
struct Asked<'a> {
    model: Model,
    training: &'a TrainingSpec<'a>,
}

impl Asked<'_> {
    fn is_same(&self, other: &Self) -> bool {
        let settings = |asked: &Self| {
            let phase = &asked.training.settings;
            let train = &phase.train;
            (
                phase.batch_size,
                phase.length_window,
                phase.max_len,
                phase.precision,
                train.accumulate,
                train.groups.clone(),
            )
        };
        let plan = |asked: &Self| (asked.training.data, asked.training.objective.cloned());
        self.model == other.model && settings(self) == settings(other) && plan(self) == plan(other)
    }
}

/// Models of the sizes that the run has, at random weights.
struct Models {
    /// The fine-tuned teacher, with all heads.
    tuned: BertConfig,
    frame: BertConfig,
    /// One that could be drawn.
    candidate: BertConfig,
    /// Its feed-forwards.
    slice: Architecture,
}

impl Models {
    fn of(run: &mut Context<'_>, teacher: &BertConfig) -> Result<Self> {
        let recipe = run.recipe;
        let frame = frame(recipe, teacher);
        let (candidate, slice) = match &recipe.search.encoder {
            Some(choices) => {
                let drawn = drawn(recipe, choices, &frame, ("forecast", 0))?;
                (drawn.config(&frame)?, drawn.feed_forwards()?)
            }
            None => {
                let space = run.parts.space(recipe, 1, sized_student(&frame, recipe)?, None)?;
                let drawn = space.sample(&mut run_store::rng::keyed(recipe.seed, "forecast", &[]));
                (student_config(&frame, &drawn)?, drawn)
            }
        };
        let task_heads = recipe.tasks.iter().map(|task| task_head_of(task, teacher)).collect();
        let tuned = BertConfig { task_heads, ..teacher.clone().with_dropout(recipe.teacher.dropout) };
        Ok(Self { tuned, frame, candidate, slice })
    }

    /// A model of the kind that is trained in a phase, and its configuration.
    fn build(&self, run: &Context<'_>, model: Model) -> Result<(BertConfig, TaskModel)> {
        let device = &run.device;
        let (config, model) = match model {
            Model::Pretrained => {
                let parts = Parts::NONE.with_words(&self.tuned);
                let config = BertConfig { task_heads: Vec::new(), ..self.tuned.clone() };
                let model = TaskModel::new(&config, parts, device)?;
                (config, model)
            }
            Model::Teacher => (self.tuned.clone(), TaskModel::new(&self.tuned, Parts::POOLER, device)?),
            Model::Largest => {
                let config = student_config(&self.frame, &supernet_architecture(self.frame.num_hidden_layers)?)?;
                let model = TaskModel::supernet(&config, Parts::POOLER, device)?;
                (config, model)
            }
            Model::Final(Network::Checkpoint(number)) => {
                let dir = &run.recipe.compare.checkpoints[number as usize - 1];
                let (config, _) = model_dir::outline(dir)?;
                let config = BertConfig { task_heads: self.tuned.task_heads.clone(), ..config };
                let model = TaskModel::new(&config, Parts::POOLER, device)?;
                (config, model)
            }
            Model::Candidate
            | Model::Final(
                Network::Student | Network::Small | Network::Middle | Network::Random(_) | Network::BestRandom,
            ) => {
                let config = self.candidate.clone();
                let model = TaskModel::new(&config, Parts::POOLER, device)?;
                (config, model)
            }
            Model::Final(Network::SameParams | Network::SameLatency) => {
                // The feed-forwards of one layer together, which the uniform network has in one.
                let widths = self
                    .slice
                    .ids()
                    .iter()
                    .map(|id| usize::from(id.stacks()) * id.inner_size(self.candidate.intermediate_size));
                let width = (widths.sum::<usize>() / self.frame.num_hidden_layers).max(1);
                let config = of_width(&self.frame, width);
                let model = TaskModel::new(&config, Parts::POOLER, device)?;
                (config, model)
            }
        };
        let model = model.initialized(&config, 0);
        Ok((config, model))
    }

    /// What a step of a training takes.
    fn step_time(
        &self,
        run: &Context<'_>,
        phase: &PhaseSpec<'_>,
        training: &TrainingSpec<'_>,
        memory: &mut Option<f64>,
    ) -> Result<Option<StepTime>> {
        let (recipe, settings) = (run.recipe, &training.settings);
        let spent = AtomicU64::new(0);
        let (config, model) = self.build(run, phase.id.model())?;
        let train = settings.train_config(recipe.seed);
        let heads: Vec<usize> = (0..phase.tasks.len()).collect();
        if training.objective.is_none() && training.data == Data::Text {
            let (text, mask) = (run.inputs.text(recipe, settings)?, run.inputs.word_mask(recipe.seed)?);
            let job = MaskedLanguageModeling::of(text.as_ref(), &mask);
            return Ok(step_time(run, model, &job, train, &spent, memory));
        }
        if training.objective.is_none() {
            let data = run.inputs.tasks_of(recipe, phase.tasks, settings, recipe.seed)?.0;
            let job = FineTune { data: &data, heads, eval: &[] };
            return Ok(step_time(run, model, &job, train, &spent, memory));
        }
        let plan: Plan = plan(training, &config, &self.tuned)?;
        let (_, teacher) = self.build(run, Model::Teacher)?;
        let teacher = Timed { teacher: teacher_on(&run.devices, &teacher, None), spent: &spent };
        // A supernet trains another slice in every step.
        let slices = phase.id.model() == Model::Largest && phase.id != super::PhaseId::WarmUp;
        let slice = match slices {
            true => Some(supernet_architecture(self.frame.num_hidden_layers)?.with_ids(self.slice.ids())?),
            false => None,
        };
        let prepare = || -> kd::job::Prepare<'_> {
            match &slice {
                Some(slice) => Box::new(|model, _| model.clone().activate(slice)),
                None => as_is(),
            }
        };
        if training.data == Data::Text {
            let text = run.inputs.text(recipe, settings)?;
            let text = text.as_ref();
            let job = GeneralDistillation { teacher: &teacher, plan: &plan, text, words: None, prepare: prepare() };
            return Ok(step_time(run, model, &job, train, &spent, memory));
        }
        let data = run.inputs.tasks(recipe, settings)?.0;
        let job = TaskDistillation {
            teacher: &teacher,
            teacher_heads: heads.clone(),
            student_heads: heads,
            plan: &plan,
            data: &data,
            eval: &[],
            prepare: prepare(),
        };
        Ok(step_time(run, model, &job, train, &spent, memory))
    }

    /// Seconds in which an example is scored.
    fn scoring_time(&self, run: &Context<'_>, phase: &PhaseSpec<'_>) -> Result<Option<f64>> {
        let (_, model) = self.build(run, phase.id.model())?;
        let each = |(head, task)| Ok((head, run.inputs.dev_sample_set(run.recipe, task, SCORED, PASS)?));
        let sets = phase.tasks.iter().enumerate().map(each).collect::<Result<Vec<_>>>()?;
        let stop = run.host.stop();
        let mut seconds = Vec::new();
        for _ in 0..2 {
            let start = Instant::now();
            if evaluate(&model, &sets, &run.device, &mut until(stop)).is_err() {
                return Ok(None);
            }
            seconds.push(start.elapsed().as_secs_f64());
            // The first one makes what the others use again, which counts for little where it took long.
            if seconds[0] > 1.0 {
                break;
            }
        }
        let examples: usize = sets.iter().map(|(_, set)| set.len()).sum();
        Ok(seconds.last().map(|seconds| seconds / examples as f64))
    }
}
