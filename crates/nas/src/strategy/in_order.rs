//! The members of a list, one after the other.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::space::SearchSpace;
use crate::strategy::{DrawKey, Observation, Strategy};

/// Asks for the members of a list in their order: the first one that comes after all that were told. One that is rejected is passed over.
/// After the last one it begins again, so a stage of more trials than members ends as exhausted.
#[derive(Debug, Clone)]
pub struct InOrder<G> {
    list: Vec<G>,
    places: BTreeMap<String, usize>,
    /// Place of the next one.
    next: usize,
}

impl<G: Clone + std::fmt::Display> InOrder<G> {
    /// The strategy for `list`.
    ///
    /// # Errors
    /// [`Error::Strategy`] for an empty list.
    pub fn new(list: Vec<G>) -> Result<Self> {
        if list.is_empty() {
            return Err(Error::Strategy { strategy: "in order", detail: "the list is empty".to_owned() });
        }
        // The first place of a member that is in the list twice.
        let places = list.iter().enumerate().rev().map(|(place, genome)| (genome.to_string(), place)).collect();
        Ok(Self { list, places, next: 0 })
    }

    fn after(&self, genome: &G) -> usize {
        self.places.get(&genome.to_string()).map_or(0, |place| place + 1)
    }

    fn at(&self, place: usize, attempt: u64) -> G {
        let members = self.list.len() as u64;
        self.list[((place as u64 + attempt % members) % members) as usize].clone()
    }
}

impl<S: SearchSpace + ?Sized> Strategy<S> for InOrder<S::Genome> {
    fn ask(&mut self, _: &S, key: &DrawKey) -> Result<S::Genome> {
        Ok(self.at(self.next, key.attempt))
    }

    fn ask_beside(&mut self, _: &S, key: &DrawKey, pending: &[S::Genome]) -> Result<S::Genome> {
        let next = pending.iter().map(|genome| self.after(genome)).fold(self.next, usize::max);
        Ok(self.at(next, key.attempt))
    }

    fn tell(&mut self, _: &S, observation: Observation<S::Genome>) -> Result<()> {
        self.next = self.next.max(self.after(&observation.genome));
        Ok(())
    }
}
