//! A model's answers to all examples of a set.

use cpu_runtime::{Outputs, Ragged, Session};
use glue_squad::batch::EncodedBatch;
use glue_squad::task::{Head, Predictions};

use crate::data::{EvalSet, to_ragged};
use crate::heads::AnsweringHead;
use crate::{Error, Result, Watch};
#[cfg(feature = "burn")]
use {
    crate::{Evaluation, data::to_device, mean_gold_score},
    bert_core::{EncodeOptions, TaskModel},
    burn::tensor::Device,
    std::ops::Range,
};

/// Tokens of a forward pass on a processor, at most, but for one sequence: an evaluation can be stopped between two passes, and more in
/// one would not be faster.
#[cfg(feature = "burn")]
const PASS_TOKENS: usize = 1024;

/// The rows of each forward pass over a batch of `rows` sequences of `width` tokens.
#[cfg(feature = "burn")]
pub fn passes(rows: usize, width: usize, device: &Device) -> impl Iterator<Item = Range<usize>> + use<> {
    let most = match *device == Device::flex() {
        true => (PASS_TOKENS / width.max(1)).max(1),
        false => rows.max(1),
    };
    (0..rows).step_by(most).map(move |from| from..rows.min(from + most))
}

/// Predictions of `head` for every example of `set`, in the order of the file; `watch` is called after every pass with the number of those done.
///
/// # Errors
/// Data that cannot be batched, a model that has diverged, or `watch` ended it.
#[cfg(feature = "burn")]
pub fn predictions(
    model: &TaskModel,
    head: &AnsweringHead,
    set: &EvalSet,
    device: &Device,
    watch: &mut Watch<'_>,
) -> Result<Predictions> {
    let rows = outputs(model, head, set, device, watch)?;
    as_predictions(set, &rows)
}

/// The outputs of `head` for every example of `set`, in the order of the file, those of classes in the order of the task's labels.
#[cfg(feature = "burn")]
fn outputs(
    model: &TaskModel,
    head: &AnsweringHead,
    set: &EvalSet,
    device: &Device,
    watch: &mut Watch<'_>,
) -> Result<Vec<Vec<f32>>> {
    let mut rows = Vec::with_capacity(set.len());
    for batch in set.batches() {
        let batch = batch?;
        for pass in passes(batch.batch, batch.seq, device) {
            let size = pass.len();
            let part = batch.rows(pass);
            let tokens = to_device(&part, device);
            let floats = "float tensors convert to f32";
            if is_of_tags(set) {
                let (_, logits) = model.forward_tokens(&tokens, head.index, EncodeOptions::LAST);
                let values = logits.inner().try_into_vec_as::<f32>().expect(floats);
                let texts = part.indices.iter().enumerate().map(|(row, example)| (row * part.seq, *example));
                collect_words(&values, texts, set, &mut rows)?;
            } else {
                let values = |tokens| {
                    let (_, logits) = model.forward(&tokens, head.index, EncodeOptions::LAST);
                    logits.inner().try_into_vec_as::<f32>().expect(floats)
                };
                collect_rows(&values(tokens), size, set, &mut rows)?;
                if let Some(second) = &part.second {
                    collect_second(&values(to_device(second, device)), size, set, &mut rows)?;
                }
            }
            if watch(rows.len(), set.len()).is_break() {
                return Err(Error::Stopped);
            }
        }
    }
    in_order(set, head, rows)
}

