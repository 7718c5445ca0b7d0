//! An encoded example.

use rayon::prelude::*;
use tokenizer::{Encoded, TextEncoder};

use crate::error::Result;
use crate::task::{Example, Label};

/// Token ids of one example before padding.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Token ids with special tokens.
    pub ids: Vec<u32>,
    /// Segment of every token, 0 or 1; as long as `ids`.
    pub type_ids: Vec<u8>,
    /// The gold answer, where there is one.
    pub label: Option<Label>,
}

impl Features {
    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Encodes examples on all threads of the current rayon pool, in their order; each gets at most `max_len` tokens.
///
/// # Errors
/// As [`TextEncoder::encode_pair`].
pub fn encode(encoder: &TextEncoder, examples: &[Example], max_len: usize) -> Result<Vec<Features>> {
    let encode = |example: &Example| {
        let encoded = encoder.encode_pair(&example.text_a, example.text_b.as_deref(), max_len)?;
        Ok(Features { label: example.label, ..encoded.into() })
    };
    examples.par_iter().map(encode).collect()
}

impl From<Encoded> for Features {
    /// Without a label.
    fn from(encoded: Encoded) -> Self {
        Self { ids: encoded.ids, type_ids: encoded.type_ids, label: None }
    }
}

/// The lengths of examples, from which [`crate::batch`] plans.
pub fn lengths(features: &[Features]) -> Vec<usize> {
    features.iter().map(Features::len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_encoded_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\nc\nd\ne\nf\n").unwrap();
        let encoder = TextEncoder::from_dir(dir.path()).unwrap();
        let words = ["a", "b", "c", "d", "e", "f"];
        let example = |id: usize| Example {
            id,
            text_a: words[id % 6].to_owned(),
            text_b: None,
            label: Some(Label::Class(id % 2)),
        };
        let examples: Vec<Example> = (0..500).map(example).collect();
        for (at, row) in encode(&encoder, &examples, 8).unwrap().iter().enumerate() {
            assert_eq!((row.ids.as_slice(), row.label), ([2, 4 + (at % 6) as u32, 3].as_slice(), examples[at].label));
        }
    }
}
