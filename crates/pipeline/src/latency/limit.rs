//! The latency limit of a run: the table that its candidates are predicted from, and what was measured of its winner.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bert_core::BertConfig;
use burn::tensor::Device;
use mlp_space::Architecture;
use nas::space::{EncoderGenome, EncoderSpace, Predicted};
use run_store::rundir::RunPaths;
use serde::{Deserialize, Serialize};

use super::make::median;
use super::measure::{BUSY, Timer, on_cpu};
use super::network::Networks;
use super::students::{fastest, ms_or_infinite};
use super::{Conditions, LatencyTable, Maker, Predictor, TableShape, TimedStudents};
use crate::events::{Host, NOTED_WARNING, RunEvent};
use crate::phase::Space;
use crate::recipe::Recipe;
use crate::{Error, Result};

/// Names in a run folder: the table that the run uses, and what it has measured of its winner.
pub(crate) const LATENCY_TABLE: &str = "latency-table.json";
pub(crate) const LATENCY_MEASURED: &str = "latency-measured.json";

/// A candidate that takes so many times the limit at the table's pace is too slow, however busy the machine is.
const HOPELESS: f64 = 1.1;
/// Measurements of a candidate that is over the limit while the machine is busy.
const ATTEMPTS: usize = 60;

/// A candidate, measured after it was predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Stage of its trial.
    #[serde(default = "last_stage")]
    pub stage: u32,
    /// Number of its trial there.
    pub trial: u64,
    /// Its feed-forwards, or a whole encoder.
    pub architecture: String,
    /// Milliseconds, predicted from the table.
    pub predicted_ms: f64,
    /// Milliseconds, measured.
    pub measured_ms: f64,
    /// How much longer than in the table the reference took at the same time.
    pub pace: f64,
    /// Whether it is within the limit.
    pub within: bool,
}

/// What runs of earlier versions measured alone.
fn last_stage() -> u32 {
    3
}

impl Verdict {
    /// Measured milliseconds at the table's pace: on the table's machine, or on this one once it is quiet.
    pub fn at_pace_ms(&self) -> f64 {
        self.measured_ms / self.pace
    }
}

/// What was measured of a run's candidates for its winner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Candidates, in the order in which they were measured.
    pub candidates: Vec<Verdict>,
    /// Measured by predicted latency, after each round of candidates none of which was within the limit; what is predicted after it is
    /// multiplied by that.
    pub corrections: Vec<f64>,
}

/// Holds a search to its latency limit.
#[derive(Debug)]
pub struct Limit {
    /// What predicts the latency of candidates.
    pub predictor: Arc<Predictor>,
    /// Milliseconds at most, where there is a limit and not a table alone.
    pub limit_ms: Option<f64>,
    /// The fastest student of the first stage, by prediction.
    pub fastest: Fastest,
    /// Whether the table was measured on such a processor.
    is_here: bool,
    recipe: Recipe,
    frame: BertConfig,
    measured: Measured,
    path: Option<PathBuf>,
}

/// What a limit is made from.
pub(crate) struct Wanted<'a> {
    pub recipe: &'a Recipe,
    pub frame: &'a BertConfig,
    pub device: &'a Device,
    pub maker: Maker,
    /// The run folder, of which a run that goes on has its table.
    pub paths: &'a RunPaths,
    pub resume: bool,
}

/// A student that is known to be fast enough.
#[derive(Clone, Debug)]
pub enum Fastest {
    /// Where feed-forwards are searched.
    FeedForwards(Architecture),
    /// Where whole encoders are.
    Encoder(EncoderGenome),
}

