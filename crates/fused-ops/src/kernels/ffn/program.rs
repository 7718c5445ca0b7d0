//! What a feed-forward computes, as a list of steps.

use super::MAX_STEPS;
use crate::kernels::activation::Activation;
use crate::kernels::binary::Combine;

/// One step of a [`Program`]; the numbers name values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// `v W1 + b1`, from the block's width to the inner one.
    First(usize),
    /// `v W2 + b2`, from the inner width to the block's.
    Second(usize),
    /// A function of every element.
    Unary(Activation, usize),
    /// Two values of one width, element by element.
    Binary(Combine, usize, usize),
    /// The first columns, this many.
    Cut(usize, usize),
    /// The value and, to the right of it, columns of a constant up to this width.
    Pad(usize, usize, f64),
}

impl Step {
    /// The values that the step reads.
    fn operands(self) -> impl Iterator<Item = usize> {
        let (a, b) = match self {
            Self::First(a) | Self::Second(a) | Self::Unary(_, a) | Self::Cut(a, _) | Self::Pad(a, ..) => (a, None),
            Self::Binary(_, a, b) => (a, Some(b)),
        };
        std::iter::once(a).chain(b)
    }

    /// Whether the gradient needs the values that the step has read.
    fn looks_back(self) -> bool {
        match self {
            Self::Unary(..) => true,
            Self::Binary(how, ..) => how != Combine::Add,
            // The operands of the linear maps are kept packed.
            Self::First(_) | Self::Second(_) | Self::Cut(..) | Self::Pad(..) => false,
        }
    }
}

/// An expression over the input of a feed-forward and its two linear maps. Value 0 is the input, value i the result of step i
/// (from 1), the last one the program's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program(Vec<Step>);

impl From<Vec<Step>> for Program {
    fn from(steps: Vec<Step>) -> Self {
        Self(steps)
    }
}

impl Program {
    /// BERT's `f(x W1 + b1) W2 + b2`.
    pub fn plain(function: Activation) -> Self {
        Self(vec![Step::First(0), Step::Unary(function, 1), Step::Second(2)])
    }

    /// The function in between, where this is [`Program::plain`].
    pub fn as_plain(&self) -> Option<Activation> {
        match self.0[..] {
            [Step::First(0), Step::Unary(function, 1), Step::Second(2)] => Some(function),
            _ => None,
        }
    }

    /// Adds a step and gives the number of its value.
    pub fn push(&mut self, step: Step) -> usize {
        self.0.push(step);
        self.0.len()
    }

    /// The steps in order.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }
}

/// Widths of a program's values and which of them the backward pass needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// Inner width.
    pub inner: usize,
    /// Width of every value, the input first.
    pub widths: Vec<usize>,
    /// Whether the gradient needs a value.
    pub needed: Vec<bool>,
    /// Whether it needs all its digits: which of two values is larger.
    pub exact: Vec<bool>,
}

impl Layout {
    /// The layout in a block of `width` and `inner`; `None` for a program that is not of the kind that is fused: each linear map once,
    /// every value but the input read exactly once, no padding, at most [`MAX_STEPS`] steps.
    pub fn new(program: &Program, width: usize, inner: usize) -> Option<Self> {
        let steps = program.steps();
        let count = |kind: fn(&Step) -> bool| steps.iter().filter(|s| kind(s)).count();
        let (first, second) = (count(|s| matches!(s, Step::First(_))), count(|s| matches!(s, Step::Second(_))));
        if steps.len() > MAX_STEPS || (first, second) != (1, 1) {
            return None;
        }
        let mut widths = vec![width];
        let mut reads = vec![0; steps.len() + 1];
        let mut needed = vec![false; steps.len() + 1];
        let mut exact = needed.clone();
        for &step in steps {
            for operand in step.operands() {
                if operand >= widths.len() {
                    return None;
                }
                reads[operand] += 1;
                needed[operand] |= step.looks_back();
                exact[operand] |= matches!(step, Step::Binary(Combine::Max, ..));
            }
            widths.push(match step {
                Step::First(a) if widths[a] == width => inner,
                Step::Second(a) if widths[a] == inner => width,
                Step::Unary(_, a) => widths[a],
                Step::Binary(_, a, b) if widths[a] == widths[b] => widths[a],
                Step::Cut(a, width) if width <= widths[a] => width,
                _ => return None,
            });
        }
        let (last, others) = reads[1..].split_last()?;
        (*last == 0 && others.iter().all(|&n| n == 1) && widths.last() == Some(&width)).then_some(Self {
            inner,
            widths,
            needed,
            exact,
        })
    }

    /// Rows and columns of `W1` and of `W2`.
    pub fn maps(&self) -> [[usize; 2]; 2] {
        let (width, inner) = (self.widths[0], self.inner);
        [[width, inner], [inner, width]]
    }
}
