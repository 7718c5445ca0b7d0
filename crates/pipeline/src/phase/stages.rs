//! The three stages of the search (Dong et al. 2021): coarse to fine.

use std::sync::Arc;

use bert_core::weights::Tensors;
use bert_core::{BertConfig, Parts, TaskModel, student_config};
use kd::objective::Source;
use mlp_space::Architecture;
use nas::budget::{Budget, CachedLatency, Latency};
use nas::driver::{Evaluate, Event, StageConfig, StageOutcome, StageParts, Within, run_stage};
use nas::space::{Encoding, SearchSpace, Student, WithinLatency};
use nas::strategy::Strategy;
use nas::study::{StudyIdentity, StudyStore, Trial, TrialState};

use super::distillation::plan;
use super::encoders::encoder_space;
use super::winner::{MOST_MEASURED, correct, measured_winner, none_holds, smaller};
use super::{Context, Data, Network, PhaseId, SearchParts, Space, Teachers, stage_three_supernet};
use crate::Result;
use crate::evaluate::{ProxyTraining, SupernetSlice};
use crate::events::RunEvent;
use crate::latency::{CandidateLatency, Fastest, Verdict};
use crate::recipe::{Recipe, StageSettings, StrategyKind};

/// Rounds of stage 3 after the first, where nothing is fast enough.
const MORE_ROUNDS: usize = 3;

/// Draws per trial before a space counts as exhausted (the reference redraws up to 10000 times).
pub(super) const MAX_DRAWS: u64 = 10_000;

/// The found architecture.
#[derive(Debug)]
pub struct Winner {
    /// The student's configuration.
    pub config: BertConfig,
    /// Smaller students of the last stage's front, where the recipe wants them and the front has them.
    pub smaller: Vec<(Network, BertConfig)>,
    /// Its held-out score in stage 3.
    pub score: Option<f64>,
    /// Its latency, predicted and measured, where the run has a latency table.
    pub latency: Option<Verdict>,
    /// The supernet of stage 3, which the student may inherit from, where there is one.
    pub supernet: Option<TaskModel>,
}

/// The search's view of the student: what the budget counts.
pub(super) fn sized_student(frame: &BertConfig, recipe: &Recipe) -> Result<Student> {
    // Pooler and heads count, the distillation projection does not.
    let frame = BertConfig { fit_size: None, ..frame.clone() };
    let student = Student::new(&frame, Parts::POOLER, recipe.latency.seq)?;
    Ok(student.with_encoding(encoding(recipe.search.strategy)))
}

/// What stage 1 draws from, whatever its latency.
///
/// # Errors
/// As [`SearchParts::space`].
pub(crate) fn first_space(parts: &mut dyn SearchParts, recipe: &Recipe, frame: &BertConfig) -> Result<Box<Space>> {
    parts.space(recipe, 1, sized_student(frame, recipe)?, None)
}

/// Refuses a budget that no candidate meets, with the nearest reachable size.
pub(crate) fn check_budget(parts: &mut dyn SearchParts, recipe: &Recipe, frame: &BertConfig) -> Result<()> {
    if let Some(choices) = &recipe.search.encoder {
        return encoder_space(recipe, choices, frame).map(|_| ());
    }
    Ok(first_space(parts, recipe, frame)?.ensure_reachable(&recipe.budget)?)
}

/// What a strategy sees of a candidate: the released code's features where it is imitated.
fn encoding(kind: StrategyKind) -> Encoding {
    match kind {
        StrategyKind::Learned | StrategyKind::Compatible => Encoding::Reference,
        _ => Encoding::Rich,
    }
}