/// [`predictions`] of a model compiled for this processor; padding is not computed.
///
/// # Errors
/// Data that cannot be batched or that the model does not take, a model that has diverged, or `watch` ended it.
pub fn predictions_compiled(
    model: &cpu_runtime::Model,
    session: &mut Session,
    head: &AnsweringHead,
    set: &EvalSet,
    watch: &mut Watch<'_>,
) -> Result<Predictions> {
    let mut rows = Vec::with_capacity(set.len());
    let mut ragged = Ragged::new();
    for batch in set.batches() {
        let batch = batch?;
        to_ragged(&batch, &mut ragged);
        let output = session.run(model, &ragged.as_batch(), Outputs { pooled: false, heads: &[head.index] })?;
        let values = output.heads().next().unwrap_or_default();
        match is_of_tags(set) {
            true => {
                let starts = ragged.as_batch().offsets.iter().copied();
                collect_words(values, starts.zip(batch.indices.iter().copied()), set, &mut rows)?;
            }
            false => collect_rows(values, ragged.as_batch().sequences(), set, &mut rows)?,
        }
        if let Some(second) = &batch.second {
            to_ragged(second, &mut ragged);
            let output = session.run(model, &ragged.as_batch(), Outputs { pooled: false, heads: &[head.index] })?;
            let values = output.heads().next().unwrap_or_default();
            collect_second(values, ragged.as_batch().sequences(), set, &mut rows)?;
        }
        if watch(rows.len(), set.len()).is_break() {
            return Err(Error::Stopped);
        }
    }
    as_predictions(set, &in_order(set, head, rows)?)
}

/// [`predictions`] of anything that computes the values of a head for a padded batch: `[batch, outputs]`, or `[batch, length, outputs]` of a
/// head that tags words.
///
/// # Errors
/// Data that cannot be batched, values that are not finite, `values` fails, or `watch` ended it.
pub fn predictions_by(
    values: &mut dyn FnMut(&EncodedBatch) -> Result<Vec<f32>>,
    head: &AnsweringHead,
    set: &EvalSet,
    watch: &mut Watch<'_>,
) -> Result<Predictions> {
    let mut rows = Vec::with_capacity(set.len());
    for batch in set.batches() {
        let batch = batch?;
        let found = values(&batch)?;
        if is_of_tags(set) {
            let texts = batch.indices.iter().enumerate().map(|(row, example)| (row * batch.seq, *example));
            collect_words(&found, texts, set, &mut rows)?;
        } else {
            collect_rows(&found, batch.batch, set, &mut rows)?;
        }
        if let Some(second) = &batch.second {
            collect_second(&values(second)?, second.batch, set, &mut rows)?;
        }
        if watch(rows.len(), set.len()).is_break() {
            return Err(Error::Stopped);
        }
    }
    as_predictions(set, &in_order(set, head, rows)?)
}

/// Appends to each of the last `size` rows the values of the example's second text.
fn collect_second(values: &[f32], size: usize, set: &EvalSet, rows: &mut [Vec<f32>]) -> Result<()> {
    let done = rows.len() - size;
    let mut second = Vec::with_capacity(size);
    collect_rows(values, size, set, &mut second)?;
    rows[done..].iter_mut().zip(second).for_each(|(row, second)| row.extend(second));
    Ok(())
}

/// Appends the values of a batch of `size` examples, row by row.
fn collect_rows(values: &[f32], size: usize, set: &EvalSet, rows: &mut Vec<Vec<f32>>) -> Result<()> {
    let outputs = values.len() / size;
    // Scores of NaN would look like any other: the largest of a row of NaN is its first.
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::NotFiniteAnswer {
            task: set.task.name().to_owned(),
            example: rows.len() + at / outputs + 1,
        });
    }
    rows.extend(values.chunks(outputs).map(<[f32]>::to_vec));
    Ok(())
}

fn is_of_tags(set: &EvalSet) -> bool {
    matches!(set.task.head(), Head::Tags { .. })
}

/// Appends a row for each of `texts`, its first token among those of `values` and its position in the set: the values of the first tokens of
/// its words one after another, NaN for a word without any.
fn collect_words(
    values: &[f32],
    texts: impl Iterator<Item = (usize, usize)>,
    set: &EvalSet,
    rows: &mut Vec<Vec<f32>>,
) -> Result<()> {
    let width = set.task.head().outputs();
    for (first, example) in texts {
        let row = words_at(values, width, first, set.words(example))
            .ok_or_else(|| Error::NotFiniteAnswer { task: set.task.name().to_owned(), example: rows.len() + 1 })?;
        rows.push(row);
    }
    Ok(())
}

