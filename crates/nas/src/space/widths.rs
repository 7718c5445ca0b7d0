//! Stage 3: the expressions stay, stack counts and ratios are searched.

use mlp_space::{Architecture, Expression, LinearId};
use rand_chacha::ChaCha8Rng;

use crate::budget::{Budget, Cost, Reach};
use crate::error::{Error, Result};
use crate::space::size::SizeSampler;
use crate::space::{EncodedSpace, SearchSpace, Student, crossed, fingerprint, rebuilt};

/// Architectures with the expressions of a given one, at all stack counts and ratios at which those
/// run, within size limits; every one is drawn equally often.
#[derive(Debug, Clone)]
pub struct WidthSpace {
    student: Student,
    winner: Architecture,
    sizes: SizeSampler,
}

impl WidthSpace {
    /// The space around `winner`, the winner of stage 2, within the size limits of `budget`.
    ///
    /// # Errors
    /// [`Error::Genome`] if the winner cannot stand in the student, [`Error::Unreachable`] if
    /// nothing meets the limits, [`Error::Budget`] if they contradict each other.
    pub fn new(student: Student, winner: Architecture, budget: &Budget) -> Result<Self> {
        student.check(&winner)?;
        let expressions = student.expressions();
        let runs = |layer: &Expression| -> Vec<(LinearId, Cost)> {
            LinearId::all()
                .filter(|&id| expressions.check(&layer.with_id(id)).is_ok())
                .map(|id| (id, student.layer_cost(id)))
                .collect()
        };
        let choices = winner.layers().iter().map(runs).collect();
        let sizes = SizeSampler::new(student.fixed, choices, budget)?;
        Ok(Self { student, winner, sizes })
    }

    /// Number of architectures within the limits.
    pub fn count(&self) -> u128 {
        self.sizes.count()
    }

    fn with_ids(&self, ids: &[LinearId]) -> Architecture {
        let layers = self.winner.layers().iter().zip(ids).map(|(layer, &id)| layer.with_id(id));
        rebuilt(layers.collect())
    }
}

impl SearchSpace for WidthSpace {
    type Genome = Architecture;

    fn sample(&self, rng: &mut ChaCha8Rng) -> Architecture {
        self.with_ids(&self.sizes.sample(rng))
    }

    /// Changes stack count and ratio of one to three layers; an architecture that has no such
    /// neighbor within the limits gives a new sample.
    fn mutate(&self, genome: &Architecture, rng: &mut ChaCha8Rng) -> Architecture {
        // Some layers have no other choice in a tight window; other layers may have.
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            if let Some(ids) = self.sizes.vary(genome.ids(), rng) {
                return self.with_ids(&ids);
            }
        }
        self.sample(rng)
    }

    fn crossover(&self, one: &Architecture, other: &Architecture, rng: &mut ChaCha8Rng) -> Option<Architecture> {
        crossed(one, other, |child| self.sizes.holds(child.ids()), rng)
    }

    fn fingerprint(&self, genome: &Architecture) -> String {
        fingerprint(genome)
    }

    fn cost(&self, genome: &Architecture) -> Cost {
        self.student.cost(genome)
    }

    fn reach(&self, budget: &Budget) -> Reach {
        self.sizes.reach(budget)
    }

    fn check(&self, genome: &Architecture) -> Result<()> {
        self.student.check(genome)?;
        if *genome == self.with_ids(genome.ids()) {
            return Ok(());
        }
        Err(Error::Genome {
            text: genome.to_string(),
            detail: "its expressions differ from those that this stage keeps".to_owned(),
        })
    }
}

impl EncodedSpace for WidthSpace {
    fn encode(&self, genome: &Architecture) -> Vec<f64> {
        self.student.encode_ids(genome)
    }
}
