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
        let model = &file["model"];
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let mut continues = Vec::new();
        if let (Some(prefix), Some(vocab)) =
            (model["continuing_subword_prefix"].as_str().filter(|p| !p.is_empty()), model["vocab"].as_object())
        {
            continues = vec![false; encoder.vocab_size()];
            for (_, number) in vocab.iter().filter(|(token, _)| token.starts_with(prefix)) {
                if let Some(slot) = id(number).and_then(|n| continues.get_mut(n as usize)) {
                    *slot = true;
                }
            }
        }
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

    /// Whether the tokenizer marks the tokens that continue a word.
    pub fn marks_words(&self) -> bool {
        !self.continues.is_empty()
    }

    /// Whether a token continues the word of the token before it.
    pub fn continues(&self, id: u32) -> bool {
        self.continues.get(id as usize).copied().unwrap_or(false)
    }

    /// Whether masked-language modeling leaves the token alone: `[CLS]`, `[SEP]`, `[PAD]`.
    pub fn is_frame(&self, id: u32) -> bool {
        id == self.info.cls || id == self.info.sep || id == self.info.pad
    }
}
