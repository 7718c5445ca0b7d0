//! The rows of a study.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::budget::{Cost, Rejection};
use crate::error::{Error, Result};
use crate::rank::Rank;

/// What makes two runs the same study: only then may one continue the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyIdentity {
    /// Name of the study.
    pub name: String,
    /// Hash of every setting that changes results.
    pub config_hash: String,
    /// Seed from which everything random derives.
    pub seed: u64,
}

impl StudyIdentity {
    /// Checks that `store`, whose identity is `self`, may be continued by a run with identity `expected`.
    ///
    /// # Errors
    /// [`Error::Foreign`] with what differs.
    pub fn require(&self, expected: &Self, store: &str) -> Result<()> {
        let differs = |key, found: &str, expected: &str| Error::Foreign {
            store: store.to_owned(),
            key,
            found: found.to_owned(),
            expected: expected.to_owned(),
        };
        if self.name != expected.name {
            return Err(differs("name", &self.name, &expected.name));
        }
        if self.seed != expected.seed {
            return Err(differs("seed", &self.seed.to_string(), &expected.seed.to_string()));
        }
        if self.config_hash != expected.config_hash {
            return Err(differs("config hash", &self.config_hash, &expected.config_hash));
        }
        Ok(())
    }
}

/// Handle of one row of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrialId(pub i64);

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Being evaluated, or left behind by a killed process.
    Running,
    /// Evaluated, with a finite fitness.
    Complete,
    /// Evaluated without a usable fitness; the row says why.
    Failed,
}

impl TrialState {
    /// The name under which the study stores it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }

    /// The state of that [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Running, Self::Complete, Self::Failed].into_iter().find(|state| state.name() == name)
    }
}

/// What is known of a trial when it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewTrial {
    /// Stage of the search.
    pub stage: u32,
    /// Number within the stage, from 0 without gaps.
    pub number: u64,
    /// The architecture, as text.
    pub genome: String,
    /// Equal for architectures that compute the same function.
    pub fingerprint: String,
    /// Size.
    pub cost: Cost,
    /// Measured latency, milliseconds, if it was measured.
    pub latency_ms: Option<f64>,
    /// Seed of the evaluation, at most 63 bits.
    pub seed: u64,
    /// Unix time, milliseconds, as told by the caller.
    pub started_at: i64,
}

/// A draw that was not evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectedDraw {
    /// Stage of the search.
    pub stage: u32,
    /// Number of the trial that was being drawn.
    pub number: u64,
    /// The architecture, as text.
    pub genome: String,
    /// Fingerprint of the architecture.
    pub fingerprint: String,
    /// Size.
    pub cost: Cost,
    /// Measured latency, milliseconds, if it was measured.
    pub latency_ms: Option<f64>,
    /// Why it was rejected.
    pub reason: Rejection,
    /// Unix time, milliseconds, as told by the caller.
    pub at: i64,
}

/// One trial as stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Handle in its store.
    #[serde(skip)]
    pub id: TrialId,
    /// Stage of the search.
    pub stage: u32,
    /// Number within the stage.
    pub number: u64,
    /// The architecture, as text.
    pub genome: String,
    /// Equal for architectures that compute the same function.
    pub fingerprint: String,
    /// Size.
    #[serde(flatten)]
    pub cost: Cost,
    /// Measured latency, milliseconds, if it was measured.
    pub latency_ms: Option<f64>,
    /// Where it stands.
    pub state: TrialState,
    /// Fitness, larger is better; present exactly if the trial is complete.
    pub fitness: Option<f64>,
    /// Further finite numbers that the evaluation reported.
    pub metrics: BTreeMap<String, f64>,
    /// Seed of the evaluation.
    pub seed: u64,
    /// Unix time, milliseconds.
    pub started_at: i64,
    /// Unix time, milliseconds; absent while running.
    pub finished_at: Option<i64>,
    /// Why it failed; present exactly if it failed.
    pub reason: Option<String>,
}

impl Trial {
    /// Its place among others; `None` unless it is complete.
    pub fn rank(&self) -> Option<Rank> {
        let Self { cost, latency_ms, number, .. } = *self;
        self.fitness.map(|fitness| Rank { fitness, cost, latency_ms, number })
    }

    /// Seconds from its last start to its end; `None` while it runs.
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        self.finished_at.map(|end| (end - self.started_at) as f64 / 1e3)
    }

    /// Best first: complete trials by their [`Rank`], then the others by number.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self.rank(), other.rank()) {
            (Some(own), Some(its)) => own.order(&its),
            (own, its) => its.is_some().cmp(&own.is_some()).then(self.number.cmp(&other.number)),
        }
    }
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fitness {
    /// What the search maximizes, for example development accuracy.
    pub score: f64,
    /// Further numbers worth keeping, by name. All must be finite, or the trial fails.
    pub metrics: BTreeMap<String, f64>,
}

/// How a trial ends, as a store writes it down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// Complete or failed.
    pub state: TrialState,
    /// The score of a complete trial.
    pub fitness: Option<f64>,
    /// The finite metrics.
    pub metrics: BTreeMap<String, f64>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Settled {
    /// A trial that failed for `reason`.
    pub fn failed(reason: &str) -> Self {
        Self { state: TrialState::Failed, fitness: None, metrics: BTreeMap::new(), reason: Some(reason.to_owned()) }
    }
}

impl Fitness {
    /// How a trial of this fitness ends: a number that is not finite fails it.
    pub fn settle(&self) -> Settled {
        let mut reason =
            (!self.score.is_finite()).then(|| format!("the fitness is {}, not a finite number", self.score));
        let mut metrics = BTreeMap::new();
        for (name, &value) in &self.metrics {
            if value.is_finite() {
                metrics.insert(name.clone(), value);
            } else {
                reason.get_or_insert_with(|| format!("the metric `{name}` is {value}, not a finite number"));
            }
        }
        match reason {
            Some(reason) => Settled { metrics, ..Settled::failed(&reason) },
            None => Settled { state: TrialState::Complete, fitness: Some(self.score), metrics, reason: None },
        }
    }
}

impl Trial {
    /// The first row of a trial: running, as `new` describes it.
    #[must_use]
    pub fn begun(id: TrialId, new: &NewTrial) -> Self {
        Self {
            id,
            stage: new.stage,
            number: new.number,
            genome: new.genome.clone(),
            fingerprint: new.fingerprint.clone(),
            cost: new.cost,
            latency_ms: new.latency_ms,
            state: TrialState::Running,
            fitness: None,
            metrics: BTreeMap::new(),
            seed: new.seed,
            started_at: new.started_at,
            finished_at: None,
            reason: None,
        }
    }

    /// Its last row.
    pub fn end(&mut self, settled: Settled, finished_at: i64) {
        self.state = settled.state;
        self.fitness = settled.fitness;
        self.metrics = settled.metrics;
        self.reason = settled.reason;
        self.finished_at = Some(finished_at);
    }
}

#[cfg(test)]
impl Trial {
    /// A trial of stage 1 for unit tests, complete where it has a fitness.
    pub(crate) fn of_test(number: u64, genome: &str, params: u64, fitness: Option<f64>) -> Self {
        Self {
            id: TrialId(0),
            stage: 1,
            number,
            genome: genome.into(),
            fingerprint: String::new(),
            cost: Cost { params, macs: 1 },
            latency_ms: None,
            state: if fitness.is_some() { TrialState::Complete } else { TrialState::Failed },
            fitness,
            metrics: BTreeMap::new(),
            seed: 0,
            started_at: 0,
            finished_at: None,
            reason: None,
        }
    }
}
