//! The phases of a run.
//!
//! | file | phase |
//! |---|---|
//! | `spec` | the list of all phases, which everything else reads |
//! | `batch_order` | which batches the teacher is shown more than once |
//! | `cache_room` | how much of its answers is kept |
//! | `context` | what all phases share: folder, log, host; a resumable training |
//! | `teacher` | load or make the teacher, fine-tune it, or one for each task |
//! | `supernet` | warm-up, and the supernet of stage 3 |
//! | `parts` | spaces, strategies, stores and evaluators of the search, which a program may bring |
//! | `stages` | the three stages of the search |
//! | `finish` | final distillation of the winner and of the uniform baseline |

mod batch_order;
mod cache_room;
mod context;
mod finish;
mod parts;
mod spec;
mod stages;
mod supernet;
mod teacher;

pub use cache_room::{CacheRoom, cache_room};
pub use context::{Context, LogLine};
pub use finish::{FinalModel, baseline, student};
pub use parts::{FromRecipe, SearchParts, Space, stored_study};
pub use spec::{Data, Model, PhaseId, PhaseSpec, TrainingSpec, phases};
pub(crate) use spec::{Input, trainings};
pub use stages::{Winner, search};
pub(crate) use stages::{check_budget, first_space};
pub(crate) use supernet::check_fit;
pub use supernet::{frame, stage_three_supernet, warm_up};
pub(crate) use teacher::scratch_config;
pub use teacher::{Teachers, TunedTeacher, teacher};
