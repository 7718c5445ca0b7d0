//! What a search may draw: the trait of all search spaces, and the three of EfficientBERT.
//!
//! EfficientBERT searches coarse to fine. [`CoarseSpace`] (stage 1) varies expression, stack count
//! and ratio of every layer together; [`OperatorSpace`] (stage 2) keeps the stack counts and ratios
//! of the winner and varies the expressions; [`WidthSpace`] (stage 3) keeps the expressions and
//! varies stack counts and ratios. All three draw only architectures within the size limits.

mod coarse;
mod encoder;
mod listed;
mod operators;
mod size;
mod student;
mod widths;
mod within;

use std::fmt::{Debug, Display};
use std::str::FromStr;

use mlp_space::{Architecture, Expression};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

pub use coarse::CoarseSpace;
pub use encoder::{EncoderChoices, EncoderGenome, EncoderLayer, EncoderSpace};
pub use listed::ListedSpace;
pub use operators::OperatorSpace;
pub use size::SizeSampler;
pub use student::{Encoding, Student};
pub use widths::WidthSpace;
pub use within::{Predicted, WithinLatency};

use crate::budget::{Budget, Cost, Reach};
use crate::error::{Error, Result};

/// A set of architectures that can be drawn and varied.
///
/// Everything is a pure function of its arguments (the generator included), so that a search
/// replays.
pub trait SearchSpace: Sync {
    /// One architecture. A study stores its `Display`, which `FromStr` reads back.
    type Genome: Clone + Debug + Display + FromStr<Err: Display>;

    /// A random architecture.
    fn sample(&self, rng: &mut ChaCha8Rng) -> Self::Genome;

    /// A random architecture close to `genome`.
    fn mutate(&self, genome: &Self::Genome, rng: &mut ChaCha8Rng) -> Self::Genome;

    /// A random architecture made of parts of both, which differs from both, if the space has such an operation and finds one within its
    /// limits; by default it has none.
    fn crossover(&self, one: &Self::Genome, other: &Self::Genome, rng: &mut ChaCha8Rng) -> Option<Self::Genome> {
        let _ = (one, other, rng);
        None
    }

    /// Equal for architectures that compute the same function of the same weights.
    fn fingerprint(&self, genome: &Self::Genome) -> String;

    /// Size of the whole model.
    fn cost(&self, genome: &Self::Genome) -> Cost;

    /// What sizes the space reaches, and the reachable one nearest to the budget.
    fn reach(&self, budget: &Budget) -> Reach;

    /// Checks that `genome` belongs to the space.
    ///
    /// # Errors
    /// [`Error::Genome`] with the reason.
    fn check(&self, genome: &Self::Genome) -> Result<()>;

    /// The architecture within the size limits that takes least time by `ms`, as far as the space knows: by default the end of a
    /// descent from random ones, always the same.
    fn fastest(&self, ms: &dyn Fn(&Self::Genome) -> f64) -> Self::Genome {
        within::descent(self, ms)
    }

    /// Reads an architecture of the space from its text.
    ///
    /// # Errors
    /// [`Error::Genome`] if it is not one.
    fn parse(&self, text: &str) -> Result<Self::Genome> {
        let wrong = |e: <Self::Genome as FromStr>::Err| Error::Genome { text: text.to_owned(), detail: e.to_string() };
        let genome = text.parse().map_err(wrong)?;
        self.check(&genome)?;
        Ok(genome)
    }

    /// Checks that the space holds an architecture within the size limits.
    ///
    /// # Errors
    /// [`Error::Budget`] for limits that contradict each other, [`Error::Unreachable`] with the
    /// nearest reachable size if no architecture meets them.
    fn ensure_reachable(&self, budget: &Budget) -> Result<()> {
        budget.validate()?;
        self.reach(budget).require(budget)
    }
}

/// A space that shows its architectures to a learner as numbers.
pub trait EncodedSpace: SearchSpace {
    /// The architecture as numbers; equally many for all of the space.
    fn encode(&self, genome: &Self::Genome) -> Vec<f64>;
}

fn fingerprint(genome: &Architecture) -> String {
    mlp_space::Fingerprint::of_architecture(genome).to_string()
}

/// Tries before two architectures count as having no child within the limits.
const CROSSINGS: usize = 20;

/// Uniform crossover: each layer from either parent with equal probability, until the child differs from both and `holds`.
fn crossed(
    one: &Architecture,
    other: &Architecture,
    holds: impl Fn(&Architecture) -> bool,
    rng: &mut ChaCha8Rng,
) -> Option<Architecture> {
    let mut cross = || {
        let pairs = one.layers().iter().zip(other.layers());
        rebuilt(pairs.map(|(own, its)| if rng.random() { own } else { its }.clone()).collect())
    };
    (0..CROSSINGS).map(|_| cross()).find(|child| child != one && child != other && holds(child))
}

/// An architecture of layers that a space made from valid ones.
fn rebuilt(layers: Vec<Expression>) -> Architecture {
    // Mutation and a change of id keep what an architecture checks: both weights used once, under
    // one id; and the number of layers comes from a student with at least one.
    Architecture::new(layers).expect("layers made from valid layers are valid")
}
