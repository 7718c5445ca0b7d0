//! A study that lives as long as the process: for tests and for searches of seconds.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::study::StudyStore;
use crate::study::record::{Fitness, NewTrial, RejectedDraw, Settled, StudyIdentity, Trial, TrialId, TrialState};

/// A study kept in memory.
#[derive(Debug, Clone)]
pub struct MemoryStudy {
    identity: StudyIdentity,
    trials: Vec<Trial>,
    rejected: Vec<RejectedDraw>,
    exhausted: BTreeSet<u32>,
}

impl MemoryStudy {
    /// An empty study.
    pub fn new(identity: StudyIdentity) -> Self {
        Self { identity, trials: Vec::new(), rejected: Vec::new(), exhausted: BTreeSet::new() }
    }

    fn running(&mut self, id: TrialId) -> Result<&mut Trial> {
        self.trials.iter_mut().find(|trial| trial.id == id && trial.state == TrialState::Running).ok_or_else(|| {
            Error::Inconsistent {
                store: "the study in memory".to_owned(),
                detail: format!("row {} is not a running trial", id.0),
            }
        })
    }

    fn end(&mut self, id: TrialId, settled: Settled, finished_at: i64) -> Result<Trial> {
        let trial = self.running(id)?;
        trial.end(settled, finished_at);
        Ok(trial.clone())
    }
}

impl StudyStore for MemoryStudy {
    fn identity(&self) -> &StudyIdentity {
        &self.identity
    }

    fn begin_trial(&mut self, trial: &NewTrial, rejected: &[RejectedDraw]) -> Result<TrialId> {
        if self.trials.iter().any(|t| t.stage == trial.stage && t.number == trial.number) {
            return Err(Error::Inconsistent {
                store: "the study in memory".to_owned(),
                detail: format!("stage {} already has a trial {}", trial.stage, trial.number),
            });
        }
        let id = TrialId(self.trials.len() as i64 + 1);
        self.rejected.extend_from_slice(rejected);
        self.trials.push(Trial::begun(id, trial));
        Ok(id)
    }

    fn restart(&mut self, id: TrialId, started_at: i64) -> Result<()> {
        self.running(id)?.started_at = started_at;
        Ok(())
    }

    fn finish(&mut self, id: TrialId, fitness: &Fitness, finished_at: i64) -> Result<Trial> {
        self.end(id, fitness.settle(), finished_at)
    }

    fn fail(&mut self, id: TrialId, reason: &str, finished_at: i64) -> Result<Trial> {
        self.end(id, Settled::failed(reason), finished_at)
    }

    fn trials(&self, stage: u32) -> Result<Vec<Trial>> {
        let mut trials: Vec<Trial> = self.trials.iter().filter(|trial| trial.stage == stage).cloned().collect();
        trials.sort_by_key(|trial| trial.number);
        Ok(trials)
    }

    fn rejected(&self, stage: u32) -> Result<Vec<RejectedDraw>> {
        Ok(self.rejected.iter().filter(|draw| draw.stage == stage).cloned().collect())
    }

    fn exhaust(&mut self, stage: u32, rejected: &[RejectedDraw]) -> Result<()> {
        self.rejected.extend_from_slice(rejected);
        self.exhausted.insert(stage);
        Ok(())
    }

    fn is_exhausted(&self, stage: u32) -> Result<bool> {
        Ok(self.exhausted.contains(&stage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::conformance;

    #[test]
    fn the_memory_study_conforms() {
        conformance::check(|identity| MemoryStudy::new(identity.clone()));
    }
}
