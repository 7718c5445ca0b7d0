//! A space cut to what a latency limit leaves of it.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::budget::{Budget, Cost, Reach};
use crate::error::Result;
use crate::space::{CROSSINGS, EncodedSpace, SearchSpace};

/// Draws from the space before one is made from what is known to be fast enough.
const DRAWS: usize = 200;
/// Variations of an architecture that are looked at for one that is fast enough.
const VARIATIONS: usize = 50;
/// Steps of a walk inside the limit.
const WALK: usize = 12;
/// Random beginnings of a descent, and its steps.
const BEGINNINGS: usize = 64;
const STEPS: usize = 600;

/// Milliseconds of an architecture, as far as they can be predicted; a pure function.
pub type Predicted<G> = Arc<dyn Fn(&G) -> f64 + Send + Sync>;

/// The architectures of a space that take no longer than a limit.
///
/// A draw is one of the space that is fast enough. Where 200 draws find none, it is the end of a walk of 12 variations from an
/// architecture that is known to be fast enough, none of which leaves the limit: so a limit that hardly anything meets costs no more
/// than a wide one.
pub struct WithinLatency<S: ?Sized, G> {
    ms: Predicted<G>,
    limit_ms: f64,
    known: G,
    space: Box<S>,
}

impl<S: ?Sized, G> std::fmt::Debug for WithinLatency<S, G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithinLatency").field("limit_ms", &self.limit_ms).finish_non_exhaustive()
    }
}

impl<G, S: SearchSpace<Genome = G> + ?Sized> WithinLatency<S, G> {
    /// What is within `limit_ms` of `space`, by `ms`; `known` is an architecture of it.
    pub fn new(space: Box<S>, ms: Predicted<G>, limit_ms: f64, known: G) -> Self {
        Self { ms, limit_ms, known, space }
    }

    fn holds(&self, genome: &G) -> bool {
        (self.ms)(genome) <= self.limit_ms
    }

    /// Where a walk of variations from `genome` ends that does not leave the limit.
    fn walk(&self, genome: &G, rng: &mut ChaCha8Rng) -> G
    where
        G: Clone,
    {
        let mut at = genome.clone();
        for _ in 0..WALK {
            let next = self.space.mutate(&at, rng);
            if self.holds(&next) {
                at = next;
            }
        }
        at
    }
}

impl<G, S> SearchSpace for WithinLatency<S, G>
where
    G: Clone + std::fmt::Debug + std::fmt::Display + std::str::FromStr<Err: std::fmt::Display> + Sync,
    S: SearchSpace<Genome = G> + ?Sized,
{
    type Genome = G;

    fn sample(&self, rng: &mut ChaCha8Rng) -> G {
        let drawn = (0..DRAWS).map(|_| self.space.sample(rng)).find(|genome| self.holds(genome));
        drawn.unwrap_or_else(|| self.walk(&self.known, rng))
    }

    fn mutate(&self, genome: &G, rng: &mut ChaCha8Rng) -> G {
        let varied = (0..VARIATIONS).map(|_| self.space.mutate(genome, rng)).find(|genome| self.holds(genome));
        varied.unwrap_or_else(|| self.walk(&self.known, rng))
    }

    fn crossover(&self, one: &G, other: &G, rng: &mut ChaCha8Rng) -> Option<G> {
        (0..CROSSINGS).find_map(|_| self.space.crossover(one, other, rng).filter(|child| self.holds(child)))
    }

    fn fingerprint(&self, genome: &G) -> String {
        self.space.fingerprint(genome)
    }

    fn cost(&self, genome: &G) -> Cost {
        self.space.cost(genome)
    }

    fn reach(&self, budget: &Budget) -> Reach {
        self.space.reach(budget)
    }

    fn check(&self, genome: &G) -> Result<()> {
        self.space.check(genome)
    }

    fn fastest(&self, ms: &dyn Fn(&G) -> f64) -> G {
        self.space.fastest(ms)
    }
}

impl<G, S> EncodedSpace for WithinLatency<S, G>
where
    G: Clone + std::fmt::Debug + std::fmt::Display + std::str::FromStr<Err: std::fmt::Display> + Sync,
    S: EncodedSpace<Genome = G> + ?Sized,
{
    fn encode(&self, genome: &G) -> Vec<f64> {
        self.space.encode(genome)
    }
}

