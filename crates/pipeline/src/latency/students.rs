//! The students that a search times: those that differ in their feed-forwards alone, or whole encoders.

use std::sync::atomic::AtomicBool;

use bert_core::{BertConfig, Parts, student_config};
use nas::budget::Budget;
use nas::space::{CoarseSpace, EncoderChoices, EncoderGenome, EncoderSpace, SearchSpace, Student};

use super::make::{Maker, make, make_of};
use super::{LatencyTable, Predictor};
use crate::Result;
use crate::recipe::{LatencySettings, Recipe};

/// Random whole encoders of which a table shall have all parts.
const DRAWN: u64 = 400;

/// The students of a recipe, whatever its budget.
#[derive(Clone, Debug)]
pub struct TimedStudents {
    frame: BertConfig,
    seq: usize,
    choices: Option<EncoderChoices>,
}

impl TimedStudents {
    /// Those of `recipe`, whose student's frame is `frame`.
    pub fn new(recipe: &Recipe, frame: &BertConfig) -> Self {
        Self { frame: frame.clone(), seq: recipe.latency.seq, choices: recipe.search.encoder.clone() }
    }

    /// The student's frame.
    pub fn frame(&self) -> &BertConfig {
        &self.frame
    }

    /// Measures a table for them.
    ///
    /// # Errors
    /// As [`make`]; choices that make no student.
    pub fn table(
        &self,
        settings: LatencySettings,
        maker: &Maker,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(u64, u64),
    ) -> Result<LatencyTable> {
        match &self.choices {
            None => make(&self.frame, settings, maker, stop, watch),
            Some(choices) => {
                let frame = self.sized();
                let space = self.encoders(choices, &Budget::default())?;
                // Those with equal layers have every combination of widths.
                let equal = space.with_equal_layers().into_iter().filter_map(|genome| genome.config(&frame).ok());
                let drawn = self.drawn(&Budget::default(), ("latency table", 0), DRAWN)?;
                let configs = drawn.into_iter().map(|(_, config)| config).chain(equal).collect();
                make_of(configs, (&self.frame, settings), maker, stop, watch)
            }
        }
    }

    /// The frame without the distillation projection, which no budget counts and no pass computes.
    fn sized(&self) -> BertConfig {
        BertConfig { fit_size: None, ..self.frame.clone() }
    }

    fn encoders(&self, choices: &EncoderChoices, budget: &Budget) -> Result<EncoderSpace> {
        Ok(EncoderSpace::new(&self.sized(), Parts::POOLER, self.seq, choices.clone(), budget)?)
    }

    /// `count` random students within the size limits of `budget`, as text and as configuration.
    ///
    /// # Errors
    /// A budget that nothing meets, choices that make no student.
    pub fn drawn(
        &self,
        budget: &Budget,
        (purpose, seed): (&str, u64),
        count: u64,
    ) -> Result<Vec<(String, BertConfig)>> {
        let rng = |number: u64| run_store::rng::keyed(seed, purpose, &[number]);
        let frame = self.sized();
        match &self.choices {
            None => {
                let space = CoarseSpace::new(Student::new(&frame, Parts::POOLER, self.seq)?, budget)?;
                let one = |number| {
                    let genome = space.sample(&mut rng(number));
                    Ok((genome.to_string(), student_config(&frame, &genome)?))
                };
                (0..count).map(one).collect()
            }
            Some(choices) => {
                let space = self.encoders(choices, budget)?;
                let one = |number| {
                    let genome = space.sample(&mut rng(number));
                    Ok((genome.to_string(), genome.config(&frame)?))
                };
                (0..count).map(one).collect()
            }
        }
    }
}

/// The whole encoder of `space` with the least predicted latency, and its milliseconds: the best of those with equal layers and of a descent from
/// random ones.
///
/// # Errors
/// A part of which the table knows nothing.
pub(super) fn fastest(predictor: &Predictor, frame: &BertConfig, space: &EncoderSpace) -> Result<(EncoderGenome, f64)> {
    let mut best = space.fastest(&|genome| ms_or_infinite(predictor, frame, genome));
    let mut least = predictor.ms_of(&best.config(frame)?)?;
    for genome in space.known() {
        let ms = predictor.ms_of(&genome.config(frame)?)?;
        if ms < least {
            (best, least) = (genome.clone(), ms);
        }
    }
    Ok((best, least))
}

/// Milliseconds of a whole encoder, infinite for what cannot be predicted.
pub(super) fn ms_or_infinite(predictor: &Predictor, frame: &BertConfig, genome: &EncoderGenome) -> f64 {
    genome.config(frame).ok().and_then(|config| predictor.ms_of(&config).ok()).unwrap_or(f64::INFINITY)
}
