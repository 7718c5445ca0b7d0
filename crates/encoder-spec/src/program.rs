//! What a block of a feed-forward computes.

use mlp_space::{Align, Binary, Expression, Node, WeightSlot};

use crate::Activation;

/// One step of a [`Program`]; the numbers name values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// `v W1 + b1`, from the block's width to the inner one.
    First(usize),
    /// `v W2 + b2`, from the inner width to the block's.
    Second(usize),
    /// `v W3 + b3`, from the block's width to the inner one; searched feed-forwards have none.
    Gate(usize),
    /// A function of every element.
    Activation(Activation, usize),
    /// Two values, element by element, brought to one width first.
    Binary(Binary, usize, usize),
}

impl Step {
    /// Numbers of the values that it reads.
    pub fn operands(self) -> impl Iterator<Item = usize> {
        let (a, b) = match self {
            Self::First(a) | Self::Second(a) | Self::Gate(a) | Self::Activation(_, a) => (a, None),
            Self::Binary(_, a, b) => (a, Some(b)),
        };
        std::iter::once(a).chain(b)
    }

    /// The same step on other values.
    #[must_use]
    pub fn with_operands(self, number: impl Fn(usize) -> usize) -> Self {
        match self {
            Self::First(a) => Self::First(number(a)),
            Self::Second(a) => Self::Second(number(a)),
            Self::Gate(a) => Self::Gate(number(a)),
            Self::Activation(function, a) => Self::Activation(function, number(a)),
            Self::Binary(op, a, b) => Self::Binary(op, number(a), number(b)),
        }
    }

    /// For a linear map: its number, 0 to 2, and the value that it reads.
    pub fn linear(self) -> Option<(usize, usize)> {
        match self {
            Self::First(a) => Some((0, a)),
            Self::Second(a) => Some((1, a)),
            Self::Gate(a) => Some((2, a)),
            Self::Activation(..) | Self::Binary(..) => None,
        }
    }
}

/// `f(x; W1, b1, W2, b2)` as steps: value 0 is `x`, value i the result of step i (from 1), and the last one the program's.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    steps: Vec<Step>,
    align: Align,
}

/// A step that gets a value of another width than its weights take, or a result that is not as wide as the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WidthMismatch {
    /// The step, or `None` for the result.
    pub step: Option<Step>,
    /// The width that is needed.
    pub expected: usize,
    /// The width that is there.
    pub found: usize,
}

impl Program {
    /// BERT's `act(x W1 + b1) W2 + b2`.
    pub fn plain(activation: Activation) -> Self {
        Self { steps: vec![Step::First(0), Step::Activation(activation, 1), Step::Second(2)], align: Align::Cut }
    }

    /// `(act(x W1 + b1) * (x W3 + b3)) W2 + b2`: a gated linear unit (Shazeer 2020), as ModernBERT has it.
    pub fn gated(activation: Activation) -> Self {
        let steps = vec![
            Step::First(0),
            Step::Activation(activation, 1),
            Step::Gate(0),
            Step::Binary(Binary::Mul, 2, 3),
            Step::Second(4),
        ];
        Self { steps, align: Align::Cut }
    }

    /// The activation of a program that [`Program::gated`] makes.
    pub fn as_gated(&self) -> Option<Activation> {
        let [_, Step::Activation(activation, _), ..] = self.steps[..] else { return None };
        (*self == Self::gated(activation)).then_some(activation)
    }

    /// The steps of a searched expression in the order of its text; subexpressions that stand in it twice are computed twice. Its own
    /// stack count and ratio are not looked at.
    pub fn searched(expression: &Expression, align: Align) -> Self {
        let mut program = Self { steps: Vec::new(), align };
        program.value(expression.root());
        program
    }

