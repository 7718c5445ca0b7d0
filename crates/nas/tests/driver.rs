//! What a stage does besides drawing: limits first, nothing twice, and exact resumption.

mod support;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use mlp_space::Architecture;
use mlp_space::released::preset;
use nas::Error;
use nas::budget::{Budget, CachedLatency, Cost, Latency, Reach, Rejection};
use nas::driver::{Candidate, EvalError, Event, StageConfig};
use nas::space::{EncodedSpace, SearchSpace};
use nas::strategy::{
    Evolution, EvolutionConfig, LearnedPartition, Nsga2, Nsga2Config, PartitionConfig, RandomSearch, Strategy, Tpe,
    TpeConfig,
};
use nas::study::{Fitness, MemoryStudy, RejectedDraw, SqliteStudy, StudyStore, Trial, TrialId, TrialState};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use support::{NEVER, Stage, config, hidden_objective, identity, operators, score, widths};

fn memory() -> MemoryStudy {
    MemoryStudy::new(identity(3))
}

fn learned() -> LearnedPartition<Architecture> {
    LearnedPartition::new(PartitionConfig::learned()).unwrap()
}

#[test]
fn a_stage_hands_on_its_best_trial() {
    let mut store = memory();
    let mut stage = Stage::new(config(12, 12));
    let objective = hidden_objective(1);
    let outcome = stage.run(&widths(), &mut RandomSearch, &mut store, &mut score(&objective)).unwrap();
    let trials = store.trials(1).unwrap();
    assert_eq!(trials.len(), 12);
    let highest = trials.iter().map(|t| t.fitness.unwrap()).fold(f64::MIN, f64::max);
    assert_eq!(outcome.best.fitness, Some(highest));
    assert_eq!(objective(&outcome.genome), highest);
    assert_eq!((outcome.completed, outcome.failed, outcome.replayed), (12, 0, 0));
    let seeds: std::collections::BTreeSet<u64> = trials.iter().map(|t| t.seed).collect();
    assert_eq!(seeds.len(), 12, "trials share seeds");
    let bests = stage.events.iter().filter_map(|event| match event {
        Event::TrialFinished { trial, best: true } => trial.fitness,
        _ => None,
    });
    let bests: Vec<f64> = bests.collect();
    assert!(bests.is_sorted() && bests.last() == Some(&highest), "{bests:?}");
}

#[test]
fn an_unreachable_budget_stops_the_stage_before_any_evaluation() {
    let mut stage = Stage::new(config(5, 5));
    stage.budget = Budget { max_macs: Some(1_000_000), ..Budget::default() };
    let mut store = memory();
    let mut evaluate = |_: &Candidate<Architecture>| -> Result<Fitness, EvalError> {
        panic!("a candidate was evaluated outside the budget")
    };
    let error = stage.run(&widths(), &mut RandomSearch, &mut store, &mut evaluate).unwrap_err();
    assert!(matches!(&error, Error::Unreachable { nearest, .. } if nearest.macs > 1_000_000), "{error}");
    assert!(store.trials(1).unwrap().is_empty() && stage.events.is_empty());
}

#[test]
fn a_latency_limit_without_a_meter_is_an_error_not_ignored() {
    let mut stage = Stage::new(config(5, 5));
    stage.budget.max_latency_ms = Some(3.0);
    let error = stage.run(&widths(), &mut RandomSearch, &mut memory(), &mut score(hidden_objective(1))).unwrap_err();
    assert!(matches!(error, Error::NoLatencyMeter { max_ms: 3.0 }));
}

/// One millisecond per stack.
struct PerStack<'a>(&'a Cell<u32>);

impl Latency<Architecture> for PerStack<'_> {
    fn measure(&mut self, genome: &Architecture) -> Result<f64, String> {
        self.0.set(self.0.get() + 1);
        Ok(genome.ids().iter().map(|id| f64::from(id.stacks())).sum())
    }
}

#[test]
fn slow_candidates_are_rejected_unevaluated_and_counted() {
    let calls = Cell::new(0);
    let mut meter = CachedLatency::new(PerStack(&calls));
    let mut stage = Stage::new(config(10, 10));
    stage.budget.max_latency_ms = Some(14.0);
    stage.latency = Some(&mut meter);
    let mut store = memory();
    let outcome = stage.run(&widths(), &mut RandomSearch, &mut store, &mut score(hidden_objective(1))).unwrap();
    let slow = outcome.rejected[&Rejection::TooSlow];
    assert!(slow > 0);
    assert!(store.trials(1).unwrap().iter().all(|t| t.latency_ms.unwrap() <= 14.0));
    let draws = store.rejected(1).unwrap();
    assert_eq!(draws.len() as u64, outcome.rejected.values().sum::<u64>());
    assert!(draws.iter().all(|d| d.latency_ms.is_none_or(|ms| ms > 14.0)));
    let told = stage.events.iter().filter(|e| matches!(e, Event::Rejected { .. })).count();
    assert_eq!(told, draws.len());
}

