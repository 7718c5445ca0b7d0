//! `data tokenizer`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;

use clap::{Args, ValueEnum};
use corpus::{DEFAULT_FIELD, Error, LearnProgress, LearnSettings, LearnedTokenizer, TokenizerKind, learn_tokenizer};
use serde_json::json;

use super::pack::{InputFormat, MB, inputs_as};
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inputs::must_exist;
use crate::interrupt;
use crate::models::refuse_occupied;
use crate::output::{print, print_json};
use crate::units::grouped;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert data tokenizer --corpus wikipedia/ books.txt.zst --out tokenizers/wiki
  efficientbert data tokenizer --corpus notes.jsonl --field body --cased --vocab-size 16000 --out tokenizers/notes
  efficientbert data tokenizer --corpus texts.parquet --kind unigram --sample 2000000 --out tokenizers/unigram

`data pack --tokenizer DIR` and transformers' AutoTokenizer read the folder. The same inputs and options give the same bytes, whatever the \
number of threads. What an interrupted command has learned is lost; it writes nothing before the end.")]
pub struct TokenizerArgs {
    /// Files, or folders of which every file is taken in the order of names; they may be compressed with gzip, zstd or bzip2.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    corpus: Vec<PathBuf>,
    /// Folder to make; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How words are divided into pieces.
    #[arg(long, value_enum, default_value_t = Kind::Wordpiece)]
    kind: Kind,
    /// Pieces of the vocabulary, special tokens included; a small corpus gives fewer.
    #[arg(long, value_name = "N", default_value_t = 30_522)]
    vocab_size: usize,
    /// Pairs of pieces that stand together less often are not joined, and characters that occur less often are unknown.
    #[arg(long, value_name = "TIMES", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    min_frequency: u64,
    /// Set texts in lower case [default for wordpiece].
    #[arg(long, conflicts_with = "cased")]
    lowercase: bool,
    /// Keep upper case [default for unigram and bpe].
    #[arg(long)]
    cased: bool,
    /// Take accents off [default: with wordpiece in lower case only].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    strip_accents: Option<bool>,
    /// wordpiece, unigram: only the N most frequent characters become pieces; words with others are unknown [default: no limit].
    #[arg(long, value_name = "N")]
    max_alphabet: Option<usize>,
    /// Longest input of a model, in tokens, for `model_max_length`.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(8..))]
    max_len: usize,
    /// Learn from so many sentences, drawn by the seed [default: from all; unigram: 1000000].
    #[arg(long, value_name = "N")]
    sample: Option<u64>,
    /// Seed of the sample.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// What the inputs are [default: detected from the name and the first bytes of each].
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<InputFormat>,
    /// Key (JSON Lines) or column (Parquet) of the text.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_FIELD)]
    field: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// BERT's: `##` marks what goes on with a word.
    Wordpiece,
    /// SentencePiece's unigram language model, with BERT's special tokens.
    Unigram,
    /// RoBERTa's byte-level BPE, with RoBERTa's special tokens.
    Bpe,
}

pub fn run(args: &TokenizerArgs, context: &Context) -> Result<(), CliError> {
    let settings = settings(args);
    settings.check().or_usage()?;
    refuse_occupied(&args.out)?;
    must_exist("--corpus", &args.corpus)?;
    let inputs = inputs_as(&args.corpus, &args.field, args.format)?;
    interrupt::install(&context.progress)?;
    let phase = Mutex::new("");
    let show = |progress: LearnProgress| {
        let (name, done, total, unit) = match progress {
            LearnProgress::Reading { read, total } => ("read", read.div_ceil(MB), total.div_ceil(MB), "MB"),
            LearnProgress::Learning { pieces, wanted } => ("learn", pieces, wanted, "pieces"),
        };
        let mut begun = phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *begun != name {
            context.progress.start(name, total, unit);
            *begun = name;
        }
        context.progress.step(done, &[]);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let learned = learn_tokenizer(&inputs, &settings, context.threads, &show);
    context.progress.finish();
    let learned = match learned {
        Ok(learned) => learned,
        Err(error @ Error::Interrupted) => return Err(CliError::interrupted(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let files = learned.encoder.files(args.max_len)?;
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    run_store::folder::write(&args.out, &files)?;
    report(&learned, &settings, args, context)
}

fn settings(args: &TokenizerArgs) -> LearnSettings {
    let kind = match args.kind {
        Kind::Wordpiece => TokenizerKind::WordPiece,
        Kind::Unigram => TokenizerKind::Unigram,
        Kind::Bpe => TokenizerKind::Bpe,
    };
    LearnSettings {
        kind,
        vocab_size: args.vocab_size,
        min_frequency: args.min_frequency,
        lowercase: args.lowercase || (kind == TokenizerKind::WordPiece && !args.cased),
        strip_accents: args.strip_accents,
        max_alphabet: args.max_alphabet,
        sample: args.sample.or_else(|| kind.default_sample()),
        seed: args.seed,
    }
}

fn report(
    learned: &LearnedTokenizer,
    settings: &LearnSettings,
    args: &TokenizerArgs,
    context: &Context,
) -> Result<(), CliError> {
    let pieces = learned.encoder.vocab_size();
    if learned.forgotten > 0 {
        context.progress.message(&format!(
            "the texts have more different words than fit into memory; the rarest were left out ({} occurrences)",
            grouped(learned.forgotten)
        ));
    }
    if pieces < settings.vocab_size {
        context.progress.message(&format!(
            "{} pieces in place of {}: the texts have no more that occur often enough",
            grouped(pieces as u64),
            grouped(settings.vocab_size as u64)
        ));
    }
    if args.json {
        return print_json(&json!({
            "out": args.out, "vocab_size": pieces, "alphabet": learned.alphabet, "sentences": learned.sentences,
            "sentences_used": learned.used, "words": learned.words, "distinct_words": learned.distinct_words,
            "forgotten": learned.forgotten, "max_len": args.max_len, "settings": settings,
        }));
    }
    print(&format!(
        "{} pieces, {} of them single characters or bytes, from {} words ({} different) in {} of {} sentences: {}\n",
        grouped(pieces as u64),
        grouped(learned.alphabet as u64),
        grouped(learned.words),
        grouped(learned.distinct_words),
        grouped(learned.used),
        grouped(learned.sentences),
        args.out.display(),
    ))
}
