//! Feed-forwards, plain and searched.

use std::collections::HashMap;

use encoder_spec::{Block, FeedForward, MappedTensor, Step};
use mlp_space::{Align, Binary};

use crate::graph::Value;
use crate::parts::Network;

/// A value of a program and its width.
#[derive(Clone)]
struct Known {
    value: Value,
    width: usize,
}

impl Network<'_> {
    /// Blocks in a row: each `Norm(x + f(x))`, or `x + f(Norm(x))` where norms come first.
    pub fn feed_forward(
        &mut self,
        x: &str,
        at: &str,
        feed_forward: &FeedForward<MappedTensor>,
        norm_first: bool,
    ) -> Value {
        let mut x = x.to_owned();
        for (i, block) in feed_forward.blocks.iter().enumerate() {
            let at = format!("{at}.blocks.{i}");
            self.b.enter(&at);
            let norm = format!("{at}.norm");
            x = if norm_first {
                let from = self.norm(&x, &norm, &block.norm);
                let y = self.program(&from, &at, feed_forward, block);
                self.b.binary("Add", &y, &x)
            } else {
                let y = self.program(&x, &at, feed_forward, block);
                let y = self.b.binary("Add", &y, &x);
                self.norm(&y, &norm, &block.norm)
            };
        }
        x
    }

    /// `f(x; W1, b1, W2, b2)`. Equal subexpressions are computed once.
    fn program(&mut self, x: &str, at: &str, of: &FeedForward<MappedTensor>, block: &Block<MappedTensor>) -> Value {
        let (align, inner, width) = (of.program.align(), of.inner, block.norm.weight.data.len());
        let mut known = vec![Known { value: x.into(), width }];
        // For each value the number of the first one that is the same.
        let mut first = vec![0];
        let mut computed: HashMap<Step, usize> = HashMap::new();
        for step in of.program.steps() {
            let step = step.with_operands(|a| first[a]);
            let number = known.len();
            if let Some(&same) = computed.get(&step) {
                known.push(known[same].clone());
                first.push(same);
                continue;
            }
            let next = match step {
                Step::First(a) => self.mapped(&known[a], (at, "dense1"), &block.dense1, [width, inner]),
                Step::Second(a) => self.mapped(&known[a], (at, "dense2"), &block.dense2, [inner, width]),
                Step::Gate(a) => {
                    let gate = block.gate.as_ref().expect("a checked encoder: a program with a gate has its weights");
                    self.mapped(&known[a], (at, "gate"), gate, [width, inner])
                }
                Step::Activation(function, a) => {
                    Known { value: self.activation(function, &known[a].value), width: known[a].width }
                }
                Step::Binary(op, a, b) => self.combined(op, align, [&known[a], &known[b]]),
            };
            known.push(next);
            first.push(number);
            computed.insert(step, number);
        }
        known.pop().expect("x is there").value
    }

    fn mapped(
        &mut self,
        x: &Known,
        (at, part): (&str, &str),
        linear: &encoder_spec::Linear<MappedTensor>,
        [inputs, outputs]: [usize; 2],
    ) -> Known {
        Known { value: self.leading(&x.value, &format!("{at}.{part}"), linear, [inputs, outputs]), width: outputs }
    }

    /// Two values brought to one width, then the operator.
    fn combined(&mut self, op: Binary, align: Align, operands: [&Known; 2]) -> Known {
        let width = align.width(operands[0].width, operands[1].width);
        let [a, b] = operands.map(|x| match x.width.cmp(&width) {
            std::cmp::Ordering::Equal => x.value.clone(),
            std::cmp::Ordering::Greater => self.b.slice(&x.value, -1, 0, Some(width as i64)),
            std::cmp::Ordering::Less => {
                let pads = self.b.integers(&[0, 0, 0, 0, 0, (width - x.width) as i64]);
                let padding = self.b.number(match op {
                    Binary::Add => 0.0,
                    Binary::Mul => 1.0,
                    Binary::Max => Align::MAX_PADDING,
                });
                self.b.node("Pad", &[&x.value, &pads, &padding], vec![])
            }
        });
        let op = match op {
            Binary::Add => "Add",
            Binary::Mul => "Mul",
            Binary::Max => "Max",
        };
        Known { value: self.b.binary(op, &a, &b), width }
    }
}