/// What the first stage draws from.
pub(crate) enum Timed<'s> {
    FeedForwards(&'s Space),
    Encoders(&'s EncoderSpace),
}

impl Limit {
    /// The limit of a run, where its recipe has one or names a table: with the table that the run folder has, the given one, or one that is
    /// measured now. On other devices than the processor there is none, and candidates are measured one by one.
    ///
    /// # Errors
    /// A table that cannot be used, a limit that nothing of `space`, that of the first stage, meets.
    pub(crate) fn prepare(wanted: Wanted<'_>, space: &Timed<'_>, host: &mut dyn Host) -> Result<Option<Self>> {
        let Wanted { recipe, frame, device, maker, paths, resume } = wanted;
        let (limit_ms, given) = (recipe.budget.max_latency_ms, recipe.search.latency_table.as_ref());
        if limit_ms.is_none() && given.is_none() {
            return Ok(None);
        }
        if !on_cpu(device) {
            let message = "tables are of the processor; on this device each candidate is measured".to_owned();
            return given.map_or(Ok(None), |path| Err(Error::Table { path: path.clone(), message }));
        }
        let settings = recipe.latency;
        let kept = paths.root().join(LATENCY_TABLE);
        let (path, table) = match given {
            _ if resume && kept.exists() => (kept.clone(), LatencyTable::read(&kept)?),
            Some(path) => (path.clone(), LatencyTable::read(path)?),
            None => {
                let message = "measuring a latency table for this search".to_owned();
                host.event(&RunEvent::Note { message });
                let (phase, stop) = ("latency table".to_owned(), host.stop());
                let mut watch = |done, total| {
                    let phase = phase.clone();
                    let (what, unit) = ("latency table".to_owned(), "networks".to_owned());
                    host.event(&match done {
                        0 => RunEvent::PhaseStarted { phase, total, done },
                        _ => RunEvent::Within { phase, what, unit, done, total },
                    });
                };
                let table = TimedStudents::new(recipe, frame).table(settings, &maker, stop, &mut watch)?;
                host.event(&RunEvent::PhaseFinished { phase, seconds: 0.0 });
                (kept, table)
            }
        };
        table.agree(&path, &Conditions::here(settings, rayon::current_num_threads()), &TableShape::of(frame))?;
        let is_here = table.processor == maker.processor;
        if !is_here {
            let message = format!(
                "the latency table is of another processor: {}, this one is {}; latencies are those of the table's",
                table.processor, maker.processor
            );
            host.event(&RunEvent::Note { message });
        }
        if table.is_busy {
            let message = format!(
                "{NOTED_WARNING}the machine was busy while the latency table was measured; measure one with `bench --table` when it is not"
            );
            host.event(&RunEvent::Note { message });
        }
        let predictor = Predictor::new(table, &path, frame)?;
        let (fastest, least) = match space {
            Timed::FeedForwards(space) => {
                let fastest = space.fastest(&|genome| predictor.ms_or_infinite(genome));
                let least = predictor.ms(&fastest)?;
                (Fastest::FeedForwards(fastest), least)
            }
            Timed::Encoders(space) => {
                let (fastest, least) = fastest(&predictor, frame, space)?;
                (Fastest::Encoder(fastest), least)
            }
        };
        let limit = Self {
            predictor: Arc::new(predictor),
            limit_ms,
            fastest,
            is_here,
            recipe: recipe.clone(),
            frame: frame.clone(),
            measured: Measured::default(),
            path: None,
        };
        let table = limit.predictor.table();
        match (limit.limit_ms, limit.bound_ms(0)) {
            (Some(most), Some(bound)) if least > bound => Err(Error::TooSlow(format!(
                "no student of this recipe is within max_latency_ms {most}: the fastest takes {least:.4} ms, predicted from a table of {} \
                 ({}, {} threads), by which {:.1}% are kept free below the limit; allow at least {:.4} ms",
                table.measured,
                table.processor,
                table.conditions.threads,
                table.margin * 100.0,
                (least * (1.0 + table.margin) * 1e4).ceil() / 1e4,
            ))),
            _ => Ok(Some(limit)),
        }
    }

    /// Puts the table into the run folder, and reads what was measured there before.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub(crate) fn keep(&mut self, paths: &RunPaths) -> Result<()> {
        let kept = paths.root().join(LATENCY_TABLE);
        if !kept.exists() {
            self.predictor.table().write(&kept)?;
        }
        self.measured = measured(paths)?;
        self.path = Some(paths.root().join(LATENCY_MEASURED));
        Ok(())
    }

    /// Most predicted milliseconds of a candidate, after so many corrections.
    pub fn bound_ms(&self, corrections: usize) -> Option<f64> {
        let correction = corrections.checked_sub(1).and_then(|last| self.measured.corrections.get(last));
        let free = (1.0 + self.predictor.table().margin) * correction.copied().unwrap_or(1.0);
        Some(self.limit_ms? / free)
    }

    /// The prediction as a function, infinite for what has none.
    pub fn predicted(&self) -> Predicted<Architecture> {
        let predictor = Arc::clone(&self.predictor);
        Arc::new(move |genome| predictor.ms_or_infinite(genome))
    }

    /// The same of whole encoders.
    pub fn predicted_encoders(&self) -> Predicted<EncoderGenome> {
        let (predictor, frame) = (Arc::clone(&self.predictor), self.frame.clone());
        Arc::new(move |genome| ms_or_infinite(&predictor, &frame, genome))
    }

    /// Whether this run has measured that architecture.
    pub(crate) fn knows(&self, genome: &str) -> bool {
        self.measured.candidates.iter().any(|known| known.architecture == *genome)
    }

    /// Measures the student of a trial, whose architecture is `genome` and whose configuration `config`, unless this run has done so already, and
    /// says whether it is within the limit.
    ///
    /// # Errors
    /// It cannot be built, the file cannot be written; [`Error::Interrupted`].
    pub(crate) fn verdict(
        &mut self,
        (stage, trial): (u32, u64),
        (genome, config): (&str, &BertConfig),
        stop: &AtomicBool,
    ) -> Result<Verdict> {
        if let Some(known) = self.measured.candidates.iter().find(|known| known.architecture == *genome) {
            return Ok(known.clone());
        }
        let settings = self.recipe.latency;
        let networks = Networks::new(&self.frame, settings);
        let table = self.predictor.table();
        let (reference, model) = (networks.compile(&table.reference.architecture)?, networks.compile_config(config)?);
        let mut timer = Timer::new(settings, self.frame.vocab_size, rayon::current_num_threads());
        let predicted_ms = self.predictor.ms_of(config)?;
        // Another processor is not busy: it has a pace of its own.
        let enough = |times: &[f64]| {
            let at_pace_ms = times[1] * table.reference.ms / times[0];
            let is_clear = |limit: f64| times[1] <= limit || at_pace_ms > limit * HOPELESS;
            !self.is_here || self.limit_ms.is_none_or(is_clear)
        };
        let times = timer.patient_ms(&[&reference, &model], (table.reference.ms, ATTEMPTS), Some(stop), &enough)?;
        let (pace, measured_ms) = (times[0] / table.reference.ms, times[1]);
        let verdict =
            Verdict { stage, trial, architecture: genome.to_owned(), predicted_ms, measured_ms, pace, within: false };
        let verdict = Verdict { within: self.holds(&verdict), ..verdict };
        self.measured.candidates.push(verdict.clone());
        self.write()?;
        Ok(verdict)
    }

    /// On the table's processor the clock decides; while the machine is busy, and on another one, the clock at the table's pace.
    fn holds(&self, verdict: &Verdict) -> bool {
        let Some(limit) = self.limit_ms else { return true };
        let by_clock = self.is_here && verdict.measured_ms <= limit;
        let is_elsewhere = !self.is_here || verdict.pace > BUSY;
        by_clock || is_elsewhere && verdict.at_pace_ms() <= limit
    }

    /// Whether the clock alone would have refused what was found to be within the limit.
    pub(crate) fn is_by_pace(&self, verdict: &Verdict) -> bool {
        verdict.within && self.limit_ms.is_some_and(|limit| verdict.measured_ms > limit)
    }

    /// Whether the table was measured on such a processor.
    pub(crate) fn is_here(&self) -> bool {
        self.is_here
    }

    /// The correction number `number`, from 0: what it was, or what it becomes of all that was measured.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn correct(&mut self, number: usize) -> Result<f64> {
        if let Some(&known) = self.measured.corrections.get(number) {
            return Ok(known);
        }
        let counted = |c: &Verdict| if self.is_here { c.measured_ms } else { c.at_pace_ms() };
        let mut ratios: Vec<f64> = self.measured.candidates.iter().map(|c| counted(c) / c.predicted_ms).collect();
        let correction = median(&mut ratios);
        // What was allowed before was too slow, so that less has to be allowed now.
        let last = self.measured.corrections.last().copied().unwrap_or(1.0);
        let correction = correction.max(last * 1.01);
        self.measured.corrections.push(correction);
        self.write()?;
        Ok(correction)
    }

    /// Everything that was measured.
    pub(crate) fn measured(&self) -> &Measured {
        &self.measured
    }

    fn write(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        Ok(run_store::atomic::write_json(path, &self.measured)?)
    }
}

/// What a run folder says of latencies.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub table: LatencyTable,
    pub measured: Measured,
}

/// That of a run folder, where the run uses a table.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn history(paths: &RunPaths) -> Result<Option<History>> {
    let path = paths.root().join(LATENCY_TABLE);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(History { table: LatencyTable::read(&path)?, measured: measured(paths)? }))
}

fn measured(paths: &RunPaths) -> Result<Measured> {
    let path: &Path = &paths.root().join(LATENCY_MEASURED);
    match std::fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|e| Error::RunFile { path: path.to_owned(), message: e.to_string() })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Measured::default()),
        Err(source) => Err(Error::Io { action: "read", path: path.to_owned(), source }),
    }
}
