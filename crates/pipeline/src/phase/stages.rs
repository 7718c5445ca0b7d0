//! The three stages of the search (Dong et al. 2021): coarse to fine.

use std::sync::Arc;

use bert_core::weights::Tensors;
use bert_core::{BertConfig, Parts, TaskModel, count_parts, student_config, supernet_architecture};
use kd::objective::Source;
use mlp_space::Widths;
use nas::budget::{CachedLatency, Cost, Latency};
use nas::driver::{Candidate, Event, StageConfig, StageOutcome, StageParts, run_stage};
use nas::space::{CoarseSpace, Encoding, Genome, OperatorSpace, SearchSpace, Student, WidthSpace};
use nas::strategy::{Evolution, EvolutionConfig, LearnedPartition, PartitionConfig, RandomSearch, Strategy};
use nas::study::{SqliteStudy, StudyIdentity, StudyStore, TrialState};
use train::data::{EvalSet, TaskMix};
use train::text::TextSource;

use super::supernet::plan;
use super::{Context, Teachers, stage_three_supernet};
use crate::Result;
use crate::evaluate::{ProxyTraining, Score, SupernetSlice, Within};
use crate::events::RunEvent;
use crate::latency::CandidateLatency;
use crate::recipe::{Recipe, StageSettings, StrategyKind};

/// Draws per trial before a space counts as exhausted (the reference redraws up to 10000 times).
const MAX_DRAWS: u64 = 10_000;

/// The found architecture.
#[derive(Debug)]
pub struct Winner {
    /// Expressions, stacks and ratios per layer.
    pub genome: Genome,
    /// Its held-out score in stage 3.
    pub score: Option<f64>,
    /// The supernet of stage 3, which the student may inherit from.
    pub supernet: TaskModel,
}

/// The search's view of the student: what the budget counts.
pub(crate) fn sized_student(frame: &BertConfig, recipe: &Recipe, run_device: &burn::tensor::Device) -> Result<Student> {
    // Count a real model of one architecture and take its feed-forwards off: what is left is what
    // every candidate has in common, pooler and heads included, distillation projection not.
    let seq = recipe.latency.seq;
    let genome = supernet_architecture(frame.num_hidden_layers)?;
    let config = student_config(frame, &genome)?;
    let model = TaskModel::new(&config, Parts::POOLER, run_device)?;
    let count = count_parts(&model, &config, seq);
    let feed_forwards = count
        .layers
        .iter()
        .fold(Cost::default(), |sum, l| Cost { params: sum.params + l.params, macs: sum.macs + l.macs });
    Ok(Student {
        widths: Widths { base: frame.intermediate_size, ..Widths::square(frame.hidden_size) },
        layers: frame.num_hidden_layers,
        fixed: Cost {
            params: count.params_without_fit() - feed_forwards.params,
            macs: count.macs() - feed_forwards.macs,
        },
        seq,
        encoding: encoding(recipe.search.strategy),
    })
}

/// Refuses a budget that no candidate meets, with the nearest reachable size.
///
/// # Errors
/// [`nas::Error`] with the nearest reachable size.
pub(crate) fn check_budget(recipe: &Recipe, frame: &BertConfig, device: &burn::tensor::Device) -> Result<()> {
    let student = sized_student(frame, recipe, device)?;
    CoarseSpace::new(student, &recipe.budget)?;
    Ok(())
}

/// What a strategy sees of a candidate: the released code's features where it is imitated.
fn encoding(kind: StrategyKind) -> Encoding {
    if kind == StrategyKind::Compatible { Encoding::Reference } else { Encoding::Rich }
}

fn strategy(kind: StrategyKind) -> Result<Box<dyn Strategy>> {
    Ok(match kind {
        StrategyKind::Random => Box::new(RandomSearch),
        StrategyKind::Learned => Box::new(LearnedPartition::new(PartitionConfig::learned())?),
        StrategyKind::Compatible => Box::new(LearnedPartition::new(PartitionConfig::compatible())?),
        StrategyKind::Evolution => Box::new(Evolution::new(EvolutionConfig::default())?),
    })
}

