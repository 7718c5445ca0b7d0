//! Text to expression: a recursive descent with bounded depth and length.

use std::str::FromStr;

use super::ops::{Binary, LinearId, Unary, WeightSlot};
use super::tree::{Expression, MAX_DEPTH, Node};
use crate::error::Error;

/// Longest text that is read, in bytes. The longest expression of the search space is far shorter.
pub const MAX_LENGTH: usize = 65_536;

const OPERANDS: &str =
    "x, an activation (gelu, sigmoid, tanh, relu, leaky_relu, elu, swish), add, mul, max, or linear1_1 to linear4_4";

impl FromStr for Expression {
    type Err = Error;

    /// Reads the text form; spaces between words and signs are skipped.
    ///
    /// # Errors
    /// [`Error::Parse`] with column and expectation, [`Error::TooLong`] or [`Error::TooDeep`].
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_LENGTH {
            return Err(Error::TooLong { length: text.len(), limit: MAX_LENGTH });
        }
        let mut parser = Parser { text, at: 0 };
        let root = parser.expression(MAX_DEPTH)?;
        parser.skip_space();
        if parser.at < text.len() { Err(parser.unexpected(parser.at, "the end")) } else { Self::new(root) }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn expression(&mut self, depth: usize) -> Result<Node, Error> {
        let (start, word) = self.word();
        if word == "x" {
            return Ok(Node::Input);
        }
        let unary = Unary::from_name(word);
        let binary = Binary::from_name(word);
        let linear = word.strip_prefix("linear").and_then(|id| id.parse::<LinearId>().ok());
        if unary.is_none() && binary.is_none() && linear.is_none() {
            return Err(self.unexpected(start, OPERANDS));
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        };
        self.sign('(', &format!("`(` after {word}"))?;
        let first = self.expression(depth)?;
        let node = if let Some(op) = unary {
            Node::unary(op, first)
        } else {
            self.sign(',', &format!("`,` and the second operand of {word}"))?;
            match (binary, linear) {
                (Some(op), _) => Node::binary(op, first, self.expression(depth)?),
                (None, Some(id)) => Node::linear(id, self.weights()?, first),
                (None, None) => return Err(self.unexpected(start, OPERANDS)),
            }
        };
        self.sign(')', &format!("`)` closing {word}"))?;
        Ok(node)
    }

    fn weights(&mut self) -> Result<WeightSlot, Error> {
        match self.word() {
            (_, "wb1") => Ok(WeightSlot::First),
            (_, "wb2") => Ok(WeightSlot::Second),
            (start, _) => Err(self.unexpected(start, "wb1 or wb2")),
        }
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at = self.text.len() - rest.trim_start().len();
    }

    /// The next word (letters, digits, underscores; may be empty) and where it starts.
    fn word(&mut self) -> (usize, &'a str) {
        self.skip_space();
        let start = self.at;
        let length = word_length(&self.text[start..]);
        self.at += length;
        (start, &self.text[start..start + length])
    }

    fn sign(&mut self, sign: char, expected: &str) -> Result<(), Error> {
        self.skip_space();
        if self.text[self.at..].starts_with(sign) {
            self.at += sign.len_utf8();
            Ok(())
        } else {
            Err(self.unexpected(self.at, expected))
        }
    }

    fn unexpected(&self, at: usize, expected: &str) -> Error {
        let rest = &self.text[at..];
        let found = match (word_length(rest), rest.chars().next()) {
            (_, None) => "the end".to_owned(),
            (0, Some(c)) => format!("`{}`", c.escape_default()),
            // A message stays readable whatever the input: 32 characters name the word well enough.
            (n, _) => format!("`{}`", rest[..n].chars().take(32).collect::<String>()),
        };
        Error::Parse { column: self.text[..at].chars().count() + 1, expected: expected.to_owned(), found }
    }
}

fn word_length(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_error(text: &str, column: usize, expected: &str, found: &str) {
        match text.parse::<Expression>() {
            Err(Error::Parse { column: c, expected: e, found: f }) => {
                assert_eq!((c, f.as_str()), (column, found), "{text}: expected {e}");
                assert!(e.contains(expected), "{text}: {e:?} does not mention {expected:?}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn errors_name_the_column_and_what_was_expected() {
        check_error("", 1, "x, an activation", "the end");
        check_error("gelu x", 6, "`(` after gelu", "`x`");
        check_error("gelu(x", 7, "`)` closing gelu", "the end");
        check_error("gelu(x,x)", 7, "`)` closing gelu", "`,`");
        check_error("add(x)", 6, "`,` and the second operand of add", "`)`");
        check_error("linear1_2(x,x)", 13, "wb1 or wb2", "`x`");
        check_error("linear1_5(x,wb1)", 1, "linear1_1 to linear4_4", "`linear1_5`");
        check_error("gelu(wb1)", 6, "x, an activation", "`wb1`");
        check_error("x x", 3, "the end", "`x`");
        check_error("\u{e9}x", 1, "x, an activation", "`\\u{e9}`");
        check_error("add(x,  ?)", 9, "x, an activation", "`?`");
    }

    #[test]
    fn spaces_are_skipped() {
        let e: Expression = " linear1_1( gelu(linear1_1(x, wb1)) , wb2 ) ".parse().unwrap();
        assert_eq!(e.to_string(), "linear1_1(gelu(linear1_1(x,wb1)),wb2)");
    }

    #[test]
    fn endless_nesting_and_endless_text_are_refused() {
        let deep = format!("{}x", "relu(".repeat(10_000));
        assert_eq!(deep.parse::<Expression>(), Err(Error::TooDeep { limit: MAX_DEPTH }));
        let long = "x".repeat(MAX_LENGTH + 1);
        assert!(matches!(long.parse::<Expression>(), Err(Error::TooLong { .. })));
    }
}