/// Runs the three stages on the study of the run folder.
///
/// # Errors
/// A budget that nothing meets (before any training), a study that belongs to another run, a stage
/// without a complete trial, training that fails for another reason than the candidate.
pub fn search(run: &mut Context<'_>, frame: &BertConfig, teachers: &Teachers, warm: Tensors) -> Result<Winner> {
    let recipe = run.recipe;
    let settings = &recipe.search;
    let student = sized_student(frame, recipe)?;
    let mut study = Study::open(run, frame, |parts, usual| parts.latency(usual))?;

    let coarse = run.parts.space(recipe, 1, student, None)?;
    let fastest = fastest_feed_forwards(run);
    let coarse = within(run, coarse, fastest.as_ref(), 0);
    let first = short_trainings(run, (1, &settings.stage1), &*coarse, &mut study, (frame, teachers, &warm))?;
    let operators = run.parts.space(recipe, 2, student, Some(&first))?;
    let operators = within(run, operators, Some(&first), 0);
    let second = short_trainings(run, (2, &settings.stage2), &*operators, &mut study, (frame, teachers, &warm))?;

    let widths = run.parts.space(recipe, 3, student, Some(&second))?;
    let widths = within(run, widths, Some(&second), 0);
    let supernet = stage_three_supernet(run, frame, teachers, warm, &second, &*widths)?;
    let (_, held_out) = run.inputs.tasks(recipe, &settings.stage3.task)?;
    let (device, stop) = (run.device.clone(), run.host.stop());
    let slice = SupernetSlice { supernet: &supernet, held_out: &held_out, score: settings.score, device, stop };
    let mut evaluate = run.parts.supernet_slice(slice);
    let trials = run.spec(PhaseId::Stage(3))?.trials.unwrap_or_default();
    let of_stage = (3, settings.stage3.initial_random, trials);
    let mut strategy = run.parts.strategy(recipe, 3)?;
    let third = stage(run, of_stage, (&*widths, 0), strategy.as_mut(), &mut study, evaluate.as_mut())?;
    if run.limit.is_none() {
        drop(evaluate);
        let config = student_config(frame, &third.genome)?;
        let smaller =
            smaller(run, &study, (3, third.best.number), &|genome| Ok(student_config(frame, &widths.parse(genome)?)?))?;
        return Ok(Winner { config, smaller, score: third.best.fitness, latency: None, supernet: Some(supernet) });
    }
    for round in 0..=MORE_ROUNDS {
        let asked = trials * (round as u64 + 1);
        if round > 0 {
            // None of those so far is fast enough, so less is allowed from now on.
            let space = run.parts.space(recipe, 3, student, Some(&second))?;
            let Some(limit) = run.limit.as_ref() else { break };
            let known = space.fastest(&*limit.predicted());
            if limit.bound_ms(round).is_some_and(|bound| limit.predictor.ms_or_infinite(&known) > bound) {
                break;
            }
            let space = within(run, space, Some(&known), round);
            let of_stage = (3, settings.stage3.initial_random, asked);
            let mut strategy = run.parts.strategy(recipe, 3)?;
            stage(run, of_stage, (&*space, round), strategy.as_mut(), &mut study, evaluate.as_mut())?;
        }
        let mut trials = study.store.trials(3)?;
        trials.retain(|trial| trial.number < asked);
        trials.sort_by(Trial::order);
        let config_of = |genome: &str| Ok(student_config(frame, &widths.parse(genome)?)?);
        if let Some((trial, config, verdict)) = measured_winner(run, trials, &config_of, MOST_MEASURED * (round + 1))? {
            drop(evaluate);
            let smaller = smaller(run, &study, (3, trial.number), &config_of)?;
            let latency = Some(verdict);
            return Ok(Winner { config, smaller, score: trial.fitness, latency, supernet: Some(supernet) });
        }
        correct(run, round)?;
    }
    Err(none_holds(run))
}

/// The fastest feed-forwards, where the run has a limit of them.
pub(super) fn fastest_feed_forwards(run: &Context<'_>) -> Option<Architecture> {
    match &run.limit.as_ref()?.fastest {
        Fastest::FeedForwards(fastest) => Some(fastest.clone()),
        Fastest::Encoder(_) => None,
    }
}

/// What the run's latency limit leaves of a space, after so many corrections; `known` is fast enough.
pub(super) fn within(
    run: &Context<'_>,
    space: Box<Space>,
    known: Option<&Architecture>,
    corrections: usize,
) -> Box<Space> {
    let limit = run.limit.as_ref();
    match (limit, limit.and_then(|limit| limit.bound_ms(corrections)), known) {
        (Some(limit), Some(bound), Some(known)) => {
            Box::new(WithinLatency::new(space, limit.predicted(), bound, known.clone()))
        }
        _ => space,
    }
}

/// The latency of candidates, from the run's table where it has one.
pub(super) fn candidate_latency(run: &Context<'_>, frame: &BertConfig) -> CandidateLatency {
    let predictor = run.limit.as_ref().map(|limit| Arc::clone(&limit.predictor));
    CandidateLatency { frame: frame.clone(), settings: run.recipe.latency, device: run.device.clone(), predictor }
}

/// The budget of candidates after so many corrections: predicted latencies are kept below the limit, measured ones are not.
pub(super) fn candidate_budget(run: &Context<'_>, corrections: usize) -> Budget {
    let (budget, limit) = (run.recipe.budget, run.limit.as_ref());
    let predicted = limit.and_then(|limit| limit.bound_ms(corrections));
    Budget { max_latency_ms: predicted.or(budget.max_latency_ms), ..budget }
}

/// What the stages share.
pub(super) struct Study<G> {
    pub store: Box<dyn StudyStore>,
    pub latency: CachedLatency<Box<dyn Latency<G>>>,
}

