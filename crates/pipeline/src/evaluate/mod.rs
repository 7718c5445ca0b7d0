//! From a candidate to a fitness.
//!
//! | file | how |
//! |---|---|
//! | `proxy` | a short training from inherited weights (stages 1 and 2) |
//! | `slice` | a slice of the trained supernet, scored as it is (stage 3) |

mod proxy;
mod slice;

pub use proxy::ProxyTraining;
pub use slice::SupernetSlice;

use nas::driver::{Candidate, EvalError, Fitness};
use train::engine::Evaluation;

/// How far the scoring of a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// What is done.
    pub what: &'static str,
    /// Of what there are so many.
    pub unit: &'static str,
    /// How many are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

impl Within {
    fn scoring(done: usize, total: usize) -> Self {
        Self { what: "scoring", unit: "examples", done: done as u64, total: total as u64 }
    }
}

/// Turns a candidate into a fitness, and says how far it is.
pub trait Score {
    /// Scores one candidate, which alone decides the result.
    ///
    /// # Errors
    /// See [`EvalError`].
    fn score(&mut self, candidate: &Candidate, watch: &mut dyn FnMut(Within)) -> Result<Fitness, EvalError>;
}

/// A diverged loss is the candidate's fault; anything else stops the run.
fn eval_error(error: impl Into<kd::Error>) -> EvalError {
    match error.into() {
        kd::Error::Train(train::Error::Interrupted { .. } | train::Error::Stopped) => EvalError::Interrupted,
        kd::Error::Train(diverged) if diverged.is_divergence() => EvalError::Candidate(diverged.to_string()),
        other => EvalError::Run(other.to_string()),
    }
}

fn fitness(evaluation: Evaluation) -> Fitness {
    Fitness { score: evaluation.score, metrics: evaluation.metrics }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_diverges_fails_with_its_reason_and_other_errors_stop_the_run() {
        let diverged = train::Error::NotFinite { step: 7, what: "loss term `hidden`".into() };
        let EvalError::Candidate(reason) = eval_error(diverged) else { panic!("the candidate is at fault") };
        assert!(reason.contains("step 7") && reason.contains("`hidden`"), "{reason}");
        for stopped in [train::Error::Interrupted { step: 1 }, train::Error::Stopped] {
            assert!(matches!(eval_error(stopped), EvalError::Interrupted));
        }
        assert!(matches!(eval_error(train::Error::Mismatch("heads".into())), EvalError::Run(_)));
    }
}
