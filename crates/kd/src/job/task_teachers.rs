//! One teacher for each task.

use bert_core::{BertConfig, EncodeOptions, EncoderOutput, TokenBatch};
use burn::tensor::{Int, Tensor};

use super::{Scored, Teacher};
use crate::objective::Shape;
use crate::{Error, Result};

/// A teacher of [`TaskTeachers`].
pub struct TaskTeacher<'a> {
    /// Its name in errors: its task, or where it comes from.
    pub name: String,
    /// Its configuration.
    pub config: &'a BertConfig,
    /// The model, or a [`CachedTeacher`](crate::cache::CachedTeacher) before it.
    pub teacher: Box<dyn Teacher + 'a>,
    /// Its head for the task.
    pub head: usize,
}

/// A teacher for each task, as EfficientBERT's multi-task fine-tuning has them (Dong et al. 2021): a batch of a task goes to the
/// teacher that was fine-tuned on it, for layers as well as for answers. All of them stay in memory; the released code loads one
/// for every batch.
///
/// The heads that a job names are positions of tasks; each teacher is asked for its own head. Answers are kept by
/// [`CachedTeacher`](crate::cache::CachedTeacher)s before the teachers in it, under the identity of each.
pub struct TaskTeachers<'a> {
    general: Box<dyn Teacher + 'a>,
    tasks: Vec<TaskTeacher<'a>>,
}

impl std::fmt::Debug for TaskTeachers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.tasks.iter().map(|of| (&of.name, of.head))).finish()
    }
}

impl<'a> TaskTeachers<'a> {
    /// `tasks[i]` teaches task `i`, and `general` what is of no task.
    ///
    /// # Errors
    /// No task, or teachers of different shapes, see [`check_alike`].
    pub fn new(general: Box<dyn Teacher + 'a>, tasks: Vec<TaskTeacher<'a>>) -> Result<Self> {
        let Some(first) = tasks.first() else {
            return Err(Error::Mismatch("there is no teacher for any task".into()));
        };
        for other in &tasks[1..] {
            check_alike((&first.name, first.config), (&other.name, other.config))?;
        }
        Ok(Self { general, tasks })
    }
}

impl Teacher for TaskTeachers<'_> {
    fn states(&self, batch: &TokenBatch, head: Option<usize>, options: EncodeOptions) -> EncoderOutput {
        match head.map(|task| &self.tasks[task]) {
            Some(of) => of.teacher.states(batch, Some(of.head), options),
            None => self.general.states(batch, None, options),
        }
    }

    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<2> {
        let of = &self.tasks[head];
        of.teacher.logits(batch, of.head, options)
    }

    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<3> {
        let of = &self.tasks[head];
        of.teacher.span_logits(batch, of.head, options)
    }

    fn word_logits(&self, batch: &TokenBatch, at: Tensor<1, Int>, options: EncodeOptions) -> Option<Scored<2>> {
        self.general.word_logits(batch, at, options)
    }
}

/// Whether two teachers, each with its name, can teach one student: it has one projection to their width, one map of layers and one
/// word table.
///
/// # Errors
/// [`Error::Mismatch`] with both names and the sizes that differ.
pub fn check_alike(one: (&str, &BertConfig), other: (&str, &BertConfig)) -> Result<()> {
    let sizes = |config: &BertConfig| {
        let Shape { layers, width, heads, .. } = Shape::of(config);
        [("layers", layers), ("wide", width), ("attention heads", heads), ("word pieces", config.vocab_size)]
    };
    let pairs = sizes(one.1).into_iter().zip(sizes(other.1));
    let differing: Vec<_> = pairs.filter(|(a, b)| a != b).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let list = |of: &dyn Fn(usize) -> (&'static str, usize)| {
        let said = |i: usize| match of(i) {
            ("wide", width) => format!("width {width}"),
            (what, number) => format!("{number} {what}"),
        };
        (0..differing.len()).map(said).collect::<Vec<_>>().join(", ")
    };
    Err(Error::Mismatch(format!(
        "the teachers of one student must have the same layers, width, attention heads and vocabulary: {} has {}, {} has {}",
        one.0,
        list(&|i| differing[i].0),
        other.0,
        list(&|i| differing[i].1)
    )))
}