/// The values of the first tokens of words, `width` for each, of a text that begins at token `first` of `values`; NaN for a word without a
/// token. `None` where the model gave a value that is not finite.
pub(crate) fn words_at(values: &[f32], width: usize, first: usize, words: &[Option<u32>]) -> Option<Vec<f32>> {
    let mut row = Vec::with_capacity(words.len() * width);
    for start in words {
        match start {
            Some(start) => {
                let at = (first + *start as usize) * width;
                let word = &values[at..at + width];
                if word.iter().any(|v| !v.is_finite()) {
                    return None;
                }
                row.extend_from_slice(word);
            }
            None => row.extend(std::iter::repeat_n(f32::NAN, width)),
        }
    }
    Some(row)
}

/// Rows of batches in the order of the file and of the task's labels.
fn in_order(set: &EvalSet, head: &AnsweringHead, rows: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>> {
    let mut rows = set.restore(rows)?;
    rows.iter_mut().for_each(|row| head.order.sort(row));
    Ok(rows)
}

fn as_predictions(set: &EvalSet, rows: &[Vec<f32>]) -> Result<Predictions> {
    if is_of_tags(set) {
        return Ok(Predictions::of_words(&set.task, rows)?);
    }
    if set.task.head() == Head::Embedding {
        return Ok(Predictions::of_vectors(&set.task, &set.labels, rows)?);
    }
    Ok(Predictions::from_logits(set.task.head(), rows.len(), &rows.concat())?)
}

/// Scores every (head, set) of a model whose heads were made for the data; the score is the mean of the tasks' primary metrics and
/// each metric is named `TASK/METRIC`. `watch` is called with the number of examples done, over all sets.
///
/// # Errors
/// As [`predictions`], or data that cannot be scored.
#[cfg(feature = "burn")]
pub fn evaluate(
    model: &TaskModel,
    sets: &[(usize, EvalSet)],
    device: &Device,
    watch: &mut Watch<'_>,
) -> Result<Evaluation> {
    Ok(evaluate_gold(model, sets, device, watch)?.0)
}

/// [`evaluate`], and the mean over the sets of [`mean_gold_score`]; a set that it is not defined for counts with its metric.
///
/// # Errors
/// As [`evaluate`].
#[cfg(feature = "burn")]
pub fn evaluate_gold(
    model: &TaskModel,
    sets: &[(usize, EvalSet)],
    device: &Device,
    watch: &mut Watch<'_>,
) -> Result<(Evaluation, f64)> {
    let total = sets.iter().map(|(_, set)| set.len()).sum();
    let mut before = 0;
    let (mut all, mut gold) = (Evaluation::default(), 0.0);
    for (head, set) in sets {
        let head = AnsweringHead::in_order(*head, set.task.head().outputs());
        let rows = outputs(model, &head, set, device, &mut |done, _| watch(before + done, total))?;
        let predictions = as_predictions(set, &rows)?;
        before += set.len();
        let scores = set.task.score(&predictions, &set.labels)?;
        let Evaluation { score, metrics, one_answer } = Evaluation::of_task(&set.task, &scores, &predictions);
        gold += mean_gold_score(set.task.head(), &rows, &set.labels).unwrap_or(score);
        all.score += score;
        all.metrics.extend(metrics);
        all.one_answer.extend(one_answer);
    }
    let count = sets.len().max(1) as f64;
    all.score /= count;
    Ok((all, gold / count))
}

#[cfg(all(test, feature = "burn"))]
mod tests {
    use super::*;

    #[test]
    fn passes_have_every_row_once_and_few_tokens() {
        let of = |rows, width| passes(rows, width, &Device::flex()).collect::<Vec<_>>();
        assert_eq!((of(32, 16).len(), of(32, 16)[0].clone()), (1, 0..32));
        assert_eq!(of(32, 128), [0..8, 8..16, 16..24, 24..32]);
        assert_eq!(of(5, 384), [0..2, 2..4, 4..5]);
        assert_eq!(of(2, 5000), [0..1, 1..2]);
        assert!(of(0, 8).is_empty());
    }
}
