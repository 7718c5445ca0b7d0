//! Random search: the baseline every strategy has to beat.

use crate::error::Result;
use crate::space::SearchSpace;
use crate::strategy::{DrawKey, Observation, Strategy};

/// Draws from the space and ignores results.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomSearch;

impl<S: SearchSpace + ?Sized> Strategy<S> for RandomSearch {
    fn ask(&mut self, space: &S, key: &DrawKey) -> Result<S::Genome> {
        Ok(space.sample(&mut key.rng("nas.random")))
    }

    fn tell(&mut self, _: &S, _: Observation<S::Genome>) -> Result<()> {
        Ok(())
    }
}
