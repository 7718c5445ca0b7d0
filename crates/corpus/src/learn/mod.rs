//! A tokenizer learned from a corpus.
//!
//! | file | concern |
//! |---|---|
//! | `settings` | what is learned |
//! | `count` | the words of a corpus, counted in bounded memory |
//! | `chunks` | a table of counts that stays below a size |
//! | `split` | normalizer and splitter of each kind, and the tokenizer around a vocabulary |
//! | `merges` | pieces by joining pairs: WordPiece and byte-level BPE |
//! | `unigram` | pieces by a unigram language model |
//!
//! The library's trainers begin from hash maps that iterate in another order in each process. Its trainer of pairs numbers `##` pieces in
//! that order and breaks ties by these numbers, so `merges` does this work here, in one order. Its trainer of unigram models is used, on
//! sorted words and one thread, and what it orders by chance at the end is ordered anew.

mod chunks;
mod count;
mod merges;
mod settings;
mod split;
mod unigram;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokenizer::TextEncoder;

pub use self::settings::{LearnSettings, TokenizerKind};
use self::split::{Splitter, tokenizer_json};
use crate::error::{Error, Result};
use crate::input::Input;

/// How far the learning of a tokenizer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnProgress {
    /// The corpus is read: bytes as they lie on the disk, and all of them.
    Reading {
        /// Bytes read.
        read: u64,
        /// Bytes of all inputs.
        total: u64,
    },
    /// Pieces are chosen. The unigram trainer does not tell how many it has; `pieces` is then 0 until the end.
    Learning {
        /// Pieces of the vocabulary so far.
        pieces: u64,
        /// Pieces asked for.
        wanted: u64,
    },
}

/// Called from the threads that work; [`ControlFlow::Break`] ends the work.
pub(crate) type Watch<'a> = &'a (dyn Fn(LearnProgress) -> ControlFlow<()> + Sync);

/// A tokenizer and what it was learned from.
#[derive(Debug, Clone)]
pub struct LearnedTokenizer {
    /// The tokenizer.
    pub encoder: TextEncoder,
    /// Sentences that were read.
    pub sentences: u64,
    /// Sentences that were learned from: all, or the sample.
    pub used: u64,
    /// Words that were learned from, repetitions included.
    pub words: u64,
    /// Different words among them.
    pub distinct_words: u64,
    /// Characters (bytes, of byte-level BPE) that are pieces by themselves.
    pub alphabet: usize,
    /// Chunks of text that were left out, each time it occurred, because the table of counts was full of more frequent ones.
    pub forgotten: u64,
}

/// Learns a tokenizer from `inputs`.
///
/// The texts are divided into sentences as by [`crate::build`]. What stands between white space is counted, then normalized and divided
/// into words as the tokenizer will do it. WordPiece and byte-level BPE join the pair of neighboring pieces that occurs most often, of
/// equally frequent ones that of the smaller ids, until the vocabulary is full or no pair occurs `min_frequency` times (Sennrich et al.,
/// 2016). Unigram begins with all frequent substrings and drops those whose loss costs the likelihood least (Kudo, 2018).
///
/// The result depends on the bytes of the inputs, their order and the settings, never on the number of threads. Memory is bounded:
/// counts, not texts, are held, at most 512 MiB of them, and of a `sample` its sentences.
///
/// # Errors
/// Settings out of range, inputs that cannot be read or hold no text, a vocabulary too small for its alphabet, or [`Error::Interrupted`]
/// where `progress` asked to stop.
pub fn learn_tokenizer(
    inputs: &[Input],
    settings: &LearnSettings,
    threads: usize,
    progress: &(dyn Fn(LearnProgress) -> ControlFlow<()> + Sync),
) -> Result<LearnedTokenizer> {
    settings.check()?;
    let Some(first) = inputs.first() else {
        return Err(Error::Settings("a corpus needs at least one input".to_owned()));
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
    let pool = pool.map_err(|e| Error::Settings(format!("cannot start {threads} threads: {e}")))?;
    let mut total = 0;
    for input in inputs {
        total += std::fs::metadata(&input.path).map_err(|e| Error::io(&input.path, e))?.len();
    }
    let read = Arc::new(AtomicU64::new(0));
    let reading = || match progress(LearnProgress::Reading { read: read.load(Ordering::Relaxed).min(total), total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted),
    };
    let counted = count::count(inputs, settings, &pool, &read, &reading)?;
    let splitter = Splitter::new(settings)?;
    let words = pool.install(|| counted.table.words(&splitter))?;
    if words.is_empty() {
        return Err(Error::NoText { inputs: inputs.len(), first: first.path.clone() });
    }
    let (words, alphabet) = with_alphabet(words, settings);
    let vocabulary = match settings.kind {
        TokenizerKind::Unigram => unigram::learn(&words, alphabet.len(), settings, progress)?,
        _ => merges::learn(&words, &alphabet, settings, progress)?,
    };
    let json = tokenizer_json(settings, vocabulary)?;
    Ok(LearnedTokenizer {
        encoder: TextEncoder::from_json(&json, Path::new("the tokenizer that was learned"))?,
        sentences: counted.sentences,
        used: counted.used,
        words: words.iter().map(|(_, count)| count).sum(),
        distinct_words: words.len() as u64,
        alphabet: alphabet.len(),
        forgotten: counted.table.forgotten(),
    })
}

/// A failure of the library.
pub(crate) fn failed(reason: impl std::fmt::Display) -> Error {
    Error::Settings(format!("the tokenizer library could not learn a tokenizer: {reason}"))
}

/// The characters that become pieces by themselves, in the order of their numbers, and the words that have no others: what holds another
/// character is unknown as a whole, or in that place, whatever pieces there are.
fn with_alphabet(mut words: Vec<(String, u64)>, settings: &LearnSettings) -> (Vec<(String, u64)>, Vec<char>) {
    if settings.kind == TokenizerKind::Bpe {
        return (words, split::byte_alphabet());
    }
    let mut counts: HashMap<char, u64> = HashMap::new();
    for (word, count) in &words {
        word.chars().for_each(|c| *counts.entry(c).or_default() += count);
    }
    let mut kept: Vec<(char, u64)> = counts.into_iter().filter(|(_, n)| *n >= settings.min_frequency).collect();
    if let Some(most) = settings.max_alphabet {
        kept.sort_unstable_by_key(|(c, count)| (std::cmp::Reverse(*count), *c));
        kept.truncate(most);
    }
    let mut alphabet: Vec<char> = kept.into_iter().map(|(c, _)| c).collect();
    alphabet.sort_unstable();
    words.retain(|(word, _)| word.chars().all(|c| alphabet.binary_search(&c).is_ok()));
    (words, alphabet)
}

/// That so many pieces are needed before the first one can be learned.
fn too_small(settings: &LearnSettings, alphabet: usize, what: &str) -> Error {
    let (given, special) = (settings.vocab_size, settings.kind.special().len());
    let needed = special + alphabet + 1;
    let remedy = match settings.kind {
        TokenizerKind::Bpe => String::new(),
        _ => ", fewer characters (a larger minimum frequency, or a limit of the alphabet)".to_owned(),
    };
    Error::Settings(format!(
        "a vocabulary of {given} pieces has no room: {special} special tokens and {alphabet} {what} come first; allow {needed} pieces or more{remedy}"
    ))
}
