//! Regularized evolution (Real et al. 2019, "Regularized Evolution for Image Classifier Architecture
//! Search"): mutate the winner of a tournament among the youngest.

use rand::Rng;

use crate::error::{Error, Result};
use crate::rank::Rank;
use crate::space::SearchSpace;
use crate::strategy::{DrawKey, Observation, Strategy};

/// Settings of [`Evolution`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvolutionConfig {
    /// Only so many of the latest trials may be parents; older ones have died of age.
    pub population: u32,
    /// Parents drawn (with repetition) for a tournament.
    pub tournament: u32,
}

impl Default for EvolutionConfig {
    /// 50 and 10.
    fn default() -> Self {
        Self { population: 50, tournament: 10 }
    }
}

/// Regularized evolution. Failed trials age with the others and are never parents.
#[derive(Debug, Clone)]
pub struct Evolution<G> {
    config: EvolutionConfig,
    history: Vec<(G, Option<Rank>)>,
}

impl<G> Evolution<G> {
    /// Evolution without history.
    ///
    /// # Errors
    /// [`Error::Strategy`] if a setting is zero.
    pub fn new(config: EvolutionConfig) -> Result<Self> {
        if config.population == 0 || config.tournament == 0 {
            return Err(Error::Strategy {
                strategy: "evolution",
                detail: "population and tournament must be at least 1".to_owned(),
            });
        }
        Ok(Self { config, history: Vec::new() })
    }
}

impl<S: SearchSpace + ?Sized> Strategy<S> for Evolution<S::Genome> {
    fn ask(&mut self, space: &S, key: &DrawKey) -> Result<S::Genome> {
        let mut rng = key.rng("nas.evolution");
        let born = self.history.len().saturating_sub(self.config.population as usize);
        let alive: Vec<(&S::Genome, Rank)> =
            self.history[born..].iter().filter_map(|(genome, rank)| Some((genome, (*rank)?))).collect();
        if alive.is_empty() {
            return Ok(space.sample(&mut rng));
        }
        let mut parent = alive[rng.random_range(0..alive.len() as u32) as usize];
        for _ in 1..self.config.tournament {
            let rival = alive[rng.random_range(0..alive.len() as u32) as usize];
            if rival.1.beats(&parent.1) {
                parent = rival;
            }
        }
        Ok(space.mutate(parent.0, &mut rng))
    }

    fn tell(&mut self, _: &S, observation: Observation<S::Genome>) -> Result<()> {
        self.history.push((observation.genome, observation.rank));
        Ok(())
    }
}
