//! Whether the parts of an encoder fit.

use crate::encoder::{
    Attention, AttentionSource, Bottleneck, Embedding, Encoder, FeedForward, Layer, Linear, Norm, Normalization,
    Shaped, Transform,
};
use crate::{Error, Result, Step};

/// Largest size of anything, so that products of sizes cannot overflow.
const MAX_SIZE: usize = 1 << 28;

impl<W: Shaped> Encoder<W> {
    /// Checks every shape against its neighbors.
    ///
    /// # Errors
    /// [`Error::Part`] naming the part.
    pub fn check(&self) -> Result<()> {
        let hidden = self.hidden();
        embedding(&self.embedding, hidden)?;
        for (i, each) in self.layers.iter().enumerate() {
            layer(each, hidden, &|part| format!("layer {}, {part}", i + 1))?;
        }
        if let Some(last) = &self.final_norm {
            norm("final norm", last, hidden)?;
        }
        if let Some(fit) = &self.fit {
            linear("distillation projection", fit, hidden, None)?;
        }
        if let Some(pooler) = &self.pooler {
            linear("pooler", pooler, hidden, Some(hidden))?;
        }
        if let Some(prediction) = &self.prediction {
            transform("prediction head", prediction, hidden)?;
            fits("prediction head", hidden, prediction.dense.outputs(), "outputs")?;
        }
        for (i, head) in self.heads.iter().enumerate() {
            if let Some(dense) = &head.dense {
                linear(&format!("head {i}"), dense, hidden, None)?;
            }
        }
        let Some(mlm) = &self.mlm else { return Ok(()) };
        let (vocab, embed) = (self.embedding.words.shape()[0], self.embedding.words.shape()[1]);
        let Some(own) = self.word_transform() else {
            return Err(part("masked-LM head", "a transform of its own or of all heads", "neither"));
        };
        transform("masked-LM head", own, hidden)?;
        let width = own.dense.outputs();
        if let Some(bias) = &mlm.bias {
            shape("masked-LM bias", bias.shape(), &[vocab])?;
        }
        match &mlm.extra {
            Some(extra) => shape("masked-LM output weights", extra.shape(), &[width.saturating_sub(embed), vocab]),
            None => fits("masked-LM head", embed, width, "outputs"),
        }
    }
}

fn part(what: &str, expected: impl ToString, found: impl ToString) -> Error {
    Error::Part { what: what.into(), expected: expected.to_string(), found: found.to_string() }
}

fn fits(what: &str, expected: usize, found: usize, unit: &str) -> Result<()> {
    if found == expected { Ok(()) } else { Err(part(what, format!("{expected} {unit}"), found)) }
}

fn shape(what: &str, found: &[usize], expected: &[usize]) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(part(what, format!("shape {expected:?}"), format!("{found:?}")))
}

/// A matrix of usable sizes.
fn matrix(what: &str, found: &[usize]) -> Result<()> {
    match found {
        [rows, columns] if [rows, columns].into_iter().all(|n| (1..=MAX_SIZE).contains(n)) => Ok(()),
        _ => Err(part(what, "a matrix", format!("shape {found:?}"))),
    }
}

fn linear<W: Shaped>(what: &str, map: &Linear<W>, inputs: usize, outputs: Option<usize>) -> Result<()> {
    matrix(what, map.weight.shape())?;
    fits(what, inputs, map.inputs(), "inputs")?;
    if let Some(outputs) = outputs {
        fits(what, outputs, map.outputs(), "outputs")?;
    }
    match &map.bias {
        Some(bias) => shape(&format!("{what}, bias"), bias.shape(), &[map.outputs()]),
        None => Ok(()),
    }
}

fn transform<W: Shaped>(what: &str, own: &Transform<W>, inputs: usize) -> Result<()> {
    linear(what, &own.dense, inputs, None)?;
    norm(&format!("{what}, norm"), &own.norm, own.dense.outputs())
}

fn norm<W: Shaped>(what: &str, norm: &Norm<W>, width: usize) -> Result<()> {
    if let Normalization::LayerNorm { eps } = norm.kind
        && !(eps >= 0.0 && eps.is_finite())
    {
        return Err(part(what, "an epsilon that is not negative", eps));
    }
    shape(&format!("{what}, weight"), norm.weight.shape(), &[width])?;
    match &norm.bias {
        Some(bias) => shape(&format!("{what}, bias"), bias.shape(), &[width]),
        None => Ok(()),
    }
}

fn table<W: Shaped>(what: &str, table: &W, width: Option<usize>) -> Result<()> {
    matrix(what, table.shape())?;
    match width {
        Some(width) if table.shape()[1] != width => Err(part(what, format!("rows of {width}"), table.shape()[1])),
        _ => Ok(()),
    }
}

fn embedding<W: Shaped>(e: &Embedding<W>, hidden: usize) -> Result<()> {
    match &e.projection {
        Some(projection) => {
            table("word table", &e.words, None)?;
            let embed = e.words.shape()[1];
            let inputs = if projection.trigram { 3 * embed } else { embed };
            linear("embedding projection", &projection.linear, inputs, Some(hidden))?;
        }
        None => table("word table", &e.words, Some(hidden))?,
    }
    if let Some(positions) = &e.positions {
        table("position table", positions, Some(hidden))?;
        fits("position table", e.longest, positions.shape()[0], "rows")?;
    }
    if !(1..=MAX_SIZE).contains(&e.longest) {
        return Err(part("longest sequence", "at least one token", e.longest));
    }
    if let Some(segments) = &e.segments {
        table("segment table", segments, Some(hidden))?;
    }
    norm("embedding norm", &e.norm, hidden)
}

