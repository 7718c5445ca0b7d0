//! `arch show`.

use bert_core::{AttentionShape, BertConfig, Cost, Count, CountPart, LayerSpec};
use clap::Args;
use serde_json::{Value, json};

use crate::arch_spec::{Arch, ShapeArgs, resolve};
use crate::error::CliError;
use crate::output::{print, print_json, table};
use crate::units::{gmac, grouped};

/// Tokens of a sequence where nobody says otherwise.
const USUAL_SEQ: usize = 128;

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The architecture.
    #[arg(value_name = "ARCH")]
    arch: String,
    /// Sequence length that the MACs are counted for, in tokens [default: 128, or what the model takes].
    #[arg(long, value_name = "N")]
    seq: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shape: ShapeArgs,
}

pub fn run(args: &ShowArgs) -> Result<(), CliError> {
    let arch = resolve(&args.arch, &args.shape)?;
    let seq = sequence(args.seq, &[&arch.config])?;
    let count = arch.outline.count(seq);
    if args.json { print_json(&as_json(&arch, &count)) } else { print(&as_text(&arch, &count)) }
}

/// The sequence length that was asked for, else 128 or as many as all of `models` take.
pub fn sequence(asked: Option<usize>, models: &[&BertConfig]) -> Result<usize, CliError> {
    let longest = models.iter().map(|config| config.max_position_embeddings).min().unwrap_or(USUAL_SEQ);
    match asked {
        None => Ok(longest.min(USUAL_SEQ)),
        Some(seq) if (1..=longest).contains(&seq) => Ok(seq),
        Some(seq) => Err(CliError::usage(format!("--seq {seq}: this model takes 1 to {longest} tokens"))),
    }
}

fn as_json(arch: &Arch, count: &Count) -> Value {
    let layer = |(i, c): (usize, &Cost)| {
        let mut entry = json!({ "layer": i + 1, "params": c.params, "macs": c.macs });
        if let Some(LayerSpec { expression, stacks, ratio, .. }) = arch.config.layers.get(i) {
            entry["expression"] = json!(expression);
            entry["stacks"] = json!(stacks);
            entry["ratio"] = json!(ratio);
        }
        let attention = attention(arch, i);
        entry["attention_heads"] = json!(attention.map_or(0, |a| a.heads));
        entry["attention_size"] = json!(attention.map_or(0, |a| a.width));
        entry
    };
    json!({
        "name": arch.name,
        "model_type": arch.config.model_type,
        "seq": count.seq,
        "params": count.params(),
        "params_without_fit": count.params_without_fit(),
        "macs": count.macs(),
        "gmac": gmac(count.macs()),
        "parts": count.parts,
        "layers": count.layers.iter().enumerate().map(layer).collect::<Vec<_>>(),
    })
}

/// Heads and width of a layer's attention, if it has any.
fn attention(arch: &Arch, layer: usize) -> Option<AttentionShape> {
    let attention = arch.outline.layers.get(layer)?.attention.as_ref()?;
    Some(AttentionShape { heads: attention.heads, width: attention.width() })
}

/// What all layers have in common, and whether their attention differs.
fn heads(arch: &Arch) -> (String, bool) {
    let layers: Vec<_> = (0..arch.outline.layers.len()).map(|i| attention(arch, i)).collect();
    let usual = AttentionShape::usual(&arch.config);
    match layers.iter().all(|layer| *layer == Some(usual)) {
        true => (format!("{} heads", usual.heads), false),
        false => ("attention by layer".into(), true),
    }
}

fn as_text(arch: &Arch, count: &Count) -> String {
    let c = &arch.config;
    let (heads, differ) = heads(arch);
    let mut text = format!(
        "{}: {} layers of width {}, {heads}, {} word pieces\n\n",
        arch.name, c.num_hidden_layers, c.hidden_size, c.vocab_size
    );
    let row = |name: &str, part: Cost| vec![name.to_owned(), grouped(part.params), grouped(part.macs)];
    let mut rows: Vec<_> = count.parts.iter().map(|(part, c)| row(part_name(*part), *c)).collect();
    rows.push(row("total", Cost { params: count.params(), macs: count.macs() }));
    text += &table(&["part", "parameters", "MACs"], &rows, false);
    text += &format!("\n{:.3} GMAC for one sequence of {} tokens\n", gmac(count.macs()), count.seq);
    if count.params_without_fit() != count.params() {
        let shipped = grouped(count.params_without_fit());
        let left_out = [
            (CountPart::FitDense, "the distillation projection, which does not ship"),
            (CountPart::MaskedLm, "the masked-language-model head, which tasks do not need"),
        ];
        let there = left_out.iter().filter(|(part, _)| count.parts.get(part).is_some_and(|c| c.params > 0));
        let names: Vec<&str> = there.map(|(_, name)| *name).collect();
        text += &format!("{shipped} parameters without {}\n", names.join(", and "));
    }
    text.push('\n');
    let plain = |_: usize| {
        let stacked = match c.num_feedforward_networks {
            1 => String::new(),
            n => format!("{n} times "),
        };
        format!("{stacked}{} to {} to {}", c.inner_width(), c.intermediate_size, c.inner_width())
    };
    let describe = |i: usize| c.layers.get(i).map_or_else(|| plain(i), |l| l.expression.clone());
    let of_layer = |i: usize| match attention(arch, i) {
        Some(a) => format!("{} heads of {}", a.heads, a.head_width()),
        None => LayerSpec::NONE.to_owned(),
    };
    let row = |(i, n): (usize, &Cost)| {
        let first = [(i + 1).to_string(), grouped(n.params), grouped(n.macs)];
        first.into_iter().chain(differ.then(|| of_layer(i))).chain([describe(i)]).collect::<Vec<_>>()
    };
    let rows: Vec<_> = count.layers.iter().enumerate().map(row).collect();
    let columns = ["layer", "parameters", "MACs"].into_iter().chain(differ.then_some("attention"));
    text + &table(&columns.chain(["feed-forward"]).collect::<Vec<_>>(), &rows, true)
}

fn part_name(part: CountPart) -> &'static str {
    match part {
        CountPart::Embeddings => "embeddings",
        CountPart::Attention => "attention",
        CountPart::FeedForward => "feed-forward",
        CountPart::Bottleneck => "bottlenecks",
        CountPart::FitDense => "distillation projection",
        CountPart::Pooler => "pooler",
        CountPart::Heads => "heads",
        CountPart::MaskedLm => "masked-language-model head",
    }
}
