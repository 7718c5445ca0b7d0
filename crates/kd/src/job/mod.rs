//! What the engine trains.
//!
//! | file | concern |
//! |---|---|
//! | `distill` | a student on text ([`GeneralDistillation`]) or on tasks ([`TaskDistillation`]) |
//! | `tags` | the part of `distill` for tags of words |
//! | `given_logits` | a student of logits that another program computed |
//! | `span` | a student on the questions of SQuAD |
//! | `repeated` | a student on one batch, to measure a step |
//! | `teacher` | what a student's jobs ask a teacher |
//! | `task_teachers` | a teacher for each task |
//! | `ordered` | a teacher whose classes stand in another order than the data's |
//! | `replicated` | a teacher on several devices |
//!
//! Students may be prepared again in every step, which is how a supernet samples an architecture.

mod distill;
mod given_logits;
mod ordered;
mod repeated;
mod replicated;
mod span;
mod tags;
mod task_teachers;
mod teacher;
mod vectors;

pub use distill::{GeneralDistillation, MlmTask, Prepare, TaskDistillation, as_is};
pub use given_logits::{GivenLogits, LogitDistillation};
pub use ordered::OrderedTeacher;
pub use repeated::RepeatedBatch;
pub use replicated::ReplicatedTeacher;
pub use span::SpanDistillation;
pub use task_teachers::{TaskTeacher, TaskTeachers, check_alike};
pub use teacher::{Scored, Teacher};
