//! What a checkpoint holds: weights, moments, the best weights so far, and where early stop, skipped steps and the loss scale stand.

use bert_core::weights::{Tensors, apply_internal, collect_internal};
use burn::module::Module;
use run_store::checkpoint::{Checkpoint, CheckpointStore, FileContent};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::loss_scale::LossScale;
use super::{Evaluation, Job, Stage, TrainConfig};
use crate::optim::{Optimizer, OptimizerKind};
use crate::{Error, Result};

pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";
const BEST: &str = "best.safetensors";
pub(crate) const MEMORY: &str = "memory.safetensors";

/// Everything that changes while training.
pub(super) struct State<M> {
    pub model: M,
    pub optimizer: Optimizer,
    pub step: u64,
    /// The step after which this stage ends.
    pub ends: u64,
    pub best: Option<Best>,
    pub last: Option<Evaluation>,
    pub progress: Progress,
    pub loss_scale: Option<LossScale>,
}

/// The best evaluation and its weights.
#[derive(Clone)]
pub(super) struct Best {
    pub step: u64,
    pub evaluation: Evaluation,
    pub weights: Tensors,
}

/// Where early stop and skipped steps stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    /// Score of the last improvement that counts.
    reference: Option<f64>,
    /// Evaluations since then.
    pub waited: u64,
    /// Steps after which the last evaluation was done; 0 for none.
    pub evaluated: u64,
    /// Steps skipped in a row.
    pub skipped: u32,
    /// Whether there are no more steps: all are done, or early stop ended it.
    pub finished: bool,
}

impl Progress {
    /// Notes the score of an evaluation; true if patience is at its end.
    pub fn note(&mut self, score: f64, config: &TrainConfig) -> bool {
        if self.reference.is_none_or(|reference| score > reference + config.min_delta) {
            self.reference = Some(score);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        config.patience > 0 && self.waited >= config.patience
    }
}

#[derive(Serialize, Deserialize)]
struct Saved {
    #[serde(default)]
    optimizer: OptimizerKind,
    best: Option<(u64, Evaluation)>,
    last: Option<Evaluation>,
    #[serde(default)]
    progress: Progress,
    #[serde(default)]
    loss_scale: Option<LossScale>,
}

/// How far a training has come, by the checkpoints in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Steps of the newest checkpoint that verifies; 0 without one.
    pub step: u64,
    /// Whether the training is finished: all steps done, or stopped early.
    pub finished: bool,
}

/// How far a training has come, by the checkpoints in `store`, without reading weights.
///
/// # Errors
/// Checkpoints of another configuration, or a folder that cannot be read.
pub fn reached(store: &CheckpointStore) -> Result<Reached> {
    let Some(checkpoint) = store.latest()?.checkpoint else { return Ok(Reached { step: 0, finished: false }) };
    let saved = read_saved(&checkpoint)?;
    Ok(Reached { step: checkpoint.step(), finished: saved.progress.finished })
}

fn read_saved(checkpoint: &Checkpoint) -> Result<Saved> {
    let bad = |e| Error::Checkpoint { step: checkpoint.step(), message: format!("state: {e}") };
    serde_json::from_value(checkpoint.state().clone()).map_err(bad)
}

/// Leaves, of the checkpoints of a finished training in `store`, what [`train`](super::train) needs to return its model again: one
/// checkpoint with the weights of the result, without moments. Checkpoints of a training that goes on stay as they are.
///
/// Whenever this ends, also by a crash, a checkpoint that verifies is there.
///
/// # Errors
/// Checkpoints of another configuration, or a folder that cannot be read or written.
pub fn keep_result(store: &CheckpointStore) -> Result<()> {
    let Some(checkpoint) = store.latest()?.checkpoint else { return Ok(()) };
    let saved = read_saved(&checkpoint)?;
    if !saved.progress.finished {
        return Ok(());
    }
    let result = if saved.best.is_some() { BEST } else { MODEL };
    if checkpoint.files().iter().any(|file| file.name != result) {
        let weights = checkpoint.file(result)?;
        store.save(checkpoint.step(), &[(result, FileContent::CopyOf(&weights))], checkpoint.state().clone())?;
    }
    store.retain(1)?;
    Ok(())
}

