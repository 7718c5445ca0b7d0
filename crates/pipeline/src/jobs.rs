//! The job of a training, from what it learns from: on labels, or from a teacher.

use bert_core::TaskModel;
use kd::job::{GeneralDistillation, LogitDistillation, SpanDistillation, TaskDistillation, Teacher, as_is};
use kd::objective::Plan;
use train::engine::Job;
use train::fine_tune::FineTune;
use train::span::SpanFineTune;

use crate::training_data::TrainingData;

/// Hands `run` the job of a fine-tuning on the labels of `data`: tasks, of which head i of the model belongs to task i, or questions.
///
/// # Panics
/// The data are text, which has no labels: a programming error.
pub fn with_fine_tuning<R>(data: &TrainingData, run: impl FnOnce(&dyn Job<TaskModel>) -> R) -> R {
    match data {
        TrainingData::Tasks(data) => {
            let heads = (0..data.eval.len()).collect();
            run(&FineTune { data: &data.mix, heads, eval: &data.eval })
        }
        TrainingData::Spans(data) => run(&SpanFineTune { data: &data.train, head: 0, eval: Some(&data.eval) }),
        TrainingData::Text(_) => panic!("text has no labels to fine-tune on"),
    }
}

/// Hands `run` the job of a distillation on `data` by `plan`; `heads` are the teacher's for each task. Given logits take the place
/// of the teacher's.
pub fn with_distillation<R>(
    teacher: &dyn Teacher,
    heads: Vec<usize>,
    plan: &Plan,
    data: &TrainingData,
    run: impl FnOnce(&dyn Job<TaskModel>) -> R,
) -> R {
    match data {
        TrainingData::Text(data) => {
            let (text, words) = (data.text.as_ref(), data.words());
            run(&GeneralDistillation { teacher, plan, text, words, prepare: as_is() })
        }
        TrainingData::Tasks(data) if !data.given.is_empty() => run(&LogitDistillation {
            given: &data.given,
            student_heads: (0..heads.len()).collect(),
            plan,
            data: &data.mix,
            eval: &data.eval,
        }),
        TrainingData::Tasks(data) => run(&TaskDistillation {
            teacher,
            student_heads: (0..heads.len()).collect(),
            teacher_heads: heads,
            plan,
            data: &data.mix,
            eval: &data.eval,
            prepare: as_is(),
        }),
        TrainingData::Spans(data) => {
            let (teacher_head, eval) = (heads[0], Some(&data.eval));
            run(&SpanDistillation { teacher, teacher_head, student_head: 0, plan, data: &data.train, eval })
        }
    }
}
