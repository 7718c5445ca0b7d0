//! What a pass of a compiled encoder consists of, and the time of each part inside a running model.
//!
//! Two encoders whose lists have a part in common do the same work there, so that the time of a network is the sum of the times of its
//! parts, wherever they were measured.

use std::fmt;

use cpu_kernels::elementwise::Activation;
use encoder_spec::{Embedding, Encoder, MappedTensor, Precision, Shape};
use mlp_space::Binary;

use crate::Error;
use crate::compile::{Builder, EmbeddingParts, body};
use crate::program::{AttentionStep, Product, RowOp, Step, Work};

/// A part of a pass, as far as its time depends on it; widths are in channels. Its text is its name in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Rows of the word table.
    Words(usize),
    /// Each token's rows with those of its neighbors, as wide as the three together.
    Trigram(usize),
    /// Positions and segments are added.
    Positions(usize),
    /// Heads are turned by their positions, as wide as all of them together.
    Turn(usize),
    /// A normalization, of a sum with the residual or not.
    Norm {
        /// Width of a row.
        width: usize,
        /// Whether a residual is added first.
        residual: bool,
    },
    /// A function of every element, apart from a product.
    Activation(Activation, usize),
    /// Two values, element by element.
    Binary(Binary, usize),
    /// What an operator does where its narrower operand has ended.
    Tail(Binary, usize),
    /// Packs the left operand of products.
    Pack(usize),
    /// A product with a weight matrix, its bias, and an activation that is computed with it.
    Product {
        /// Input channels.
        inputs: usize,
        /// Output channels.
        outputs: usize,
        /// What is computed of the outputs.
        activation: Option<Activation>,
    },
    /// Attention between queries, keys and values.
    Attention {
        /// Heads.
        heads: usize,
        /// Width of a head.
        width: usize,
        /// The largest distance at which tokens see each other, if not all do.
        reach: Option<usize>,
    },
    /// Threads wait for each other after operations on rows. That time of a product or of attention is part of its own.
    Wait,
}

fn name(activation: Activation) -> &'static str {
    match activation {
        Activation::GeluErf => "gelu (erf)",
        Activation::GeluTanh => "gelu",
        Activation::Relu => "relu",
        Activation::Sigmoid => "sigmoid",
        Activation::Tanh => "tanh",
        Activation::LeakyRelu => "leaky_relu",
        Activation::Elu => "elu",
        Activation::Swish => "swish",
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Words(width) => write!(f, "words {width}"),
            Self::Trigram(width) => write!(f, "trigram {width}"),
            Self::Positions(width) => write!(f, "positions {width}"),
            Self::Turn(width) => write!(f, "turn {width}"),
            Self::Norm { width, residual: false } => write!(f, "norm {width}"),
            Self::Norm { width, residual: true } => write!(f, "norm {width} of a sum"),
            Self::Activation(activation, width) => write!(f, "{} {width}", name(activation)),
            Self::Binary(op, width) => write!(f, "{op} {width}"),
            Self::Tail(op, width) => write!(f, "{op} {width} beyond"),
            Self::Pack(width) => write!(f, "pack {width}"),
            Self::Product { inputs, outputs, activation: None } => write!(f, "product {inputs} x {outputs}"),
            Self::Product { inputs, outputs, activation: Some(a) } => {
                write!(f, "product {inputs} x {outputs}, {}", name(a))
            }
            Self::Attention { heads, width, reach: None } => write!(f, "attention {heads} x {width}"),
            Self::Attention { heads, width, reach: Some(reach) } => {
                write!(f, "attention {heads} x {width}, {reach} away")
            }
            Self::Wait => f.write_str("wait"),
        }
    }
}

/// The parts of a pass from ids to the last hidden states, in their order; pooler and heads are not among them.
///
/// # Errors
/// The parts of the encoder do not fit ([`Encoder::check`]).
pub fn parts(encoder: &Encoder<Shape>) -> Result<Vec<Part>, Error> {
    encoder.check()?;
    let hidden = encoder.hidden();
    // Norms are asked for their width; nothing looks at a matrix.
    let encoder = encoder.map(|_, shape| {
        let values = if shape.len() == 1 { vec![0.0; shape[0]] } else { Vec::new() };
        MappedTensor { shape: shape.clone(), data: values.into() }
    });
    let Encoder { embedding, layers, final_norm, .. } = encoder;
    let Embedding { words, projection, positions, segments, norm, .. } = embedding;
    let (embed, has_places) = (words.shape[1], positions.is_some() || segments.is_some());
    // The steps are the same in every format.
    let mut builder = Builder::new(Precision::F32.into());
    let embedding = EmbeddingParts { embed, projection, has_places, norm };
    let steps = body(&mut builder, hidden, embedding, layers, final_norm);
    let mut parts = Vec::with_capacity(count(&steps));
    for step in &steps {
        match &step.work {
            Work::Rows(ops) => {
                parts.extend(ops.iter().map(|op| of_rows(op, &builder, embed, hidden)));
                parts.push(Part::Wait);
            }
            Work::Product(Product { linear, activation, .. }) => {
                let weights = &builder.linears[*linear];
                let (inputs, outputs) = (weights.inputs(), weights.outputs());
                parts.push(Part::Product { inputs, outputs, activation: *activation });
            }
            Work::Attention(AttentionStep { heads, width, reach, .. }) => {
                parts.push(Part::Attention { heads: *heads, width: *width, reach: *reach });
            }
        }
    }
    parts.truncate(count(&steps));
    Ok(parts)
}

