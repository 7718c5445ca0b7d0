//! The encoded examples of a split, which several sets of batches may share.

use std::path::Path;
use std::sync::Arc;

use glue_squad::features::{self, Features};
use glue_squad::task::{Split, Task};
use tokenizer::TextEncoder;

use crate::Result;

/// A split of a task, read and encoded once. Clones share the examples.
#[derive(Debug, Clone)]
pub struct Examples {
    /// The task.
    pub task: Task,
    /// The row of each in its file, from 0.
    pub rows: Vec<usize>,
    /// Its examples in the order of the file.
    pub features: Arc<Vec<Features>>,
    /// What the reader passed over, in words for people.
    pub note: Option<String>,
}

impl Examples {
    /// Reads and encodes a split; `limit` keeps the first examples only.
    ///
    /// # Errors
    /// As [`Task::read_split`] and the encoder.
    pub fn read(
        task: impl Into<Task>,
        (dir, split): (&Path, Split),
        encoder: &TextEncoder,
        max_len: usize,
        limit: Option<usize>,
    ) -> Result<Self> {
        let task = task.into();
        let mut data = task.read_split(dir, split)?;
        data.examples.truncate(limit.unwrap_or(usize::MAX));
        let features = Arc::new(features::encode(encoder, &data.examples, max_len)?);
        let rows = data.examples.iter().map(|example| example.id).collect();
        Ok(Self { task, rows, features, note: data.passed_over() })
    }
}
