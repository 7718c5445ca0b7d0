//! Feed-forwards.

use std::collections::HashMap;

use cpu_kernels::elementwise::Activation;
use cpu_kernels::matmul::Precision;
use encoder_spec::{Block, MappedTensor, Program, Step};
use mlp_space::Binary;

use super::Slot;
use super::builder::{Builder, Linear, SpecNorm};
use crate::program::{Domain, Memory, RowOp};

const TOKENS: Domain = Domain::Tokens;

/// A program with every distinct value once, operands before their users.
pub(super) struct Graph {
    values: Vec<Value>,
}

#[derive(Clone, Copy)]
struct Value {
    /// What it is computed by, operands as numbers of values here; `None`: the input.
    step: Option<Step>,
    width: usize,
    /// How often it is an operand; the last value, the result, once more.
    uses: usize,
}

impl Graph {
    /// The program must run at these widths ([`encoder_spec::Encoder::check`]).
    pub fn new(program: &Program, width: usize, inner: usize) -> Self {
        let widths = program.widths(width, inner).expect("a checked encoder");
        let mut values = vec![Value { step: None, width, uses: 0 }];
        // The value here for each of the program's.
        let mut numbers = vec![0];
        let mut known = HashMap::new();
        for (&step, &width) in program.steps().iter().zip(&widths[1..]) {
            let step = step.with_operands(|value| numbers[value]);
            numbers.push(*known.entry(step).or_insert_with(|| {
                step.operands().for_each(|operand| values[operand].uses += 1);
                values.push(Value { step: Some(step), width, uses: 0 });
                values.len() - 1
            }));
        }
        values[numbers[program.steps().len()]].uses += 1;
        Self { values }
    }

    /// Whether value `index` is a product that only an activation reads, which then is part of the product.
    fn fuses(&self, index: usize) -> bool {
        let value = self.values[index];
        let reads = |v: &Value| matches!(v.step, Some(Step::Activation(_, a)) if a == index);
        value.step.is_some_and(|step| step.linear().is_some()) && value.uses == 1 && self.values.iter().any(reads)
    }

    /// Widths between which the linear map `number` maps, where the program uses it.
    fn linear(&self, number: usize) -> Option<(usize, usize)> {
        self.values.iter().find_map(|value| {
            let (found, input) = value.step?.linear()?;
            (found == number).then(|| (self.values[input].width, value.width))
        })
    }
}

/// One run through a graph with the weights of one block.
struct Lowering<'a> {
    builder: &'a mut Builder,
    graph: &'a Graph,
    /// Of all products.
    precision: Precision,
    /// Packed weights of `W1`, `W2` and `W3`, where the program uses them.
    linears: [Option<usize>; 3],
    /// Uses that are still to come.
    left: Vec<usize>,
    places: Vec<Option<Memory>>,
    slots: Vec<Option<usize>>,
    x: Memory,
}

impl Builder {
    /// `Norm(x + f(x))`; `x` is released.
    pub(super) fn block(
        &mut self,
        graph: &Graph,
        block: Block<MappedTensor>,
        x: Memory,
        target: Option<Memory>,
    ) -> Memory {
        let Block { dense1, dense2, gate, norm } = block;
        let (y, width) = self.function(graph, (dense1, dense2, gate), x);
        let out = self.normed_value(y, x, norm, width, target);
        self.release(x);
        out
    }

    /// `x + f(Norm(x))`; `x` is released.
    pub(super) fn block_of_norm(
        &mut self,
        graph: &Graph,
        block: Block<MappedTensor>,
        x: Memory,
        target: Option<Memory>,
    ) -> Memory {
        let Block { dense1, dense2, gate, norm } = block;
        let normed = self.norm_from(x.whole(), norm, graph.values[0].width);
        let (y, width) = self.function(graph, (dense1, dense2, gate), normed);
        if y != normed {
            self.release(normed);
        }
        self.sum(x, y, width, target)
    }

