//! Dev scores and predictions.

use std::ops::{ControlFlow, Range};

use bert_core::{EncodeOptions, TaskModel};
use burn::tensor::Device;
use cpu_runtime::{Outputs, Ragged, Session};
use glue_squad::task::{Predictions, Scores, Task};

use crate::data::{EvalSet, to_device, to_ragged};
use crate::engine::{Evaluation, Watch};
use crate::heads::AnsweringHead;
use crate::majority::only_answer;
use crate::{Error, Result};

/// Tokens of a forward pass on a processor, at most, but for one sequence: an evaluation can be stopped between two passes, and more in
/// one would not be faster.
const PASS_TOKENS: usize = 1024;

/// The rows of each forward pass over a batch of `rows` sequences of `width` tokens.
pub(crate) fn passes(rows: usize, width: usize, device: &Device) -> impl Iterator<Item = Range<usize>> + use<> {
    let most = match *device == Device::flex() {
        true => (PASS_TOKENS / width.max(1)).max(1),
        false => rows.max(1),
    };
    (0..rows).step_by(most).map(move |from| from..rows.min(from + most))
}

/// Predictions of head `head`, which was made for the data, for every example of `set`, in the order of the file.
///
/// # Errors
/// Data that cannot be batched.
pub fn predict(model: &TaskModel, head: usize, set: &EvalSet, device: &Device) -> Result<Predictions> {
    let head = AnsweringHead::in_order(head, set.task.head().outputs());
    predict_watched(model, &head, set, device, &mut |_| {})
}

/// As [`predict`] with any head; `watch` is told after every pass how many examples are done.
///
/// # Errors
/// As [`predict`].
pub fn predict_watched(
    model: &TaskModel,
    head: &AnsweringHead,
    set: &EvalSet,
    device: &Device,
    watch: &mut dyn FnMut(usize),
) -> Result<Predictions> {
    let mut watch = |done: usize| {
        watch(done);
        ControlFlow::Continue(())
    };
    predict_while(model, head, set, device, &mut watch)
}

/// [`predict`] for as long as `watch`, which is told after every pass how many examples are done, does not end it.
fn predict_while(
    model: &TaskModel,
    head: &AnsweringHead,
    set: &EvalSet,
    device: &Device,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Predictions> {
    let mut rows = Vec::with_capacity(set.len());
    for batch in set.batches() {
        let batch = batch?;
        for pass in passes(batch.batch, batch.seq, device) {
            let size = pass.len();
            let tokens = to_device(&batch.rows(pass), device);
            let (_, logits) = model.forward(&tokens, head.index, EncodeOptions::LAST);
            let values = logits.inner().try_into_vec_as::<f32>().expect("float tensors convert to f32");
            collect_rows(&values, size, set, &mut rows)?;
            if watch(rows.len()).is_break() {
                return Err(Error::Stopped);
            }
        }
    }
    finish(set, head, rows)
}

/// [`predict_watched`] with a model compiled for this processor; padding is not computed.
///
/// # Errors
/// Data that cannot be batched, or that the model does not take.
pub fn predict_frozen(
    model: &cpu_runtime::Model,
    session: &mut Session,
    head: &AnsweringHead,
    set: &EvalSet,
    watch: &mut dyn FnMut(usize),
) -> Result<Predictions> {
    let mut rows = Vec::with_capacity(set.len());
    let mut ragged = Ragged::new();
    for batch in set.batches() {
        to_ragged(&batch?, &mut ragged);
        let output = session.run(model, &ragged.as_batch(), Outputs { pooled: false, heads: &[head.index] })?;
        let size = ragged.as_batch().sequences();
        collect_rows(output.heads().next().unwrap_or_default(), size, set, &mut rows)?;
        watch(rows.len());
    }
    finish(set, head, rows)
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

fn finish(set: &EvalSet, head: &AnsweringHead, rows: Vec<Vec<f32>>) -> Result<Predictions> {
    let mut rows = set.restore(rows)?;
    rows.iter_mut().for_each(|row| head.order.sort(row));
    let count = rows.len();
    Ok(Predictions::from_logits(set.task.head(), count, &rows.concat())?)
}

/// The task's metrics of head `head` on `set`.
///
/// # Errors
/// Data that cannot be batched or scored.
pub fn score(model: &TaskModel, head: usize, set: &EvalSet, device: &Device) -> Result<Scores> {
    let predictions = predict(model, head, set, device)?;
    Ok(set.task.score(&predictions, &set.labels)?)
}

impl Evaluation {
    /// The scores of `predictions` on one task: the score is [`Scores::primary`], each metric is named `TASK/METRIC`.
    pub fn of_task(task: &Task, scores: &Scores, predictions: &Predictions) -> Self {
        let metrics = scores.values.iter().map(|v| (format!("{}/{}", task.name(), v.name), v.value)).collect();
        let one_answer = only_answer(task, predictions).map(|answer| (task.name().to_owned(), answer));
        Self { score: scores.primary, metrics, one_answer: one_answer.into_iter().collect() }
    }
}

/// Scores every (head, set); the score is the mean of the tasks' primary metrics and each metric
/// is named `TASK/METRIC`. `watch` hears how far it is, over all sets.
///
/// # Errors
/// As [`score`], or `watch` ended it.
pub fn evaluate(
    model: &TaskModel,
    sets: &[(usize, EvalSet)],
    device: &Device,
    watch: &mut Watch<'_>,
) -> Result<Evaluation> {
    let total = sets.iter().map(|(_, set)| set.len()).sum();
    let mut before = 0;
    let mut all = Evaluation::default();
    for (head, set) in sets {
        let head = AnsweringHead::in_order(*head, set.task.head().outputs());
        let predictions = predict_while(model, &head, set, device, &mut |done| watch(before + done, total))?;
        before += set.len();
        let scores = set.task.score(&predictions, &set.labels)?;
        let Evaluation { score, metrics, one_answer } = Evaluation::of_task(&set.task, &scores, &predictions);
        all.score += score;
        all.metrics.extend(metrics);
        all.one_answer.extend(one_answer);
    }
    all.score /= sets.len().max(1) as f64;
    Ok(all)
}

#[cfg(test)]
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