fn of_rows(op: &RowOp, builder: &Builder, embed: usize, hidden: usize) -> Part {
    match op {
        RowOp::Words { .. } => Part::Words(embed),
        RowOp::Trigram { .. } => Part::Trigram(3 * embed),
        RowOp::Positions { .. } => Part::Positions(hidden),
        RowOp::Turn { heads, width, .. } => Part::Turn(heads * width),
        // Of a sequence: in the body there is none, and it reads what a pack of the width reads.
        RowOp::First { .. } | RowOp::Mean { .. } | RowOp::Unit { .. } => Part::Pack(hidden),
        RowOp::Norm { residual, norm, .. } => {
            Part::Norm { width: builder.norms[*norm].weight.len(), residual: residual.is_some() }
        }
        RowOp::Unary { activation, width, .. } => Part::Activation(*activation, *width),
        RowOp::Binary { op, width, .. } => Part::Binary(*op, *width),
        RowOp::Tail { op, columns, .. } => Part::Tail(*op, columns.len()),
        RowOp::Pack { slot, .. } => Part::Pack(builder.slots[*slot].width),
    }
}

/// How many parts the steps have: after the last one nobody waits for the next.
pub(crate) fn count(steps: &[Step]) -> usize {
    let of = |step: &Step| if let Work::Rows(ops) = &step.work { ops.len() + 1 } else { 1 };
    let all: usize = steps.iter().map(of).sum();
    all - usize::from(steps.last().is_some_and(|step| matches!(step.work, Work::Rows(_))))
}

/// The time that one thread has spent in a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lap {
    /// Sum over the chunks and groups of rows of a pass, in units of the clock that was handed in.
    pub time: u64,
    /// How often the clock was read for it.
    pub readings: u32,
}

/// A clock that one worker reads after each part.
pub(crate) struct Laps<'a> {
    now: &'a (dyn Fn() -> u64 + Sync),
    laps: &'a mut [Lap],
    /// When it was read last.
    last: u64,
    /// The first part of the next step.
    next: usize,
    /// The part that the time since then belongs to.
    open: Option<usize>,
}

impl<'a> Laps<'a> {
    pub fn new(now: &'a (dyn Fn() -> u64 + Sync), laps: &'a mut [Lap]) -> Self {
        Self { now, laps, last: 0, next: 0, open: None }
    }

    /// Before the first step of a chunk.
    pub fn begin(&mut self) {
        (self.last, self.next, self.open) = ((self.now)(), 0, None);
    }

    /// Before a step, when everybody is there; and after the last one.
    pub fn arrived(&mut self) {
        if let Some(open) = self.open.take() {
            self.read(open);
        }
    }

    /// After operation `number` of a step of rows, for some of its rows.
    pub fn row_op(&mut self, number: usize) {
        self.read(self.next + number);
    }

    /// After the work of a step; until the next one begins everything counts as the last part of this one.
    pub fn worked(&mut self, work: &Work) {
        let before = if let Work::Rows(ops) = work { ops.len() } else { 0 };
        self.open = Some(self.next + before);
        self.next += before + 1;
    }

    fn read(&mut self, part: usize) {
        let now = (self.now)();
        if let Some(lap) = self.laps.get_mut(part) {
            lap.time += now.saturating_sub(self.last);
            lap.readings += 1;
        }
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use encoder_spec::{Parts, preset};

    use super::*;

    fn names(preset_name: &str) -> Vec<String> {
        let encoder = Encoder::describe(&preset(preset_name).unwrap(), Parts::NONE).unwrap();
        parts(&encoder).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_parts_of_a_plain_layer_are_listed_in_the_order_of_the_pass() {
        let all = names("tinybert-4");
        let layer = [
            "pack 312",
            "wait",
            "product 312 x 936",
            "attention 12 x 26",
            "pack 312",
            "wait",
            "product 312 x 312",
            "norm 312 of a sum",
            "pack 312",
            "wait",
            "product 312 x 1200, gelu (erf)",
            "pack 1200",
            "wait",
            "product 1200 x 312",
            "norm 312 of a sum",
        ];
        assert_eq!(all[..3], ["words 312", "positions 312", "norm 312"]);
        for at in (3..all.len()).step_by(layer.len()) {
            assert_eq!(all[at..at + layer.len()], layer, "from {at}");
        }
        assert_eq!(all.len(), 3 + 4 * layer.len(), "after the last norm nobody waits");
    }

    #[test]
    fn searched_feed_forwards_have_the_parts_of_their_expressions() {
        let all = names("efficientbert");
        assert_eq!(all[0], "trigram 384");
        let has = |name: &str| all.iter().any(|part| part == name);
        assert!(has("product 540 x 1620") && has("attention 12 x 45") && has("product 384 x 540"), "{all:?}");
        assert!(
            all.iter()
                .any(|part| part.starts_with("max 540") || part.starts_with("mul 540") || part.starts_with("add 540"))
        );
    }
}
