//! Settings of one training.

use serde::{Deserialize, Serialize};

use super::Precision;
use crate::optim::AdamWConfig;
use crate::{Error, Result};

/// Settings of one training; defaults are EfficientBERT's where it states one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Number of optimiser steps.
    pub steps: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Part of the steps over which the learning rate rises.
    #[serde(default = "tenth")]
    pub warmup_ratio: f64,
    /// Decoupled weight decay on weights (not on biases and norms).
    #[serde(default = "hundredth")]
    pub weight_decay: f64,
    /// Largest global gradient norm.
    #[serde(default = "one")]
    pub clip_norm: f64,
    /// Seed of everything random in this training.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Steps between evaluations; 0 evaluates at the end only.
    #[serde(default)]
    pub eval_every: u64,
    /// Steps between checkpoints; 0 writes one at the end only.
    #[serde(default)]
    pub checkpoint_every: u64,
    /// Steps between progress reports.
    #[serde(default = "ten")]
    pub log_every: u64,
    /// Whether the best evaluated weights are the result (else the last).
    #[serde(default = "yes")]
    pub keep_best: bool,
    /// Number format of matrix products, of the student and of a teacher.
    #[serde(default)]
    pub precision: Precision,
}

fn tenth() -> f64 {
    0.1
}
fn hundredth() -> f64 {
    0.01
}
fn one() -> f64 {
    1.0
}
fn seed() -> u64 {
    42
}
fn ten() -> u64 {
    10
}
fn yes() -> bool {
    true
}

impl TrainConfig {
    /// A training of `steps` steps at `learning_rate`, everything else at its default.
    pub fn new(steps: u64, learning_rate: f64) -> Self {
        Self {
            steps,
            learning_rate,
            warmup_ratio: tenth(),
            weight_decay: hundredth(),
            clip_norm: one(),
            seed: seed(),
            eval_every: 0,
            checkpoint_every: 0,
            log_every: ten(),
            keep_best: true,
            precision: Precision::F32,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first at fault.
    pub fn validate(&self) -> Result<()> {
        let fail = |field, message: &str| Err(Error::Setting { field, message: message.into() });
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return fail("learning_rate", "must be above 0");
        }
        if !(0.0..=1.0).contains(&self.warmup_ratio) {
            return fail("warmup_ratio", "must be between 0 and 1");
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return fail("weight_decay", "must not be negative");
        }
        if self.clip_norm.is_nan() || self.clip_norm <= 0.0 {
            return fail("clip_norm", "must be above 0");
        }
        if self.log_every == 0 {
            return fail("log_every", "must be at least 1");
        }
        Ok(())
    }

    pub(super) fn warmup_steps(&self) -> u64 {
        (self.steps as f64 * self.warmup_ratio).round() as u64
    }

    pub(super) fn adamw(&self) -> AdamWConfig {
        AdamWConfig { weight_decay: self.weight_decay, ..AdamWConfig::default() }
    }
}