/// The end of a descent over variations from the best of some random architectures; always the same.
pub(super) fn descent<S: SearchSpace + ?Sized>(space: &S, ms: &dyn Fn(&S::Genome) -> f64) -> S::Genome {
    let mut rng = run_store::rng::keyed(0, "nas.descent", &[]);
    let mut best = space.sample(&mut rng);
    let mut least = ms(&best);
    for step in 1..BEGINNINGS + STEPS {
        let next = if step < BEGINNINGS { space.sample(&mut rng) } else { space.mutate(&best, &mut rng) };
        let takes = ms(&next);
        if takes < least {
            (best, least) = (next, takes);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use mlp_space::{Architecture, StudentShape};

    use super::*;
    use crate::space::{CoarseSpace, Student, WidthSpace};

    fn shape() -> StudentShape {
        StudentShape { vocab: 90, embed: 8, hidden: 24, base: 24, heads: 2, max_positions: 32, segments: 2, fit: None }
    }

    /// Milliseconds that grow with the operators and the stacks of each layer.
    fn ms(genome: &Architecture) -> f64 {
        let layer = |e: &mlp_space::Expression| {
            let id = e.id().unwrap();
            f64::from(id.stacks()) * (e.tokens().len() as f64 * 0.1 + id.inner_size(24) as f64 * 0.05)
        };
        1.0 + genome.layers().iter().map(layer).sum::<f64>()
    }

    #[test]
    fn the_fastest_architecture_is_one_that_no_draw_and_no_descent_beats() {
        let student = Student::efficientbert(&shape(), 3, 16).unwrap();
        let window = Budget { min_params: Some(9_500), max_params: Some(11_000), ..Budget::default() };
        for budget in [Budget::default(), window] {
            let space = CoarseSpace::new(student, &budget).unwrap();
            let fastest = space.fastest(&ms);
            space.check(&fastest).unwrap();
            assert_eq!(budget.check(space.cost(&fastest)), None);
            let mut rng = run_store::rng::keyed(3, "test", &[]);
            let drawn = (0..300).map(|_| ms(&space.sample(&mut rng))).fold(f64::INFINITY, f64::min);
            assert!(ms(&fastest) <= drawn && ms(&fastest) <= ms(&descent(&space, &ms)) + 1e-9, "{fastest}");
        }
    }

    #[test]
    fn every_draw_and_variation_is_within_a_limit_that_hardly_anything_meets() {
        let student = Student::efficientbert(&shape(), 3, 16).unwrap();
        let space = CoarseSpace::new(student, &Budget::default()).unwrap();
        let known = space.fastest(&ms);
        let mut rng = run_store::rng::keyed(5, "test", &[]);
        let rare = ms(&known) * 1.15;
        assert!((0..500).filter(|_| ms(&space.sample(&mut rng)) <= rare).count() < 3, "the limit is a hard one");
        for limit in [rare, ms(&known) * 2.0, ms(&known)] {
            let cut = WithinLatency::new(Box::new(space.clone()), Arc::new(ms), limit, known.clone());
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..40 {
                let drawn = cut.sample(&mut rng);
                let varied = cut.mutate(&drawn, &mut rng);
                assert!(ms(&drawn) <= limit && ms(&varied) <= limit, "{drawn} or {varied}");
                seen.extend([drawn.to_string(), varied.to_string()]);
            }
            assert!(limit == ms(&known) || seen.len() > 10, "{} different ones within {limit} ms", seen.len());
        }
        // A stage that keeps the expressions of its winner.
        let winner = CoarseSpace::new(student, &Budget::default()).unwrap().sample(&mut rng);
        let widths = WidthSpace::new(student, winner.clone(), &Budget::default()).unwrap();
        let cut = WithinLatency::new(Box::new(widths), Arc::new(ms), ms(&winner), winner.clone());
        let drawn = cut.sample(&mut rng);
        cut.check(&drawn).unwrap();
        assert!(ms(&drawn) <= ms(&winner));
    }
}
