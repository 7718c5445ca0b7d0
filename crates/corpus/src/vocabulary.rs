//! What packing and masking need to know of a tokenizer besides its ids.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizer::{PairFrame, TextEncoder};

use crate::error::{Error, Result};

/// The tokenizer of a packed corpus, as its manifest carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerInfo {
    /// SHA-256 of the tokenizer written as `tokenizer.json`.
    pub sha256: String,
    /// The rows an embedding table needs; every id is below.
    pub vocab_size: usize,
    /// The id of `[CLS]`.
    pub cls: u32,
    /// The id of `[SEP]`.
    pub sep: u32,
    /// The id of `[PAD]`.
    pub pad: u32,
    /// The id of `[MASK]`, where the vocabulary has one.
    pub mask: Option<u32>,
    /// How the second text of a pair follows the first; manifests name RoBERTa's frame only.
    #[serde(default, skip_serializing_if = "is_bert")]
    pub pairs: PairFrame,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands over a reference
fn is_bert(frame: &PairFrame) -> bool {
    *frame == PairFrame::Bert
}

/// A tokenizer's special ids, and which of its tokens continue a word.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    info: TokenizerInfo,
    /// Per id; empty where the tokenizer marks no continuation.
    continues: Vec<bool>,
}

impl Vocabulary {
    /// Reads them from a tokenizer.
    ///
    /// # Errors
    /// The tokenizer cannot be written out.
    pub fn of(encoder: &TextEncoder) -> Result<Self> {
        let json = encoder.to_json()?;
        let file: Value = serde_json::from_slice(&json)
            .map_err(|e| Error::Settings(format!("the tokenizer does not write JSON: {e}")))?;
        let continues = continuing(&file, encoder.vocab_size());
        let info = TokenizerInfo {
            sha256: run_store::hash::bytes(&json),
            vocab_size: encoder.vocab_size(),
            cls: encoder.cls_id(),
            sep: encoder.sep_id(),
            pad: encoder.pad_id(),
            mask: encoder.mask_id(),
            pairs: encoder.frame(),
        };
        Ok(Self { info, continues })
    }

    /// Digest, size and special ids.
    pub fn info(&self) -> &TokenizerInfo {
        &self.info
    }

    /// Whether the tokenizer marks words: the tokens that continue one, or those that begin one.
    pub fn marks_words(&self) -> bool {
        !self.continues.is_empty()
    }

    /// Whether a token continues the word of the token before it. A token without a mark at the begin of a text says so too; what stands
    /// before it there is a special token, which has no word. Where sentences that were encoded one by one stand behind each other, byte-level
    /// BPE does not mark the first word of each, which counts to the word before it.
    pub fn continues(&self, id: u32) -> bool {
        self.continues.get(id as usize).copied().unwrap_or(false)
    }

    /// Whether masked-language modeling leaves the token alone: `[CLS]`, `[SEP]`, `[PAD]`.
    pub fn is_frame(&self, id: u32) -> bool {
        id == self.info.cls || id == self.info.sep || id == self.info.pad
    }
}

/// Per id, whether a token continues a word; empty where the tokenizer marks no words.
fn continuing(file: &Value, vocab_size: usize) -> Vec<bool> {
    let model = &file["model"];
    let mut continues = vec![false; vocab_size];
    let mut set = |id: u64, value: bool| {
        if let Some(slot) = usize::try_from(id).ok().and_then(|id| continues.get_mut(id)) {
            *slot = value;
        }
    };
    let objects = || model["vocab"].as_object().into_iter().flatten();
    let listed = objects().filter_map(|(token, id)| Some((token.as_str(), id.as_u64()?)));
    if let (Some(prefix), true) =
        (model["continuing_subword_prefix"].as_str().filter(|p| !p.is_empty()), model["vocab"].is_object())
    {
        listed.for_each(|(token, id)| set(id, token.starts_with(prefix)));
        return continues;
    }
    let Some(mark) = begin_mark(file) else { return Vec::new() };
    // A unigram model lists its pieces in the order of their ids, with scores.
    let scored = model["vocab"].as_array().into_iter().flatten().zip(0_u64..);
    let scored = scored.filter_map(|(piece, id)| Some((piece[0].as_str()?, id)));
    let (mut marked, mut known) = (false, false);
    for (token, id) in listed.chain(scored) {
        let begins = mark.begins(token);
        (marked, known) = (marked || token.starts_with(mark.of()), true);
        set(id, !begins);
    }
    let added = file["added_tokens"].as_array().into_iter().flatten();
    added.filter_map(|token| token["id"].as_u64()).for_each(|id| set(id, false));
    if marked && known { continues } else { Vec::new() }
}

/// How a tokenizer marks the begin of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeginMark {
    /// By a character in place of the space before it.
    Character(char),
    /// By the space before it, bytes being written as characters.
    Byte,
}

/// The mark, if the splitter or else the decoder is one that puts it there.
fn begin_mark(file: &Value) -> Option<BeginMark> {
    fn find(part: &Value, inner: &str) -> Option<BeginMark> {
        match part["type"].as_str()? {
            "ByteLevel" => Some(BeginMark::Byte),
            "Metaspace" => part["replacement"].as_str()?.chars().next().map(BeginMark::Character),
            "Sequence" => part[inner].as_array()?.iter().find_map(|part| find(part, inner)),
            _ => None,
        }
    }
    find(&file["pre_tokenizer"], "pretokenizers").or_else(|| find(&file["decoder"], "decoders"))
}

impl BeginMark {
    fn of(self) -> char {
        match self {
            Self::Character(mark) => mark,
            Self::Byte => 'Ġ',
        }
    }

    /// Whether a token begins a word: it begins with the mark, or with a character of a script that puts no spaces between words, where
    /// everything up to the next mark would be one word.
    fn begins(self, token: &str) -> bool {
        let Some(first) = token.chars().next() else { return false };
        match self {
            Self::Character(mark) => first == mark || is_unspaced(first),
            // Line break, tab and carriage return; the first byte of a kana (E3) or of a Chinese character (E3 to E9); first bytes of
            // four are not told apart from those of signs.
            Self::Byte => matches!(first, 'Ġ' | 'Ċ' | 'ĉ' | 'č' | '\u{E3}'..='\u{E9}'),
        }
    }
}

/// Chinese characters, kana, Thai, Lao, Burmese, Khmer.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}')
        || matches!(c, '\u{20000}'..='\u{323AF}' | '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}')
}
