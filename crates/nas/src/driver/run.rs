//! The loop of a stage.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use rand::RngCore;

use crate::budget::{Cost, Rejection};
use crate::driver::{Candidate, EvalError, Event, StageConfig, StageOutcome, StageParts, Within};
use crate::error::{Error, Result};
use crate::rank::Rank;
use crate::space::SearchSpace;
use crate::strategy::{DrawKey, Observation};
use crate::study::{NewTrial, RejectedDraw, Trial, TrialId, TrialState};

/// Runs a stage until it has `config.trials` trials, continuing with what the store holds.
///
/// The budget is checked against the space before anything is drawn. A trial that a killed process
/// left running is evaluated again with its number, architecture and seed. An architecture whose
/// fingerprint an earlier trial of the stage has is rejected as a duplicate, not evaluated twice.
///
/// # Errors
/// [`Error::Unreachable`] before any evaluation if the space holds nothing within the size limits;
/// [`Error::Interrupted`] when stopped; [`Error::NoCandidate`] if nothing that was drawn is within the limits;
/// [`Error::NoWinner`] if every trial failed;
/// [`Error::Evaluation`] and [`Error::Latency`] when the run itself is broken; errors of the store
/// and the strategy.
pub fn run_stage<S: SearchSpace + ?Sized>(
    config: &StageConfig,
    parts: StageParts<'_, S>,
) -> Result<StageOutcome<S::Genome>> {
    if config.trials == 0 || config.max_draws == 0 {
        return Err(Error::Stage { stage: config.stage, detail: "trials and max_draws must be at least 1".to_owned() });
    }
    parts.space.ensure_reachable(parts.budget)?;
    if let (Some(max_ms), None) = (parts.budget.max_latency_ms, &parts.latency) {
        return Err(Error::NoLatencyMeter { max_ms });
    }
    let mut run = Run::replay(config, parts)?;
    run.finish_left_over()?;
    let mut exhausted = run.parts.store.is_exhausted(config.stage)?;
    while !exhausted && run.finished() < config.trials {
        run.honor_stop()?;
        exhausted = !run.next_trial()?;
    }
    run.outcome(exhausted)
}

/// A stage under way.
struct Run<'a, 'c, S: SearchSpace + ?Sized> {
    config: &'c StageConfig,
    parts: StageParts<'a, S>,
    seed: u64,
    fingerprints: BTreeSet<String>,
    completed: u64,
    failed: u64,
    replayed: u64,
    best: Option<Rank>,
    left_over: Option<(Trial, S::Genome)>,
}

impl<'a, 'c, S: SearchSpace + ?Sized> Run<'a, 'c, S> {
    /// Reads the stage's rows and tells the strategy about the finished ones.
    fn replay(config: &'c StageConfig, parts: StageParts<'a, S>) -> Result<Self> {
        let stored = parts.store.trials(config.stage)?;
        let seed = parts.store.identity().seed;
        let mut run = Self {
            config,
            parts,
            seed,
            fingerprints: BTreeSet::new(),
            completed: 0,
            failed: 0,
            replayed: 0,
            best: None,
            left_over: None,
        };
        for (expected, trial) in (0u64..).zip(stored) {
            if trial.number != expected || run.left_over.is_some() {
                return Err(run.inconsistent(&format!(
                    "trial {} was found in place of trial {expected}, or after an unfinished one",
                    trial.number
                )));
            }
            let genome = run
                .parts
                .space
                .parse(&trial.genome)
                .map_err(|e| run.inconsistent(&format!("trial {}: {e}", trial.number)))?;
            run.fingerprints.insert(trial.fingerprint.clone());
            if trial.state == TrialState::Running {
                run.left_over = Some((trial, genome));
            } else {
                run.replayed += 1;
                run.learn(&trial, genome)?;
            }
        }
        (run.parts.on_event)(&Event::StageStarted {
            stage: config.stage,
            finished: run.replayed,
            trials: config.trials,
        });
        Ok(run)
    }

    fn inconsistent(&self, detail: &str) -> Error {
        Error::Inconsistent {
            store: format!("study `{}`", self.parts.store.identity().name),
            detail: format!("stage {}, {detail}", self.config.stage),
        }
    }

    fn finished(&self) -> u64 {
        self.completed + self.failed
    }

    fn honor_stop(&self) -> Result<()> {
        if self.parts.stop.load(Ordering::SeqCst) { Err(self.interrupted()) } else { Ok(()) }
    }

    fn interrupted(&self) -> Error {
        Error::Interrupted { stage: self.config.stage, finished: self.finished() }
    }

    /// Evaluates again the trial that a killed process left running.
    fn finish_left_over(&mut self) -> Result<()> {
        let Some((trial, genome)) = self.left_over.take() else { return Ok(()) };
        self.honor_stop()?;
        self.parts.store.restart(trial.id, (self.parts.clock)())?;
        let candidate = Candidate { genome, stage: trial.stage, number: trial.number, seed: trial.seed };
        self.evaluate(trial.id, candidate, trial.cost, trial.latency_ms, true)
    }

