//! A recipe: everything that decides a run's result, in one TOML file.
//!
//! | file | concern |
//! |---|---|
//! | `settings` | the sections |
//! | `phases` | its trainings |
//! | `check` | what a recipe must be beyond its types |
//! | `load` | published recipes, files, `--set key=value` |
//! | `agree` | what a command line says otherwise than a run that goes on |
//! | `changes` | what a run has otherwise than its recipe |
//! | `moved` | inputs that are elsewhere when a run goes on |

mod agree;
mod changes;
mod check;
mod load;
mod moved;
mod phases;
mod settings;

pub use agree::{Difference, differences, load_beside};
pub use changes::{Change, changes};
pub use load::{Override, PUBLISHED, load, load_frame};
pub use moved::Moved;
pub use settings::{
    DataSettings, FinalSettings, Inherit, LatencySettings, Phase, Proxy, Recipe, ScratchTeacher, SearchSettings,
    StageSettings, StrategyKind, StudentSettings, SupernetSettings, TeacherSettings,
};
