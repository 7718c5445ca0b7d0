//! Corpora of any size as packed token shards, and what feeds a trainer from them.
//!
//! - [`Input`], [`inputs_of`]: plain text, WikiText, JSON Lines, Parquet, wikiextractor's output and MediaWiki dumps, packed or not.
//! - [`build`]: streams them through sentence splitting, tokenizing, packing and perhaps static masking into shards, on all threads, in
//!   bounded memory. The result is the same whatever the number of threads, and a rerun makes only what is missing.
//! - [`Shards`]: the result, mapped into memory and read by number, so that a place in training is a number.
//! - [`Masker`]: masked-language modeling as BERT does it, static or dynamic, of tokens, words or spans of words.
//! - [`WindowPlan`], [`Loader`], [`Prefetch`]: batches of similar lengths, made ahead on worker threads, in one order.
//! - [`PackedCorpus`]: text files packed into sequences in memory, for some hundred megabytes.
//! - [`learn_tokenizer`]: a tokenizer out of a corpus: WordPiece, a unigram model or byte-level BPE.
//! - [`piece_counts`]: how often each piece of a vocabulary stands in text files.
//!
//! Nothing here prints, reads the environment or the clock.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod build;
mod count;
mod error;
mod input;
mod learn;
mod loader;
mod mask;
mod memory;
mod pack;
mod settings;
mod shard;
mod text;
mod vocabulary;

pub use build::{MAX_THREADS, Progress, build};
pub use count::piece_counts;
pub use error::{Error, Result};
pub use input::{Compression, DEFAULT_FIELD, Format, Input, MAX_RECORD_BYTES, inputs_of, strip_markup};
pub use learn::{LearnProgress, LearnSettings, LearnedTokenizer, TokenizerKind, learn_tokenizer};
pub use loader::{Batch, IGNORED, Loader, LoaderSettings, Prefetch, Prefetched, WindowPlan};
pub use mask::{MaskSettings, Masked, Masker, SpanSettings};
pub use memory::{PackConfig, PackedCorpus};
pub use settings::{PackSettings, Packing};
pub use shard::{InputInfo, MANIFEST, Manifest, Next, Sequence, ShardInfo, Shards, Verify, is_packed};
pub use text::{corpus_files, split_sentences};
pub use vocabulary::{TokenizerInfo, Vocabulary};