impl<G> Study<G> {
    /// The study of the run folder; `latency` is what measures its candidates, in place of the usual.
    pub fn open(
        run: &mut Context<'_>,
        frame: &BertConfig,
        latency: impl FnOnce(&mut dyn SearchParts, CandidateLatency) -> Box<dyn Latency<G>>,
    ) -> Result<Self> {
        let recipe = run.recipe;
        let config_hash = format!("{}{}", run.config_hash, run.parts.name());
        let identity = StudyIdentity { name: recipe.name.clone(), config_hash, seed: recipe.seed };
        let usual = candidate_latency(run, frame);
        Ok(Self {
            store: run.parts.open_study(run.paths, &identity)?,
            latency: CachedLatency::new(latency(run.parts, usual)),
        })
    }
}

/// A stage that trains every candidate for a short while; its winner.
fn short_trainings(
    run: &mut Context<'_>,
    (number, settings): (u32, &StageSettings),
    space: &Space,
    study: &mut Study<Architecture>,
    (frame, teachers, warm): (&BertConfig, &Teachers, &Tensors),
) -> Result<Architecture> {
    let recipe = run.recipe;
    let phase = run.spec(PhaseId::Stage(number))?;
    let (data, held_out) = run.inputs.tasks(recipe, &settings.proxy.task)?;
    let text = match settings.proxy.general.train.steps {
        0 => None,
        _ => Some(run.inputs.text(recipe, &settings.proxy.general)?),
    };
    let plan_of = |data: Data| plan(phase.training_on(data)?, frame, &teachers.config);
    let general = text.as_ref().map(|_| plan_of(Data::Text)).transpose()?;
    let task = plan_of(Data::Tasks)?;
    let on_text = general.as_ref().map(|plan| run.teacher_for(phase.id, Source::Text, teachers, plan)).transpose()?;
    let on_tasks = run.teacher_for(phase.id, Source::Tasks, teachers, &task)?;
    let text = on_text.as_deref().zip(text.as_deref()).zip(general.as_ref());
    let training = ProxyTraining {
        frame,
        teacher: on_tasks.as_ref(),
        warm,
        text: text.map(|((teacher, text), plan)| (teacher, text, plan)),
        plan: &task,
        data: &data,
        held_out: &held_out,
        score: recipe.search.score,
        proxy: &settings.proxy,
        devices: run.devices.clone(),
        stop: run.host.stop(),
    };
    let mut evaluate = run.parts.short_training(number, training);
    let trials = phase.trials.unwrap_or_default();
    let mut strategy = run.parts.strategy(recipe, number)?;
    let of_stage = (number, settings.initial_random, trials);
    Ok(stage(run, of_stage, (space, 0), strategy.as_mut(), study, evaluate.as_mut())?.genome)
}

/// One stage of a study; `corrections` is how often predictions of latency were corrected before.
pub(super) fn stage<S: SearchSpace + ?Sized>(
    run: &mut Context<'_>,
    (stage, initial_random, trials): (u32, u64, u64),
    (space, corrections): (&S, usize),
    strategy: &mut dyn Strategy<S>,
    study: &mut Study<S::Genome>,
    evaluate: &mut dyn Evaluate<S::Genome>,
) -> Result<StageOutcome<S::Genome>> {
    let phase = run.spec(PhaseId::Stage(stage))?;
    let budget = candidate_budget(run, corrections);
    let is_timed = budget.max_latency_ms.is_some() || run.limit.is_some();
    let stop = run.host.stop();
    let config = StageConfig { stage, trials, initial_random, max_draws: MAX_DRAWS };
    let done = study.store.trials(stage)?.iter().filter(|t| t.state != TrialState::Running).count() as u64;
    run.phase(phase, (trials, done), done >= trials, |run| {
        // The clock and the events both need the host.
        let shared = std::cell::RefCell::new(run);
        let mut on_event = |event: &Event| {
            if let Some(event) = run_event(&phase.name, trials, event) {
                shared.borrow_mut().note(event);
            }
        };
        let mut clock = || shared.borrow().host.now_ms();
        let latency: &mut dyn Latency<S::Genome> = &mut study.latency;
        let outcome = run_stage(
            &config,
            StageParts {
                space,
                strategy,
                store: study.store.as_mut(),
                budget: &budget,
                latency: is_timed.then_some(latency),
                evaluate,
                clock: &mut clock,
                stop,
                on_event: &mut on_event,
            },
        )?;
        if outcome.exhausted {
            let finished = outcome.completed + outcome.failed;
            let message = format!(
                "{}: only {finished} of {trials} trials; nothing new can be drawn within the budget",
                phase.name
            );
            shared.borrow_mut().note(RunEvent::Note { message });
        }
        Ok(outcome)
    })
}

fn run_event(phase: &str, total: u64, event: &Event) -> Option<RunEvent> {
    let phase = phase.to_string();
    match event {
        Event::Rejected { reason, .. } => Some(RunEvent::Rejected { phase, reason: reason.name().into() }),
        Event::Within { number, within: Within { what, unit, done, total } } => {
            let (what, unit) = (format!("trial {number}: {what}"), (*unit).to_owned());
            Some(RunEvent::Within { phase, what, unit, done: *done, total: *total })
        }
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
