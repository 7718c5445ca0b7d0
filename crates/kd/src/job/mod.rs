//! What the engine trains.
//!
//! | file | job |
//! |---|---|
//! | `fine_tune` | a model on gold labels (the teacher) |
//! | `distill` | a student on text ([`GeneralDistillation`]) or on tasks ([`TaskDistillation`]) |
//! | `task_teachers` | of the second of these two, a teacher for each task |
//! | `replicated` | no job: the teacher of one on several devices |
//! | `repeated` | a student on one batch, to measure a step |
//!
//! Trainings on SQuAD are in [`crate::span`].
//!
//! Students may be prepared anew in every step, which is how a supernet samples an architecture.

mod distill;
mod fine_tune;
mod repeated;
mod replicated;
mod task_teachers;

pub use distill::{GeneralDistillation, Prepare, TaskDistillation, Teacher, WordLesson, as_is};
pub use fine_tune::FineTune;
pub use repeated::RepeatedBatch;
pub use replicated::ReplicatedTeacher;
pub use task_teachers::{TaskTeacher, TaskTeachers, check_alike};
