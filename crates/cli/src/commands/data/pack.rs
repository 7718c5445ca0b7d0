//! `data pack`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Once;

use clap::{Args, ValueEnum};
use corpus::{
    DEFAULT_FIELD, Error, Format, Input, MAX_THREADS, Manifest, MaskSettings, PackSettings, Packing, Progress,
    SpanSettings, build, inputs_of,
};
use serde_json::json;
use tokenizer::TextEncoder;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inputs::must_exist;
use crate::interrupt;
use crate::models::warn_of;
use crate::output::{print, print_json};
use crate::units::grouped;

/// Progress is counted in these.
pub(super) const MB: u64 = 1_000_000;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert data pack wikipedia/ books.txt.zst --tokenizer models/bert-base --out packed/wiki-books
  efficientbert data pack pages-articles.xml.bz2 --tokenizer models/bert-base --out packed/wiki --packing full --max-len 512
  efficientbert data pack c4.jsonl.gz --field content --tokenizer models/bert-base --out packed/c4 --mask --copies 5

`distill --corpus DIR` and `search --corpus DIR` learn from the folder; the tokenizer must be the teacher's and the length the training's. \
It holds shards of token ids and, written last, a manifest.json with sizes and SHA-256. The result is the same whatever the number \
of threads. A command that was interrupted, or that is given again with more inputs, makes only what is missing. Memory stays below 1 GiB \
whatever the size of the inputs.")]
pub struct PackArgs {
    /// Files, or folders of which every file is taken in the order of names; they may be compressed with gzip, zstd or bzip2.
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// Model directory whose tokenizer is used.
    #[arg(long, value_name = "DIR")]
    tokenizer: PathBuf,
    /// Folder of the shards; one that was packed with other settings is refused.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the inputs are [default: detected from the name and the first bytes of each].
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<InputFormat>,
    /// Key (JSON Lines) or column (Parquet) of the text.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_FIELD)]
    field: String,
    /// How sequences are filled.
    #[arg(long, value_enum, default_value_t = Filling::Pairs)]
    packing: Filling,
    /// Tokens of a sequence, special tokens included.
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_len: usize,
    /// pairs: chance that a document is packed to a random shorter length [default: 0.1].
    #[arg(long, value_name = "P")]
    short_seq_prob: Option<f64>,
    /// pairs: chance that the second segment comes from another document [default: 0.5].
    #[arg(long, value_name = "P")]
    random_next: Option<f64>,
    /// full: begin every document with a new sequence.
    #[arg(long)]
    within_documents: bool,
    /// How often the text is packed, each time with other random draws.
    #[arg(long, value_name = "N", default_value_t = 1)]
    copies: u32,
    /// Hide tokens in the shards themselves (static masking); without it they can be hidden anew in every epoch of training.
    #[arg(long)]
    mask: bool,
    /// mask: share of tokens to be predicted.
    #[arg(long, value_name = "P", default_value_t = 0.15, requires = "mask")]
    mask_probability: f64,
    /// mask: the most predictions of one sequence.
    #[arg(long, value_name = "N", requires = "mask")]
    max_predictions: Option<usize>,
    /// mask: hide words whole or not at all.
    #[arg(long, requires = "mask")]
    whole_words: bool,
    /// mask: hide spans of neighboring words, as SpanBERT does; lengths are geometric.
    #[arg(long, requires = "mask")]
    spans: bool,
    /// spans: chance that a span ends with a word [default: 0.2].
    #[arg(long, value_name = "P", requires = "spans")]
    span_p: Option<f64>,
    /// spans: most words of a span [default: 10].
    #[arg(long, value_name = "N", requires = "spans")]
    max_span: Option<usize>,
    /// Seed of every random choice.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Text per shard, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 32)]
    shard_text: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Filling {
    /// Sentence pairs, as BERT's pre-training.
    Pairs,
    /// Single segments filled to the last token.
    Full,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputFormat {
    /// One paragraph per line, a blank line between documents.
    Plain,
    /// The tokenized text of WikiText.
    Wikitext,
    /// One JSON object per line.
    Jsonl,
    /// Parquet with a text column.
    Parquet,
    /// `<doc>` elements, as wikiextractor writes them.
    Wikiextractor,
    /// A dump of MediaWiki; its markup is stripped.
    Mediawiki,
}

pub fn run(args: &PackArgs, context: &Context) -> Result<(), CliError> {
    check_packing(args)?;
    let settings = settings(args);
    settings.check().or_usage()?;
    must_exist("INPUT", &args.inputs)?;
    must_exist("--tokenizer", [&args.tokenizer])?;
    let inputs = inputs_as(&args.inputs, &args.field, args.format)?;
    let encoder =
        TextEncoder::from_dir(&args.tokenizer).hint("--tokenizer is a folder with tokenizer.json or vocab.txt")?;
    warn_of(&encoder, context);
    if context.threads > MAX_THREADS {
        context
            .progress
            .message(&format!("{MAX_THREADS} of {} threads are used, so that memory stays bounded", context.threads));
    }
    interrupt::install(&context.progress)?;
    let started = Once::new();
    let show = |progress: Progress| {
        started.call_once(|| context.progress.start("pack", progress.bytes_total.div_ceil(MB), "MB"));
        let values = [("Mtokens", progress.tokens as f64 / 1e6), ("shards", shards(progress) as f64)];
        context.progress.step(progress.bytes_read.div_ceil(MB), &values);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let packed = build(&inputs, &encoder, &settings, &args.out, context.threads, &show);
    context.progress.finish();
    match packed {
        Ok(manifest) => report(&manifest, args),
        Err(error @ Error::Stopped) => Err(CliError::interrupted(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn shards(progress: Progress) -> u64 {
    progress.shards_reused + progress.shards_written
}

/// Refuses what belongs to the other packing.
fn check_packing(args: &PackArgs) -> Result<(), CliError> {
    let options = [
        ("--short-seq-prob", args.short_seq_prob.is_some(), Filling::Pairs),
        ("--random-next", args.random_next.is_some(), Filling::Pairs),
        ("--within-documents", args.within_documents, Filling::Full),
    ];
    match options.iter().find(|(_, given, of)| *given && *of != args.packing) {
        Some((option, _, Filling::Pairs)) => {
            Err(CliError::usage(format!("{option} has no effect with --packing full")))
        }
        Some((option, _, Filling::Full)) => {
            Err(CliError::usage(format!("{option} has no effect without --packing full")))
        }
        None => Ok(()),
    }
}

fn settings(args: &PackArgs) -> PackSettings {
    let packing = match args.packing {
        Filling::Pairs => Packing::Pairs {
            short_seq_prob: args.short_seq_prob.unwrap_or(Packing::SHORT_SEQ_PROB),
            random_next: args.random_next.unwrap_or(Packing::RANDOM_NEXT),
        },
        Filling::Full => Packing::Full { cross_documents: !args.within_documents },
    };
    let masking = args.mask.then(|| MaskSettings {
        probability: args.mask_probability,
        max_predictions: args.max_predictions,
        whole_words: args.whole_words,
        spans: args.spans.then(|| {
            let default = SpanSettings::default();
            SpanSettings { p: args.span_p.unwrap_or(default.p), max: args.max_span.unwrap_or(default.max) }
        }),
        ..MaskSettings::default()
    });
    PackSettings {
        max_len: args.max_len,
        packing,
        copies: args.copies,
        masking,
        seed: args.seed,
        shard_text_bytes: args.shard_text.saturating_mul(1 << 20),
        ..PackSettings::default()
    }
}

/// The inputs at `paths`, of a given format or of the one that each seems to have.
pub(super) fn inputs_as(paths: &[PathBuf], field: &str, format: Option<InputFormat>) -> Result<Vec<Input>, CliError> {
    let mut all = Vec::new();
    for path in paths {
        let found = inputs_of(path, field);
        all.extend(found.hint("an input is a file of text, JSON Lines, Parquet or XML, or a folder of such files")?);
    }
    let field = || field.to_owned();
    if let Some(format) = format {
        for input in &mut all {
            input.format = match format {
                InputFormat::Plain => Format::Plain,
                InputFormat::Wikitext => Format::WikiText,
                InputFormat::Jsonl => Format::JsonLines { field: field() },
                InputFormat::Parquet => Format::Parquet { field: field() },
                InputFormat::Wikiextractor => Format::WikiExtractor,
                InputFormat::Mediawiki => Format::MediaWiki,
            };
        }
    }
    Ok(all)
}

fn report(manifest: &Manifest, args: &PackArgs) -> Result<(), CliError> {
    let Manifest { sequences, tokens, documents, sentences, text_bytes, .. } = *manifest;
    let capacity = sequences as f64 * manifest.settings.max_len as f64;
    let fill = tokens as f64 / capacity;
    let bytes: u64 = manifest.shards.iter().map(|shard| shard.bytes).sum();
    if args.json {
        return print_json(&json!({
            "out": args.out, "inputs": manifest.inputs.len(), "text_bytes": text_bytes, "documents": documents,
            "sentences": sentences, "sequences": sequences, "tokens": tokens, "fill": fill,
            "shards": manifest.shards.len(), "shard_bytes": bytes, "tokenizer_sha256": manifest.tokenizer.sha256,
            "settings": manifest.settings,
        }));
    }
    print(&format!(
        "{} sequences of at most {} tokens ({:.1}% filled) from {} documents in {} inputs\n\
         {} tokens in {} shards of {} MB together: {}\n",
        grouped(sequences),
        manifest.settings.max_len,
        100.0 * fill,
        grouped(documents),
        grouped(manifest.inputs.len() as u64),
        grouped(tokens),
        grouped(manifest.shards.len() as u64),
        grouped(bytes.div_ceil(MB)),
        args.out.display(),
    ))
}
