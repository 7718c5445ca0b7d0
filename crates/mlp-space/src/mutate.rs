//! Random neighbors of an expression.

use rand::Rng;

use crate::expr::{Binary, Expression, LinearId, Token, Unary, WeightSlot, subtree_end};
use crate::sample::Space;

/// Largest height of the random tree that replaces a subtree.
const NEW_TREE_HEIGHT: usize = 3;

/// How neighbors are made: EfficientBERT's mutation.
///
/// One try edits the prefix form three times: a uniformly drawn subtree is replaced by a full random tree of height 0 to 3,
/// one token other than the root is replaced by another of the same arity, and a random operator is inserted above a
/// uniformly drawn subtree, its other operand a random leaf. (The reference's fourth step mutates constants, of which the
/// space has none.) Tries are repeated until the result belongs to [`Mutation::space`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// Which results count.
    pub space: Space,
    /// Whether stack count and ratio stay those of the seed.
    pub keep_id: bool,
    /// Tries before the seed itself is returned.
    pub tries: usize,
}

impl Mutation {
    /// Stage 1: operators, stack count and ratio change; 1000 tries.
    pub fn stage1(space: Space) -> Self {
        Self { space, keep_id: false, tries: 1000 }
    }

    /// Stage 2: only operators change; 400 tries.
    pub fn stage2(space: Space) -> Self {
        Self { space, keep_id: true, tries: 400 }
    }

    /// A random neighbor of `seed`, or `seed` itself when no try is valid, as in the reference. A neighbor may equal the
    /// seed by chance.
    pub fn mutate(&self, seed: &Expression, rng: &mut impl Rng) -> Expression {
        self.try_mutate(seed, rng).unwrap_or_else(|| seed.clone())
    }

    /// A random neighbor of `seed`, or `None` when none of the tries is valid.
    pub fn try_mutate(&self, seed: &Expression, rng: &mut impl Rng) -> Option<Expression> {
        let vocabulary = Vocabulary::new(if self.keep_id { seed.id() } else { None });
        let tokens = seed.tokens();
        (0..self.tries).find_map(|_| {
            let mut edited = tokens.clone();
            vocabulary.replace_subtree(&mut edited, rng);
            vocabulary.replace_token(&mut edited, rng);
            vocabulary.insert(&mut edited, rng);
            // Most tries lose or repeat a weight: sort those out before a tree is built.
            let count = |slot| edited.iter().filter(|t| **t == Token::Weights(slot)).count();
            if count(WeightSlot::First) != 1 || count(WeightSlot::Second) != 1 {
                return None;
            }
            let expression = Expression::from_tokens(&edited).ok()?;
            self.space.check(&expression).is_ok().then_some(expression)
        })
    }
}

/// The primitives an edit draws from; leaves are always `x`, `wb1` and `wb2`.
struct Vocabulary {
    primitives: Vec<Token>,
}

impl Vocabulary {
    /// All sixteen linear maps or only one, the operators and the activations.
    fn new(only: Option<LinearId>) -> Self {
        let linear = LinearId::all().filter(|id| only.is_none_or(|only| only == *id)).map(Token::Linear);
        let others = Binary::ALL.into_iter().map(Token::Binary).chain(Unary::ALL.into_iter().map(Token::Unary));
        Self { primitives: linear.chain(others).collect() }
    }

    fn leaf(rng: &mut impl Rng) -> Token {
        const LEAVES: [Token; 3] =
            [Token::Input, Token::Weights(WeightSlot::First), Token::Weights(WeightSlot::Second)];
        LEAVES[rng.random_range(0..LEAVES.len())]
    }

    fn primitive(&self, rng: &mut impl Rng) -> Token {
        self.primitives[rng.random_range(0..self.primitives.len())]
    }

    /// Appends a tree all of whose leaves lie at `height`.
    fn full_tree(&self, height: usize, out: &mut Vec<Token>, rng: &mut impl Rng) {
        if height == 0 {
            out.push(Self::leaf(rng));
            return;
        }
        let token = self.primitive(rng);
        out.push(token);
        for _ in 0..token.arity() {
            self.full_tree(height - 1, out, rng);
        }
    }

    fn replace_subtree(&self, tokens: &mut Vec<Token>, rng: &mut impl Rng) {
        let start = rng.random_range(0..tokens.len());
        let mut tree = Vec::new();
        self.full_tree(rng.random_range(0..=NEW_TREE_HEIGHT), &mut tree, rng);
        let end = subtree_end(tokens, start);
        tokens.splice(start..end, tree);
    }

    fn replace_token(&self, tokens: &mut [Token], rng: &mut impl Rng) {
        if tokens.len() < 2 {
            return;
        }
        let at = rng.random_range(1..tokens.len());
        let arity = tokens[at].arity();
        tokens[at] = if arity == 0 {
            Self::leaf(rng)
        } else {
            // The primitives hold both arities, so this ends.
            loop {
                let token = self.primitive(rng);
                if token.arity() == arity {
                    break token;
                }
            }
        };
    }

    fn insert(&self, tokens: &mut Vec<Token>, rng: &mut impl Rng) {
        let start = rng.random_range(0..tokens.len());
        let end = subtree_end(tokens, start);
        let token = self.primitive(rng);
        if token.arity() == 1 {
            tokens.insert(start, token);
        } else if rng.random() {
            tokens.insert(end, Self::leaf(rng));
            tokens.insert(start, token);
        } else {
            tokens.splice(start..start, [token, Self::leaf(rng)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn is_one_tree(tokens: &[Token]) -> bool {
        subtree_end(tokens, 0) == tokens.len() && tokens.iter().map(|t| t.arity()).sum::<usize>() + 1 == tokens.len()
    }

    #[test]
    fn every_edit_leaves_exactly_one_tree() {
        let rng = &mut ChaCha8Rng::seed_from_u64(3);
        let vocabulary = Vocabulary::new(None);
        let mut tokens = Expression::plain(LinearId::LARGEST, Unary::Gelu).tokens();
        for round in 0..2000 {
            vocabulary.replace_subtree(&mut tokens, rng);
            assert!(is_one_tree(&tokens), "round {round}, subtree: {tokens:?}");
            vocabulary.replace_token(&mut tokens, rng);
            assert!(is_one_tree(&tokens), "round {round}, token: {tokens:?}");
            vocabulary.insert(&mut tokens, rng);
            assert!(is_one_tree(&tokens), "round {round}, insert: {tokens:?}");
        }
    }

    #[test]
    fn full_trees_have_all_leaves_at_one_height() {
        let rng = &mut ChaCha8Rng::seed_from_u64(4);
        for height in 0..=3 {
            let mut out = Vec::new();
            Vocabulary::new(None).full_tree(height, &mut out, rng);
            assert!(is_one_tree(&out));
            assert!(out.len() > height && out.len() < 1 << (height + 1), "{out:?}");
        }
    }

    #[test]
    fn no_tries_give_the_seed_back() {
        let rng = &mut ChaCha8Rng::seed_from_u64(5);
        let seed = Expression::plain(LinearId::LARGEST, Unary::Gelu);
        let mutation = Mutation { tries: 0, ..Mutation::stage1(Space::default()) };
        assert_eq!(mutation.try_mutate(&seed, rng), None);
        assert_eq!(mutation.mutate(&seed, rng), seed);
    }
}
