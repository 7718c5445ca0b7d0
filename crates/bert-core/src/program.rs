//! An expression as the steps of a feed-forward.

use cpu_runtime::activation;
use fused_ops::{Combine, Program, Step};
use mlp_space::{Align, Binary, Expression, Node, WeightSlot, Widths};

/// The steps of `expression` at these widths, `inner` channels between its linear maps. Operands of different width are cut or padded
/// first, as `widths.align` says.
pub(crate) fn program(expression: &Expression, widths: Widths, inner: usize) -> Program {
    let mut compiler = Compiler { program: Program::default(), widths, inner };
    compiler.value(expression.root());
    compiler.program
}

struct Compiler {
    program: Program,
    widths: Widths,
    inner: usize,
}

impl Compiler {
    /// Number and width of a node's value.
    fn value(&mut self, node: &Node) -> (usize, usize) {
        match node {
            Node::Input => (0, self.widths.hidden),
            Node::Unary(op, a) => {
                let (a, width) = self.value(a);
                (self.program.push(Step::Unary(activation(*op), a)), width)
            }
            Node::Linear { weights: WeightSlot::First, input, .. } => {
                let (a, _) = self.value(input);
                (self.program.push(Step::First(a)), self.inner)
            }
            Node::Linear { weights: WeightSlot::Second, input, .. } => {
                let (a, _) = self.value(input);
                (self.program.push(Step::Second(a)), self.widths.hidden)
            }
            Node::Binary(op, a, b) => {
                let (a, b) = (self.value(a), self.value(b));
                let (how, padding) = match op {
                    Binary::Add => (Combine::Add, 0.0),
                    Binary::Mul => (Combine::Mul, 1.0),
                    Binary::Max => (Combine::Max, Align::MAX_PADDING),
                };
                let width = self.widths.align.width(a.1, b.1);
                let [a, b] = [a, b].map(|value| self.fit(value, width, padding));
                (self.program.push(Step::Binary(how, a, b)), width)
            }
        }
    }

    /// Cuts or pads a value to `width`.
    fn fit(&mut self, (value, found): (usize, usize), width: usize, padding: f64) -> usize {
        match found.cmp(&width) {
            std::cmp::Ordering::Equal => value,
            std::cmp::Ordering::Greater => self.program.push(Step::Cut(value, width)),
            std::cmp::Ordering::Less => self.program.push(Step::Pad(value, width, padding)),
        }
    }
}
