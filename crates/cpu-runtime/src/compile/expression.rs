//! Searched feed-forwards.

use std::collections::HashMap;

use cpu_kernels::elementwise::Activation;
use mlp_space::{Align, Binary, Expression, Node, Unary, WeightSlot};

use super::builder::Builder;
use super::layer::activation;
use crate::program::{Domain, Place, RowOp};
use crate::spec::SearchedBlock;

const TOKENS: Domain = Domain::Tokens;

/// An expression with every distinct subexpression once, operands before their users.
pub(super) struct Graph {
    values: Vec<Value>,
}

#[derive(Clone, Copy)]
struct Value {
    op: Op,
    width: usize,
    /// How often it is an operand; the last value, the result, once more.
    uses: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Op {
    Input,
    Unary(Unary, usize),
    Binary(Binary, usize, usize),
    Linear(WeightSlot, usize),
}

impl Graph {
    /// The expression must run at these widths ([`crate::Network::check`]).
    pub fn new(expression: &Expression, align: Align, width: usize, inner: usize) -> Self {
        let mut graph = Self { values: Vec::new() };
        let mut known = HashMap::new();
        let root = graph.add(expression.root(), &mut known, (align, width, inner));
        graph.values[root].uses += 1;
        graph
    }

    fn add<'a>(
        &mut self,
        node: &'a Node,
        known: &mut HashMap<&'a Node, usize>,
        widths: (Align, usize, usize),
    ) -> usize {
        if let Some(&index) = known.get(node) {
            return index;
        }
        let (align, outer, inner) = widths;
        let mut operand = |graph: &mut Self, node: &'a Node| {
            let index = graph.add(node, known, widths);
            graph.values[index].uses += 1;
            (index, graph.values[index].width)
        };
        let (op, width) = match node {
            Node::Input => (Op::Input, outer),
            Node::Unary(op, a) => {
                let (a, width) = operand(self, a);
                (Op::Unary(*op, a), width)
            }
            Node::Binary(op, a, b) => {
                let ((a, wa), (b, wb)) = (operand(self, a), operand(self, b));
                (Op::Binary(*op, a, b), align.width(wa, wb))
            }
            Node::Linear { weights, input, .. } => {
                let (input, _) = operand(self, input);
                (Op::Linear(*weights, input), if *weights == WeightSlot::First { inner } else { outer })
            }
        };
        self.values.push(Value { op, width, uses: 0 });
        known.insert(node, self.values.len() - 1);
        self.values.len() - 1
    }

    /// Whether value `index` is a product that only an activation reads, which then is part of the product.
    fn fuses(&self, index: usize) -> bool {
        let value = self.values[index];
        let reads = |v: &Value| matches!(v.op, Op::Unary(_, a) if a == index);
        matches!(value.op, Op::Linear(..)) && value.uses == 1 && self.values.iter().any(reads)
    }
}

/// One run through a graph with the weights of one block.
struct Lowering<'a> {
    builder: &'a mut Builder,
    graph: &'a Graph,
    /// Packed weights of `W1` and `W2`, where the expression uses them.
    linears: [Option<usize>; 2],
    /// Uses that are still to come.
    left: Vec<usize>,
    places: Vec<Option<Place>>,
    slots: Vec<Option<usize>>,
    x: Place,
}

impl Builder {
    /// `Norm(x + f(x))`; `x` is released.
    pub fn searched_block(&mut self, graph: &Graph, block: SearchedBlock, x: Place, target: Option<Place>) -> Place {
        let SearchedBlock { dense1, dense2, norm } = block;
        let uses = |slot| graph.values.iter().any(|v| matches!(v.op, Op::Linear(s, _) if s == slot));
        let inner = |slot| {
            let width = |v: &Value| match v.op {
                Op::Linear(s, a) if s == slot => Some((graph.values[a].width, v.width)),
                _ => None,
            };
            graph.values.iter().find_map(width).expect("the slot is used")
        };
        let mut pack = |slot, dense| {
            uses(slot).then(|| {
                let (inputs, outputs) = inner(slot);
                self.narrow(dense, inputs, outputs)
            })
        };
        let linears = [pack(WeightSlot::First, dense1), pack(WeightSlot::Second, dense2)];
        let count = graph.values.len();
        let root = count - 1;
        let width = graph.values[root].width;
        let mut lowering = Lowering {
            builder: self,
            graph,
            linears,
            left: graph.values.iter().map(|v| v.uses).collect(),
            places: vec![None; count],
            slots: vec![None; count],
            x,
        };
        (0..count).for_each(|index| lowering.value(index));
        let y = lowering.places[root].expect("the result has been computed");
        let out = self.normed_value(y, x, norm, width, target);
        self.release(x);
        out
    }

