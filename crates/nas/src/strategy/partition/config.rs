//! Settings of the learned partition.

use serde::{Deserialize, Serialize};

/// Which samples of a node count as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Fitness at or above the node's mean: LaNAS.
    Mean,
    /// Fitness at or above the node's median: EfficientBERT's code.
    Median,
}

/// How a draw walks down the tree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Descent {
    /// To the child with the largest upper confidence bound
    /// `mean + 2 Cp sqrt(2 ln n_parent / n_child)`, where the mean is of fitness scaled so that the
    /// worst complete trial is 0 and the best is 1: LaNAS. The exploration term is what brings the
    /// search back to regions with few samples.
    Uct {
        /// `Cp`, in units of the observed range of fitness.
        exploration: f64,
    },
    /// Always to the child with the better median: what EfficientBERT's code does (its bound has no
    /// exploration term).
    BestMedian,
}

/// How deep the tree may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Height {
    /// At most so many splits on a path.
    AtMost(u32),
    /// EfficientBERT's code: 1 with fewer than 400 samples, then one more at 400, 800, 1600, 3200.
    BySamples,
}

impl Height {
    pub(super) fn limit(self, samples: usize) -> u32 {
        match self {
            Self::AtMost(limit) => limit,
            // numpy.searchsorted((400, 800, 1600, 3200), n) + 1: counts the steps strictly below n.
            Self::BySamples => 1 + [400, 800, 1600, 3200].into_iter().filter(|&step| step < samples).count() as u32,
        }
    }
}

/// Settings of [`LearnedPartition`](super::LearnedPartition).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionConfig {
    /// Which samples of a node count as good.
    pub split: Split,
    /// How a draw walks down the tree.
    pub descent: Descent,
    /// How deep the tree may grow.
    pub height: Height,
    /// Fewest samples on either side of a split.
    pub min_leaf: u32,
    /// The tree is fitted again after this many new samples (LaNAS 20, EfficientBERT 10).
    pub refit_every: u32,
    /// Trees in the forest of each classifier.
    pub trees: u32,
    /// Probability that a draw mutates a good sample of the leaf instead of sampling the space.
    pub local_share: f64,
    /// Draws per ask before the closest one is taken (EfficientBERT 20000).
    pub max_draws: u32,
}

impl PartitionConfig {
    /// This project's default: LaNAS' mean split, exploration and height of 5, with the leaves and forests of EfficientBERT's released
    /// code, and half of the draws next to good samples of the leaf. What else was tried is in `docs/results/strategies.md`.
    pub fn learned() -> Self {
        Self {
            split: Split::Mean,
            descent: Descent::Uct { exploration: 0.1 },
            height: Height::AtMost(5),
            local_share: 0.5,
            max_draws: 2_000,
            ..Self::compatible()
        }
    }

    /// EfficientBERT's released code: median split, no exploration, always the best-median leaf,
    /// rejection sampling only. Its classifier is LightGBM, here it is a random forest.
    pub fn compatible() -> Self {
        Self {
            split: Split::Median,
            descent: Descent::BestMedian,
            height: Height::BySamples,
            min_leaf: 1,
            refit_every: 10,
            trees: 100,
            local_share: 0.0,
            max_draws: 20_000,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let counts = [
            ("min_leaf", self.min_leaf),
            ("refit_every", self.refit_every),
            ("trees", self.trees),
            ("max_draws", self.max_draws),
        ];
        if let Some((name, _)) = counts.into_iter().find(|&(_, value)| value == 0) {
            return Err(format!("{name} must be at least 1"));
        }
        if !(0.0..=1.0).contains(&self.local_share) {
            return Err(format!("local_share {} must be between 0 and 1", self.local_share));
        }
        if let Descent::Uct { exploration } = self.descent
            && !(exploration.is_finite() && exploration >= 0.0)
        {
            return Err(format!("exploration {exploration} must be a number of at least 0"));
        }
        if matches!(self.height, Height::AtMost(limit) if limit == 0 || limit > 16) {
            return Err("height must be between 1 and 16".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compatible_height_follows_the_reference_schedule() {
        let heights = [1, 399, 400, 401, 800, 801, 1601, 3201, 99_999].map(|n| Height::BySamples.limit(n));
        assert_eq!(heights, [1, 1, 1, 2, 2, 3, 4, 5, 5]);
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let base = PartitionConfig::learned();
        let cases = [
            (PartitionConfig { refit_every: 0, ..base }, "refit_every"),
            (PartitionConfig { local_share: 1.5, ..base }, "local_share"),
            (PartitionConfig { local_share: f64::NAN, ..base }, "local_share"),
            (PartitionConfig { descent: Descent::Uct { exploration: -1.0 }, ..base }, "exploration"),
            (PartitionConfig { height: Height::AtMost(0), ..base }, "height"),
        ];
        for (config, name) in cases {
            let message = config.check().unwrap_err();
            assert!(message.contains(name), "{message}");
        }
        assert_eq!(base.check(), Ok(()));
        assert_eq!(PartitionConfig::compatible().check(), Ok(()));
    }
}
