//! All scores of one network.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bert_core::weights::{Tensors, apply_internal, parameter_shapes};
use bert_core::{BertConfig, LayerSource, Parts, TaskModel, inherit};
use encoder_spec::{Encoder, Shape};
use kd::from_teacher::Sample;
use kd::job::{TaskDistillation, as_is};
use kd::objective::{self, Objective, Source};
use kd::proxy::Proxy;
use predict::evaluate::evaluate_gold;
use run_store::checkpoint::CheckpointStore;
use train::data::{EvalSet, TaskMix};
use train::engine::{Monitor, TrainConfig, TrainEvent, train};

use super::draw::Drawn;
use super::record::Row;
use super::{Beginning, Fidelity, PHASE};
use crate::evaluate::until;
use crate::events::RunEvent;
use crate::phase::{Context, Data, FITTED_TOKENS, Network, Origin, PhaseId, Teachers, Weights};
use crate::recipe::Recipe;
use crate::{Error, Result};

/// Folder of the checkpoints of final trainings that are under way, by network.
const CHECKPOINTS: &str = "final";

/// Batches of the texts that zero-cost proxies look at.
const PROXY_BATCHES: u64 = 4;

/// Examples: to learn from, and held out, each with its head.
type Examples = (TaskMix, Vec<(usize, EvalSet)>);

/// What all networks are measured with.
pub(super) struct Bench<'b> {
    teachers: &'b Teachers,
    supernet: &'b Tensors,
    origin: Origin<'b>,
    texts: Sample,
    short: Examples,
    long: Examples,
    dev: Vec<(usize, EvalSet)>,
}

/// A trained model with scores on two sets.
struct Answers {
    probability: f64,
    metric: f64,
}

impl<'b> Bench<'b> {
    /// Reads the examples.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(super) fn new(
        run: &Context<'_>,
        teachers: &'b Teachers,
        supernet: &'b Tensors,
        recipe: &Recipe,
    ) -> Result<Self> {
        let short = run.inputs.tasks(recipe, &run.spec(PhaseId::Stage(1))?.training_on(Data::Tasks)?.settings)?;
        let last = &run.spec(LAST)?.training()?.settings;
        let long = run.inputs.tasks(recipe, last)?;
        let dev = run.inputs.dev(recipe, &recipe.tasks, last)?;
        let batches = (0..PROXY_BATCHES.min(long.0.batches_per_epoch()))
            .map(|step| Ok(long.0.batch(step)?.1))
            .collect::<Result<Vec<_>>>()?;
        let texts = Sample::new(&batches, &run.device)?;
        // As the candidates of a search.
        let origin = Origin::of(run, teachers, Some(FITTED_TOKENS))?;
        Ok(Self { teachers, supernet, origin, texts, short, long, dev })
    }

    /// The fidelities of a network with short trainings of so many `steps`, from the cheapest; the final scores come last. Whole encoders are no
    /// slices of one largest student.
    pub(super) fn fidelities(recipe: &Recipe, steps: &[u64]) -> Vec<Fidelity> {
        let mut all = vec![Fidelity::CONTROL];
        for beginning in [Beginning::Random, Beginning::Teacher] {
            all.extend(Proxy::ALL.into_iter().filter(|p| p.reads_weights()).map(|p| Fidelity::Proxy(p, beginning)));
        }
        let has_slices = recipe.search.encoder.is_none();
        let beginnings = [Beginning::Slice, Beginning::Teacher];
        for beginning in beginnings.into_iter().filter(|&beginning| has_slices || beginning != Beginning::Slice) {
            all.extend(steps.iter().map(|&steps| Fidelity::Trained(beginning, steps)));
        }
        all.extend([Fidelity::HeldOut, Fidelity::Final]);
        all
    }

    /// Measures what `wanted` names of network `number`, and hands each row over as soon as it is there.
    ///
    /// # Errors
    /// Training that fails for another reason than the network; what `keep` gives.
    pub(super) fn measure(
        &self,
        run: &mut Context<'_>,
        (number, drawn): (u32, &Drawn),
        wanted: &[Fidelity],
        keep: &mut dyn FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        let mut network = Measuring { bench: self, run, number, drawn, begun: [None, None, None] };
        for &fidelity in wanted {
            network.run.check_stop()?;
            match fidelity {
                // Both come of one training.
                Fidelity::HeldOut => {}
                Fidelity::Final => network.last(keep)?,
                _ => keep(network.cheap(fidelity)?)?,
            }
        }
        if wanted.contains(&Fidelity::HeldOut) && !wanted.contains(&Fidelity::Final) {
            network.last(keep)?;
        }
        Ok(())
    }
}

/// The final training.
const LAST: PhaseId = PhaseId::FinalOnTasks(Network::Student, 1);

