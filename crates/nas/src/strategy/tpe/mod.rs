//! TPE, the tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"): draw what looks
//! like the best trials and unlike the rest.
//!
//! The trials so far are divided into the best share and the rest. Both are described by [densities](density::Ratio) of the encoding, and of
//! some candidates the one with the largest ratio is asked for, which is the one with the largest expected improvement.
//!
//! Bergstra et al. draw the candidates from the density of the best. An architecture cannot be read off such numbers, so here the space
//! draws them: samples, varied good ones, and good ones that are crossed, whose layers are then independent draws from the good ones' layers.

mod density;

use std::collections::BTreeSet;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::rank::Rank;
use crate::space::EncodedSpace;
use crate::strategy::{DrawKey, Observation, Strategy};
use density::Ratio;

const NAME: &str = "tpe";

/// Settings of [`Tpe`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TpeConfig {
    /// Share of the complete trials that are good ones.
    pub good_share: f64,
    /// At most so many are.
    pub max_good: u32,
    /// Complete trials before it draws otherwise than at random.
    pub startup: u32,
    /// Candidates per draw.
    pub candidates: u32,
    /// Probability that a candidate comes from good trials instead of being a sample of the space.
    pub local_share: f64,
    /// Weight of the prior of a density, in trials (Bergstra et al.: 1).
    pub prior: f64,
}

impl Default for TpeConfig {
    /// The best 15% (at most 25), 10 trials at the beginning, 64 candidates of which half come from good trials, a prior of one trial.
    fn default() -> Self {
        Self { good_share: 0.15, max_good: 25, startup: 10, candidates: 64, local_share: 0.5, prior: 1.0 }
    }
}

impl TpeConfig {
    fn check(&self) -> Result<()> {
        let counts = [("max_good", self.max_good), ("startup", self.startup), ("candidates", self.candidates)];
        if let Some((name, _)) = counts.into_iter().find(|&(_, value)| value == 0) {
            return Err(fault(format!("{name} must be at least 1")));
        }
        if !(self.good_share > 0.0 && self.good_share < 1.0) {
            return Err(fault(format!("good_share {} must be between 0 and 1", self.good_share)));
        }
        if !(0.0..=1.0).contains(&self.local_share) {
            return Err(fault(format!("local_share {} must be between 0 and 1", self.local_share)));
        }
        if !(self.prior.is_finite() && self.prior > 0.0) {
            return Err(fault(format!("prior {} must be a number above 0", self.prior)));
        }
        Ok(())
    }
}

/// A finished trial.
#[derive(Debug, Clone)]
struct Told<G> {
    genome: G,
    features: Vec<f64>,
    rank: Option<Rank>,
}

/// What is known of the trials told so far.
#[derive(Debug, Clone)]
struct Fit {
    /// Places of the good trials, best first.
    good: Vec<usize>,
    ratio: Ratio,
}

/// TPE. Failed trials are among the rest, and so are pending ones.
#[derive(Debug, Clone)]
pub struct Tpe<G> {
    config: TpeConfig,
    told: Vec<Told<G>>,
    fingerprints: BTreeSet<String>,
    /// Of all told trials; absent after one was told.
    fit: Option<Fit>,
}

