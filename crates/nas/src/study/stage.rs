//! A stage of a study as it stood when it was read.

use std::collections::BTreeMap;

use crate::budget::Rejection;
use crate::error::Result;
use crate::study::StudyStore;
use crate::study::record::{RejectedDraw, Trial, TrialState};

/// Everything that a study knows of one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRecord {
    /// Number of the stage.
    pub stage: u32,
    /// Trials (running, complete, failed) by ascending number.
    pub trials: Vec<Trial>,
    /// Draws that were not evaluated, in the order they were drawn.
    pub rejected: Vec<RejectedDraw>,
    /// Whether nothing new could be drawn any more.
    pub exhausted: bool,
}

impl StageRecord {
    /// Reads a stage; one that has not begun is empty.
    ///
    /// # Errors
    /// Storage errors.
    pub fn read<S: StudyStore + ?Sized>(store: &S, stage: u32) -> Result<Self> {
        Ok(Self {
            stage,
            trials: store.trials(stage)?,
            rejected: store.rejected(stage)?,
            exhausted: store.is_exhausted(stage)?,
        })
    }

    /// Number of trials in a state.
    #[must_use]
    pub fn count(&self, state: TrialState) -> usize {
        self.trials.iter().filter(|trial| trial.state == state).count()
    }

    /// How many draws were rejected for each reason that occurred.
    #[must_use]
    pub fn rejection_counts(&self) -> BTreeMap<Rejection, u64> {
        let mut counts = BTreeMap::new();
        for draw in &self.rejected {
            *counts.entry(draw.reason).or_default() += 1;
        }
        counts
    }

    /// Complete trials by their [`Rank`](crate::rank::Rank), the best first.
    #[must_use]
    pub fn best_first(&self) -> Vec<&Trial> {
        let mut complete: Vec<&Trial> = self.trials.iter().filter(|trial| trial.fitness.is_some()).collect();
        complete.sort_by(|a, b| a.order(b));
        complete
    }

    /// Place of each complete trial among them by its number; the best has place 1.
    #[must_use]
    pub fn places(&self) -> BTreeMap<u64, u64> {
        self.best_first().into_iter().zip(1..).map(|(trial, place)| (trial.number, place)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Cost;
    use crate::study::conformance::{draw, new_trial};
    use crate::study::{Fitness, MemoryStudy, NewTrial, StudyIdentity};

    #[test]
    fn places_follow_the_one_order_and_only_complete_trials_have_one() {
        let identity = StudyIdentity { name: "s".into(), config_hash: "h".into(), seed: 1 };
        let mut store = MemoryStudy::new(identity);
        for (number, (score, params)) in [(0.5, 9), (0.7, 9), (f64::NAN, 9), (0.5, 3)].into_iter().enumerate() {
            let trial = NewTrial { cost: Cost { params, macs: 1 }, ..new_trial(1, number as u64) };
            let rejected = if number == 2 { vec![draw(2, Rejection::TooSlow); 2] } else { Vec::new() };
            let id = store.begin_trial(&trial, &rejected).unwrap();
            store.finish(id, &Fitness { score, ..Fitness::default() }, 9).unwrap();
        }
        store.begin_trial(&new_trial(1, 4), &[draw(4, Rejection::Duplicate)]).unwrap();
        let stage = StageRecord::read(&store, 1).unwrap();
        assert_eq!(stage.best_first().iter().map(|t| t.number).collect::<Vec<_>>(), [1, 3, 0]);
        assert_eq!(stage.places(), [(1, 1), (3, 2), (0, 3)].into());
        let counts = [TrialState::Complete, TrialState::Failed, TrialState::Running].map(|state| stage.count(state));
        assert_eq!(counts, [3, 1, 1]);
        assert_eq!(stage.rejection_counts(), [(Rejection::TooSlow, 2), (Rejection::Duplicate, 1)].into());
        let empty = StageRecord::read(&store, 2).unwrap();
        assert!(empty.trials.is_empty() && empty.best_first().is_empty() && !empty.exhausted);
    }
}