    /// Adds what `node` needs and gives the number of its value.
    fn value(&mut self, node: &Node) -> usize {
        let step = match node {
            Node::Input => return 0,
            Node::Unary(op, a) => Step::Activation((*op).into(), self.value(a)),
            Node::Linear { weights: WeightSlot::First, input, .. } => Step::First(self.value(input)),
            Node::Linear { weights: WeightSlot::Second, input, .. } => Step::Second(self.value(input)),
            Node::Binary(op, a, b) => {
                let a = self.value(a);
                Step::Binary(*op, a, self.value(b))
            }
        };
        self.steps.push(step);
        self.steps.len()
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What operators do with operands of different width.
    pub fn align(&self) -> Align {
        self.align
    }

    /// Widths of all values, of `x` first, in a block of `width` with `inner` channels between its linear maps.
    ///
    /// # Errors
    /// The first step whose operand does not have the width of its weights, or a result that the residual cannot be added to.
    pub fn widths(&self, width: usize, inner: usize) -> Result<Vec<usize>, WidthMismatch> {
        let mut widths = vec![width];
        for &step in &self.steps {
            let takes = |a: usize, expected: usize, gives: usize| match widths[a] {
                found if found == expected => Ok(gives),
                found => Err(WidthMismatch { step: Some(step), expected, found }),
            };
            let next = match step {
                Step::First(a) | Step::Gate(a) => takes(a, width, inner)?,
                Step::Second(a) => takes(a, inner, width)?,
                Step::Activation(_, a) => widths[a],
                Step::Binary(_, a, b) => self.align.width(widths[a], widths[b]),
            };
            widths.push(next);
        }
        match widths[self.steps.len()] {
            found if found == width => Ok(widths),
            found => Err(WidthMismatch { step: None, expected: width, found }),
        }
    }
}

impl std::fmt::Display for WidthMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (expected, found) = (self.expected, self.found);
        match self.step {
            Some(Step::Gate(_)) => write!(f, "the gate takes {expected} channels, and gets {found}"),
            Some(Step::First(_)) => write!(f, "the first linear map takes {expected} channels, and gets {found}"),
            Some(_) => write!(f, "the second linear map takes {expected} channels, and gets {found}"),
            None => write!(f, "the result has {found} channels; the residual needs {expected}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(text: &str, align: Align) -> Program {
        Program::searched(&text.parse().unwrap(), align)
    }

    #[test]
    fn a_plain_feed_forward_is_the_program_of_its_expression() {
        let expression = searched("linear1_1(relu(linear1_1(x,wb1)),wb2)", Align::Cut);
        assert_eq!(expression, Program::plain(Activation::Relu));
        assert_eq!(expression.widths(8, 32), Ok(vec![8, 32, 32, 8]));
    }

    #[test]
    fn a_gated_feed_forward_multiplies_two_maps_of_its_input() {
        let program = Program::gated(Activation::GeluErf);
        assert_eq!(program.widths(8, 5), Ok(vec![8, 5, 5, 5, 5, 8]));
        assert_eq!(program.as_gated(), Some(Activation::GeluErf));
        assert_eq!(Program::plain(Activation::GeluErf).as_gated(), None);
    }

    #[test]
    fn programs_run_at_the_widths_at_which_their_expressions_do() {
        let texts = [
            "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)",
            "gelu(add(linear1_1(x,wb1),linear1_1(x,wb2)))",
            "add(x,linear1_4(elu(linear1_4(sigmoid(x),wb1)),wb2))",
            "max(x,linear1_2(x,wb1))",
        ];
        for (text, align) in texts.into_iter().flat_map(|t| [(t, Align::Cut), (t, Align::Pad)]) {
            for (hidden, base) in [(24, 24), (24, 96), (24, 12)] {
                let expression: Expression = text.parse().unwrap();
                let inner = expression.id().unwrap().inner_size(base);
                let expected = expression.check_widths(mlp_space::Widths { hidden, base, align }).is_ok();
                let found = Program::searched(&expression, align).widths(hidden, inner);
                assert_eq!(found.is_ok(), expected, "{text} at {hidden} and {base}, {align:?}: {found:?}");
            }
        }
    }
}
