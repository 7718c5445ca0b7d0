//! Random search: the baseline every strategy has to beat.

use crate::error::Result;
use crate::space::{Genome, SearchSpace};
use crate::strategy::{DrawKey, Observation, Strategy};

/// Draws from the space and ignores results.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomSearch;

impl Strategy for RandomSearch {
    fn name(&self) -> &'static str {
        "random"
    }

    fn ask(&mut self, space: &dyn SearchSpace, key: &DrawKey) -> Result<Genome> {
        Ok(space.sample(&mut key.rng("nas.random")))
    }

    fn tell(&mut self, _: Observation) -> Result<()> {
        Ok(())
    }
}
