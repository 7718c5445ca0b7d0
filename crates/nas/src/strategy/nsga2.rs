//! NSGA-II (Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm"): evolution toward the front of fitness against
//! what it costs.

use std::cmp::Ordering;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::pareto::{Measure, crowding, fronts};
use crate::rank::Rank;
use crate::space::SearchSpace;
use crate::strategy::{DrawKey, Observation, Strategy};

const NAME: &str = "nsga2";

/// Settings of [`Nsga2`].
#[derive(Debug, Clone, PartialEq)]
pub struct Nsga2Config {
    /// Parents that survive a generation.
    pub population: u32,
    /// Trials of a generation. Deb et al. have as many as the population; fewer let a short search learn sooner.
    pub offspring: u32,
    /// Probability that a child is crossed from two parents, where the space offers it; otherwise it is a varied parent.
    pub crossover: f64,
    /// Probability that a crossed child is varied too.
    pub mutation: f64,
    /// What is minimized beside the fitness that is maximized.
    pub minimize: Vec<Measure>,
}

impl Default for Nsga2Config {
    /// 20 parents, 10 children a generation, of which nine in ten are crossed and half of these varied; parameters are minimized.
    fn default() -> Self {
        Self { population: 20, offspring: 10, crossover: 0.9, mutation: 0.5, minimize: vec![Measure::Params] }
    }
}

impl Nsga2Config {
    fn check(&self) -> Result<()> {
        let fault = |detail: String| Err(Error::Strategy { strategy: NAME, detail });
        if self.population < 2 || self.offspring == 0 {
            return fault("population must be at least 2, offspring at least 1".to_owned());
        }
        if self.minimize.is_empty() {
            return fault("there must be something to minimize".to_owned());
        }
        for (name, value) in [("crossover", self.crossover), ("mutation", self.mutation)] {
            if !(0.0..=1.0).contains(&value) {
                return fault(format!("{name} {value} must be between 0 and 1"));
            }
        }
        Ok(())
    }
}

/// A parent: its place in the history, and what it is chosen by.
#[derive(Debug, Clone, Copy)]
struct Parent {
    at: usize,
    rank: Rank,
    front: usize,
    crowding: f64,
}

impl Parent {
    /// The crowded comparison: the lower front, in a front the larger distance to the neighbors; of equals the better rank.
    fn order(&self, other: &Self) -> Ordering {
        self.front
            .cmp(&other.front)
            .then_with(|| other.crowding.total_cmp(&self.crowding))
            .then_with(|| self.rank.order(&other.rank))
    }
}

/// NSGA-II. The trials told so far form generations of [`offspring`](Nsga2Config::offspring) each, whoever drew them: after a full one,
/// parents and children are sorted into fronts, and the first [`population`](Nsga2Config::population) become the parents. So parents are
/// a function of the history alone. Failed trials are never parents. Without parents it samples.
///
/// All children of a generation have the same parents to come from, so trials that are pending change nothing about a draw.
#[derive(Debug, Clone)]
pub struct Nsga2<G> {
    config: Nsga2Config,
    told: Vec<(G, Option<Rank>)>,
    parents: Vec<Parent>,
    /// How many of the told trials the parents were chosen from.
    grown: usize,
}

impl<G: Clone> Nsga2<G> {
    /// NSGA-II without history.
    ///
    /// # Errors
    /// [`Error::Strategy`] if a setting is out of range.
    pub fn new(config: Nsga2Config) -> Result<Self> {
        config.check()?;
        Ok(Self { config, told: Vec::new(), parents: Vec::new(), grown: 0 })
    }