    /// `f(x)`, which is `x` itself where the program has no steps, and its width; `x` stays.
    fn function(
        &mut self,
        graph: &Graph,
        (dense1, dense2, gate): (Linear, Linear, Option<Linear>),
        x: Memory,
    ) -> (Memory, usize) {
        // One value may be the operand of several of them.
        let precision = self.format([&dense1, &dense2].into_iter().chain(&gate));
        let mut pack = |number, dense| {
            let (inputs, outputs) = graph.linear(number)?;
            Some(self.narrow(dense, inputs, outputs, precision))
        };
        let linears = [pack(0, dense1), pack(1, dense2), gate.and_then(|gate| pack(2, gate))];
        let count = graph.values.len();
        let root = count - 1;
        let width = graph.values[root].width;
        let mut lowering = Lowering {
            builder: self,
            graph,
            precision,
            linears,
            left: graph.values.iter().map(|v| v.uses).collect(),
            places: vec![None; count],
            slots: vec![None; count],
            x,
        };
        (0..count).for_each(|index| lowering.value(index));
        (lowering.places[root].expect("the result has been computed"), width)
    }

    fn normed_value(&mut self, y: Memory, x: Memory, norm: SpecNorm, width: usize, target: Option<Memory>) -> Memory {
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
        let Value { step, width, .. } = self.graph.values[index];
        let place = match step {
            None => self.x,
            // Waits for the activation.
            Some(Step::First(_) | Step::Second(_) | Step::Gate(_)) if self.graph.fuses(index) => return,
            Some(Step::First(input)) => self.product(0, input, None, width),
            Some(Step::Second(input)) => self.product(1, input, None, width),
            Some(Step::Gate(input)) => self.product(2, input, None, width),
            Some(Step::Activation(function, a)) => match self.graph.values[a].step.and_then(Step::linear) {
                Some((number, input)) if self.graph.fuses(a) => {
                    self.product(number, input, Some(function.into()), width)
                }
                _ => self.unary(function.into(), a, width),
            },
            Some(Step::Binary(op, a, b)) => self.binary(op, a, b, width),
        };
        self.places[index] = Some(place);
    }

    fn place(&self, index: usize) -> Memory {
        self.places[index].expect("operands are computed before their users")
    }

    /// Whether nothing but the current operation needs the value, so that its place may be overwritten.
    fn dies(&self, index: usize) -> bool {
        self.left[index] == 1 && self.place(index) != self.x
    }

    /// One use less; releases what is not needed any more, except the place `keep`.
    fn used(&mut self, index: usize, keep: Option<Memory>) {
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

    fn product(&mut self, number: usize, input: usize, activation: Option<Activation>, width: usize) -> Memory {
        let from = self.place(input);
        let packed = match self.slots[input] {
            Some(packed) => packed,
            None => {
                let slot = Slot { width: self.graph.values[input].width, precision: self.precision };
                let packed = self.builder.pack_in(TOKENS, from.whole(), slot);
                *self.slots[input].insert(packed)
            }
        };
        // The product reads what was packed, so its result may lie where its operand was.
        self.left[input] -= 1;
        let is_last = self.left[input] == 0;
        if is_last && from != self.x {
            self.builder.release(from);
        }
        let out = self.builder.place(width);
        let linear = self.linears[number].expect("weights of a map in use are packed");
        self.builder.product(TOKENS, packed, linear, activation, out);
        if is_last {
            self.slots[input] = None;
            self.builder.release_slot(packed);
        }
        out
    }

    fn unary(&mut self, activation: Activation, a: usize, width: usize) -> Memory {
        let x = self.place(a);
        let out = if self.dies(a) { x } else { self.builder.place(width) };
        self.builder.row(TOKENS, RowOp::Unary { activation, x: x.whole(), out: out.whole(), width });
        self.used(a, Some(out));
        out
    }

    fn binary(&mut self, op: Binary, a: usize, b: usize, width: usize) -> Memory {
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
    use mlp_space::Align;

    use super::*;

    fn graph(text: &str) -> Graph {
        Graph::new(&Program::searched(&text.parse().unwrap(), Align::Cut), 8, 4)
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
