//! The three stages of the search (Dong et al. 2021): coarse to fine.

use bert_core::weights::Tensors;
use bert_core::{BertConfig, Parts, TaskModel};
use kd::objective::Source;
use mlp_space::Architecture;
use nas::budget::{CachedLatency, Latency};
use nas::driver::{Evaluate, Event, StageConfig, StageOutcome, StageParts, Within, run_stage};
use nas::space::{Encoding, Student};
use nas::study::{StudyIdentity, StudyStore, TrialState};

use super::distillation::plan;
use super::{Context, Data, PhaseId, SearchParts, Space, Teachers, stage_three_supernet};
use crate::Result;
use crate::evaluate::{ProxyTraining, SupernetSlice};
use crate::events::RunEvent;
use crate::latency::CandidateLatency;
use crate::recipe::{Recipe, StageSettings, StrategyKind};

/// Draws per trial before a space counts as exhausted (the reference redraws up to 10000 times).
pub(super) const MAX_DRAWS: u64 = 10_000;

/// The found architecture.
#[derive(Debug)]
pub struct Winner {
    /// Expressions, stacks and ratios per layer.
    pub genome: Architecture,
    /// Its held-out score in stage 3.
    pub score: Option<f64>,
    /// The supernet of stage 3, which the student may inherit from.
    pub supernet: TaskModel,
}

/// The search's view of the student: what the budget counts.
pub(super) fn sized_student(frame: &BertConfig, recipe: &Recipe) -> Result<Student> {
    // Pooler and heads count, the distillation projection does not.
    let frame = BertConfig { fit_size: None, ..frame.clone() };
    let student = Student::new(&frame, Parts::POOLER, recipe.latency.seq)?;
    Ok(student.with_encoding(encoding(recipe.search.strategy)))
}

/// Refuses a budget that no candidate meets, with the nearest reachable size.
pub(crate) fn check_budget(parts: &mut dyn SearchParts, recipe: &Recipe, frame: &BertConfig) -> Result<()> {
    let student = sized_student(frame, recipe)?;
    Ok(parts.space(recipe, 1, student, None)?.ensure_reachable(&recipe.budget)?)
}

/// What a strategy sees of a candidate: the released code's features where it is imitated.
fn encoding(kind: StrategyKind) -> Encoding {
    if kind == StrategyKind::Compatible { Encoding::Reference } else { Encoding::Rich }
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
    let mut study = Study::open(run, frame)?;

    let coarse = run.parts.space(recipe, 1, student, None)?;
    let first = short_trainings(run, (1, &settings.stage1), &*coarse, &mut study, (frame, teachers, &warm))?;
    let operators = run.parts.space(recipe, 2, student, Some(&first))?;
    let second = short_trainings(run, (2, &settings.stage2), &*operators, &mut study, (frame, teachers, &warm))?;

    let widths = run.parts.space(recipe, 3, student, Some(&second))?;
    let supernet = stage_three_supernet(run, frame, teachers, warm, &second, &*widths)?;
    let (_, held_out) = run.inputs.tasks(recipe, &settings.stage3.task)?;
    let (device, stop) = (run.device.clone(), run.host.stop());
    let slice = SupernetSlice { supernet: &supernet, held_out: &held_out, device, stop };
    let mut evaluate = run.parts.supernet_slice(slice);
    let third = stage(run, (3, settings.stage3.initial_random), &*widths, &mut study, evaluate.as_mut())?;
    drop(evaluate);
    Ok(Winner { genome: third.genome, score: third.best.fitness, supernet })
}

/// What the stages share.
struct Study {
    store: Box<dyn StudyStore>,
    latency: CachedLatency<Box<dyn Latency<Architecture>>>,
}

impl Study {
    fn open(run: &mut Context<'_>, frame: &BertConfig) -> Result<Self> {
        let recipe = run.recipe;
        let config_hash = format!("{}{}", run.config_hash, run.parts.name());
        let identity = StudyIdentity { name: recipe.name.clone(), config_hash, seed: recipe.seed };
        let usual = CandidateLatency { frame: frame.clone(), settings: recipe.latency, device: run.device.clone() };
        Ok(Self {
            store: run.parts.open_study(run.paths, &identity)?,
            latency: CachedLatency::new(run.parts.latency(usual)),
        })
    }
}

/// A stage that trains every candidate for a short while; its winner.
fn short_trainings(
    run: &mut Context<'_>,
    (number, settings): (u32, &StageSettings),
    space: &Space,
    study: &mut Study,
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
        proxy: &settings.proxy,
        devices: run.devices.clone(),
        stop: run.host.stop(),
    };
    let mut evaluate = run.parts.short_training(number, training);
    Ok(stage(run, (number, settings.initial_random), space, study, evaluate.as_mut())?.genome)
}

fn stage(
    run: &mut Context<'_>,
    (stage, initial_random): (u32, u64),
    space: &Space,
    study: &mut Study,
    evaluate: &mut dyn Evaluate<Architecture>,
) -> Result<StageOutcome<Architecture>> {
    let phase = run.spec(PhaseId::Stage(stage))?;
    let (recipe, trials) = (run.recipe, phase.trials.unwrap_or_default());
    let stop = run.host.stop();
    let mut strategy = run.parts.strategy(recipe, stage)?;
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
        let latency: &mut dyn Latency<Architecture> = &mut study.latency;
        let outcome = run_stage(
            &config,
            StageParts {
                space,
                strategy: strategy.as_mut(),
                store: study.store.as_mut(),
                budget: &recipe.budget,
                latency: recipe.budget.max_latency_ms.map(|_| latency),
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