/// Runs the three stages on the study of the run folder.
///
/// # Errors
/// A budget that nothing meets (before any training), a study that belongs to another run, a stage
/// without a complete trial, training that fails for another reason than the candidate.
pub fn search(run: &mut Context<'_>, frame: &BertConfig, teachers: &Teachers, warm: Tensors) -> Result<Winner> {
    let recipe = run.recipe;
    let settings = &recipe.search;
    let student = sized_student(frame, recipe, &run.device)?;
    let identity =
        StudyIdentity { name: recipe.name.clone(), config_hash: run.config_hash.to_string(), seed: recipe.seed };
    let mut store = SqliteStudy::open_or_create(&run.paths.study(), &identity)?;
    let mut latency = CachedLatency::new(CandidateLatency {
        frame: frame.clone(),
        settings: recipe.latency,
        device: run.device.clone(),
    });

    let coarse = CoarseSpace::new(student, &recipe.budget)?;
    let proxy = |run: &mut Context<'_>,
                 stage: u32,
                 space: &dyn SearchSpace,
                 s: &StageSettings,
                 store: &mut SqliteStudy,
                 latency: &mut dyn Latency| {
        let (data, held_out) = run.inputs.search(recipe, &s.proxy.task)?;
        let text = text_for(run, s)?;
        let plan_of = |source, steps| plan(&recipe.distill, frame, &teachers.config, source, steps);
        let general = text.as_ref().map(|_| plan_of(Source::Text, s.proxy.general.steps)).transpose()?;
        let task = plan_of(Source::Tasks, s.proxy.task.steps)?;
        let phase = format!("stage-{stage}");
        let of_text = general.as_ref().map(|plan| run.teacher_for(&phase, Source::Text, teachers, plan)).transpose()?;
        let of_tasks = run.teacher_for(&phase, Source::Tasks, teachers, &task)?;
        let by_text = of_text.as_deref().zip(text.as_deref()).zip(general.as_ref());
        let mut score = ProxyTraining {
            frame,
            teacher: of_tasks.as_ref(),
            warm: &warm,
            text: by_text.map(|((teacher, text), plan)| (teacher, text, plan)),
            plan: &task,
            data: &data,
            held_out: &held_out,
            proxy: &s.proxy,
            devices: run.devices.clone(),
            stop: run.host.stop(),
        };
        stage_run(run, stage, space, (s.trials, s.initial_random), store, latency, &mut score)
    };
    let first = proxy(run, 1, &coarse, &settings.stage1, &mut store, &mut latency)?;
    let operators = OperatorSpace::new(student, first.genome, &recipe.budget)?;
    let second = proxy(run, 2, &operators, &settings.stage2, &mut store, &mut latency)?;

    let widths = WidthSpace::new(student, second.genome.clone(), &recipe.budget)?;
    let supernet = stage_three_supernet(run, frame, teachers, warm.clone(), &second.genome, &widths)?;
    let (_, held_out): (TaskMix, Vec<(usize, EvalSet)>) = run.inputs.search(recipe, &settings.stage3.task)?;
    let (device, stop) = (run.device.clone(), run.host.stop());
    let mut score = SupernetSlice { supernet: &supernet, held_out: &held_out, device, stop };
    let trials = (settings.stage3.trials, settings.stage3.initial_random);
    let third = stage_run(run, 3, &widths, trials, &mut store, &mut latency, &mut score)?;
    Ok(Winner { genome: third.genome, score: third.best.fitness, supernet })
}

fn text_for(run: &Context<'_>, s: &StageSettings) -> Result<Option<Arc<dyn TextSource>>> {
    if s.proxy.general.steps == 0 {
        return Ok(None);
    }
    run.inputs.text(run.recipe, &s.proxy.general).map(Some)
}

fn stage_run(
    run: &mut Context<'_>,
    stage: u32,
    space: &dyn SearchSpace,
    (trials, initial_random): (u64, u64),
    store: &mut SqliteStudy,
    latency: &mut dyn Latency,
    score: &mut dyn Score,
) -> Result<StageOutcome> {
    let phase = format!("stage-{stage}");
    let recipe = run.recipe;
    let stop = run.host.stop();
    let mut strategy = strategy(recipe.search.strategy)?;
    let config = StageConfig { stage, trials, initial_random, max_draws: MAX_DRAWS };
    let done = store.trials(stage)?.iter().filter(|t| t.state != TrialState::Running).count() as u64;
    run.phase(&phase, (trials, done), done >= trials, |run| {
        // The clock and the events both need the host.
        let shared = std::cell::RefCell::new(run);
        let mut on_event = |event: &Event| {
            if let Some(event) = run_event(&phase, trials, event) {
                shared.borrow_mut().note(event);
            }
        };
        let mut evaluate = |candidate: &Candidate| {
            score.score(candidate, &mut |Within { what, unit, done, total }| {
                let what = format!("trial {}: {what}", candidate.number);
                let (phase, unit) = (phase.clone(), unit.to_owned());
                shared.borrow_mut().note(RunEvent::Within { phase, what, unit, done, total });
            })
        };
        let mut clock = || shared.borrow().host.now_ms();
        let measured = recipe.budget.max_latency_ms.is_some();
        let outcome = run_stage(
            &config,
            StageParts {
                space,
                strategy: strategy.as_mut(),
                store,
                budget: &recipe.budget,
                latency: measured.then_some(latency),
                evaluate: &mut evaluate,
                clock: &mut clock,
                stop,
                on_event: &mut on_event,
            },
        )?;
        if outcome.exhausted {
            let finished = outcome.completed + outcome.failed;
            let message =
                format!("{phase}: only {finished} of {trials} trials; nothing new can be drawn within the budget");
            shared.borrow_mut().note(RunEvent::Note { message });
        }
        Ok(outcome)
    })
}

fn run_event(phase: &str, total: u64, event: &Event) -> Option<RunEvent> {
    let phase = phase.to_string();
    match event {
        Event::Rejected { reason, .. } => Some(RunEvent::Rejected { phase, reason: reason.name().into() }),
        Event::TrialFinished { trial, best } => Some(RunEvent::Trial {
            phase,
            number: trial.number,
            total,
            score: trial.fitness,
            params: trial.cost.params,
            best: *best,
            reason: trial.reason.clone(),
        }),
        _ => None,
    }
}
