//! What a run is: from a recipe to a run folder that holds a student, its proof and its story.
//!
//! | module | concern |
//! |---|---|
//! | [`recipe`] | everything that decides the result, in one TOML file |
//! | [`events`] | what a watcher is told, and what `log.jsonl` holds |
//! | [`import`] | foreign weights as a model directory |
//! | [`inputs`] | tokenizer, task sets, packed text |
//! | [`input_files`] | the files that decide a result, and their checksums |
//! | [`corpus`] | the text of general distillation: plain files, or packed shards |
//! | [`note`] | what a person should know of something that went well |
//! | [`phase`] | the phases, as a [list](phase::phases) and as work: teacher, warm-up, the three stages, final distillation, baseline |
//! | [`evaluate`] | candidates: short training, or a slice of the supernet |
//! | [`fidelity`] | how well cheap scores of networks foretell their final ones |
//! | [`disk`] | how much room a run or a training takes |
//! | [`training_data`], [`jobs`] | what one training learns from, and its job: on labels, or from a teacher |
//! | [`check_teacher`] | whether a teacher can teach |
//! | [`teachers`] | the teachers of a distillation: which teaches what, as one |
//! | [`quantize`] | models in 8-bit integers, within an allowed loss of score |
//! | [`vocabulary`] | a teacher's vocabulary, trimmed to what the texts of a task need |
//! | [`method`] | a training's settings and what is learned in it, by name or from a file |
//! | [`latency`] | measured milliseconds of a forward pass |
//! | [`run()`] | the phases in order; every one can be killed and resumed |
//! | [`run_listing`] | what runs there are below a folder, and how far they are |
//! | `comparison` | the models of a finished run side by side, and what the search has gained |
//! | [`summary`] | `run.json`, the model card and the report's data |
//!
//! Nothing here prints or reads the clock: the host does ([`events::Host`]).
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod check_teacher;
mod comparison;
pub mod corpus;
pub mod disk;
mod error;
pub mod evaluate;
pub mod events;
pub mod fidelity;
pub mod given_logits;
pub mod import;
pub mod input_files;
mod input_record;
pub mod inputs;
pub mod jobs;
pub mod latency;
pub mod method;
pub mod note;
pub mod phase;
mod preflight;
pub mod quantize;
pub mod recipe;
mod report_header;
mod report_scores;
mod run;
mod run_json;
pub mod run_listing;
pub mod summary;
pub mod teachers;
pub mod training_data;
pub mod vocabulary;

pub use error::{Error, Problem, Result};
pub use phase::{FromRecipe, PhaseId, SearchParts, phases, stage_title};
pub use run::{Outcome, RunOptions, run};
