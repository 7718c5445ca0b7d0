//! What a trimmed vocabulary loses on the examples to evaluate on.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bert_core::ModelDir;
use burn::tensor::Device;
use glue_squad::features::Features;
use glue_squad::task::{Split, Task};
use predict::data::{BatchSettings, EvalSet};
use predict::evaluate::predictions;
use predict::examples::Examples;
use predict::heads::answering_head;
use rayon::prelude::*;
use serde::Serialize;
use tokenizer::TextEncoder;

use super::Trim;
use super::texts::{ids, pieces};
use crate::evaluate::until;
use crate::{Error, Result};

/// Examples of a batch.
const BATCH: usize = 32;

/// What is lost on the dev set of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OnDev {
    /// Name of the task.
    pub task: String,
    /// Tokens, as they were.
    pub tokens: usize,
    /// How many of them are encoded otherwise now.
    pub changed: usize,
    /// Parts of the tokens that are unknown, before and after.
    pub unknown: [f64; 2],
    /// Scores of the model with its own head, before and after; of at most so many examples.
    pub score: Option<Score>,
}

/// The task's primary metric on dev examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Before the vocabulary was trimmed, and after.
    pub values: [f64; 2],
    /// Examples that were asked.
    pub examples: usize,
}

/// What is asked about a dev set.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Of this task.
    pub task: &'a Task,
    /// In this folder.
    pub data: &'a Path,
    /// Longest sequence in tokens.
    pub positions: usize,
    /// The model as it was and with its trimmed vocabulary, to be scored on at most so many examples.
    pub models: Option<([&'a ModelDir; 2], usize)>,
}

impl OnDev {
    /// Encodes the dev examples of a task before and after; the models are scored where they have a head for it. SQuAD is not scored.
    ///
    /// # Errors
    /// Files that cannot be read; a model that has diverged; [`Error::Interrupted`] once `stop` is set.
    pub fn of(trim: &Trim, asked: &Asked<'_>, device: &Device, stop: &AtomicBool) -> Result<Self> {
        let Asked { task, data, positions, models } = *asked;
        let at = (data, Split::Dev);
        let (texts, score) = match task.squad() {
            Some(_) => {
                let read = |encoder| pieces(encoder, task, at, positions, None);
                ([read(&trim.whole)?, read(&trim.encoder)?], None)
            }
            None => {
                let read = |encoder| Ok::<_, Error>(Examples::read(task, at, encoder, positions, None)?.features);
                let features = [read(&trim.whole)?, read(&trim.encoder)?];
                let texts = [ids(&features[0]), ids(&features[1])];
                let score = models.map(|models| scores(trim, asked, features, models, device, stop));
                (texts, score.transpose()?.flatten())
            }
        };
        let tokens = |at: usize| texts[at].iter().map(Vec::len).sum::<usize>();
        let changed = texts[0].par_iter().zip(&texts[1]).map(|(before, after)| {
            let expected: Vec<Option<u32>> = trim.mapped(before).collect();
            changed(&expected, after)
        });
        let unknown = |at: usize, encoder: &TextEncoder| {
            let unknown = texts[at].iter().flatten().filter(|id| Some(**id) == encoder.unk_id()).count();
            unknown as f64 / tokens(at).max(1) as f64
        };
        Ok(Self {
            task: task.name().to_owned(),
            tokens: tokens(0),
            changed: changed.sum(),
            unknown: [unknown(0, &trim.whole), unknown(1, &trim.encoder)],
            score,
        })
    }

    /// Part of the tokens that are encoded otherwise.
    pub fn changed_part(&self) -> f64 {
        self.changed as f64 / self.tokens.max(1) as f64
    }
}

impl fmt::Display for OnDev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: f64| 100.0 * part;
        write!(
            f,
            "{} dev: {:.2}% of {} tokens are encoded otherwise; {:.2}% are unknown, {:.2}% were",
            self.task,
            percent(self.changed_part()),
            self.tokens,
            percent(self.unknown[1]),
            percent(self.unknown[0]),
        )?;
        if let Some(Score { values: [before, after], examples }) = self.score {
            let (before, after) = (percent(before), percent(after));
            write!(f, "; the model scores {after:.2} on {examples} examples, {before:.2} before")?;
        }
        Ok(())
    }
}

/// The scores of a model before and after; `None` where it has no head for the task.
fn scores(
    trim: &Trim,
    asked: &Asked<'_>,
    features: [Arc<Vec<Features>>; 2],
    (models, most): ([&ModelDir; 2], usize),
    device: &Device,
    stop: &AtomicBool,
) -> Result<Option<Score>> {
    let Asked { task, positions, .. } = *asked;
    let Ok(head) = answering_head(&models[0].config, task) else { return Ok(None) };
    let settings = BatchSettings::new(BATCH, positions, 0);
    let (mut values, mut examples) = ([0.0; 2], 0);
    let [before, after] = features;
    let sides = [(before, &trim.whole), (after, &trim.encoder)];
    for (value, (model, (features, encoder))) in values.iter_mut().zip(models.into_iter().zip(sides)) {
        let set = EvalSet::new(task, features, encoder.pad_id(), settings)?.sample(most, BATCH)?;
        let found = match predictions(&model.model, &head, &set, device, &mut until(stop)) {
            Err(predict::Error::Stopped) => return Err(Error::Interrupted),
            found => found?,
        };
        *value = task.score(&found, &set.labels)?.primary;
        examples = set.len();
    }
    Ok(Some(Score { values, examples }))
}

/// How many of the expected ids are not among those found, in their order.
fn changed(expected: &[Option<u32>], found: &[u32]) -> usize {
    let same = |(a, b): &(&Option<u32>, &u32)| **a == Some(**b);
    let start = expected.iter().zip(found).take_while(same).count();
    let (expected, found) = (&expected[start..], &found[start..]);
    let end = expected.iter().rev().zip(found.iter().rev()).take_while(same).count();
    let (expected, found) = (&expected[..expected.len() - end], &found[..found.len() - end]);
    // The longest common subsequence of what is left, row by row.
    let mut row = vec![0_usize; found.len() + 1];
    for id in expected {
        let mut diagonal = 0;
        for (at, other) in found.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if *id == Some(*other) { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    expected.len() - row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_another_encoding_lacks_are_counted() {
        let known = |ids: &[u32]| ids.iter().map(|id| Some(*id)).collect::<Vec<_>>();
        assert_eq!(changed(&known(&[2, 5, 6, 3]), &[2, 5, 6, 3]), 0);
        assert_eq!(changed(&[Some(2), None, Some(6), Some(3)], &[2, 9, 9, 6, 3]), 1);
        assert_eq!(changed(&[Some(2), None, Some(6), None, Some(3)], &[2, 9, 6, 8, 8, 3]), 2);
        assert_eq!(changed(&known(&[2, 5, 6, 3]), &[2, 7, 5, 3]), 1, "another order");
        assert_eq!(changed(&known(&[1, 2]), &[]), 2);
    }
}
