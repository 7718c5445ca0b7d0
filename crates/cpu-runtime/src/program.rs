//! The steps that a compiled model consists of.
//!
//! Values live in memory of their own: rows of `f32`, one per token or per sequence. A lane of workers takes some sequences through the
//! steps. It is divided into parts, each with a range of the tokens: only attention looks at another part's tokens, so only
//! there all of a lane wait for each other. Within a part workers wait between two steps, unless the second does not need
//! the first.

use std::ops::Range;

use cpu_kernels::elementwise::Activation;
use cpu_kernels::matmul::Precision;
use mlp_space::Binary;

/// Where rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Memory {
    /// A buffer that is used again.
    Scratch(usize),
    /// The last hidden states, `[tokens, hidden]`.
    Hidden,
    /// `[sequences, hidden]`.
    Pooled,
    /// `[sequences or tokens, outputs]`.
    Logits,
}

/// A place from a column on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub place: Memory,
    pub column: usize,
}

impl Memory {
    pub fn from(self, column: usize) -> View {
        View { place: self, column }
    }

    pub fn whole(self) -> View {
        self.from(0)
    }
}

/// What there is one row of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    Tokens,
    Sequences,
}

/// Which workers wait for each other before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    None,
    Part,
    Lane,
}

/// A step of all workers.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub domain: Domain,
    pub sync: Sync,
    pub work: Work,
}

#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Every row goes through all operations; workers share the rows.
    Rows(Vec<RowOp>),
    Product(Product),
    Attention(AttentionStep),
}

/// `out[:, column..] = act(input W + b)`; workers share rows and columns.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    /// The packed left operand.
    pub slot: usize,
    /// Index of the packed weights and their bias.
    pub linear: usize,
    pub activation: Option<Activation>,
    pub out: Memory,
}

/// Attention of every sequence and head; workers share heads and queries.
#[derive(Clone, Debug)]
pub(crate) struct AttentionStep {
    pub q: View,
    pub k: View,
    pub v: View,
    pub out: Memory,
    pub heads: usize,
    /// Of one head.
    pub width: usize,
    pub scale: f32,
    /// The largest distance at which a token sees another one; `None`: all see each other.
    pub reach: Option<usize>,
    /// That of the maps that give queries, keys and values.
    pub precision: Precision,
}

/// An operation on rows, each by itself.
#[derive(Clone, Debug)]
pub(crate) enum RowOp {
    /// `out = words[id]`.
    Words { out: View },
    /// `out = [words[next]; words[id]; words[previous]]`.
    Trigram { out: View },
    /// `x += position + segment`, of those that there are.
    Positions { x: View },
    /// Turns the heads in `x` by their positions, in place.
    Turn { x: View, heads: usize, width: usize, turns: usize },
    /// `out = x` of the sequence's first token (domain: sequences).
    First { x: View, out: View },
    /// `out = mean of x` over the sequence's tokens that are not masked (domain: sequences).
    Mean { x: View, out: View },
    /// `x = x / |x|`; zeros stay.
    Unit { x: View, width: usize },
    /// `out = Norm(x + residual)`; `out` is neither of them.
    Norm { x: View, residual: Option<View>, norm: usize, out: View },
    /// `out = f(x)`; may be in place.
    Unary { activation: Activation, x: View, out: View, width: usize },
    /// `out = op(a, b)`; `out` may be `a` or `b`.
    Binary { op: Binary, a: View, b: View, out: View, width: usize },
    /// `out = op(x, padding)` in these columns, where the other operand has ended; may be in place.
    Tail { op: Binary, x: View, out: View, columns: Range<usize> },
    /// Packs as many columns as the slot takes, as the left operand of products.
    Pack { x: View, slot: usize },
}