fn layer<W: Shaped>(layer: &Layer<W>, hidden: usize, at: &dyn Fn(&str) -> String) -> Result<()> {
    let width = match (&layer.bottleneck, &layer.attention) {
        (None, None) if layer.feed_forward.blocks.is_empty() => {
            return Err(part(&at("attention and feed-forward"), "at least one of them", "neither"));
        }
        (None, None) => hidden,
        (None, Some(a)) => {
            attention(a, (hidden, hidden), hidden, at)?;
            hidden
        }
        (Some(_), None) => return Err(part(&at("attention"), "attention inside the bottleneck", "none")),
        (Some(b), Some(a)) => bottleneck(b, a, hidden, at)?,
    };
    norms(layer, at)?;
    feed_forward(&layer.feed_forward, width, at)
}

fn bottleneck<W: Shaped>(
    b: &Bottleneck<W>,
    a: &Attention<W>,
    hidden: usize,
    at: &dyn Fn(&str) -> String,
) -> Result<usize> {
    let narrow = b.input.outputs();
    linear(&at("bottleneck input"), &b.input, hidden, None)?;
    if let Some(n) = &b.input_norm {
        norm(&at("bottleneck input norm"), n, narrow)?;
    }
    let (queries, keys_values) = match &b.attention {
        AttentionSource::Wide => (hidden, hidden),
        AttentionSource::Bottleneck => (narrow, narrow),
        AttentionSource::SharedKeyQuery { dense, norm: n } => {
            linear(&at("bottleneck attention"), dense, hidden, None)?;
            if let Some(n) = n {
                norm(&at("bottleneck attention norm"), n, dense.outputs())?;
            }
            (dense.outputs(), hidden)
        }
    };
    attention(a, (queries, keys_values), narrow, at)?;
    linear(&at("bottleneck output"), &b.output, narrow, Some(hidden))?;
    norm(&at("bottleneck output norm"), &b.output_norm, hidden)?;
    Ok(narrow)
}

/// Attention that computes queries and keys from `queries` channels, values from `values`, and adds to a residual of `residual`.
fn attention<W: Shaped>(
    a: &Attention<W>,
    (queries, values): (usize, usize),
    residual: usize,
    at: &dyn Fn(&str) -> String,
) -> Result<()> {
    let width = a.width();
    if a.heads == 0 || !width.is_multiple_of(a.heads) {
        return Err(part(&at("attention heads"), format!("a divisor of {width}"), a.heads));
    }
    linear(&at("query"), &a.query, queries, None)?;
    if let Some(key) = &a.key {
        linear(&at("key"), key, queries, Some(width))?;
    }
    linear(&at("value"), &a.value, values, Some(width))?;
    linear(&at("attention output"), &a.output, width, Some(residual))?;
    if a.rotary.is_some() && !(width / a.heads).is_multiple_of(2) {
        return Err(part(&at("rotary positions"), "heads of even width", width / a.heads));
    }
    match &a.norm {
        Some(own) => norm(&at("attention norm"), own, residual),
        None => Ok(()),
    }
}

/// Norms that come first and rotary positions stand in plain layers only; norms that come after are never left out.
fn norms<W: Shaped>(layer: &Layer<W>, at: &dyn Fn(&str) -> String) -> Result<()> {
    match (&layer.attention, layer.norm_first) {
        (_, true) if layer.bottleneck.is_some() => {
            Err(part(&at("norms"), "norms after the residuals in a bottleneck", "norms that come first"))
        }
        (Some(Attention { rotary: Some(_), .. }), _) if layer.bottleneck.is_some() => {
            Err(part(&at("positions"), "positions that attention in a bottleneck does not turn", "rotary ones"))
        }
        (Some(Attention { norm: None, .. }), false) => Err(part(&at("attention norm"), "a norm", "none")),
        _ => Ok(()),
    }
}

fn feed_forward<W: Shaped>(f: &FeedForward<W>, width: usize, at: &dyn Fn(&str) -> String) -> Result<()> {
    if !(1..=MAX_SIZE).contains(&f.inner) {
        return Err(part(&at("feed-forward"), "an inner width", f.inner));
    }
    if let Err(mismatch) = f.program.widths(width, f.inner) {
        return Err(Error::Program { what: at("feed-forward"), mismatch });
    }
    for (i, block) in f.blocks.iter().enumerate() {
        let at = |part: &str| at(&format!("feed-forward {}, {part}", i + 1));
        linear(&at("dense1"), &block.dense1, width, None)?;
        linear(&at("dense2"), &block.dense2, block.dense2.inputs(), Some(width))?;
        let has_gate = f.program.steps().iter().any(|step| matches!(step, Step::Gate(_)));
        if has_gate != block.gate.is_some() {
            let found = if has_gate { "no weights" } else { "weights that the program does not use" };
            return Err(part(&at("gate"), "weights where the program has a gate", found));
        }
        if let Some(gate) = &block.gate {
            linear(&at("gate"), gate, width, Some(block.dense1.outputs()))?;
        }
        for (name, found) in [("dense1", block.dense1.outputs()), ("dense2", block.dense2.inputs())] {
            if found < f.inner {
                return Err(part(&at(name), format!("at least {} inner channels", f.inner), found));
            }
        }
        norm(&at("norm"), &block.norm, width)?;
    }
    Ok(())
}