/// A network that is being measured.
struct Measuring<'m, 'r> {
    bench: &'m Bench<'m>,
    run: &'m mut Context<'r>,
    number: u32,
    drawn: &'m Drawn,
    /// Its weights by [`Beginning`], and the seconds that they took.
    begun: [Option<(TaskModel, f64)>; 3],
}

impl Measuring<'_, '_> {
    /// A score but for the final one.
    fn cheap(&mut self, fidelity: Fidelity) -> Result<Row> {
        let start = self.run.host.now_ms();
        // What was made for an earlier score counts for each.
        let made: [f64; 3] = std::array::from_fn(|i| self.begun[i].as_ref().map_or(0.0, |(_, seconds)| *seconds));
        let (beginning, found) = match fidelity {
            Fidelity::Proxy(proxy, beginning) => (beginning, self.proxy(proxy, beginning).map(|score| (score, None))),
            Fidelity::Trained(beginning, steps) => {
                let scored = self.short(beginning, steps);
                (beginning, scored.map(|answers| (answers.probability, Some(answers.metric))))
            }
            Fidelity::HeldOut | Fidelity::Final => {
                return Err(Error::Mismatch("final scores come of the final training".into()));
            }
        };
        let seconds = self.seconds_since(start) + made[beginning as usize];
        let (score, metric, reason) = explained(found)?;
        Ok(Row::Score { network: self.number, fidelity, score, metric, seconds, reason })
    }

    /// The final training, and its scores.
    fn last(&mut self, keep: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
        let start = self.run.host.now_ms();
        let found = self.trained_to_the_end();
        let seconds = self.seconds_since(start);
        let (held_out, dev, reason) = match found {
            Ok([held_out, dev]) => (Some(held_out), Some(dev), None),
            Err(error) => (None, None, Some(candidates_fault(error)?)),
        };
        for (fidelity, answers) in [(Fidelity::HeldOut, held_out), (Fidelity::Final, dev)] {
            let (score, metric) = (answers.as_ref().map(|a| a.probability), answers.as_ref().map(|a| a.metric));
            keep(Row::Score { network: self.number, fidelity, score, metric, seconds, reason: reason.clone() })?;
        }
        Ok(())
    }

    fn proxy(&mut self, proxy: Proxy, beginning: Beginning) -> Result<f64> {
        let spec = self.spec()?;
        let model = self.begin(beginning)?;
        Ok(proxy.score(&model, &spec, &self.bench.texts)?)
    }

    /// The model after a few steps, scored on the held-out examples.
    fn short(&mut self, beginning: Beginning, steps: u64) -> Result<Answers> {
        let model = self.begin(beginning)?;
        let bench = self.bench;
        let spec = self.run.spec(PhaseId::Stage(1))?;
        let training = spec.training_on(Data::Tasks)?;
        let model = match steps {
            0 => model,
            _ => {
                let settings = training.settings.with_steps(steps);
                let config = self.run.train_config(&settings, self.run.seed_of(PHASE));
                let config = TrainConfig { keep_best: false, ..config };
                let objective = objective_of(training.objective)?;
                self.train(model, (objective, &config), (&bench.short.0, &[]), (spec.id, None))?
            }
        };
        self.answers(&model, &bench.short.1)
    }

    /// Scores on held-out and on dev examples after the final training.
    fn trained_to_the_end(&mut self) -> Result<[Answers; 2]> {
        let bench = self.bench;
        let spec = self.run.spec(LAST)?;
        let training = spec.training()?;
        let config = self.run.train_config(&training.settings, self.run.seed_of(PHASE));
        let objective = objective_of(training.objective)?;
        let folder = self.run.folder(CHECKPOINTS).join(self.number.to_string());
        let store = CheckpointStore::new(&folder, self.run.config_hash);
        store.clean_stale_temps()?;
        let has_begun = train::engine::reached(&store).map_err(failed)?;
        let model = match has_begun.finished || has_begun.step > 0 {
            // Its weights are in the checkpoint.
            true => self.begin(Beginning::Random)?,
            false => self.begin(Beginning::Teacher)?,
        };
        let model = self.train(model, (objective, &config), (&bench.long.0, &bench.long.1), (spec.id, Some(&store)))?;
        let scores = [self.answers(&model, &bench.long.1)?, self.answers(&model, &bench.dev)?];
        store.clear()?;
        // Empty by now; what else somebody put there stays.
        let _ = std::fs::remove_dir(&folder);
        Ok(scores)
    }

    fn spec(&self) -> Result<Encoder<Shape>> {
        Ok(Encoder::describe(&self.drawn.config, Parts::POOLER)?)
    }