    fn normed_value(
        &mut self,
        y: Place,
        x: Place,
        norm: crate::spec::Norm,
        width: usize,
        target: Option<Place>,
    ) -> Place {
        if y == x {
            // The expression is `x` itself; `normed` must not release it, as it is the residual too.
            let twice = self.place(width);
            let op = RowOp::Binary { op: Binary::Add, a: x.whole(), b: x.whole(), out: twice.whole(), width };
            self.row(TOKENS, op);
            return self.normed(twice, None, norm, width, target);
        }
        self.normed(y, Some(x.whole()), norm, width, target)
    }
}

impl Lowering<'_> {
    fn value(&mut self, index: usize) {
        let Value { op, width, .. } = self.graph.values[index];
        let place = match op {
            Op::Input => self.x,
            // Waits for the activation.
            Op::Linear(..) if self.graph.fuses(index) => return,
            Op::Linear(slot, input) => self.product(slot, input, None, width),
            Op::Unary(op, a) => match self.graph.values[a].op {
                Op::Linear(slot, input) if self.graph.fuses(a) => {
                    self.product(slot, input, Some(activation(op)), width)
                }
                _ => self.unary(activation(op), a, width),
            },
            Op::Binary(op, a, b) => self.binary(op, a, b, width),
        };
        self.places[index] = Some(place);
    }

    fn place(&self, index: usize) -> Place {
        self.places[index].expect("operands are computed before their users")
    }

    /// Whether nothing but the current operation needs the value, so that its place may be overwritten.
    fn dies(&self, index: usize) -> bool {
        self.left[index] == 1 && self.place(index) != self.x
    }

    /// One use less; releases what is not needed any more, except the place `keep`.
    fn used(&mut self, index: usize, keep: Option<Place>) {
        self.left[index] -= 1;
        if self.left[index] > 0 {
            return;
        }
        if let Some(slot) = self.slots[index].take() {
            self.builder.release_slot(slot);
        }
        let place = self.place(index);
        if place != self.x && Some(place) != keep {
            self.builder.release(place);
        }
    }

    fn product(&mut self, slot: WeightSlot, input: usize, activation: Option<Activation>, width: usize) -> Place {
        let from = self.place(input);
        let packed = match self.slots[input] {
            Some(packed) => packed,
            None => {
                let packed = self.builder.pack(TOKENS, from.whole(), self.graph.values[input].width);
                *self.slots[input].insert(packed)
            }
        };
        let out = self.builder.place(width);
        let linear = self.linears[slot as usize].expect("weights of a used slot are packed");
        self.builder.product(TOKENS, packed, linear, activation, out);
        self.used(input, None);
        out
    }

    fn unary(&mut self, activation: Activation, a: usize, width: usize) -> Place {
        let x = self.place(a);
        let out = if self.dies(a) { x } else { self.builder.place(width) };
        self.builder.row(TOKENS, RowOp::Unary { activation, x: x.whole(), out: out.whole(), width });
        self.used(a, Some(out));
        out
    }

    fn binary(&mut self, op: Binary, a: usize, b: usize, width: usize) -> Place {
        let (pa, pb) = (self.place(a), self.place(b));
        let (wa, wb) = (self.graph.values[a].width, self.graph.values[b].width);
        let out = if self.dies(a) && wa >= width {
            pa
        } else if self.dies(b) && wb >= width {
            pb
        } else {
            self.builder.place(width)
        };
        let (view_a, view_b, view) = (pa.whole(), pb.whole(), out.whole());
        let both = wa.min(wb).min(width);
        self.builder.row(TOKENS, RowOp::Binary { op, a: view_a, b: view_b, out: view, width: both });
        if both < width {
            let x = if wa > wb { view_a } else { view_b };
            if x != view || op == Binary::Max {
                self.builder.row(TOKENS, RowOp::Tail { op, x, out: view, columns: both..width });
            }
        }
        self.used(a, Some(out));
        self.used(b, Some(out));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(text: &str) -> Graph {
        Graph::new(&text.parse().unwrap(), Align::Cut, 8, 4)
    }

    #[test]
    fn equal_subexpressions_are_computed_once() {
        let g = graph("add(mul(gelu(x),tanh(x)),mul(gelu(x),tanh(x)))");
        // x, gelu, tanh, mul, add
        assert_eq!(g.values.len(), 5);
        assert_eq!(g.values.iter().map(|v| v.uses).collect::<Vec<_>>(), [2, 1, 1, 2, 1]);
    }

    #[test]
    fn an_activation_is_part_of_the_product_only_where_nothing_else_reads_the_product() {
        let fused = graph("linear1_2(gelu(linear1_2(x,wb1)),wb2)");
        assert!(fused.fuses(1) && !fused.fuses(3));
        let read_twice = graph("linear1_2(add(gelu(linear1_2(x,wb1)),linear1_2(x,wb1)),wb2)");
        assert!(!read_twice.fuses(1));
    }

    #[test]
    fn operators_cut_to_the_narrower_operand() {
        let g = graph("linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)");
        assert_eq!(g.values.iter().map(|v| v.width).collect::<Vec<_>>(), [8, 4, 4, 4, 8]);
    }
}
