//! Learned partition of the search space: LaNAS (Wang et al. 2022, "Sample-Efficient Neural
//! Architecture Search by Learning Actions for Monte Carlo Tree Search"), in the variant with
//! classifiers that EfficientBERT uses.
//!
//! A binary [tree](tree::Tree) splits the observed architectures into good and bad, node by node,
//! and each split is learned by a [classifier](classifier::Classifier), so that architectures never
//! seen have a place in the tree too. A draw walks down the tree to one leaf, then samples
//! architectures that every classifier on the way sends there.

mod classifier;
mod config;
mod tree;

use std::collections::BTreeSet;

pub use config::{Descent, Height, PartitionConfig, Split};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::rank::Rank;
use crate::space::EncodedSpace;
use crate::strategy::{DrawKey, Observation, Strategy};
use tree::{Leaf, Samples, Tree};

const NAME: &str = "learned partition";

/// The strategy. Without enough observations to split it samples at random.
#[derive(Debug)]
pub struct LearnedPartition<G> {
    config: PartitionConfig,
    genomes: Vec<G>,
    ranks: Vec<Option<Rank>>,
    fingerprints: BTreeSet<String>,
    samples: Samples,
    tree: Option<Tree>,
}

impl<G: Clone> LearnedPartition<G> {
    /// A strategy without observations.
    ///
    /// # Errors
    /// [`Error::Strategy`] if a setting is out of range.
    pub fn new(config: PartitionConfig) -> Result<Self> {
        config.check().map_err(fault)?;
        Ok(Self {
            config,
            genomes: Vec::new(),
            ranks: Vec::new(),
            fingerprints: BTreeSet::new(),
            samples: Samples::default(),
            tree: None,
        })
    }

    /// How many observations the tree is fitted to: the largest multiple of the refit interval.
    fn fit_size(&self) -> usize {
        let every = self.config.refit_every as usize;
        self.samples.len() / every * every
    }

    /// Fits the tree to the first [`LearnedPartition::fit_size`] observations if it is not yet, and
    /// sends the later ones down to their leaves.
    fn refresh(&mut self, key: &DrawKey) -> Result<()> {
        let size = self.fit_size();
        if self.tree.as_ref().is_none_or(|tree| tree.fitted_to() != size) {
            let seed = |node: u64| {
                let counters = [u64::from(key.stage), size as u64, node];
                run_store::rng::keyed(key.seed, "nas.partition.fit", &counters).random()
            };
            self.tree = Some(Tree::fit(&self.config, &self.samples, size, seed).map_err(fault)?);
        }
        if let Some(tree) = &mut self.tree {
            tree.extend(&self.samples).map_err(fault)?;
        }
        Ok(())
    }

    /// What is drawn by the tree as it is.
    fn draw_by_tree<S>(&self, space: &S, key: &DrawKey) -> Result<G>
    where
        S: EncodedSpace<Genome = G> + ?Sized,
    {
        let mut rng = key.rng("nas.partition.draw");
        match &self.tree {
            Some(tree) if tree.is_split() => {
                let leaf = tree.descend(&self.config, &self.samples);
                self.draw(space, tree, &leaf, &mut rng)
            }
            _ => Ok(space.sample(&mut rng)),
        }
    }

    /// Places `pending` in the tree as failed trials.
    fn suppose<S>(&mut self, space: &S, pending: &[G]) -> Result<()>
    where
        S: EncodedSpace<Genome = G> + ?Sized,
    {
        for genome in pending {
            if !self.samples.push(space.encode(genome), None) {
                return Err(fault("a pending trial is encoded by another number of features".to_owned()));
            }
        }
        match &mut self.tree {
            Some(tree) => tree.extend(&self.samples).map_err(fault),
            None => Ok(()),
        }
    }

