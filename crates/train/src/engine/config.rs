//! Settings of one training.

use serde::{Deserialize, Serialize};

use super::Precision;
use crate::optim::{Group, OptimizerConfig, Schedule};
use crate::{Error, Result};

/// What to do in a step whose loss or gradient is not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotFinite {
    /// Stop the training with an error that names the step.
    #[default]
    Stop,
    /// Leave weights and optimizer as they are and go on with the next step, unless too many fail in a row.
    Skip,
}

/// What linear maps are rounded to while a model learns, so that it does well when inference rounds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuantizationAware {
    /// Not at all.
    #[default]
    None,
    /// As inference in 8-bit integers: [`fused_ops::with_rounded_int8`].
    Int8,
}

impl QuantizationAware {
    /// Whether nothing is rounded.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Runs `work` with linear maps rounded so.
    pub fn scope<R>(self, work: impl FnOnce() -> R) -> R {
        fused_ops::with_rounded_int8(self == Self::Int8, work)
    }
}

/// Settings of one training; defaults are EfficientBERT's where it states one.
///
/// Serialized, it holds what decides the result; a resumed training must have the same. How often a training reports and saves
/// is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainConfig {
    /// Number of optimizer steps.
    pub steps: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The learning rate after the warm-up.
    pub schedule: Schedule,
    /// Part of the steps over which the learning rate rises.
    pub warmup_ratio: f64,
    /// Steps over which the learning rate rises, in place of `warmup_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<u64>,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Parameters that are trained in another way; the first group that fits a parameter counts.
    pub groups: Vec<Group>,
    /// Largest global gradient norm.
    pub clip_norm: f64,
    /// Parts in which the batch of a step is processed, one after another: less memory, the same gradients but for rounding.
    pub accumulate: u32,
    /// Seed of everything random in this training.
    pub seed: u64,
    /// Steps between evaluations; 0 evaluates at the end only.
    pub eval_every: u64,
    /// Evaluations in a row without improvement after which the training ends; 0 for never.
    pub patience: u64,
    /// How much better than the last improvement a score has to be to count as one.
    pub min_delta: f64,
    /// Steps between checkpoints; 0 writes one at the end only.
    #[serde(skip)]
    pub checkpoint_every: u64,
    /// Checkpoints that stay, the newest; each holds the best weights so far.
    #[serde(skip)]
    pub keep_last: usize,
    /// What to do in a step whose loss or gradient is not finite.
    pub on_not_finite: NotFinite,
    /// Most steps that are skipped in a row.
    pub max_skips: u32,
    /// Steps between progress reports.
    #[serde(skip)]
    pub log_every: u64,
    /// Whether the best evaluated weights are the result (else the last).
    pub keep_best: bool,
    /// Number format of matrix products, of the student and of a teacher.
    pub precision: Precision,
    /// What the trained model's linear maps are rounded to in every step and evaluation.
    #[serde(skip_serializing_if = "QuantizationAware::is_none")]
    pub quantization_aware: QuantizationAware,
}

/// More parts than any batch has examples.
const MAX_PARTS: u32 = 1 << 16;

impl TrainConfig {
    /// A training of `steps` steps at `learning_rate`, everything else at its default.
    pub fn new(steps: u64, learning_rate: f64) -> Self {
        Self {
            steps,
            learning_rate,
            schedule: Schedule::default(),
            warmup_ratio: 0.1,
            warmup_steps: None,
            optimizer: OptimizerConfig::default(),
            groups: Vec::new(),
            clip_norm: 1.0,
            accumulate: 1,
            seed: 42,
            eval_every: 0,
            patience: 0,
            min_delta: 0.0,
            checkpoint_every: 0,
            keep_last: 2,
            on_not_finite: NotFinite::Stop,
            max_skips: 5,
            log_every: 10,
            keep_best: true,
            precision: Precision::F32,
            quantization_aware: QuantizationAware::None,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first at fault.
    pub fn validate(&self) -> Result<()> {
        self.schedule.validate(self.warmup_steps(), self.steps)?;
        self.optimizer.validate()?;
        self.groups.iter().try_for_each(Group::validate)?;
        let finite = f64::is_finite;
        let rules = [
            ("learning_rate", self.learning_rate > 0.0 && finite(self.learning_rate), "must be above 0"),
            ("warmup_ratio", (0.0..=1.0).contains(&self.warmup_ratio), "must be between 0 and 1"),
            ("clip_norm", self.clip_norm > 0.0, "must be above 0"),
            ("accumulate", (1..=MAX_PARTS).contains(&self.accumulate), "must be between 1 and 65536"),
            ("min_delta", self.min_delta >= 0.0 && finite(self.min_delta), "must not be negative"),
            ("min_delta", self.min_delta == 0.0 || self.patience > 0, "has no effect without `patience`"),
            (
                "patience",
                self.patience == 0 || self.eval_every > 0,
                "has no effect without `eval_every`: the only evaluation is at the end",
            ),
            ("keep_last", self.keep_last > 0, "must be at least 1"),
            ("log_every", self.log_every > 0, "must be at least 1"),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((field, _, message)) => Err(Error::Setting { field, message: message.into() }),
            None => Ok(()),
        }
    }

    /// Steps over which the learning rate rises.
    pub fn warmup_steps(&self) -> u64 {
        self.warmup_steps.unwrap_or_else(|| (self.steps as f64 * self.warmup_ratio).round() as u64)
    }
}
