//! From a candidate to a fitness.
//!
//! | file | how |
//! |---|---|
//! | `proxy` | a short training from inherited weights (stages 1 and 2) |
//! | `encoder` | a short training of a whole encoder that begins as its teacher (all stages) |
//! | `short` | what the two have in common |
//! | `slice` | a slice of the trained supernet, scored as it is (stage 3) |

mod encoder;
mod proxy;
mod short;
mod slice;

pub(crate) use encoder::{EncoderTraining, PlanOf};
pub use proxy::ProxyTraining;
pub use slice::SupernetSlice;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use nas::driver::{EvalError, Within};
use nas::study::Fitness;
use train::engine::Evaluation;

use crate::recipe::CandidateScore;

/// Passes on how far a scoring is, until `stop` is set.
fn scoring<'a>(
    watch: &'a mut dyn FnMut(Within),
    stop: &'a AtomicBool,
) -> impl FnMut(usize, usize) -> ControlFlow<()> + 'a {
    let mut go_on = until(stop);
    move |done, total| {
        watch(Within { what: "scoring", unit: "examples", done: done as u64, total: total as u64 });
        go_on(done, total)
    }
}

/// Lets an evaluation go on until `stop` is set.
pub(crate) fn until(stop: &AtomicBool) -> impl FnMut(usize, usize) -> ControlFlow<()> + '_ {
    move |_, _| if stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// A diverged loss is the candidate's fault; anything else stops the run.
fn eval_error(error: impl Into<kd::Error>) -> EvalError {
    match error.into() {
        kd::Error::Train(train::Error::Interrupted { .. } | train::Error::Predict(predict::Error::Stopped)) => {
            EvalError::Interrupted
        }
        kd::Error::Train(diverged) if diverged.is_divergence() => EvalError::Candidate(diverged.to_string()),
        other => EvalError::Run(other.to_string()),
    }
}

/// Metrics are kept beside the score.
fn fitness((evaluation, gold): (Evaluation, f64), by: CandidateScore) -> Fitness {
    let score = match by {
        CandidateScore::Probability => gold,
        CandidateScore::Metric => evaluation.score,
    };
    Fitness { score, metrics: evaluation.metrics }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_diverges_fails_with_its_reason_and_other_errors_stop_the_run() {
        let diverged = train::Error::NotFinite { step: 7, what: "loss term `hidden`".into() };
        let EvalError::Candidate(reason) = eval_error(diverged) else { panic!("the candidate is at fault") };
        assert!(reason.contains("step 7") && reason.contains("`hidden`"), "{reason}");
        for stopped in [train::Error::Interrupted { step: 1 }, predict::Error::Stopped.into()] {
            assert!(matches!(eval_error(stopped), EvalError::Interrupted));
        }
        assert!(matches!(eval_error(train::Error::Mismatch("heads".into())), EvalError::Run(_)));
    }
}
