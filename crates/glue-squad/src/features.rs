//! An encoded example.

use std::sync::Arc;

use rayon::prelude::*;
use tokenizer::{Encoded, TextEncoder};

use crate::error::Result;
use crate::task::{Example, Head, Label, Task, words_of};

/// Token ids of one example before padding.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Token ids with special tokens.
    pub ids: Vec<u32>,
    /// Segment of every token, 0 or 1; as long as `ids`.
    pub type_ids: Vec<u8>,
    /// The gold answer, where there is one.
    pub label: Option<Label>,
    /// Where words are tagged: for every word the position of its first token, `None` where it has none.
    pub words: Option<WordStarts>,
    /// The token ids of the second text, where both are read alone and their vectors compared.
    pub second: Option<Vec<u32>>,
}

/// For every word of a text the position of its first token in [`Features::ids`], see [`tokenizer::AlignedWords::starts`].
pub type WordStarts = Arc<[Option<u32>]>;

impl Features {
    /// The number of tokens, of both texts.
    pub fn len(&self) -> usize {
        self.ids.len() + self.second.as_ref().map_or(0, Vec::len)
    }

    /// The number of tokens of the longer of two texts that are read alone; else that of all.
    pub fn longest(&self) -> usize {
        self.ids.len().max(self.second.as_ref().map_or(0, Vec::len))
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Encodes examples, pairs as one sequence, on all threads of the current rayon pool, in their order; each gets at most `max_len` tokens.
///
/// # Errors
/// As [`TextEncoder::encode_pair`].
pub fn encode(encoder: &TextEncoder, examples: &[Example], max_len: usize) -> Result<Vec<Features>> {
    Ok(counted(encoder, examples, max_len)?.0)
}

/// [`encode`], and how many examples lose their end.
fn counted(encoder: &TextEncoder, examples: &[Example], max_len: usize) -> Result<(Vec<Features>, usize)> {
    let encode = |example: &Example| {
        let encoded = encoder.encode_pair(&example.text_a, example.text_b.as_deref(), max_len)?;
        let is_cut = usize::from(encoded.left_out > 0);
        Ok((Features { label: example.label.clone(), ..encoded.into() }, is_cut))
    };
    let all: Vec<(Features, usize)> = examples.par_iter().map(encode).collect::<Result<_>>()?;
    Ok(summed(all))
}

fn summed(all: Vec<(Features, usize)>) -> (Vec<Features>, usize) {
    let cut = all.iter().map(|(_, is_cut)| is_cut).sum();
    (all.into_iter().map(|(features, _)| features).collect(), cut)
}

/// Encodes examples of a task on all threads of the current rayon pool, in their order; each gets at most `max_len` tokens. Also counts the examples that lose their end
/// by that; of tags 0, since words without a token are counted by themselves.
///
/// Where the task asks for tags, the texts are words ([`crate::task::join_words`]), of which the first tokens are found; where it is learned by
/// vectors, both texts are encoded alone, and each gets `max_len` tokens.
///
/// # Errors
/// As [`TextEncoder::encode_pair`].
pub fn encode_for(
    task: &Task,
    encoder: &TextEncoder,
    examples: &[Example],
    max_len: usize,
) -> Result<(Vec<Features>, usize)> {
    if task.head() == Head::Embedding {
        let encode = |example: &Example| {
            let alone = |text: &str| encoder.encode_pair(text, None, max_len);
            let (first, second) = (alone(&example.text_a)?, alone(example.text_b.as_deref().unwrap_or_default())?);
            let is_cut = usize::from(first.left_out + second.left_out > 0);
            Ok((Features { label: example.label.clone(), second: Some(second.ids), ..first.into() }, is_cut))
        };
        let all: Vec<(Features, usize)> = examples.par_iter().map(encode).collect::<Result<_>>()?;
        return Ok(summed(all));
    }
    if !matches!(task.head(), Head::Tags { .. }) {
        return counted(encoder, examples, max_len);
    }
    let encode = |example: &Example| {
        let aligned = encoder.encode_words(&example.text_a, &words_of(&example.text_a), max_len)?;
        let words = Some(aligned.starts.into());
        Ok(Features { label: example.label.clone(), words, ..aligned.encoded.into() })
    };
    Ok((examples.par_iter().map(encode).collect::<Result<_>>()?, 0))
}

impl From<Encoded> for Features {
    /// Without a label.
    fn from(encoded: Encoded) -> Self {
        Self { ids: encoded.ids, type_ids: encoded.type_ids, label: None, words: None, second: None }
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
            assert_eq!(row.ids, [2, 4 + (at % 6) as u32, 3]);
            assert_eq!((&row.label, &row.words), (&examples[at].label, &None));
        }
    }
}