    /// An unseen architecture of the leaf, or else the unseen draw that came closest.
    fn draw<S>(&self, space: &S, tree: &Tree, leaf: &Leaf, rng: &mut ChaCha8Rng) -> Result<G>
    where
        S: EncodedSpace<Genome = G> + ?Sized,
    {
        let parents = self.parents(leaf);
        let mut closest: Option<(f64, G)> = None;
        for _ in 0..self.config.max_draws {
            let local = !parents.is_empty() && rng.random_bool(self.config.local_share);
            let genome = if local {
                let parent = parents[rng.random_range(0..parents.len() as u32) as usize];
                space.mutate(&self.genomes[parent], rng)
            } else {
                space.sample(rng)
            };
            let features = space.encode(&genome);
            if features.len() != self.samples.width() {
                return Err(fault(format!(
                    "the space encodes to {} numbers, its observations to {}",
                    features.len(),
                    self.samples.width()
                )));
            }
            // A draw that is neither inside nor closer than the closest so far is of no use.
            let floor = closest.as_ref().map_or(f64::NEG_INFINITY, |(agreement, _)| *agreement);
            let agreement = tree.agreement(leaf, &features, floor).map_err(fault)?;
            // The fingerprint is expensive, so it is computed last.
            if agreement > floor && !self.fingerprints.contains(&space.fingerprint(&genome)) {
                if agreement >= 0.5 {
                    return Ok(genome);
                }
                closest = Some((agreement, genome));
            }
        }
        Ok(closest.map_or_else(|| space.sample(rng), |(_, genome)| genome))
    }

    /// The better half of a leaf's complete trials.
    fn parents(&self, leaf: &Leaf) -> Vec<usize> {
        if self.config.local_share == 0.0 {
            return Vec::new();
        }
        // Pending ones have no rank.
        let ranked = |&i: &usize| Some((i, self.ranks.get(i).copied().flatten()?));
        let mut members: Vec<(usize, Rank)> = leaf.members.iter().filter_map(ranked).collect();
        members.sort_by(|a, b| a.1.order(&b.1));
        members.truncate(members.len().div_ceil(2));
        members.into_iter().map(|(i, _)| i).collect()
    }
}

impl<S: EncodedSpace + ?Sized> Strategy<S> for LearnedPartition<S::Genome> {
    fn ask(&mut self, space: &S, key: &DrawKey) -> Result<S::Genome> {
        self.refresh(key)?;
        self.draw_by_tree(space, key)
    }

    /// Pending trials count as failed ones: their regions look visited and bad. The forests stay those of the finished trials.
    fn ask_beside(&mut self, space: &S, key: &DrawKey, pending: &[S::Genome]) -> Result<S::Genome> {
        self.refresh(key)?;
        let told = self.samples.len();
        let new: Vec<String> = pending
            .iter()
            .map(|genome| space.fingerprint(genome))
            .filter(|fingerprint| self.fingerprints.insert(fingerprint.clone()))
            .collect();
        let drawn = self.suppose(space, pending).and_then(|()| self.draw_by_tree(space, key));
        self.samples.truncate(told);
        if let Some(tree) = &mut self.tree {
            tree.truncate(told);
        }
        for fingerprint in &new {
            self.fingerprints.remove(fingerprint);
        }
        drawn
    }

    fn tell(&mut self, space: &S, observation: Observation<S::Genome>) -> Result<()> {
        if !self.samples.push(space.encode(&observation.genome), observation.rank.map(|rank| rank.fitness)) {
            return Err(fault(format!(
                "trial {} is encoded by another number of features than the trials before",
                observation.number
            )));
        }
        self.genomes.push(observation.genome);
        self.ranks.push(observation.rank);
        self.fingerprints.insert(observation.fingerprint);
        Ok(())
    }
}

fn fault(detail: String) -> Error {
    Error::Strategy { strategy: NAME, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Cost;

    #[test]
    fn of_equally_good_members_the_smaller_half_become_parents() {
        let config = PartitionConfig { local_share: 0.5, ..PartitionConfig::learned() };
        let mut strategy = LearnedPartition::new(config).unwrap();
        let genome = mlp_space::released::preset("efficientbert").unwrap();
        // Parameters in millions; trial 2 has failed, trial 4 is better than the others.
        for (number, (params, fitness)) in (0..).zip([
            (6.79, Some(0.65289)),
            (6.59, Some(0.65289)),
            (1.0, None),
            (6.6, Some(0.65289)),
            (9.0, Some(0.7)),
            (7.0, Some(0.65289)),
        ]) {
            let cost = Cost { params: (params * 1e6) as u64, macs: 1 };
            let rank = fitness.map(|fitness| Rank { fitness, cost, latency_ms: None, number });
            strategy.samples.push(vec![params], fitness);
            strategy.genomes.push(genome.clone());
            strategy.ranks.push(rank);
        }
        let key = DrawKey { seed: 1, stage: 1, number: 6, attempt: 0 };
        strategy.refresh(&key).unwrap();
        let mut all = strategy.tree.as_ref().unwrap().descend(&strategy.config, &strategy.samples);
        all.members = (0..6).collect();
        assert_eq!(strategy.parents(&all), [4, 1, 3]);
    }
}
