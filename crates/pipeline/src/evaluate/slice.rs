//! A slice of the trained supernet, scored as it is.

use std::sync::atomic::AtomicBool;

use bert_core::TaskModel;
use burn::tensor::Device;
use mlp_space::Architecture;
use nas::driver::{Candidate, EvalError, Evaluate, Within};
use nas::study::Fitness;
use predict::evaluate::evaluate_gold;
use train::data::EvalSet;

use super::{eval_error, fitness, scoring};
use crate::recipe::CandidateScore;

/// Scores the candidate's slice of the supernet on held-out examples; no training
/// (Dong et al. 2021, stage 3).
pub struct SupernetSlice<'a> {
    /// The trained supernet, without autodiff.
    pub supernet: &'a TaskModel,
    /// Held-out training examples.
    pub held_out: &'a [(usize, EvalSet)],
    /// What the fitness is.
    pub score: CandidateScore,
    /// Where.
    pub device: Device,
    /// Stops in the middle of it.
    pub stop: &'static AtomicBool,
}

impl Evaluate<Architecture> for SupernetSlice<'_> {
    fn evaluate(
        &mut self,
        candidate: &Candidate<Architecture>,
        watch: &mut dyn FnMut(Within),
    ) -> Result<Fitness, EvalError> {
        let model = self.supernet.clone().activate(&candidate.genome);
        let scored = evaluate_gold(&model, self.held_out, &self.device, &mut scoring(watch, self.stop));
        scored.map(|scored| fitness(scored, self.score)).map_err(eval_error)
    }
}