#[test]
fn an_architecture_is_timed_once() {
    let calls = Cell::new(0);
    let mut meter = CachedLatency::new(PerStack(&calls));
    let genome = preset("efficientbert").unwrap();
    assert_eq!(meter.measure(&genome), Ok(12.0));
    assert_eq!(meter.measure(&genome), Ok(12.0));
    assert_eq!((calls.get(), meter.len()), (1, 1));
}

#[test]
fn a_latency_that_is_no_number_stops_the_run() {
    struct Broken;
    impl Latency<Architecture> for Broken {
        fn measure(&mut self, _: &Architecture) -> Result<f64, String> {
            Ok(f64::NAN)
        }
    }
    let mut stage = Stage::new(config(5, 5));
    let mut meter = Broken;
    stage.latency = Some(&mut meter);
    let error = stage.run(&widths(), &mut RandomSearch, &mut memory(), &mut score(hidden_objective(1))).unwrap_err();
    assert!(matches!(error, Error::Latency { number: 0, .. }), "{error}");
}

/// A space of few architectures, some of which it draws outside its own reach.
struct Few(Vec<Architecture>);

impl Few {
    fn new() -> Self {
        let names = ["efficientbert", "stage1-winner", "stage2-winner", "warm-up"];
        Self(names.iter().map(|name| preset(name).unwrap()).collect())
    }
}

impl SearchSpace for Few {
    type Genome = Architecture;

    fn sample(&self, rng: &mut ChaCha8Rng) -> Architecture {
        self.0[rng.random_range(0..self.0.len() as u32) as usize].clone()
    }
    fn mutate(&self, _: &Architecture, rng: &mut ChaCha8Rng) -> Architecture {
        self.sample(rng)
    }
    fn fingerprint(&self, genome: &Architecture) -> String {
        genome.to_string()
    }
    fn cost(&self, genome: &Architecture) -> Cost {
        support::student().cost(genome)
    }
    fn reach(&self, _: &Budget) -> Reach {
        let cost = self.cost(&self.0[0]);
        Reach { smallest: cost, largest: self.cost(&self.0[3]), nearest: cost }
    }
    fn check(&self, _: &Architecture) -> nas::Result<()> {
        Ok(())
    }
}

#[test]
fn duplicates_and_oversized_draws_are_never_evaluated_and_end_an_exhausted_stage() {
    let mut store = memory();
    let mut seen = Vec::new();
    let mut evaluate = |candidate: &Candidate<Architecture>| {
        seen.push(candidate.genome.clone());
        Ok(Fitness { score: 0.5, ..Fitness::default() })
    };
    let mut stage = Stage::new(StageConfig { max_draws: 200, ..config(10, 2) });
    let outcome = stage.run(&Few::new(), &mut RandomSearch, &mut store, &mut evaluate).unwrap();
    // Three of the four are within 15 to 16 million parameters; the warm-up supernet has 25.9.
    assert!(outcome.exhausted);
    assert_eq!(outcome.completed, 3);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3, "something was evaluated twice");
    assert!(!seen.contains(&preset("warm-up").unwrap()));
    let told = |reason| {
        let matching = |e: &&Event| matches!(e, Event::Rejected { reason: r, .. } if *r == reason);
        stage.events.iter().filter(matching).count()
    };
    assert!(told(Rejection::TooManyParams) > 0 && told(Rejection::Duplicate) > 0);
    let smallest = store.trials(1).unwrap().into_iter().min_by_key(|trial| (trial.cost, trial.number)).unwrap();
    assert_eq!(outcome.best, smallest, "of equally good candidates the smallest wins");
    let told = stage.events.iter().filter_map(|event| match event {
        Event::TrialFinished { trial, best: true } => Some(trial.cost.params),
        _ => None,
    });
    let told: Vec<u64> = told.collect();
    assert_eq!(told.last(), Some(&smallest.cost.params), "{told:?}");
    assert!(told.is_sorted_by(|a, b| a > b), "each best one is smaller than the one before: {told:?}");
    // What was drawn in vain is there, and a resumed stage does not draw it again.
    let drawn = store.rejected(1).unwrap().len();
    assert!(drawn >= 200 && outcome.rejected.values().sum::<u64>() == drawn as u64, "{drawn}");
    let again = Stage::new(StageConfig { max_draws: 200, ..config(10, 2) })
        .run(&Few::new(), &mut RandomSearch, &mut store, &mut |_: &Candidate<Architecture>| {
            unreachable!("nothing is new")
        })
        .unwrap();
    assert!(again.exhausted && again.completed == 3);
    assert_eq!(store.rejected(1).unwrap().len(), drawn);
}

