//! Whether the parts of a network fit.

use encoder_spec::Floats;
use mlp_space::{Node, WeightSlot};

use crate::Error;
use crate::spec::{
    Attention, AttentionInput, Bottleneck, Embeddings, FeedForward, Layer, Linear, Network, Norm, NormKind,
    SearchedStack, Table,
};

/// Largest size of anything, so that products of sizes cannot overflow.
const MAX_SIZE: usize = 1 << 28;

impl Network {
    /// Checks every shape and that every number is finite, except where numbers lie in [shared memory](cpu_kernels::Floats): those are
    /// read once, when the network is compiled.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Value`] or [`Error::Expression`] naming the part.
    pub fn check(&self) -> Result<(), Error> {
        let hidden = self.hidden();
        embeddings(&self.embeddings, hidden)?;
        for (i, each) in self.layers.iter().enumerate() {
            layer(each, hidden, i + 1)?;
        }
        if let Some(pooler) = &self.pooler {
            linear("pooler", pooler, hidden, Some(hidden))?;
        }
        for (i, head) in self.heads.iter().enumerate() {
            linear(&format!("head {i}"), &head.dense, hidden, None)?;
        }
        Ok(())
    }
}

fn shape(what: &str, expected: impl ToString, found: impl ToString) -> Error {
    Error::Shape { what: what.into(), expected: expected.to_string(), found: found.to_string() }
}

fn size(what: &str, value: usize) -> Result<(), Error> {
    if (1..=MAX_SIZE).contains(&value) {
        return Ok(());
    }
    Err(Error::Value { what: what.into(), reason: format!("{value} is no usable size") })
}

fn values(what: &str, values: &[f32], expected: usize) -> Result<(), Error> {
    count(what, values.len(), expected)?;
    finite(what, values.iter().fold(true, |all, v| all & v.is_finite()))
}

fn floats(what: &str, values: &Floats, expected: usize) -> Result<(), Error> {
    count(what, values.len(), expected)?;
    if values.are_shared() { Ok(()) } else { finite(what, values.are_finite()) }
}

fn count(what: &str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(shape(what, format!("{expected} values"), found)) }
}

pub(crate) fn finite(what: &str, finite: bool) -> Result<(), Error> {
    if finite {
        Ok(())
    } else {
        Err(Error::Value { what: what.into(), reason: "holds a value that is not finite".into() })
    }
}

fn linear(what: &str, map: &Linear, inputs: usize, outputs: Option<usize>) -> Result<(), Error> {
    size(what, map.inputs)?;
    size(what, map.outputs)?;
    if map.inputs != inputs {
        return Err(shape(what, format!("{inputs} inputs"), map.inputs));
    }
    if let Some(outputs) = outputs
        && map.outputs != outputs
    {
        return Err(shape(what, format!("{outputs} outputs"), map.outputs));
    }
    floats(&format!("{what}, weight"), &map.weight, map.inputs.saturating_mul(map.outputs))?;
    values(&format!("{what}, bias"), &map.bias, map.outputs)
}

fn norm(what: &str, norm: &Norm, width: usize) -> Result<(), Error> {
    if let NormKind::LayerNorm { eps } = norm.kind
        && !(eps >= 0.0 && eps.is_finite())
    {
        return Err(Error::Value { what: what.into(), reason: format!("epsilon must not be negative, is {eps}") });
    }
    values(&format!("{what}, weight"), &norm.weight, width)?;
    values(&format!("{what}, bias"), &norm.bias, width)
}

fn table(what: &str, table: &Table, width: usize) -> Result<(), Error> {
    size(what, table.rows)?;
    if table.width != width {
        return Err(shape(what, format!("rows of {width}"), table.width));
    }
    floats(what, &table.data, table.rows.saturating_mul(table.width))
}

fn embeddings(e: &Embeddings, hidden: usize) -> Result<(), Error> {
    size("hidden width", hidden)?;
    size("word table", e.words.width)?;
    match &e.projection {
        Some(projection) => {
            table("word table", &e.words, e.words.width)?;
            let inputs = if projection.trigram { 3 * e.words.width } else { e.words.width };
            linear("embedding projection", &projection.linear, inputs, Some(hidden))?;
        }
        None => table("word table", &e.words, hidden)?,
    }
    table("position table", &e.positions, hidden)?;
    table("segment table", &e.segments, hidden)?;
    norm("embedding norm", &e.norm, hidden)
}