impl<G: Clone> Tpe<G> {
    /// TPE without history.
    ///
    /// # Errors
    /// [`Error::Strategy`] if a setting is out of range.
    pub fn new(config: TpeConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { config, told: Vec::new(), fingerprints: BTreeSet::new(), fit: None })
    }

    /// Divides the trials and fits both densities; `pending` encodings are among the rest. `None` with too few trials.
    fn fit(&self, pending: &[Vec<f64>]) -> Option<Fit> {
        let mut complete: Vec<(usize, Rank)> =
            self.told.iter().enumerate().filter_map(|(at, told)| Some((at, told.rank?))).collect();
        if complete.len() < self.config.startup as usize {
            return None;
        }
        complete.sort_by(|a, b| a.1.order(&b.1));
        let share = (self.config.good_share * complete.len() as f64).ceil() as usize;
        let good: Vec<usize> =
            complete.iter().map(|&(at, _)| at).take(share.min(self.config.max_good as usize)).collect();
        let rest = (0..self.told.len()).filter(|at| !good.contains(at)).map(|at| &self.told[at].features);
        let rest: Vec<&[f64]> = rest.chain(pending).map(Vec::as_slice).collect();
        let best: Vec<&[f64]> = good.iter().map(|&at| self.told[at].features.as_slice()).collect();
        Some(Fit { ratio: Ratio::fit(&best, &rest, self.config.prior), good })
    }

    fn candidate<S>(&self, space: &S, good: &[usize], rng: &mut ChaCha8Rng) -> G
    where
        S: EncodedSpace<Genome = G> + ?Sized,
    {
        if !rng.random_bool(self.config.local_share) {
            return space.sample(rng);
        }
        let mut parent = || &self.told[good[rng.random_range(0..good.len() as u32) as usize]].genome;
        let (one, other) = (parent(), parent());
        let crossed = if rng.random() { space.crossover(one, other, rng) } else { None };
        crossed.unwrap_or_else(|| space.mutate(one, rng))
    }

    /// The candidate of largest ratio that no told and no pending trial has; a sample where all of them are known.
    fn draw<S>(&self, space: &S, fit: Option<&Fit>, key: &DrawKey, pending: &[G]) -> Result<G>
    where
        S: EncodedSpace<Genome = G> + ?Sized,
    {
        let mut rng = key.rng("nas.tpe");
        let Some(fit) = fit else { return Ok(space.sample(&mut rng)) };
        let mut candidates = Vec::with_capacity(self.config.candidates as usize);
        for _ in 0..self.config.candidates {
            let genome = self.candidate(space, &fit.good, &mut rng);
            let features = self.encode(space, &genome)?;
            candidates.push((fit.ratio.ln(&features), genome));
        }
        // A stable sort: of equals the first drawn.
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        let pending: Vec<String> = pending.iter().map(|genome| space.fingerprint(genome)).collect();
        // Fingerprints are expensive, so they are computed in this order.
        let new = candidates.into_iter().find(|(_, genome)| {
            let fingerprint = space.fingerprint(genome);
            !self.fingerprints.contains(&fingerprint) && !pending.contains(&fingerprint)
        });
        Ok(new.map_or_else(|| space.sample(&mut rng), |(_, genome)| genome))
    }

    fn encode<S>(&self, space: &S, genome: &G) -> Result<Vec<f64>>
    where
        S: EncodedSpace<Genome = G> + ?Sized,
    {
        let features = space.encode(genome);
        let width = self.told.first().map_or(features.len(), |told| told.features.len());
        if features.len() == width {
            return Ok(features);
        }
        Err(fault(format!("the space encodes to {} numbers, its observations to {width}", features.len())))
    }
}

impl<S: EncodedSpace + ?Sized> Strategy<S> for Tpe<S::Genome> {
    fn ask(&mut self, space: &S, key: &DrawKey) -> Result<S::Genome> {
        if self.fit.is_none() {
            self.fit = self.fit(&[]);
        }
        self.draw(space, self.fit.as_ref(), key, &[])
    }

    fn ask_beside(&mut self, space: &S, key: &DrawKey, pending: &[S::Genome]) -> Result<S::Genome> {
        if pending.is_empty() {
            return self.ask(space, key);
        }
        let encoded = pending.iter().map(|genome| self.encode(space, genome)).collect::<Result<Vec<_>>>()?;
        self.draw(space, self.fit(&encoded).as_ref(), key, pending)
    }

    fn tell(&mut self, space: &S, observation: Observation<S::Genome>) -> Result<()> {
        let Observation { genome, fingerprint, rank, .. } = observation;
        let features = self.encode(space, &genome)?;
        self.told.push(Told { genome, features, rank });
        self.fingerprints.insert(fingerprint);
        self.fit = None;
        Ok(())
    }
}

fn fault(detail: String) -> Error {
    Error::Strategy { strategy: NAME, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let base = TpeConfig::default();
        let cases = [
            (TpeConfig { good_share: 0.0, ..base }, "good_share"),
            (TpeConfig { good_share: 1.0, ..base }, "good_share"),
            (TpeConfig { candidates: 0, ..base }, "candidates"),
            (TpeConfig { local_share: f64::NAN, ..base }, "local_share"),
            (TpeConfig { prior: 0.0, ..base }, "prior"),
        ];
        for (config, name) in cases {
            let message = Tpe::<u8>::new(config).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
