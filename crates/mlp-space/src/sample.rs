//! Random expressions of the search space.

use rand::Rng;

use crate::error::Error;
use crate::expr::{Binary, Expression, LinearId, Node, Unary, WeightSlot};
use crate::valid::{Heights, Invalid};
use crate::widths::Widths;

/// Draws made before [`Space::sample`] gives up.
const DRAWS: usize = 100_000;

/// The expressions a search may visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// Allowed heights.
    #[serde(default)]
    pub heights: Heights,
    /// Where given, only expressions that run at these widths. The reference draws others too and gives them fitness 0.
    #[serde(default)]
    pub widths: Option<Widths>,
}

impl Space {
    /// The default heights, limited to expressions that run at `widths`.
    pub fn runnable(widths: Widths) -> Self {
        Self { heights: Heights::default(), widths: Some(widths) }
    }

    /// Whether an expression belongs to the space.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(&self, expression: &Expression) -> Result<(), Invalid> {
        expression.validate_within(self.heights)?;
        self.widths.map_or(Ok(()), |widths| expression.check_widths(widths))
    }

    /// A random expression of the space, with stack count and ratio `id` or, without one, a uniformly drawn id.
    ///
    /// Trees are grown from the root with a depth budget drawn uniformly from the allowed heights, and drawn again until
    /// one is valid. Every valid expression can be drawn.
    ///
    /// # Errors
    /// [`Error::EmptySpace`] when no draw is valid.
    pub fn sample(&self, id: Option<LinearId>, rng: &mut impl Rng) -> Result<Expression, Error> {
        let Heights { min, max } = self.heights;
        if min <= max {
            for _ in 0..DRAWS {
                let id = id.unwrap_or_else(|| any_id(rng));
                // A budget of 16 already exceeds what random growth reaches.
                let budget = rng.random_range(min..=max).min(16);
                let root = Grower { id, rng }.grow(Holds::Both, budget);
                if let Ok(expression) = Expression::new(root)
                    && self.check(&expression).is_ok()
                {
                    return Ok(expression);
                }
            }
        }
        Err(Error::EmptySpace { draws: DRAWS, min, max })
    }
}

pub(crate) fn any_id(rng: &mut impl Rng) -> LinearId {
    let (stacks, ratio) = (rng.random_range(1..=4), rng.random_range(1..=4));
    LinearId::new(stacks, ratio).unwrap_or(LinearId::LARGEST)
}

/// Which weights a subtree must contain.
#[derive(Clone, Copy)]
enum Holds {
    Nothing,
    One(WeightSlot),
    Both,
}

struct Grower<'a, R> {
    id: LinearId,
    rng: &'a mut R,
}

impl<R: Rng> Grower<'_, R> {
    fn grow(&mut self, holds: Holds, budget: usize) -> Node {
        let left = budget.saturating_sub(1);
        let choice = self.rng.random_range(0..100);
        // Half of the draws end a subtree's work at once; the rest adds an activation or an operator around it.
        let stop = match holds {
            Holds::Nothing => budget == 0,
            Holds::One(_) => budget <= 1,
            Holds::Both => budget <= 3,
        } || choice < 50;
        match holds {
            Holds::Nothing if stop => Node::Input,
            Holds::One(slot) if stop => Node::linear(self.id, slot, self.grow(Holds::Nothing, left)),
            Holds::Both if stop => {
                let input = self.grow(Holds::One(WeightSlot::First), left);
                Node::linear(self.id, WeightSlot::Second, input)
            }
            Holds::Both if choice >= 97 => {
                let first = self.grow(Holds::One(WeightSlot::First), left);
                Node::binary(self.binary(), first, self.grow(Holds::One(WeightSlot::Second), left))
            }
            _ if choice < 75 => {
                let op = Unary::ALL[self.rng.random_range(0..Unary::ALL.len())];
                Node::unary(op, self.grow(holds, left))
            }
            _ => {
                let (a, b) = (self.grow(holds, left), self.grow(Holds::Nothing, left));
                let (a, b) = if self.rng.random() { (a, b) } else { (b, a) };
                Node::binary(self.binary(), a, b)
            }
        }
    }

    fn binary(&mut self) -> Binary {
        Binary::ALL[self.rng.random_range(0..Binary::ALL.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn an_empty_space_is_an_error_not_an_endless_loop() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        for heights in [Heights { min: 0, max: 2 }, Heights { min: 5, max: 4 }] {
            let space = Space { heights, widths: None };
            assert!(matches!(space.sample(None, rng), Err(Error::EmptySpace { .. })), "{heights:?}");
        }
    }

    #[test]
    fn a_given_id_is_kept() {
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        let id = LinearId::new(3, 2).unwrap();
        assert!((0..50).all(|_| Space::default().sample(Some(id), rng).unwrap().id() == Some(id)));
    }
}
