//! Milliseconds of a forward pass: measured, predicted from a table, and held to a limit.
//!
//! | file | concern |
//! |---|---|
//! | `measure` | measured passes, of several models in turn |
//! | `network` | students with drawn weights, to be timed |
//! | `table` | the file of measured parts, and what it is good for |
//! | `make` | a table, measured on this machine |
//! | `predict` | a student's latency from a table |
//! | `students` | which students a search times |
//! | `accuracy` | how far predicted and measured latencies are apart |
//! | `limit` | the latency limit of a run: its table, and what was measured of its winner |
//!
//! A quiet pass is what counts: other programs only ever make one slower. So passes come in rounds, the median of each round is taken,
//! and the least of the rounds' medians is the latency; several models take turns within a round.

mod accuracy;
mod limit;
mod make;
mod measure;
mod network;
mod predict;
mod students;
mod table;

pub use accuracy::{Accuracy, Pair, accuracy};
pub use limit::{Fastest, Limit, Measured, Verdict};
pub(crate) use limit::{History, Timed, Wanted, history};
pub use make::{Maker, make, make_of};
pub use measure::median_ms;
pub(crate) use measure::{check_precision, on_cpu};
pub use predict::Predictor;
pub use students::TimedStudents;
pub use table::{Conditions, LatencyTable, Reference, TableShape};

use bert_core::{BertConfig, Parts, TaskModel, student_config};
use burn::tensor::Device;
use mlp_space::Architecture;
use nas::budget::Latency;
use nas::space::EncoderGenome;
use std::sync::Arc;

use crate::preflight::teacher_config;
use crate::recipe::{LatencySettings, Recipe};
use crate::{Error, Result, phase};

/// The students that a search of `recipe` times, and how it does: what a table for it is made of.
///
/// # Errors
/// The recipe names no teacher, or one that cannot be read: the student has its vocabulary. A vocabulary that the recipe trims or
/// learns is not known here.
pub fn timed_students(recipe: &Recipe) -> Result<(TimedStudents, LatencySettings)> {
    if recipe.teacher.trim_vocab.is_some() {
        let message = "`teacher.trim_vocab`: a table is made for the vocabulary of a teacher as it is; trim the teacher first with \
                       `efficientbert trim`, and name the trimmed one";
        return Err(Error::Mismatch(message.into()));
    }
    if recipe.teacher.tokenizer.is_some() {
        let message = "`teacher.tokenizer`: a table is made for the vocabulary of a teacher that is there; of one that is learned the size is not known before. \
                       Leave `--latency-table` out: the search then measures a table of its own";
        return Err(Error::Mismatch(message.into()));
    }
    let teacher = teacher_config(recipe, None)?;
    let settings = recipe.latency.within(teacher.max_position_embeddings);
    Ok((TimedStudents::new(recipe, &phase::frame(recipe, &teacher)), settings))
}

/// The latency of a search's candidates: predicted where there is a table, else measured at random weights, on whose values it does not
/// depend.
#[derive(Debug)]
pub struct CandidateLatency {
    /// The student's frame.
    pub frame: BertConfig,
    /// How to measure.
    pub settings: LatencySettings,
    /// Where.
    pub device: Device,
    /// What predicts it.
    pub predictor: Option<Arc<Predictor>>,
}

impl Latency<Architecture> for CandidateLatency {
    fn measure(&mut self, genome: &Architecture) -> std::result::Result<f64, String> {
        if let Some(predictor) = &self.predictor {
            return predictor.ms(genome).map_err(|e| e.to_string());
        }
        self.measured(&student_config(&self.frame, genome).map_err(|e| e.to_string())?)
    }
}

impl Latency<EncoderGenome> for CandidateLatency {
    fn measure(&mut self, genome: &EncoderGenome) -> std::result::Result<f64, String> {
        if let Some(predictor) = &self.predictor {
            let config = genome.config(&self.frame).map_err(|e| e.to_string())?;
            return predictor.ms_of(&config).map_err(|e| e.to_string());
        }
        self.measured(&genome.config(&self.frame).map_err(|e| e.to_string())?)
    }
}

impl CandidateLatency {
    fn measured(&self, config: &BertConfig) -> std::result::Result<f64, String> {
        let model = TaskModel::new(config, Parts::default(), &self.device).map_err(|e| e.to_string())?;
        let model = model.initialized(config, 0);
        median_ms(&model, config, self.settings, &self.device).map_err(|e| e.to_string())
    }
}
