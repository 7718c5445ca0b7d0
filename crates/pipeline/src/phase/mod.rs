//! The phases of a run.
//!
//! | file | phase |
//! |---|---|
//! | `spec` | the list of all phases, which everything else reads |
//! | `batch_order` | which batches the teacher is shown more than once |
//! | `cache_room` | how much of its answers is kept |
//! | `forecast`, `stopwatch` | what the run is going to do and how long that takes, from a few measured steps |
//! | `context` | what all phases share: folder, log, host; a resumable training |
//! | `teacher` | load or make the teacher, fine-tune it, or one for each task |
//! | `beginning` | students that begin as their teacher |
//! | `distillation` | one distillation: what is learned, on text and on tasks |
//! | `winner` | which candidate is handed over: measured, and smaller ones beside it |
//! | `supernet` | warm-up, and the supernet of stage 3 |
//! | `parts` | spaces, strategies, stores and evaluators of the search, which a program may bring |
//! | `stages` | the three stages of the search |
//! | `encoders` | the search among whole encoders |
//! | `finish` | final training of the winner and of what it is compared with |
//! | `plain` | uniform plain networks of the student's size or latency |

mod batch_order;
mod beginning;
mod cache_room;
mod context;
mod distillation;
mod encoders;
mod finish;
mod forecast;
mod parts;
mod plain;
mod pretrain;
mod spec;
mod stages;
mod stopwatch;
mod supernet;
mod teacher;
mod winner;

pub(crate) use beginning::{Origin, Weights};
pub use cache_room::{CacheRoom, cache_room};
pub(crate) use context::TeachersOfPhase;
pub use context::{Context, LogLine};
pub(crate) use distillation::check_fit;
pub use encoders::{Encoders, search_encoders, stage_title};
pub(crate) use encoders::{FITTED_TOKENS, encoder_space, extremes};
pub use finish::{FinalModel, Found, final_models, save_compared};
pub(crate) use forecast::forecast;
pub use forecast::{Forecast, PhaseForecast};
pub use parts::{FromRecipe, SearchParts, Space, stored_study};
pub use spec::{Data, Model, Network, PhaseId, PhaseSpec, TrainingSpec, phases};
pub(crate) use spec::{Input, trainings};
pub use stages::{Winner, search};
pub(crate) use stages::{check_budget, first_space};
pub(crate) use supernet::supernet_as_teacher;
pub use supernet::{frame, stage_three_supernet, warm_up};
pub(crate) use teacher::scratch_config;
pub use teacher::{Teachers, TunedTeacher, teacher};
