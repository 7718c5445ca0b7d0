//! Expressions as a flat list of tokens in prefix order, the form genetic programming edits.
//!
//! Here weights are ordinary leaves, as in DEAP's untyped `PrimitiveTree`, so an edit can make a list that is no
//! expression; [`Expression::from_tokens`] sorts those out.

use super::ops::{Binary, LinearId, Unary, WeightSlot};
use super::tree::{Expression, MAX_DEPTH, Node};
use crate::error::Error;

/// One node of the prefix form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    /// A linear map, followed by its input and its weights.
    Linear(LinearId),
    /// An element-wise operator, followed by its operands.
    Binary(Binary),
    /// An activation, followed by its operand.
    Unary(Unary),
    /// `x`.
    Input,
    /// `wb1` or `wb2`.
    Weights(WeightSlot),
}

impl Token {
    /// Number of operands that follow.
    pub const fn arity(self) -> usize {
        match self {
            Self::Linear(_) | Self::Binary(_) => 2,
            Self::Unary(_) => 1,
            Self::Input | Self::Weights(_) => 0,
        }
    }
}

/// Index one past the subtree that starts at `start`; the list's length when the subtree is incomplete.
pub fn subtree_end(tokens: &[Token], start: usize) -> usize {
    let mut open = 1;
    for (i, token) in tokens.iter().enumerate().skip(start) {
        open = open + token.arity() - 1;
        if open == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

impl Expression {
    /// The prefix form.
    pub fn tokens(&self) -> Vec<Token> {
        fn visit(node: &Node, out: &mut Vec<Token>) {
            match node {
                Node::Input => out.push(Token::Input),
                Node::Unary(op, a) => {
                    out.push(Token::Unary(*op));
                    visit(a, out);
                }
                Node::Binary(op, a, b) => {
                    out.push(Token::Binary(*op));
                    visit(a, out);
                    visit(b, out);
                }
                Node::Linear { id, weights, input } => {
                    out.push(Token::Linear(*id));
                    visit(input, out);
                    out.push(Token::Weights(*weights));
                }
            }
        }
        let mut out = Vec::new();
        visit(self.root(), &mut out);
        out
    }

    /// Reads the prefix form.
    ///
    /// # Errors
    /// [`Error::Tokens`] when the list is not exactly one tree or weights and operands are mixed up,
    /// [`Error::TooDeep`] beyond [`MAX_DEPTH`].
    pub fn from_tokens(tokens: &[Token]) -> Result<Self, Error> {
        let mut at = 0;
        let root = read(tokens, &mut at, MAX_DEPTH)?;
        if at < tokens.len() {
            return Err(Error::Tokens { position: at, reason: "the tree is already complete before it" });
        }
        Self::new(root)
    }
}

fn read(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Node, Error> {
    let position = *at;
    let Some(token) = tokens.get(position) else {
        return Err(Error::Tokens { position, reason: "the list ends before the tree is complete" });
    };
    *at += 1;
    let left = depth.checked_sub(1).ok_or(Error::TooDeep { limit: MAX_DEPTH });
    match *token {
        Token::Input => Ok(Node::Input),
        Token::Weights(_) => {
            Err(Error::Tokens { position, reason: "weights can only be the second operand of a linear map" })
        }
        Token::Unary(op) => Ok(Node::unary(op, read(tokens, at, left?)?)),
        Token::Binary(op) => {
            let left = left?;
            let a = read(tokens, at, left)?;
            Ok(Node::binary(op, a, read(tokens, at, left)?))
        }
        Token::Linear(id) => {
            let input = read(tokens, at, left?)?;
            let position = *at;
            let Some(Token::Weights(slot)) = tokens.get(position) else {
                return Err(Error::Tokens { position, reason: "the second operand of a linear map must be weights" });
            };
            *at += 1;
            Ok(Node::linear(id, *slot, input))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_tree_convert_into_each_other() {
        let e: Expression = "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)".parse().unwrap();
        let tokens = e.tokens();
        assert_eq!(tokens.len(), 8);
        assert_eq!(tokens[7], Token::Weights(WeightSlot::Second));
        assert_eq!(Expression::from_tokens(&tokens), Ok(e));
        assert_eq!(subtree_end(&tokens, 0), 8);
        assert_eq!(subtree_end(&tokens, 2), 7);
    }

    #[test]
    fn lists_that_are_no_expression_are_refused() {
        let (x, relu, add) = (Token::Input, Token::Unary(Unary::Relu), Token::Binary(Binary::Add));
        let (linear, wb) = (Token::Linear(LinearId::LARGEST), Token::Weights(WeightSlot::First));
        for bad in [
            vec![],
            vec![relu],
            vec![x, x],
            vec![add, x],
            vec![wb],
            vec![relu, wb],
            vec![linear, x, x],
            vec![linear, wb, wb],
        ] {
            assert!(matches!(Expression::from_tokens(&bad), Err(Error::Tokens { .. })), "{bad:?}");
        }
        let mut deep = vec![relu; MAX_DEPTH + 1];
        deep.push(x);
        assert!(matches!(Expression::from_tokens(&deep), Err(Error::TooDeep { .. })));
    }
}