fn layer(layer: &Layer, hidden: usize, number: usize) -> Result<(), Error> {
    let at = |part: &str| format!("layer {number}, {part}");
    let width = match &layer.bottleneck {
        None => {
            attention(&layer.attention, hidden, hidden, &at)?;
            if layer.attention.width() != hidden {
                return Err(shape(&at("query"), format!("{hidden} outputs"), layer.attention.width()));
            }
            hidden
        }
        Some(b) => bottleneck(b, &layer.attention, hidden, &at)?,
    };
    match &layer.feed_forward {
        FeedForward::Plain(blocks) => {
            for (i, block) in blocks.iter().enumerate() {
                let at = |part: &str| at(&format!("feed-forward {}, {part}", i + 1));
                linear(&at("dense1"), &block.dense1, width, None)?;
                linear(&at("dense2"), &block.dense2, block.dense1.outputs, Some(width))?;
                norm(&at("norm"), &block.norm, width)?;
            }
            Ok(())
        }
        FeedForward::Searched(stack) => searched(stack, width, number, &at),
    }
}

fn bottleneck(b: &Bottleneck, a: &Attention, hidden: usize, at: &dyn Fn(&str) -> String) -> Result<usize, Error> {
    let narrow = b.input.outputs;
    linear(&at("bottleneck input"), &b.input, hidden, None)?;
    if let Some(n) = &b.input_norm {
        norm(&at("bottleneck input norm"), n, narrow)?;
    }
    let (queries, keys_values) = match &b.attention {
        AttentionInput::Wide => (hidden, hidden),
        AttentionInput::Bottleneck => (narrow, narrow),
        AttentionInput::SharedKeyQuery { dense, norm: n } => {
            linear(&at("bottleneck attention"), dense, hidden, None)?;
            if let Some(n) = n {
                norm(&at("bottleneck attention norm"), n, dense.outputs)?;
            }
            (dense.outputs, hidden)
        }
    };
    attention(a, queries, keys_values, at)?;
    if a.width() != narrow {
        return Err(shape(&at("query"), format!("{narrow} outputs"), a.width()));
    }
    linear(&at("bottleneck output"), &b.output, narrow, Some(hidden))?;
    norm(&at("bottleneck output norm"), &b.output_norm, hidden)?;
    Ok(narrow)
}

fn attention(a: &Attention, queries: usize, values: usize, at: &dyn Fn(&str) -> String) -> Result<(), Error> {
    let width = a.width();
    if a.heads == 0 || !width.is_multiple_of(a.heads) {
        return Err(shape(&at("attention heads"), format!("a divisor of {width}"), a.heads));
    }
    linear(&at("query"), &a.query, queries, None)?;
    if let Some(key) = &a.key {
        linear(&at("key"), key, queries, Some(width))?;
    }
    linear(&at("value"), &a.value, values, Some(width))?;
    linear(&at("attention output"), &a.output, width, Some(width))?;
    norm(&at("attention norm"), &a.norm, width)
}

fn searched(stack: &SearchedStack, width: usize, number: usize, at: &dyn Fn(&str) -> String) -> Result<(), Error> {
    size(&at("inner width"), stack.inner)?;
    let fail = |source| Error::Expression {
        layer: number,
        expression: stack.expression.to_string(),
        source: Box::new(source),
    };
    let found = output_width(stack.expression.root(), stack, width).map_err(fail)?;
    if found != width {
        return Err(fail(mlp_space::Invalid::Output { hidden: width, found }));
    }
    for (i, block) in stack.blocks.iter().enumerate() {
        let at = |part: &str| at(&format!("feed-forward {}, {part}", i + 1));
        linear(&at("dense1"), &block.dense1, width, None)?;
        linear(&at("dense2"), &block.dense2, block.dense2.inputs, Some(width))?;
        for (part, found) in [("dense1", block.dense1.outputs), ("dense2", block.dense2.inputs)] {
            if found < stack.inner {
                return Err(shape(&at(part), format!("at least {} inner channels", stack.inner), found));
            }
        }
        norm(&at("norm"), &block.norm, width)?;
    }
    Ok(())
}

fn output_width(node: &Node, stack: &SearchedStack, width: usize) -> Result<usize, mlp_space::Invalid> {
    match node {
        Node::Input => Ok(width),
        Node::Unary(_, a) => output_width(a, stack, width),
        Node::Binary(_, a, b) => Ok(stack.align.width(output_width(a, stack, width)?, output_width(b, stack, width)?)),
        Node::Linear { weights: slot, input, .. } => {
            let (expected, output) = match slot {
                WeightSlot::First => (width, stack.inner),
                WeightSlot::Second => (stack.inner, width),
            };
            let found = output_width(input, stack, width)?;
            if found != expected {
                let slot = *slot;
                return Err(mlp_space::Invalid::LinearInput {
                    slot,
                    expected,
                    found,
                    hidden: width,
                    base: stack.inner,
                });
            }
            Ok(output)
        }
    }
}
