//! Texts as sequences for the model, cut or refused where they are too long.

use tokenizer::Cut;

use super::job::Sequence;
use super::{Asked, Loaded};
use crate::failure::Failure;

/// A text, a pair, or tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A text.
    Text(String),
    /// A pair of texts.
    Pair(String, String),
    /// Token ids of a text, special tokens around them or not.
    Ids(Vec<u32>),
}

/// How much `inputs` are.
pub fn asked(inputs: &[Input]) -> Asked {
    let bytes = |input: &Input| match input {
        Input::Text(text) => text.len(),
        Input::Pair(a, b) => a.len() + b.len(),
        Input::Ids(ids) => size_of_val(&ids[..]),
    };
    Asked { texts: inputs.len(), bytes: inputs.iter().map(bytes).sum() }
}

/// What becomes of texts that are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Whether they are cut; else they are refused.
    pub allowed: bool,
    /// What they lose.
    pub cut: Cut,
}

/// `inputs` as the model reads them.
///
/// # Errors
/// 422 for a text that is too long and may not be cut, for one that the tokenizer fails on, for ids that the vocabulary does not have,
/// and for pairs if the model takes none.
pub fn encode(model: &Loaded, inputs: &[Input], truncation: Truncation) -> Result<Vec<Sequence>, Failure> {
    model.check_pairs(inputs.iter().any(|input| matches!(input, Input::Pair(..))))?;
    inputs.iter().map(|input| encode_one(model, input, truncation)).collect()
}

fn encode_one(model: &Loaded, input: &Input, truncation: Truncation) -> Result<Sequence, Failure> {
    let (tokenizer, longest) = (&model.tokenizer, model.longest);
    let encoded = match input {
        Input::Text(text) => tokenizer.encode_cut(text, None, longest, truncation.cut)?,
        Input::Pair(a, b) => tokenizer.encode_cut(a, Some(b), longest, truncation.cut)?,
        Input::Ids(ids) => {
            if let Some(id) = ids.iter().find(|id| **id as usize >= model.config.vocab_size) {
                let rows = model.config.vocab_size;
                return Err(Failure::invalid(format!("token id {id} is not in the vocabulary of {rows}")));
            }
            let ids = ids.strip_prefix(&[tokenizer.cls_id()]).unwrap_or(ids);
            let ids = ids.strip_suffix(&[tokenizer.sep_id()]).unwrap_or(ids);
            let kept = ids.len().min(longest.saturating_sub(2));
            let range = match truncation.cut {
                Cut::End => 0..kept,
                Cut::Start => ids.len() - kept..ids.len(),
            };
            let encoded = tokenizer.assemble(&ids[range], None);
            tokenizer::Encoded { left_out: ids.len() - kept, ..encoded }
        }
    };
    if encoded.left_out > 0 && !truncation.allowed {
        let given = encoded.ids.len() + encoded.left_out;
        let message = format!("`inputs` must have at most {longest} tokens. Given: {given}; or set `truncate` to true");
        return Err(Failure::invalid(message));
    }
    Ok(encoded.into())
}
