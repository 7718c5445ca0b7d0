//! What a checkpoint holds: weights, moments, the best weights so far.

use bert_core::weights::{Tensors, apply_internal, collect_internal};
use burn::module::Module;
use durable::checkpoint::{Checkpoint, CheckpointStore, FileContent};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Evaluation, TrainConfig};
use crate::optim::AdamW;
use crate::{Error, Result};

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const BEST: &str = "best.safetensors";

/// Everything that changes while training.
pub(super) struct State<M> {
    pub model: M,
    pub optimizer: AdamW,
    pub step: u64,
    pub best: Option<Best>,
    pub last: Option<Evaluation>,
}

/// The best evaluation and its weights.
#[derive(Clone)]
pub(super) struct Best {
    pub step: u64,
    pub evaluation: Evaluation,
    pub weights: Tensors,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    best: Option<(u64, Evaluation)>,
    last: Option<Evaluation>,
}

impl<M: Module> State<M> {
    pub fn new(model: M, config: &TrainConfig) -> Self {
        Self { model, optimizer: AdamW::new(config.adamw()), step: 0, best: None, last: None }
    }

    /// Writes a checkpoint and keeps the newest two.
    pub fn save(&self, store: &CheckpointStore) -> Result<()> {
        let mut files = vec![
            (MODEL, collect_internal(&self.model).to_safetensors()?),
            (OPTIMIZER, self.optimizer.state().to_safetensors()?),
        ];
        if let Some(best) = &self.best {
            files.push((BEST, best.weights.to_safetensors()?));
        }
        let saved = Saved { best: self.best.as_ref().map(|b| (b.step, b.evaluation.clone())), last: self.last.clone() };
        let contents: Vec<(&str, FileContent<'_>)> = files.iter().map(|(n, b)| (*n, FileContent::Bytes(b))).collect();
        store.save(self.step, &contents, json!(saved))?;
        store.retain(2, None)?;
        Ok(())
    }

    /// Puts a checkpoint's contents into this state.
    pub fn restore(&mut self, checkpoint: &Checkpoint, config: &TrainConfig) -> Result<()>
    where
        M: Clone,
    {
        let step = checkpoint.step();
        let bad = |message: &str| Error::Checkpoint { step, message: message.into() };
        let read = |name: &str| -> Result<Tensors> { Ok(Tensors::read_safetensors(&checkpoint.file(name)?)?) };
        let saved: Saved =
            serde_json::from_value(checkpoint.state().clone()).map_err(|e| bad(&format!("state: {e}")))?;
        self.model = apply_internal(self.model.clone(), read(MODEL)?, &checkpoint.file(MODEL)?)?;
        self.optimizer = AdamW::from_state(config.adamw(), &read(OPTIMIZER)?)
            .ok_or_else(|| bad("the optimiser's moments are incomplete"))?;
        self.best = match saved.best {
            Some((step, evaluation)) => Some(Best { step, evaluation, weights: read(BEST)? }),
            None => None,
        };
        self.last = saved.last;
        self.step = step;
        Ok(())
    }
}
