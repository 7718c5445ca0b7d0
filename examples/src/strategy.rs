//! A strategy for every space: hill climbing with restarts.
//!
//! A [`Strategy`] is told each result and asked for the next architecture. What it asks of the space is what its `impl` names:
//! this one draws and varies, so it is one for every [`SearchSpace`]. All randomness comes from the [`DrawKey`], so that a
//! search that was killed goes on as if nothing had happened.

use nas::rank::Rank;
use nas::space::SearchSpace;
use nas::strategy::{DrawKey, Observation, Strategy};

/// Varies the best architecture so far; every `restart`-th trial is drawn anew.
pub struct HillClimb<G> {
    restart: u64,
    best: Option<(G, Rank)>,
}

impl<G> HillClimb<G> {
    /// A climb that restarts every `restart` trials.
    pub fn new(restart: u64) -> Self {
        Self { restart: restart.max(1), best: None }
    }
}

impl<S: SearchSpace + ?Sized> Strategy<S> for HillClimb<S::Genome> {
    fn ask(&mut self, space: &S, key: &DrawKey) -> nas::Result<S::Genome> {
        let mut rng = key.rng("example.hill-climb");
        Ok(match &self.best {
            Some((genome, _)) if !key.number.is_multiple_of(self.restart) => space.mutate(genome, &mut rng),
            _ => space.sample(&mut rng),
        })
    }

    fn tell(&mut self, _: &S, told: Observation<S::Genome>) -> nas::Result<()> {
        // A trial that failed has no rank.
        if let Some(rank) = told.rank.filter(|rank| self.best.as_ref().is_none_or(|(_, best)| rank.beats(best))) {
            self.best = Some((told.genome, rank));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use mlp_space::{Architecture, StudentShape};
    use nas::budget::Budget;
    use nas::driver::{Candidate, EvalError, StageConfig, StageParts, run_stage};
    use nas::space::{CoarseSpace, Student};
    use nas::strategy::RandomSearch;
    use nas::study::{Fitness, MemoryStudy, StudyIdentity, StudyStore};

    use super::*;

    /// Searches EfficientBERT's first stage for feed-forwards with many maxima, on a study that may have trials already.
    fn search(study: &mut MemoryStudy, strategy: &mut dyn Strategy<CoarseSpace>, trials: u64) {
        let student = Student::efficientbert(&StudentShape::efficientbert(), 6, 128).unwrap();
        let budget = Budget { max_params: Some(16_000_000), ..Budget::default() };
        let mut evaluate = |candidate: &Candidate<Architecture>| -> Result<Fitness, EvalError> {
            let score = candidate.genome.to_string().matches("max").count() as f64;
            Ok(Fitness { score, ..Fitness::default() })
        };
        let parts = StageParts {
            space: &CoarseSpace::new(student, &budget).unwrap(),
            strategy,
            store: study,
            budget: &budget,
            latency: None,
            evaluate: &mut evaluate,
            clock: &mut || 0,
            stop: &AtomicBool::new(false),
            on_event: &mut |_| {},
        };
        run_stage(&StageConfig { stage: 1, trials, initial_random: 1, max_draws: 1000 }, parts).unwrap();
    }

    fn study() -> MemoryStudy {
        MemoryStudy::new(StudyIdentity { name: "climb".into(), config_hash: String::new(), seed: 5 })
    }

    #[test]
    fn it_climbs_higher_than_random_search() {
        let best = |strategy: &mut dyn Strategy<CoarseSpace>| {
            let mut study = study();
            search(&mut study, strategy, 60);
            study.best(1).unwrap().unwrap().fitness.unwrap()
        };
        let (climbed, drawn) = (best(&mut HillClimb::new(20)), best(&mut RandomSearch));
        assert!(climbed > drawn, "{climbed} against {drawn}");
    }

    #[test]
    fn a_search_in_two_parts_has_the_trials_of_one() {
        let (mut whole, mut parts) = (study(), study());
        search(&mut whole, &mut HillClimb::new(10), 30);
        search(&mut parts, &mut HillClimb::new(10), 13);
        search(&mut parts, &mut HillClimb::new(10), 30);
        assert_eq!(whole.trials(1).unwrap(), parts.trials(1).unwrap());
    }
}
