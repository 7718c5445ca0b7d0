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
        let (features, cut) = features::encode_for(&task, encoder, &data.examples, max_len)?;
        let features = Arc::new(features);
        let of_file = |note: String| format!("{}: {note}", data.path.display());
        let notes = [
            data.passed_over(),
            unseen_words(&features, max_len).map(of_file),
            cut_texts(cut, features.len(), max_len).map(of_file),
        ];
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        let rows = data.examples.iter().map(|example| example.id).collect();
        Ok(Self { task, rows, features, note: (!notes.is_empty()).then(|| notes.join("; ")) })
    }
}

/// How many texts lose their end, in words for people.
fn cut_texts(cut: usize, of: usize, max_len: usize) -> Option<String> {
    (cut > 0).then(|| format!("{cut} of {of} texts are longer than {max_len} tokens and lose their end"))
}

/// How many words have no token that could carry a tag, in words for people.
fn unseen_words(features: &[Features], max_len: usize) -> Option<String> {
    let of = |row: &Features| row.words.iter().flat_map(|words| words.iter()).filter(|start| start.is_none()).count();
    let counts: Vec<usize> = features.iter().map(of).filter(|count| *count > 0).collect();
    let (words, texts) = (counts.iter().sum::<usize>(), counts.len());
    (texts > 0).then(|| {
        format!(
            "{words} words of {texts} texts are not seen by the model: they are cut off after {max_len} tokens, or the tokenizer makes \
             nothing of them; they are not learned, and answered as outside of every entity"
        )
    })
}
