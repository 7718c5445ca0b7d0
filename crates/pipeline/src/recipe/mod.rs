//! A recipe: everything that decides a run's result, in one TOML file.
//!
//! | file | concern |
//! |---|---|
//! | `settings` | the sections |
//! | `load` | published recipes, files, `--set key=value` |

mod load;
mod settings;

pub(crate) use load::Distillation;
pub use load::{Override, PUBLISHED, load};
pub use settings::{
    DataSettings, FinalSettings, InferencePrecision, Inherit, LatencySettings, Phase, Proxy, Recipe, ScratchTeacher,
    SearchSettings, StageSettings, StrategyKind, StudentSettings, SupernetSettings, TeacherSettings,
};