    /// Draws, stores and evaluates the next trial; `false` if nothing new could be drawn.
    fn next_trial(&mut self) -> Result<bool> {
        let number = self.finished();
        let mut rejected = Vec::new();
        for attempt in 0..self.config.max_draws {
            // Drawing for an exhausted space can take a while.
            self.honor_stop()?;
            let genome = self.draw(number, attempt)?;
            let text = genome.to_string();
            let cost = self.parts.space.cost(&genome);
            let fingerprint = self.parts.space.fingerprint(&genome);
            let mut latency_ms = None;
            let mut reason = self.parts.budget.check(cost);
            if reason.is_none() && self.fingerprints.contains(&fingerprint) {
                reason = Some(Rejection::Duplicate);
            }
            if reason.is_none() {
                latency_ms = self.measure(number, &genome, &text)?;
                reason = latency_ms.and_then(|ms| self.parts.budget.check_latency(ms));
            }
            let stage = self.config.stage;
            let now = (self.parts.clock)();
            if let Some(reason) = reason {
                (self.parts.on_event)(&Event::Rejected { stage, number, reason });
                rejected.push(RejectedDraw {
                    stage,
                    number,
                    genome: text,
                    fingerprint,
                    cost,
                    latency_ms,
                    reason,
                    at: now,
                });
                continue;
            }
            let seed = self.trial_seed(number);
            let trial = NewTrial {
                stage,
                number,
                genome: text,
                fingerprint: fingerprint.clone(),
                cost,
                latency_ms,
                seed,
                started_at: now,
            };
            let id = self.parts.store.begin_trial(&trial, &rejected)?;
            self.fingerprints.insert(fingerprint);
            self.evaluate(id, Candidate { genome, stage, number, seed }, cost, latency_ms, false)?;
            return Ok(true);
        }
        self.parts.store.exhaust(self.config.stage, &rejected)?;
        Ok(false)
    }

    fn draw(&mut self, number: u64, attempt: u64) -> Result<S::Genome> {
        let key = DrawKey { seed: self.seed, stage: self.config.stage, number, attempt };
        if number < self.config.initial_random {
            return Ok(self.parts.space.sample(&mut key.rng("nas.initial")));
        }
        self.parts.strategy.ask(self.parts.space, &key)
    }

    fn measure(&mut self, number: u64, genome: &S::Genome, text: &str) -> Result<Option<f64>> {
        let Some(meter) = self.parts.latency.as_deref_mut() else { return Ok(None) };
        let measured = meter.measure(genome).and_then(|ms| {
            if ms.is_finite() && ms >= 0.0 { Ok(ms) } else { Err(format!("the measurement gave {ms} ms")) }
        });
        measured.map(Some).map_err(|detail| Error::Latency {
            stage: self.config.stage,
            number,
            genome: text.to_owned(),
            detail,
        })
    }

    /// 63 bits, so that a database's signed integers hold it.
    fn trial_seed(&self, number: u64) -> u64 {
        let counters = [u64::from(self.config.stage), number];
        run_store::rng::keyed(self.seed, "nas.trial", &counters).next_u64() >> 1
    }

    fn evaluate(
        &mut self,
        id: TrialId,
        candidate: Candidate<S::Genome>,
        cost: Cost,
        latency_ms: Option<f64>,
        again: bool,
    ) -> Result<()> {
        let (stage, number, genome) = (candidate.stage, candidate.number, candidate.genome.to_string());
        (self.parts.on_event)(&Event::TrialStarted { stage, number, genome, cost, latency_ms, again });
        let on_event = &mut self.parts.on_event;
        let mut watch = |within: Within| on_event(&Event::Within { number, within });
        let result = self.parts.evaluate.evaluate(&candidate, &mut watch);
        let now = (self.parts.clock)();
        let trial = match result {
            Ok(fitness) => self.parts.store.finish(id, &fitness, now)?,
            Err(EvalError::Candidate(reason)) => self.parts.store.fail(id, &reason, now)?,
            Err(EvalError::Interrupted) => return Err(self.interrupted()),
            Err(EvalError::Run(detail)) => {
                return Err(Error::Evaluation { stage, number, detail });
            }
        };
        let best = self.learn(&trial, candidate.genome)?;
        (self.parts.on_event)(&Event::TrialFinished { trial, best });
        Ok(())
    }

    /// Counts a finished trial and tells the strategy; whether it is the best so far.
    fn learn(&mut self, trial: &Trial, genome: S::Genome) -> Result<bool> {
        let (number, fingerprint, rank) = (trial.number, trial.fingerprint.clone(), trial.rank());
        self.parts.strategy.tell(self.parts.space, Observation { number, genome, fingerprint, rank })?;
        let Some(rank) = trial.rank() else {
            self.failed += 1;
            return Ok(false);
        };
        self.completed += 1;
        let best = self.best.is_none_or(|best| rank.beats(&best));
        if best {
            self.best = Some(rank);
        }
        Ok(best)
    }

    fn outcome(mut self, exhausted: bool) -> Result<StageOutcome<S::Genome>> {
        let stage = self.config.stage;
        let finished = self.finished();
        (self.parts.on_event)(&Event::StageFinished { stage, finished });
        let store = &mut self.parts.store;
        let Some(best) = store.best(stage)? else {
            if finished == 0 {
                let counts = store.rejection_counts(stage)?;
                let reasons: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
                let fastest = store.rejected(stage)?.iter().filter_map(|draw| draw.latency_ms).reduce(f64::min);
                return Err(Error::NoCandidate {
                    stage,
                    draws: counts.values().sum(),
                    budget: *self.parts.budget,
                    reasons: reasons.join(", "),
                    fastest: fastest.map_or_else(String::new, |ms| format!("; the fastest takes {ms:.3} ms")),
                });
            }
            let first = store.trials(stage)?.into_iter().find_map(|trial| trial.reason);
            return Err(Error::NoWinner {
                stage,
                failed: self.failed,
                first_reason: first.unwrap_or_else(|| "no trial was run".to_owned()),
            });
        };
        Ok(StageOutcome {
            genome: self.parts.space.parse(&best.genome)?,
            best,
            completed: self.completed,
            failed: self.failed,
            replayed: self.replayed,
            rejected: store.rejection_counts(stage)?,
            exhausted,
        })
    }
}
