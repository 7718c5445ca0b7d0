//! A recipe: everything that decides a run's result, in one TOML file.
//!
//! | file | concern |
//! |---|---|
//! | `settings` | the sections |
//! | `students` | how many students a run hands over |
//! | `phase_settings` | the settings of its trainings |
//! | `validate` | what a recipe must be beyond its types |
//! | `fitted` | a recipe fitted to a teacher, its data and a limit |
//! | `load` | published recipes, files, `--set key=value` |
//! | `resumed_settings` | settings of a command line that differ from those of the run that it resumes |
//! | `changes` | settings of a run that differ from its recipe |
//! | `moved_inputs` | inputs that lie elsewhere when a run is resumed |

mod changes;
mod fitted;
mod load;
mod moved_inputs;
mod phase_settings;
mod resumed_settings;
mod settings;
mod students;
mod validate;

pub use changes::changes;
pub use fitted::{FITTED, Facts, Limits};
pub use load::{Override, PUBLISHED, load, load_frame, load_without_text};
pub use moved_inputs::Moved;
pub use resumed_settings::{Difference, differences, differing_keys, load_beside};
pub use settings::{
    Begin, CandidateScore, CompareSettings, DataSettings, FinalSettings, Inherit, LatencySettings, Phase, Proxy,
    Recipe, ScratchTeacher, SearchSettings, StageSettings, StrategyKind, StudentSettings, SupernetSettings,
    TeacherSettings,
};
pub use students::Students;
