//! Windows as one rectangle of ids, and a model's answer to it.

use std::ops::Range;

use tokenizer::Padding;

use super::set::WindowSet;
use crate::batch::EncodedBatch;
use crate::error::{Error, Result};
use crate::features::Features;

/// The targets of a training batch, as positions in the rows; 0 is the `[CLS]`.
///
/// # Shapes
/// Both `[batch]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanTargets {
    /// The first token of the answer.
    pub starts: Vec<i32>,
    /// The last token of the answer.
    pub ends: Vec<i32>,
}

/// A batch of windows.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanBatch {
    /// Ids, segments and mask; its `indices` are the positions of the windows in their [`WindowSet`], its labels are none.
    pub tokens: EncodedBatch,
    /// Where the answers are; `None` for windows made for prediction.
    pub targets: Option<SpanTargets>,
}

/// The scores of one window, one start and one end score per token. What stands beyond the window's tokens is padding and not looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpanLogits {
    /// How much each token looks like the first of the answer.
    pub start: Vec<f32>,
    /// How much each token looks like the last of the answer.
    pub end: Vec<f32>,
}

impl WindowSet {
    /// Builds the batch of some windows.
    ///
    /// # Errors
    /// No windows, one that is not there, or one that is longer than the padding allows.
    pub fn batch(&self, windows: &[usize], padding: Padding) -> Result<SpanBatch> {
        let rows: Vec<Features> = windows.iter().map(|window| self.features(*window)).collect::<Result<_>>()?;
        let places: Vec<usize> = (0..rows.len()).collect();
        let mut tokens = EncodedBatch::collate(&rows, &places, padding)?;
        tokens.indices = windows.to_vec();
        let targets: Option<Vec<_>> = windows.iter().map(|window| self.windows()[*window].target).collect();
        let targets = targets.map(|targets| SpanTargets {
            starts: targets.iter().map(|(start, _)| *start as i32).collect(),
            ends: targets.iter().map(|(_, end)| *end as i32).collect(),
        });
        Ok(SpanBatch { tokens, targets })
    }
}

impl SpanBatch {
    /// Some rows of the batch, at its width.
    ///
    /// # Panics
    /// The batch has not that many rows.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        let targets = self.targets.as_ref().map(|targets| SpanTargets {
            starts: targets.starts[rows.clone()].to_vec(),
            ends: targets.ends[rows.clone()].to_vec(),
        });
        Self { tokens: self.tokens.rows(rows), targets }
    }

    /// Takes a span head's output apart: for every row its scores without the padding, in the order of the rows.
    ///
    /// # Shapes
    /// `logits`: `[batch, seq, 2]` (start, end), row after row.
    ///
    /// # Errors
    /// Another number of values.
    pub fn split_logits(&self, logits: &[f32]) -> Result<Vec<SpanLogits>> {
        let EncodedBatch { batch, seq, .. } = &self.tokens;
        if logits.len() != batch * seq * 2 {
            return Err(Error::Invalid(format!(
                "{} span logits for {batch} windows of {seq} tokens x 2",
                logits.len()
            )));
        }
        Ok(logits.chunks_exact(seq * 2).zip(self.lengths()).map(|(row, tokens)| split(&row[..tokens * 2])).collect())
    }

    /// [`SpanBatch::split_logits`] for an engine that does not compute padding.
    ///
    /// # Shapes
    /// `logits`: `[tokens, 2]`, the tokens of one row after those of another.
    ///
    /// # Errors
    /// Another number of values.
    pub fn split_ragged_logits(&self, logits: &[f32]) -> Result<Vec<SpanLogits>> {
        let tokens = self.tokens.tokens();
        if logits.len() != tokens * 2 {
            return Err(Error::Invalid(format!("{} span logits for {tokens} tokens x 2", logits.len())));
        }
        let mut rest = logits;
        let next = |tokens: usize| {
            let (row, after) = rest.split_at(tokens * 2);
            rest = after;
            split(row)
        };
        Ok(self.lengths().map(next).collect())
    }

    /// Tokens of every row.
    fn lengths(&self) -> impl Iterator<Item = usize> {
        self.tokens.mask.chunks_exact(self.tokens.seq).map(|row| row.iter().filter(|m| **m == 1).count())
    }
}

/// Pairs of start and end as two lists.
fn split(row: &[f32]) -> SpanLogits {
    let side = |side: usize| row.chunks_exact(2).map(|pair| pair[side]).collect();
    SpanLogits { start: side(0), end: side(1) }
}
