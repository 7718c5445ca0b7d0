//! What the engine trains.
//!
//! | file | concern |
//! |---|---|
//! | `fine_tune` | a model on gold labels (the teacher) |
//! | `distill` | a student on text ([`GeneralDistillation`]) or on tasks ([`TaskDistillation`]) |
//! | `repeated` | a student on one batch, to measure a step |
//! | `teacher` | what a student's jobs ask a teacher |
//! | `task_teachers` | a teacher for each task |
//! | `ordered` | a teacher whose classes stand in another order than the data's |
//! | `replicated` | a teacher on several devices |
//!
//! Trainings on SQuAD are in [`crate::span`].
//!
//! Students may be prepared anew in every step, which is how a supernet samples an architecture.

mod distill;
mod fine_tune;
mod ordered;
mod repeated;
mod replicated;
mod task_teachers;
mod teacher;

pub use distill::{GeneralDistillation, Prepare, TaskDistillation, WordLesson, as_is};
pub use fine_tune::FineTune;
pub use ordered::OrderedTeacher;
pub use repeated::RepeatedBatch;
pub use replicated::ReplicatedTeacher;
pub use task_teachers::{TaskTeacher, TaskTeachers, check_alike};
pub use teacher::Teacher;