#[test]
fn a_fitness_that_is_not_finite_fails_with_its_reason_and_never_wins() {
    let mut store = memory();
    let mut evaluate = |candidate: &Candidate<Architecture>| match candidate.number % 3 {
        0 => Ok(Fitness { score: f64::NAN, ..Fitness::default() }),
        1 => Ok(Fitness { score: f64::INFINITY, ..Fitness::default() }),
        _ => Ok(Fitness { score: 0.1, ..Fitness::default() }),
    };
    let mut strategy = learned();
    let outcome = Stage::new(config(30, 10)).run(&widths(), &mut strategy, &mut store, &mut evaluate).unwrap();
    assert_eq!((outcome.completed, outcome.failed), (10, 20));
    let complete = store.trials(1).unwrap().into_iter().filter(|trial| trial.state == TrialState::Complete);
    assert_eq!(outcome.best, complete.min_by_key(|trial| (trial.cost, trial.number)).unwrap());
    let reasons: Vec<_> = store.trials(1).unwrap().into_iter().filter_map(|t| t.reason).collect();
    assert!(reasons[0].contains("NaN") && reasons[1].contains("inf"), "{reasons:?}");
}

#[test]
fn a_stage_of_failures_has_no_winner_and_says_why() {
    let mut evaluate = |_: &Candidate<Architecture>| Err(EvalError::Candidate("the loss is NaN at step 3".into()));
    let error = Stage::new(config(4, 4)).run(&widths(), &mut RandomSearch, &mut memory(), &mut evaluate).unwrap_err();
    assert!(matches!(&error, Error::NoWinner { failed: 4, .. }));
    assert!(error.to_string().contains("the loss is NaN at step 3"), "{error}");
}

/// A row without its times, which differ between runs, and without its handle (SQLite counts
/// rejected draws in it).
fn timeless(mut trial: Trial) -> Trial {
    trial.id = TrialId(0);
    trial.started_at = 0;
    trial.finished_at = trial.finished_at.map(|_| 0);
    trial
}

fn rows(store: &dyn StudyStore) -> (Vec<Trial>, Vec<RejectedDraw>) {
    let trials = store.trials(1).unwrap().into_iter().map(timeless).collect();
    let rejected = store.rejected(1).unwrap().into_iter().map(|mut draw| {
        draw.at = 0;
        draw
    });
    (trials, rejected.collect())
}

/// How a run dies in its k-th evaluation.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// The evaluator reports that the run is broken; the trial stays running, as after a kill.
    Broken,
    /// The evaluator is interrupted in the middle of the trial.
    Interrupted,
    /// The flag is set during a trial, which is finished first.
    Flag,
}

fn resumed_equals_uninterrupted<S: EncodedSpace<Genome = Architecture>>(
    space: &S,
    strategy: &dyn Fn() -> Box<dyn Strategy<S>>,
    config: &StageConfig,
) {
    let objective = hidden_objective(5);
    let mut whole = memory();
    let expected = Stage::new(config.clone()).run(space, &mut *strategy(), &mut whole, &mut score(&objective)).unwrap();
    let deaths = [(0, Death::Broken), (7, Death::Flag), (13, Death::Interrupted), (26, Death::Broken)];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("study.sqlite");
    for (at, death) in deaths {
        let mut store = SqliteStudy::open_or_create(&path, &identity(3)).unwrap();
        let stop = AtomicBool::new(false);
        let mut inner = score(&objective);
        let mut evaluate = |candidate: &Candidate<Architecture>| {
            if candidate.number == at {
                match death {
                    Death::Broken => return Err(EvalError::Run("no space left".to_owned())),
                    Death::Interrupted => return Err(EvalError::Interrupted),
                    Death::Flag => stop.store(true, Ordering::SeqCst),
                }
            }
            inner(candidate)
        };
        let mut stage = Stage::new(config.clone());
        stage.stop = &stop;
        let error = stage.run(space, &mut *strategy(), &mut store, &mut evaluate).unwrap_err();
        match death {
            Death::Broken => assert!(matches!(error, Error::Evaluation { number, .. } if number == at)),
            Death::Interrupted => assert!(matches!(error, Error::Interrupted { finished, .. } if finished == at)),
            Death::Flag => assert!(matches!(error, Error::Interrupted { finished, .. } if finished == at + 1)),
        }
        let left = store.trials(1).unwrap().pop().unwrap().state;
        assert_eq!(left == TrialState::Running, !matches!(death, Death::Flag), "{death:?}");
    }
    let mut store = SqliteStudy::resume(&path, &identity(3)).unwrap();
    let mut stage = Stage::new(config.clone());
    let outcome = stage.run(space, &mut *strategy(), &mut store, &mut score(&objective)).unwrap();
    assert_eq!(rows(&store), rows(&whole));
    assert_eq!(outcome.genome, expected.genome);
    assert_eq!(outcome.rejected, expected.rejected);
    assert_eq!(outcome.replayed, 26);
    let again = stage.events.iter().filter(|e| matches!(e, Event::TrialStarted { again: true, .. }));
    assert_eq!(again.count(), 1);
}

