//! What is learned.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// More pieces than any vocabulary has; a larger number is a mistake.
const MOST_PIECES: usize = 1 << 20;
/// More sentences are not held in memory.
const MOST_SAMPLED: u64 = 20_000_000;

/// How a tokenizer divides a word into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// BERT's: `##` marks what goes on with a word, and Chinese characters are words.
    WordPiece,
    /// SentencePiece's unigram language model: `▁` marks a word's begin. Special tokens and frame are BERT's.
    Unigram,
    /// RoBERTa's byte-level BPE: nothing is unknown, `Ġ` marks the space before a word. Special tokens and frame are RoBERTa's.
    Bpe,
}

impl TokenizerKind {
    /// The special tokens, which have the ids from 0 on.
    pub fn special(self) -> [&'static str; 5] {
        match self {
            Self::WordPiece | Self::Unigram => ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
            Self::Bpe => ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        }
    }

    /// Sentences that are learned from unless a number is given. The unigram trainer works on one thread.
    pub fn default_sample(self) -> Option<u64> {
        (self == Self::Unigram).then_some(1_000_000)
    }
}

/// What is learned. Equal settings and inputs give equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnSettings {
    /// How words are divided. Default WordPiece.
    pub kind: TokenizerKind,
    /// Pieces of the vocabulary, special tokens included; a small corpus gives fewer. Default 30,522, as BERT.
    pub vocab_size: usize,
    /// Pairs that stand together less often are not joined, and characters that occur less often are unknown. Byte-level BPE has all
    /// bytes; in a unigram model only characters count. Default 2.
    pub min_frequency: u64,
    /// Texts are set in lower case. Default true.
    pub lowercase: bool,
    /// Accents are taken off. Default: as `lowercase` in WordPiece, as BERT has it; not in the others.
    pub strip_accents: Option<bool>,
    /// Only so many of the most frequent characters become pieces. Default: no limit.
    pub max_alphabet: Option<usize>,
    /// Only so many sentences, drawn by the seed, are learned from. Default: all.
    pub sample: Option<u64>,
    /// Seed of the sample. Default 42.
    pub seed: u64,
}

impl Default for LearnSettings {
    fn default() -> Self {
        Self {
            kind: TokenizerKind::WordPiece,
            vocab_size: 30_522,
            min_frequency: 2,
            lowercase: true,
            strip_accents: None,
            max_alphabet: None,
            sample: None,
            seed: 42,
        }
    }
}

impl LearnSettings {
    /// Whether accents are taken off.
    pub fn strips_accents(&self) -> bool {
        self.strip_accents.unwrap_or(self.kind == TokenizerKind::WordPiece && self.lowercase)
    }

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::Settings(text));
        let least = self.kind.special().len() + 2;
        if !(least..=MOST_PIECES).contains(&self.vocab_size) {
            return refuse(format!(
                "the vocabulary size is {}; {least} to {MOST_PIECES} are possible",
                self.vocab_size
            ));
        }
        if self.sample.is_some_and(|sample| !(1..=MOST_SAMPLED).contains(&sample)) {
            let sample = self.sample.unwrap_or_default();
            return refuse(format!("the sample has {sample} sentences; 1 to {MOST_SAMPLED} are possible"));
        }
        if self.max_alphabet == Some(0) {
            return refuse("the alphabet is limited to 0 characters; leave the limit out for none".to_owned());
        }
        if self.max_alphabet.is_some() && self.kind == TokenizerKind::Bpe {
            return refuse("byte-level BPE has the 256 bytes as its alphabet, which cannot be limited".to_owned());
        }
        Ok(())
    }
}
