//! Stage 1: expression, stack count and ratio of every layer together.

use std::collections::BTreeMap;

use mlp_space::encode::Numbering;
use mlp_space::{Architecture, Expression, LinearId, Mutation, Unary};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::budget::{Budget, Cost, Reach};
use crate::error::Result;
use crate::space::size::SizeSampler;
use crate::space::{EncodedSpace, SearchSpace, Student, crossed, fingerprint, rebuilt};

/// Varied expressions of each size among which [`CoarseSpace::fastest`] looks, beside the plain ones.
const VARIED: usize = 24;

/// All architectures of a student within size limits.
///
/// A sample draws the stack counts and ratios uniformly among those within the limits, and then, as
/// EfficientBERT does, mutates for each layer the plain `linear(gelu(linear(x)))` of its id.
#[derive(Debug, Clone)]
pub struct CoarseSpace {
    student: Student,
    /// Those that a layer may have.
    ids: Vec<LinearId>,
    sizes: SizeSampler,
    mutation: Mutation,
}

impl CoarseSpace {
    /// The space of `student` within the size limits of `budget`.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) if nothing meets the limits,
    /// [`Error::Budget`](crate::Error::Budget) if they contradict each other,
    /// [`Error::Space`](crate::Error::Space) for a student without layers or widths.
    pub fn new(student: Student, budget: &Budget) -> Result<Self> {
        let expressions = student.expressions();
        let layer: Vec<(LinearId, Cost)> = LinearId::all()
            .filter(|&id| expressions.check(&plain(id)).is_ok())
            .map(|id| (id, student.layer_cost(id)))
            .collect();
        let ids = layer.iter().map(|&(id, _)| id).collect();
        let sizes = SizeSampler::new(student.fixed, vec![layer; student.layers], budget)?;
        let mutation = Mutation { keep_id: true, ..Mutation::stage1(expressions) };
        Ok(Self { student, ids, sizes, mutation })
    }

    /// Number of (stack count, ratio) tuples within the limits.
    pub fn tuples(&self) -> u128 {
        self.sizes.count()
    }
}

/// The seed of an id.
fn plain(id: LinearId) -> Expression {
    Expression::plain(id, Unary::Gelu)
}

impl SearchSpace for CoarseSpace {
    type Genome = Architecture;

    fn sample(&self, rng: &mut ChaCha8Rng) -> Architecture {
        let ids = self.sizes.sample(rng);
        let layers: Vec<Expression> = ids.into_iter().map(|id| self.mutation.mutate(&plain(id), rng)).collect();
        rebuilt(layers)
    }

    /// Half of the time changes stack counts and ratios of one to three layers, otherwise the
    /// expression of one layer. An expression that does not run at its new ratio (an operator cut
    /// the width it needs) is replaced by a mutated plain one.
    fn mutate(&self, genome: &Architecture, rng: &mut ChaCha8Rng) -> Architecture {
        let mut layers = genome.layers().to_vec();
        let varied = if rng.random() { self.sizes.vary(genome.ids(), rng) } else { None };
        if let Some(ids) = varied {
            for (layer, &id) in layers.iter_mut().zip(&ids) {
                if layer.id() != Some(id) {
                    let moved = layer.with_id(id);
                    let runs = self.mutation.space.check(&moved).is_ok();
                    *layer = if runs { moved } else { self.mutation.mutate(&plain(id), rng) };
                }
            }
        } else {
            let at = rng.random_range(0..layers.len() as u32) as usize;
            layers[at] = self.mutation.mutate(&layers[at], rng);
        }
        rebuilt(layers)
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
        self.student.check(genome)
    }

    /// Exact over sizes where `ms` is a sum over the layers; the expressions of each size are the plain ones, and varied ones.
    fn fastest(&self, ms: &dyn Fn(&Architecture) -> f64) -> Architecture {
        let layers = self.student.layers;
        let whole = |layer: &Expression| rebuilt(vec![layer.clone(); layers]);
        let quickest: BTreeMap<LinearId, (f64, Expression)> = self
            .ids
            .iter()
            .map(|&id| {
                let mut rng = run_store::rng::keyed(0, "nas.fastest", &[id.stacks().into(), id.ratio().into()]);
                let plain = Unary::ALL.into_iter().map(|activation| Expression::plain(id, activation));
                let varied = (0..VARIED).map(|_| self.mutation.mutate(&self::plain(id), &mut rng));
                let timed = plain.chain(varied).map(|layer| (ms(&whole(&layer)) / layers as f64, layer));
                let best = timed.reduce(|best, other| if other.0 < best.0 { other } else { best });
                (id, best.unwrap_or_else(|| (f64::INFINITY, self::plain(id))))
            })
            .collect();
        let of = |id: LinearId| &quickest[&id];
        let ids = self.sizes.cheapest(&|_, id| of(id).0);
        rebuilt(ids.into_iter().map(|id| of(id).1.clone()).collect())
    }
}

impl EncodedSpace for CoarseSpace {
    fn encode(&self, genome: &Architecture) -> Vec<f64> {
        self.student.encode(genome, Numbering::Stage1)
    }
}
