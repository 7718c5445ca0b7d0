//! A slice of the trained supernet, scored as it is.

use bert_core::TaskModel;
use burn::tensor::Device;
use kd::data::EvalSet;
use kd::evaluate::evaluate;
use nas::driver::{Candidate, EvalError, Evaluate, Fitness};
use searched_ffn::{SearchedFfn, activate};

use super::{eval_error, fitness};

/// Scores the candidate's slice of the supernet on held-out examples; no training
/// (Dong et al. 2021, stage 3).
pub struct SupernetSlice<'a> {
    /// The trained supernet, without autodiff.
    pub supernet: &'a TaskModel<SearchedFfn>,
    /// Held-out training examples.
    pub held_out: &'a [(usize, EvalSet)],
    /// Where.
    pub device: Device,
}

impl Evaluate for SupernetSlice<'_> {
    fn evaluate(&mut self, candidate: &Candidate) -> Result<Fitness, EvalError> {
        let model = activate(self.supernet.clone(), &candidate.genome);
        evaluate(&model, self.held_out, &self.device).map(fitness).map_err(eval_error)
    }
}
