//! A search space whose architectures are of a type of their own: plain encoders, told by their depth and width.
//!
//! [`SearchSpace`] asks for drawing, varying, sizes and a text form; with [`EncodedSpace`] a strategy that learns can be used
//! too. A genome is any type that can be printed and read back: the study keeps the text.

use std::fmt;
use std::str::FromStr;

use nas::Error;
use nas::budget::{Budget, Cost, Reach};
use nas::space::{EncodedSpace, SearchSpace};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A plain encoder; `6x384` has six layers of width 384.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Layers.
    pub layers: u64,
    /// Hidden width; the feed-forwards are four times as wide.
    pub width: u64,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.layers, self.width)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (layers, width) = text.split_once('x').ok_or("a shape is LAYERSxWIDTH")?;
        let number = |text: &str| text.parse().map_err(|e| format!("`{text}`: {e}"));
        Ok(Self { layers: number(layers)?, width: number(width)? })
    }
}

/// Encoders of 1 to 12 layers whose width is a multiple of 64, up to 768, within a budget.
pub struct PlainEncoders {
    within: Vec<Shape>,
}

impl PlainEncoders {
    /// Those within `budget`.
    ///
    /// # Errors
    /// None is; the message has the nearest.
    pub fn new(budget: &Budget) -> nas::Result<Self> {
        Self { within: Vec::new() }.ensure_reachable(budget)?;
        Ok(Self { within: every().filter(|shape| budget.check(size(shape)).is_none()).collect() })
    }
}

fn every() -> impl Iterator<Item = Shape> {
    (1..=12).flat_map(|layers| (1..=12).map(move |step| Shape { layers, width: 64 * step }))
}

/// Weights of the word table (30,522 pieces) and of each layer's matrices and biases, and multiply-adds for 128 tokens.
fn size(shape: &Shape) -> Cost {
    let Shape { layers, width } = *shape;
    let matrices = layers * 12 * width * width;
    Cost { params: 30_522 * width + matrices + layers * 13 * width, macs: 128 * matrices }
}

impl SearchSpace for PlainEncoders {
    type Genome = Shape;

    fn sample(&self, rng: &mut ChaCha8Rng) -> Shape {
        self.within[rng.random_range(0..self.within.len())]
    }

    fn mutate(&self, shape: &Shape, rng: &mut ChaCha8Rng) -> Shape {
        let close = |other: &&Shape| other.layers.abs_diff(shape.layers) + other.width.abs_diff(shape.width) / 64 == 1;
        let neighbours: Vec<&Shape> = self.within.iter().filter(close).collect();
        match neighbours.len() {
            0 => self.sample(rng),
            n => *neighbours[rng.random_range(0..n)],
        }
    }

    fn fingerprint(&self, shape: &Shape) -> String {
        shape.to_string()
    }

    fn cost(&self, shape: &Shape) -> Cost {
        size(shape)
    }

    fn reach(&self, budget: &Budget) -> Reach {
        let mut sizes: Vec<Cost> = every().map(|shape| size(&shape)).collect();
        sizes.sort_by_key(|cost| (cost.params, cost.macs));
        let nearest = sizes.iter().min_by(|a, b| budget.excess(**a).total_cmp(&budget.excess(**b)));
        Reach { smallest: sizes[0], largest: sizes[sizes.len() - 1], nearest: nearest.copied().unwrap_or_default() }
    }

    fn check(&self, shape: &Shape) -> nas::Result<()> {
        match self.within.contains(shape) {
            true => Ok(()),
            false => Err(Error::Genome { text: shape.to_string(), detail: "no shape within the budget".into() }),
        }
    }
}

impl EncodedSpace for PlainEncoders {
    fn encode(&self, shape: &Shape) -> Vec<f64> {
        vec![shape.layers as f64, shape.width as f64]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use nas::driver::{Candidate, StageConfig, StageOutcome, StageParts, run_stage};
    use nas::strategy::{Evolution, EvolutionConfig, LearnedPartition, PartitionConfig, RandomSearch, Strategy};
    use nas::study::{Fitness, MemoryStudy, StudyIdentity};

    use super::*;

    fn search(budget: Budget, strategy: &mut dyn Strategy<PlainEncoders>) -> nas::Result<StageOutcome<Shape>> {
        let space = PlainEncoders::new(&budget)?;
        // What a training would find is known here: six layers are best, and width is worth a little.
        let mut evaluate = |candidate: &Candidate<Shape>| {
            let Shape { layers, width } = candidate.genome;
            let score = 1.0 - 0.1 * layers.abs_diff(6) as f64 + width as f64 / 1e4;
            Ok(Fitness { score, ..Fitness::default() })
        };
        let identity = StudyIdentity { name: "plain".into(), config_hash: String::new(), seed: 1 };
        let parts = StageParts {
            space: &space,
            strategy,
            store: &mut MemoryStudy::new(identity),
            budget: &budget,
            latency: None,
            evaluate: &mut evaluate,
            clock: &mut || 0,
            stop: &AtomicBool::new(false),
            on_event: &mut |_| {},
        };
        run_stage(&StageConfig { stage: 1, trials: 40, initial_random: 10, max_draws: 10_000 }, parts)
    }

    #[test]
    fn every_strategy_searches_a_space_of_another_genome() {
        let budget = Budget { max_params: Some(30_000_000), ..Budget::default() };
        let mut strategies: Vec<Box<dyn Strategy<PlainEncoders>>> = vec![
            Box::new(RandomSearch),
            Box::new(Evolution::new(EvolutionConfig { population: 10, tournament: 3 }).unwrap()),
            Box::new(LearnedPartition::new(PartitionConfig::learned()).unwrap()),
        ];
        for strategy in &mut strategies {
            let found = search(budget, strategy.as_mut()).unwrap();
            assert_eq!(found.best.genome, found.genome.to_string());
            assert!(found.best.cost.params <= 30_000_000);
            assert_eq!(found.genome.layers, 6, "{}", found.genome);
        }
    }

    #[test]
    fn a_budget_that_no_shape_meets_is_refused_with_the_nearest() {
        let budget = Budget { max_params: Some(1_000_000), ..Budget::default() };
        let refused = search(budget, &mut RandomSearch).unwrap_err().to_string();
        assert!(refused.contains("2003392 parameters"), "1x64 is the smallest: {refused}");
    }
}