    /// The network before any training.
    fn begin(&mut self, beginning: Beginning) -> Result<TaskModel> {
        if let Some((model, _)) = &self.begun[beginning as usize] {
            return Ok(model.clone());
        }
        let start = self.run.host.now_ms();
        let config = &self.drawn.config;
        let fresh = TaskModel::new(config, Parts::POOLER, &self.run.device)?;
        let seed = self.run.seed_of("fidelity init");
        let model = match beginning {
            Beginning::Random => fresh.initialized(config, seed),
            Beginning::Teacher => {
                let spec = self.spec()?;
                let training = self.run.spec(LAST)?.training()?;
                let plan = plan(objective_of(training.objective)?, (config, self.bench.teachers), 1)?;
                let model = fresh.initialized(config, seed);
                self.bench.origin.begin(model, &spec, Some(&plan), Weights::Whole)?
            }
            Beginning::Slice => {
                let weights = inherit(&parameter_shapes(&fresh), self.bench.supernet, LayerSource::Same, |_| false)?;
                apply_internal(fresh, weights, Path::new("supernet weights"))?
            }
        };
        self.begun[beginning as usize] = Some((model.clone(), self.seconds_since(start)));
        Ok(model)
    }

    fn train(
        &mut self,
        model: TaskModel,
        (objective, config): (&Objective, &TrainConfig),
        (data, eval): (&TaskMix, &[(usize, EvalSet)]),
        (phase, store): (PhaseId, Option<&CheckpointStore>),
    ) -> Result<TaskModel> {
        let plan = plan(objective, (&self.drawn.config, self.bench.teachers), config.steps)?;
        let teacher = self.run.teacher_for(phase, Source::Tasks, self.bench.teachers, &plan)?;
        let heads: Vec<usize> = (0..self.run.recipe.tasks.len()).collect();
        let job = TaskDistillation {
            teacher: teacher.as_ref(),
            teacher_heads: heads.clone(),
            student_heads: heads,
            plan: &plan,
            data,
            eval,
            prepare: as_is(),
        };
        let (devices, stop) = (self.run.devices.clone(), self.run.host.stop());
        let what = format!("network {}: {} steps", self.number, config.steps);
        let run = &mut *self.run;
        let mut watch = |done, total| run.note(within(&what, "steps", done, total));
        let mut monitor = Steps { watch: &mut watch, stop };
        Ok(train(model, &devices, &job, config, store, &mut monitor).map_err(failed)?.model)
    }

    fn answers(&mut self, model: &TaskModel, sets: &[(usize, EvalSet)]) -> Result<Answers> {
        let stop = self.run.host.stop();
        let scored = evaluate_gold(model, sets, &self.run.device, &mut until(stop));
        match scored {
            Err(_) if stop.load(Ordering::SeqCst) => Err(Error::Interrupted),
            scored => {
                let (evaluation, probability) = scored?;
                Ok(Answers { probability, metric: evaluation.score })
            }
        }
    }

    fn seconds_since(&self, start_ms: i64) -> f64 {
        (self.run.host.now_ms() - start_ms) as f64 / 1e3
    }
}

fn plan(objective: &Objective, (config, teachers): (&BertConfig, &Teachers), steps: u64) -> Result<objective::Plan> {
    let of = objective::Shape::of;
    Ok(objective.plan(of(config), of(&teachers.config), Source::Tasks, steps)?)
}

fn objective_of(objective: Option<&Objective>) -> Result<&Objective> {
    objective.ok_or_else(|| Error::Mismatch("networks are measured by distillation, and the recipe has none".into()))
}

fn failed(source: train::Error) -> Error {
    Error::Training { phase: PHASE.into(), source }
}

fn within(what: &str, unit: &str, done: u64, total: u64) -> RunEvent {
    RunEvent::Within { phase: PHASE.into(), what: what.to_owned(), unit: unit.to_owned(), done, total }
}

/// Score and metric, or why the network has none.
fn explained(found: Result<(f64, Option<f64>)>) -> Result<(Option<f64>, Option<f64>, Option<String>)> {
    match found {
        Ok((score, metric)) if score.is_finite() => Ok((Some(score), metric, None)),
        Ok((score, metric)) => Ok((None, metric, Some(format!("the score is {score}")))),
        Err(error) => Ok((None, None, Some(candidates_fault(error)?))),
    }
}

/// The reason why a network has no score; any other error stops the run.
fn candidates_fault(error: Error) -> Result<String> {
    match &error {
        Error::Training { source, .. } | Error::Train(source) if source.is_divergence() => Ok(error.to_string()),
        _ => Err(error),
    }
}

/// Passes on how far a training is, and stops it.
struct Steps<'s> {
    watch: &'s mut dyn FnMut(u64, u64),
    stop: &'s AtomicBool,
}

impl Monitor for Steps<'_> {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if let TrainEvent::Step(report) = event {
            (self.watch)(report.step, report.total);
        }
    }

    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