    /// Chooses the parents from the ones so far and the trials since.
    fn grow(&mut self) {
        let young = self.grown..self.told.len();
        let members: Vec<(usize, Rank)> = self
            .parents
            .iter()
            .map(|parent| parent.at)
            .chain(young)
            .filter_map(|at| Some((at, self.told[at].1?)))
            .collect();
        let ranks: Vec<Rank> = members.iter().map(|&(_, rank)| rank).collect();
        let mut parents: Vec<Parent> = Vec::new();
        for (front, inside) in fronts(&ranks, &self.config.minimize).into_iter().enumerate() {
            let distances = crowding(&ranks, &inside, &self.config.minimize);
            let with = |(&i, crowding): (&usize, f64)| Parent { at: members[i].0, rank: ranks[i], front, crowding };
            let mut inside: Vec<Parent> = inside.iter().zip(distances).map(with).collect();
            inside.sort_by(Parent::order);
            parents.extend(inside);
        }
        parents.truncate(self.config.population as usize);
        self.parents = parents;
        self.grown = self.told.len();
    }

    /// The winner of a tournament of two.
    fn parent(&self, rng: &mut ChaCha8Rng) -> &G {
        let mut drawn = || rng.random_range(0..self.parents.len() as u32) as usize;
        // Parents are kept in the order of the comparison.
        let winner = drawn().min(drawn());
        &self.told[self.parents[winner].at].0
    }
}

impl<S: SearchSpace + ?Sized> Strategy<S> for Nsga2<S::Genome> {
    fn ask(&mut self, space: &S, key: &DrawKey) -> Result<S::Genome> {
        let mut rng = key.rng("nas.nsga2");
        if self.parents.is_empty() {
            return Ok(space.sample(&mut rng));
        }
        let first = self.parent(&mut rng);
        if rng.random_bool(self.config.crossover) {
            let second = self.parent(&mut rng);
            if let Some(child) = space.crossover(first, second, &mut rng) {
                let varied = rng.random_bool(self.config.mutation);
                return Ok(if varied { space.mutate(&child, &mut rng) } else { child });
            }
        }
        Ok(space.mutate(first, &mut rng))
    }

    fn tell(&mut self, _: &S, observation: Observation<S::Genome>) -> Result<()> {
        self.told.push((observation.genome, observation.rank));
        if self.told.len() - self.grown >= self.config.offspring as usize {
            self.grow();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Cost;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let base = Nsga2Config::default;
        let cases = [
            (Nsga2Config { population: 1, ..base() }, "population"),
            (Nsga2Config { offspring: 0, ..base() }, "offspring"),
            (Nsga2Config { crossover: 1.5, ..base() }, "crossover"),
            (Nsga2Config { mutation: f64::NAN, ..base() }, "mutation"),
            (Nsga2Config { minimize: Vec::new(), ..base() }, "minimize"),
        ];
        for (config, name) in cases {
            let message = Nsga2::<u8>::new(config).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn a_generation_ends_when_it_has_all_its_trials_and_keeps_the_least_crowded_of_its_last_front() {
        let config = Nsga2Config { population: 3, offspring: 5, ..Nsga2Config::default() };
        let mut strategy = Nsga2::new(config).unwrap();
        // Fitness and parameters. The last but one is dominated, the last has failed.
        let points = [(Some(0.9), 90), (Some(0.5), 10), (Some(0.51), 12), (Some(0.4), 80), (None, 1)];
        for (number, (fitness, params)) in (0u64..).zip(points) {
            assert!(strategy.parents.is_empty());
            let cost = Cost { params, macs: 1 };
            let rank = fitness.map(|fitness| Rank { fitness, cost, latency_ms: None, number });
            strategy.told.push((number, rank));
            if strategy.told.len() == 5 {
                strategy.grow();
            }
        }
        let parents: Vec<usize> = strategy.parents.iter().map(|parent| parent.at).collect();
        assert_eq!(parents, [0, 1, 2], "both ends of the front, then what is between");
        // Of four on the front three stay: the two ends, and the one with the wider gap.
        strategy
            .told
            .push((5, Some(Rank { fitness: 0.7, cost: Cost { params: 50, macs: 1 }, latency_ms: None, number: 5 })));
        strategy.grow();
        let parents: Vec<usize> = strategy.parents.iter().map(|parent| parent.at).collect();
        assert_eq!(parents, [0, 1, 5]);
    }
}
