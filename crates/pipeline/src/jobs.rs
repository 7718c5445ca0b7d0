//! The job of a training, from what it learns from: on labels, or from a teacher.

use bert_core::TaskModel;
use kd::job::{GeneralDistillation, SpanDistillation, TaskDistillation, Teacher, as_is};
use kd::objective::Plan;
use train::engine::Job;
use train::fine_tune::FineTune;
use train::span::SpanFineTune;

use crate::training_data::TrainingData;

/// Fine-tuning on labels; head i of the model belongs to task i.
pub struct FineTuneRun<'a> {
    /// Tasks or questions.
    pub data: &'a TrainingData,
}

impl FineTuneRun<'_> {
    /// Hands the job to `run`.
    ///
    /// # Panics
    /// The data are text, which has no labels: a programming error.
    pub fn with_job<R>(&self, run: impl FnOnce(&dyn Job<TaskModel>) -> R) -> R {
        match self.data {
            TrainingData::Tasks(data) => {
                let heads = (0..data.eval.len()).collect();
                run(&FineTune { data: &data.mix, heads, eval: &data.eval })
            }
            TrainingData::Spans(data) => run(&SpanFineTune { data: &data.train, head: 0, eval: Some(&data.eval) }),
            TrainingData::Text(_) => panic!("text has no labels to fine-tune on"),
        }
    }
}

/// Everything that one distillation needs but the student.
pub struct DistillRun<'a> {
    /// Who teaches.
    pub teacher: &'a dyn Teacher,
    /// The teacher's head for each task.
    pub heads: Vec<usize>,
    /// What is learnt in which step.
    pub plan: &'a Plan,
    /// What the student is taught on.
    pub data: &'a TrainingData,
}

impl DistillRun<'_> {
    /// Hands the job to `run`.
    pub fn with_job<R>(&self, run: impl FnOnce(&dyn Job<TaskModel>) -> R) -> R {
        let Self { teacher, plan, .. } = *self;
        match self.data {
            TrainingData::Text(data) => {
                let (text, words) = (data.text.as_ref(), data.words());
                run(&GeneralDistillation { teacher, plan, text, words, prepare: as_is() })
            }
            TrainingData::Tasks(data) => run(&TaskDistillation {
                teacher,
                teacher_heads: self.heads.clone(),
                student_heads: (0..self.heads.len()).collect(),
                plan,
                data: &data.mix,
                eval: &data.eval,
                prepare: as_is(),
            }),
            TrainingData::Spans(data) => run(&SpanDistillation {
                teacher,
                teacher_head: self.heads[0],
                student_head: 0,
                plan,
                data: &data.train,
                eval: Some(&data.eval),
            }),
        }
    }
}
