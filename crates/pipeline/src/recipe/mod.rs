//! A recipe: everything that decides a run's result, in one TOML file.
//!
//! | file | concern |
//! |---|---|
//! | `settings` | the sections |
//! | `load` | published recipes, files, `--set key=value` |
//! | `moved` | inputs that are elsewhere when a run goes on |

mod load;
mod moved;
mod settings;

pub(crate) use load::Distillation;
pub use load::{Override, PUBLISHED, load};
pub use moved::Moved;
pub use settings::{
    DataSettings, FinalSettings, InferencePrecision, Inherit, LatencySettings, Phase, Proxy, Recipe, ScratchTeacher,
    SearchSettings, StageSettings, StrategyKind, StudentSettings, SupernetSettings, TeacherSettings,
};
