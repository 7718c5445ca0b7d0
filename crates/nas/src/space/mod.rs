//! What a stage may draw: three search spaces behind one trait.
//!
//! EfficientBERT searches coarse to fine. [`CoarseSpace`] (stage 1) varies expression, stack count
//! and ratio of every layer together; [`OperatorSpace`] (stage 2) keeps the stack counts and ratios
//! of the winner and varies the expressions; [`WidthSpace`] (stage 3) keeps the expressions and
//! varies stack counts and ratios. All three draw only architectures within the size limits.

mod coarse;
mod operators;
mod size;
mod student;
mod widths;

use mlp_space::Expression;
use rand_chacha::ChaCha8Rng;

pub use coarse::CoarseSpace;
pub use mlp_space::Architecture as Genome;
pub use operators::OperatorSpace;
pub use size::SizeSampler;
pub use student::{Encoding, Student};
pub use widths::WidthSpace;

use crate::budget::{Budget, Cost, Reach};
use crate::error::{Error, Result};

/// A set of architectures that can be drawn, varied and described as numbers.
///
/// Everything is a pure function of its arguments (the generator included), so that a search
/// replays.
pub trait SearchSpace: Sync {
    /// A random architecture.
    fn sample(&self, rng: &mut ChaCha8Rng) -> Genome;

    /// A random architecture close to `genome`.
    fn mutate(&self, genome: &Genome, rng: &mut ChaCha8Rng) -> Genome;

    /// The architecture as numbers for a learner; equally long for all of the space.
    fn encode(&self, genome: &Genome) -> Vec<f64>;

    /// Equal for architectures that compute the same function of the same weights.
    fn fingerprint(&self, genome: &Genome) -> String;

    /// Size of the whole student.
    fn cost(&self, genome: &Genome) -> Cost;

    /// What sizes the space reaches, and the reachable one nearest to the budget.
    fn reach(&self, budget: &Budget) -> Reach;

    /// Checks that `genome` belongs to the space.
    ///
    /// # Errors
    /// [`Error::Genome`] with the reason.
    fn check(&self, genome: &Genome) -> Result<()>;

    /// Reads an architecture of the space from the text that [`print()`] writes.
    ///
    /// # Errors
    /// [`Error::Genome`] if it is not one.
    fn parse(&self, text: &str) -> Result<Genome> {
        let genome: Genome = text
            .parse()
            .map_err(|e: mlp_space::Error| Error::Genome { text: text.to_owned(), detail: e.to_string() })?;
        self.check(&genome)?;
        Ok(genome)
    }
}

/// The text under which a study stores an architecture.
#[must_use]
pub fn print(genome: &Genome) -> String {
    genome.to_string()
}

fn fingerprint(genome: &Genome) -> String {
    mlp_space::Fingerprint::of_architecture(genome).to_string()
}

/// An architecture of layers that a space made from valid ones.
fn rebuilt(layers: Vec<Expression>) -> Genome {
    // Mutation and a change of id keep what an architecture checks: both weights used once, under
    // one id; and the number of layers comes from a student with at least one.
    Genome::new(layers).expect("layers made from valid layers are valid")
}
