//! Stage 2: stack counts and ratios stay, the expressions are searched.

use mlp_space::encode::Numbering;
use mlp_space::{Architecture, Expression, Mutation, Unary};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::budget::{Budget, Cost, Reach};
use crate::error::{Error, Result};
use crate::space::{EncodedSpace, SearchSpace, Student, crossed, fingerprint, rebuilt};

/// Architectures with the stack counts and ratios of a given one, so all of one size.
///
/// As in EfficientBERT, a sample mutates for each layer one of two seeds: the layer of the winner
/// of stage 1, or the plain `linear(gelu(linear(x)))` of its id.
#[derive(Debug, Clone)]
pub struct OperatorSpace {
    student: Student,
    winner: Architecture,
    mutation: Mutation,
}

impl OperatorSpace {
    /// The space around `winner`, the winner of stage 1.
    ///
    /// # Errors
    /// [`Error::Genome`] if the winner cannot stand in the student,
    /// [`Error::Unreachable`] if its size is outside the budget.
    pub fn new(student: Student, winner: Architecture, budget: &Budget) -> Result<Self> {
        student.check(&winner)?;
        let mutation = Mutation::stage2(student.expressions());
        let space = Self { student, winner, mutation };
        space.ensure_reachable(budget)?;
        Ok(space)
    }
}

impl SearchSpace for OperatorSpace {
    type Genome = Architecture;

    fn sample(&self, rng: &mut ChaCha8Rng) -> Architecture {
        let layers = self.winner.layers().iter().zip(self.winner.ids()).map(|(winner, &id)| {
            if rng.random() {
                self.mutation.mutate(winner, rng)
            } else {
                self.mutation.mutate(&Expression::plain(id, Unary::Gelu), rng)
            }
        });
        rebuilt(layers.collect())
    }

    /// Changes the expression of one layer.
    fn mutate(&self, genome: &Architecture, rng: &mut ChaCha8Rng) -> Architecture {
        let mut layers = genome.layers().to_vec();
        let at = rng.random_range(0..layers.len() as u32) as usize;
        layers[at] = self.mutation.mutate(&layers[at], rng);
        rebuilt(layers)
    }

    fn crossover(&self, one: &Architecture, other: &Architecture, rng: &mut ChaCha8Rng) -> Option<Architecture> {
        crossed(one, other, |_| true, rng)
    }

    fn fingerprint(&self, genome: &Architecture) -> String {
        fingerprint(genome)
    }

    fn cost(&self, genome: &Architecture) -> Cost {
        self.student.cost(genome)
    }

    fn reach(&self, _: &Budget) -> Reach {
        let only = self.student.cost(&self.winner);
        Reach { smallest: only, largest: only, nearest: only }
    }

    fn check(&self, genome: &Architecture) -> Result<()> {
        self.student.check(genome)?;
        if genome.ids() == self.winner.ids() {
            return Ok(());
        }
        Err(Error::Genome {
            text: genome.to_string(),
            detail: "its stack counts and ratios differ from those that this stage keeps".to_owned(),
        })
    }
}

impl EncodedSpace for OperatorSpace {
    fn encode(&self, genome: &Architecture) -> Vec<f64> {
        self.student.encode(genome, Numbering::Stage2)
    }
}