impl<M: Module> State<M> {
    pub fn new(model: M, config: &TrainConfig, stage: &Stage) -> Result<Self> {
        let incomplete = || Error::Mismatch("the optimizer's moments to begin with are incomplete".into());
        let optimizer = match &stage.moments {
            Some(moments) => Optimizer::from_state(config.optimizer, moments).ok_or_else(incomplete)?,
            None => Optimizer::new(config.optimizer),
        };
        let loss_scale = LossScale::of(config.precision);
        let (step, ends, progress) = (stage.begins, stage.ends, Progress::default());
        Ok(Self { model, optimizer, step, ends, best: None, last: None, progress, loss_scale })
    }

    /// Writes a checkpoint and keeps the newest.
    pub fn save(&self, store: &CheckpointStore, job: &dyn Job<M>, config: &TrainConfig) -> Result<()> {
        let mut files = vec![
            (MODEL, collect_internal(&self.model).to_safetensors()?),
            (OPTIMIZER, self.optimizer.state().to_safetensors()?),
        ];
        if let Some(best) = &self.best {
            files.push((BEST, best.weights.to_safetensors()?));
        }
        if let Some(memory) = job.memory() {
            files.push((MEMORY, memory.to_safetensors()?));
        }
        let saved = Saved {
            optimizer: config.optimizer.kind,
            best: self.best.as_ref().map(|b| (b.step, b.evaluation.clone())),
            last: self.last.clone(),
            progress: self.progress.clone(),
            loss_scale: self.loss_scale.clone(),
        };
        let contents: Vec<(&str, FileContent<'_>)> = files.iter().map(|(n, b)| (*n, FileContent::Bytes(b))).collect();
        store.save(self.step, &contents, json!(saved))?;
        // It reads what stays once more, which takes its time, for the sake of what goes.
        if store.steps()?.len() > config.keep_last {
            store.retain(config.keep_last)?;
        }
        Ok(())
    }

    /// Puts a checkpoint's contents into this state.
    pub fn restore(&mut self, checkpoint: &Checkpoint, job: &dyn Job<M>, config: &TrainConfig) -> Result<()>
    where
        M: Clone,
    {
        let step = checkpoint.step();
        let bad = |message: String| Error::Checkpoint { step, message };
        let read = |name: &str| -> Result<Tensors> { Ok(Tensors::read_safetensors(&checkpoint.file(name)?)?) };
        let saved = read_saved(checkpoint)?;
        let wanted = config.optimizer.kind;
        if saved.optimizer != wanted {
            return Err(bad(format!(
                "it holds the moments of the optimizer `{}`, the training uses `{wanted}`; continue with the same optimizer, or start from the beginning",
                saved.optimizer
            )));
        }
        let has = |name: &str| checkpoint.files().iter().any(|file| file.name == name);
        // Of a finished training the result alone may be left: see `keep_result`.
        let result_only = saved.progress.finished && !has(OPTIMIZER);
        let weights = if result_only && !has(MODEL) { BEST } else { MODEL };
        self.model = apply_internal(self.model.clone(), read(weights)?, &checkpoint.file(weights)?)?;
        if !result_only {
            self.optimizer = Optimizer::from_state(config.optimizer, &read(OPTIMIZER)?)
                .ok_or_else(|| bad("the optimizer's moments are incomplete".into()))?;
        }
        self.best = match saved.best {
            Some((step, evaluation)) => Some(Best { step, evaluation, weights: read(BEST)? }),
            None => None,
        };
        if has(MEMORY) {
            job.recall(&read(MEMORY)?)?;
        }
        self.last = saved.last;
        self.progress = saved.progress;
        // Only a training in `f16` has one.
        if let (Some(scale), Some(saved)) = (&mut self.loss_scale, saved.loss_scale) {
            *scale = saved;
        }
        self.step = step;
        Ok(())
    }
}
