//! What the behavior tests share: small students, synthetic objectives, a stage in one call.
#![allow(dead_code, reason = "each test binary uses another part")]

use std::sync::atomic::AtomicBool;

use mlp_space::released::preset;
use mlp_space::{Architecture, StudentShape};
use nas::budget::{Budget, Latency};
use nas::driver::{Candidate, EvalError, Evaluate, Event, StageConfig, StageOutcome, StageParts, run_stage};
use nas::space::{CoarseSpace, OperatorSpace, SearchSpace, Student, WidthSpace};
use nas::strategy::Strategy;
use nas::study::{Fitness, MemoryStudy, StudyIdentity, StudyStore};
use rand::Rng;

pub const WINDOW: Budget = Budget {
    min_params: Some(15_000_000),
    max_params: Some(16_000_000),
    max_macs: None,
    max_bytes: None,
    max_latency_ms: None,
};

pub fn student() -> Student {
    Student::efficientbert(&StudentShape::efficientbert(), 6, 128).unwrap()
}

pub fn coarse() -> CoarseSpace {
    CoarseSpace::new(student(), &WINDOW).unwrap()
}

pub fn operators() -> OperatorSpace {
    OperatorSpace::new(student(), preset("stage1-winner").unwrap(), &WINDOW).unwrap()
}

pub fn widths() -> WidthSpace {
    WidthSpace::new(student(), preset("stage2-winner").unwrap(), &WINDOW).unwrap()
}

pub fn identity(seed: u64) -> StudyIdentity {
    StudyIdentity { name: "test".to_owned(), config_hash: "abc".to_owned(), seed }
}

/// A hidden objective of the genome alone: per layer, a hidden weight for the stacks, one for the
/// ratio, and a hidden liking for each activation that the text mentions; 0 to 1 roughly.
pub fn hidden_objective(seed: u64) -> impl Fn(&Architecture) -> f64 {
    let mut rng = run_store::rng::keyed(seed, "nas.test.objective", &[]);
    let weights: Vec<[f64; 10]> = (0..12).map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0))).collect();
    move |genome| {
        let ops = ["gelu", "sigmoid", "tanh", "(relu", "leaky", "swish", "max", "mul"];
        let mut sum = 0.0;
        for (layer, weights) in genome.layers().iter().zip(&weights) {
            let id = layer.id().unwrap();
            sum += weights[0] * f64::from(id.stacks()) + weights[1] * 2.0 / f64::from(id.ratio());
            let text = layer.to_string();
            for (op, weight) in ops.iter().zip(&weights[2..]) {
                sum += if text.contains(op) { *weight } else { 0.0 };
            }
        }
        1.0 / (1.0 + (-sum / 4.0).exp())
    }
}

/// An evaluator that scores with `objective` and notes the candidate's seed as a metric.
pub fn score(
    objective: impl Fn(&Architecture) -> f64,
) -> impl FnMut(&Candidate<Architecture>) -> Result<Fitness, EvalError> {
    move |candidate| {
        let metrics = [("seed_low".to_owned(), (candidate.seed % 1000) as f64)].into();
        Ok(Fitness { score: objective(&candidate.genome), metrics })
    }
}

pub fn config(trials: u64, initial_random: u64) -> StageConfig {
    StageConfig { stage: 1, trials, initial_random, max_draws: 1000 }
}

/// Everything a stage needs that most tests leave alone.
pub struct Stage<'a> {
    pub config: StageConfig,
    pub budget: Budget,
    pub latency: Option<&'a mut dyn Latency<Architecture>>,
    pub stop: &'a AtomicBool,
    pub events: Vec<Event>,
}

pub static NEVER: AtomicBool = AtomicBool::new(false);

impl Stage<'_> {
    pub fn new(config: StageConfig) -> Self {
        Self { config, budget: WINDOW, latency: None, stop: &NEVER, events: Vec::new() }
    }

    pub fn run<S: SearchSpace<Genome = Architecture> + ?Sized>(
        &mut self,
        space: &S,
        strategy: &mut dyn Strategy<S>,
        store: &mut dyn StudyStore,
        evaluate: &mut dyn Evaluate<Architecture>,
    ) -> nas::Result<StageOutcome<Architecture>> {
        let mut now = 0;
        let mut clock = || {
            now += 1;
            now
        };
        let events = &mut self.events;
        let mut on_event = |event: &Event| events.push(event.clone());
        let latency: Option<&mut dyn Latency<Architecture>> = match &mut self.latency {
            Some(meter) => Some(&mut **meter),
            None => None,
        };
        let parts = StageParts {
            space,
            strategy,
            store,
            budget: &self.budget,
            latency,
            evaluate,
            clock: &mut clock,
            stop: self.stop,
            on_event: &mut on_event,
        };
        run_stage(&self.config, parts)
    }
}

/// Fitness of all trials of a search on a hidden objective.
pub fn search<S: SearchSpace<Genome = Architecture>>(
    space: &S,
    strategy: &mut dyn Strategy<S>,
    seed: u64,
    config: StageConfig,
) -> Vec<f64> {
    let mut store = MemoryStudy::new(identity(seed));
    let stage = config.stage;
    Stage::new(config).run(space, strategy, &mut store, &mut score(hidden_objective(seed))).unwrap();
    store.trials(stage).unwrap().iter().map(|trial| trial.fitness.unwrap()).collect()
}
