//! What `distill` teaches a student on, and how.

use bert_core::TaskModel;
use kd::job::{GeneralDistillation, SpanDistillation, TaskDistillation, Teacher, as_is};
use kd::objective::Plan;
use pipeline::inputs::Files;
use predict::majority::MajorityBaseline;
use train::engine::Trained;

use super::teacher::Data;
use crate::error::CliError;
use crate::text_data::TextData;
use crate::training::Training;

/// What the student is taught on.
pub(super) enum TrainingData {
    Text(TextData),
    Labelled(Data),
}

impl TrainingData {
    pub fn batches_per_epoch(&self) -> u64 {
        match self {
            Self::Text(data) => data.text.batches_per_epoch(),
            Self::Labelled(data) => data.batches_per_epoch(),
        }
    }

    /// What one answer to every example scores where the training is evaluated; nothing on text.
    ///
    /// # Errors
    /// Answers that cannot be scored against.
    pub fn majority(&self) -> Result<Vec<MajorityBaseline>, CliError> {
        match self {
            Self::Text(_) => Ok(Vec::new()),
            Self::Labelled(data) => data.majority(),
        }
    }

    /// Where it comes from.
    pub fn files(&self) -> &Files {
        match self {
            Self::Text(data) => &data.files,
            Self::Labelled(data) => data.files(),
        }
    }
}

/// Everything that one distillation needs but the student.
pub(super) struct Lecture<'a> {
    pub training: &'a Training<'a>,
    pub teacher: &'a dyn Teacher,
    /// The teacher's head for each task.
    pub heads: Vec<usize>,
    pub plan: &'a Plan,
    pub data: TrainingData,
}

impl Lecture<'_> {
    /// Distils `student`.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn give(&self, student: TaskModel) -> Result<Trained<TaskModel>, CliError> {
        let Self { teacher, plan, .. } = *self;
        match &self.data {
            TrainingData::Text(data) => {
                let (text, words) = (data.text.as_ref(), data.words());
                let job = GeneralDistillation { teacher, plan, text, words, prepare: as_is() };
                self.training.run("distill", student, &job)
            }
            TrainingData::Labelled(Data::Tasks(data)) => {
                let job = TaskDistillation {
                    teacher,
                    teacher_heads: self.heads.clone(),
                    student_heads: (0..self.heads.len()).collect(),
                    plan,
                    data: &data.mix,
                    eval: &data.eval,
                    prepare: as_is(),
                };
                self.training.run("distill", student, &job)
            }
            TrainingData::Labelled(Data::Spans(data)) => {
                let job = SpanDistillation {
                    teacher,
                    teacher_head: self.heads[0],
                    student_head: 0,
                    plan,
                    data: &data.train,
                    eval: Some(&data.eval),
                };
                self.training.run("distill", student, &job)
            }
        }
    }
}