#[test]
fn a_run_killed_four_times_has_the_rows_of_an_uninterrupted_one() {
    resumed_equals_uninterrupted(&widths(), &|| Box::new(learned()), &config(40, 12));
    resumed_equals_uninterrupted(&operators(), &|| Box::new(learned()), &config(32, 12));
    resumed_equals_uninterrupted(&widths(), &|| Box::new(RandomSearch), &config(30, 0));
    let evolution = || -> Box<dyn Strategy<_>> {
        Box::new(Evolution::new(EvolutionConfig { population: 10, tournament: 3 }).unwrap())
    };
    resumed_equals_uninterrupted(&widths(), &evolution, &config(40, 12));
    resumed_equals_uninterrupted(&widths(), &|| Box::new(Nsga2::new(Nsga2Config::default()).unwrap()), &config(40, 5));
    resumed_equals_uninterrupted(&operators(), &|| Box::new(Tpe::new(TpeConfig::default()).unwrap()), &config(40, 5));
}

#[test]
fn a_finished_stage_is_not_run_again_and_can_be_extended() {
    let mut store = memory();
    let objective = hidden_objective(2);
    let run = |store: &mut MemoryStudy, trials| {
        let mut evaluations = 0;
        let mut inner = score(&objective);
        let mut evaluate = |candidate: &Candidate<Architecture>| {
            evaluations += 1;
            inner(candidate)
        };
        let mut strategy = learned();
        Stage::new(config(trials, 5)).run(&widths(), &mut strategy, store, &mut evaluate).unwrap();
        evaluations
    };
    assert_eq!(run(&mut store, 10), 10);
    assert_eq!(run(&mut store, 10), 0);
    assert_eq!(run(&mut store, 15), 5);
}

#[test]
fn the_seed_of_the_study_decides_the_trials() {
    let genomes = |seed| {
        let mut store = MemoryStudy::new(identity(seed));
        let mut strategy = learned();
        Stage::new(config(8, 8)).run(&widths(), &mut strategy, &mut store, &mut score(hidden_objective(2))).unwrap();
        store.trials(1).unwrap().into_iter().map(|t| t.genome).collect::<Vec<_>>()
    };
    assert_eq!(genomes(1), genomes(1));
    assert_ne!(genomes(1), genomes(2));
}

#[test]
fn a_stop_flag_set_before_the_start_evaluates_nothing() {
    let stop = AtomicBool::new(true);
    let mut stage = Stage::new(config(5, 5));
    stage.stop = &stop;
    let mut evaluate = |_: &Candidate<Architecture>| -> Result<Fitness, EvalError> { panic!("evaluated") };
    let error = stage.run(&widths(), &mut RandomSearch, &mut memory(), &mut evaluate).unwrap_err();
    assert!(matches!(error, Error::Interrupted { stage: 1, finished: 0 }));
    assert!(!NEVER.load(Ordering::SeqCst));
}

#[test]
fn a_stored_architecture_of_another_space_is_refused_by_name() {
    let mut store = memory();
    Stage::new(config(3, 3)).run(&operators(), &mut RandomSearch, &mut store, &mut score(hidden_objective(1))).unwrap();
    let error = Stage::new(config(3, 3))
        .run(&widths(), &mut RandomSearch, &mut store, &mut score(hidden_objective(1)))
        .unwrap_err();
    assert!(matches!(error, Error::Inconsistent { .. }), "{error}");
    assert!(error.to_string().contains("stage 1, trial 0: `"), "{error}");
}

#[test]
fn a_stage_without_trials_is_refused() {
    let error = Stage::new(config(0, 0))
        .run(&widths(), &mut RandomSearch, &mut memory(), &mut score(hidden_objective(1)))
        .unwrap_err();
    assert!(matches!(error, Error::Stage { .. }));
}
