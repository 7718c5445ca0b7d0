//! What the engine trains, and what it reports.

use bert_core::weights::Tensors;
use burn::module::Module;
use burn::tensor::Device;
pub use predict::{Evaluation, Watch};
use serde::Serialize;

use super::{LossTerms, MicroBatch};
use crate::Result;

/// What [`Job::evaluate`] gives: `None` where nothing was evaluated.
pub type Evaluated = Result<Option<Evaluation>>;

/// A training: the loss of a step, and optionally an evaluation.
///
/// Several devices ask it at the same time, each for a part of its own.
pub trait Job<M: Module>: Sync {
    /// Loss terms of one part of a step on `device` (without autodiff), where `model` lives; data and anything random depend on the
    /// step and the part alone.
    ///
    /// The terms of all parts of a step add up to those of the step ([`MicroBatch::cut`] says which rows of its batch a part has, and
    /// weighs them); a part without examples has no terms.
    ///
    /// # Errors
    /// Data that cannot be read or encoded.
    fn loss(&self, model: &M, part: MicroBatch, device: &Device) -> Result<LossTerms>;

    /// Real tokens in the batch of a step, padding left out; 0 where that is not known. Asked after the losses of the step.
    ///
    /// # Errors
    /// Data that cannot be read or encoded.
    fn tokens(&self, _step: u64) -> Result<u64> {
        Ok(0)
    }

    /// Evaluates a snapshot without autodiff on `device` after `steps` steps; `None` where there is nothing to evaluate on, or
    /// not yet. `watch` is called with the progress.
    ///
    /// # Errors
    /// Data that cannot be read or encoded, or `watch` ended it.
    fn evaluate(&self, model: &M, steps: u64, device: &Device, watch: &mut Watch<'_>) -> Evaluated;

    /// Called after the update of a step; not for a step that was skipped.
    fn finished(&self, _step: u64) {}

    /// What the job has learned beside the weights, saved with them; `None` for nothing.
    fn memory(&self) -> Option<Tensors> {
        None
    }

    /// Takes up what [`Job::memory`] gave when the checkpoint was written from which a training goes on.
    ///
    /// # Errors
    /// It is not that of such a job.
    fn recall(&self, _memory: &Tensors) -> Result<()> {
        Ok(())
    }
}

/// What happened in a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub total: u64,
    /// Sum of the terms.
    pub loss: f64,
    /// Each term.
    pub terms: Vec<(&'static str, f64)>,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate used.
    pub learning_rate: f64,
    /// Real tokens in the batches since the report before, or since this process began; 0 where the job cannot tell.
    pub tokens: u64,
}

/// What a [`Monitor`] receives.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainEvent<'a> {
    /// A checkpoint was found; training goes on from `step`.
    Resumed {
        /// Steps already done.
        step: u64,
        /// Best score so far, if best weights are kept.
        best: Option<f64>,
    },
    /// A checkpoint did not verify and was passed over.
    SkippedCheckpoint {
        /// Its step.
        step: u64,
        /// Why.
        reason: String,
    },
    /// Every `log_every` steps.
    Step(&'a StepReport),
    /// Between the batches of an evaluation.
    Evaluating {
        /// Steps of the training that are done.
        step: u64,
        /// Examples that are scored.
        done: usize,
        /// Examples in all.
        total: usize,
    },
    /// After an evaluation.
    Evaluated {
        /// Steps done.
        step: u64,
        /// Scores.
        evaluation: &'a Evaluation,
        /// Whether these weights are the best so far.
        best: bool,
    },
    /// A loss or gradient is not finite: the step is skipped, or ends the training.
    NotFinite {
        /// The step, from 0.
        step: u64,
        /// What is not finite.
        what: &'a str,
        /// Skipped steps in a row, this one included; `None` where it ends the training.
        skipped: Option<u32>,
    },
    /// A gradient in `f16` is not finite: the step is taken again with half the loss scale.
    Overflow {
        /// The step, from 0.
        step: u64,
        /// The loss scale from here on.
        scale: f64,
    },
    /// The training ends before its last step, since it does not get better.
    StoppedEarly {
        /// Steps done.
        step: u64,
        /// Evaluations since the last improvement.
        waited: u64,
    },
    /// Between the steps of a learned growth.
    Growing {
        /// Steps that are done.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// A growth was learned.
    Grown {
        /// Steps of the training that are done.
        step: u64,
        /// The loss of the first step of the growth.
        first: f64,
        /// That of the last one.
        last: f64,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps done.
        step: u64,
    },
}

/// Watches a training and may stop it.
pub trait Monitor {
    /// Called as things happen.
    fn event(&mut self, event: &TrainEvent<'_>);

    /// Asked after every step and between the batches of an evaluation; `true` writes a checkpoint and stops. An evaluation that
    /// was cut off is done again by the training that goes on.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn event(&mut self, _event: &TrainEvent<'_>) {}
}
