//! Tags of words and the entities that they mark in plain text.

use std::ops::Range;

use encoder_spec::TaskHeadConfig;
use glue_squad::entities::{Scheme, TagSet};
use glue_squad::features::Features;
use serde::Serialize;
use tokenizer::{Padding, TextEncoder, divide_words};

use crate::evaluate::words_at;
use crate::labels::softmax;
use crate::{Error, Predictor, Result};

/// A plain text, its words, and what the model reads of it.
#[derive(Clone, Debug)]
pub struct TaggedText {
    /// The words as byte ranges, see [`divide_words`].
    pub words: Vec<Range<usize>>,
    /// Token ids and the first token of each word.
    pub features: Features,
}

impl TaggedText {
    /// `text` divided into words, cut to `max_len` tokens.
    ///
    /// # Errors
    /// As [`TextEncoder::encode_words`].
    pub fn encode(tokenizer: &TextEncoder, text: &str, max_len: usize) -> Result<Self> {
        let words = divide_words(text);
        let aligned = tokenizer.encode_words(text, &words, max_len)?;
        let features = Features { words: Some(aligned.starts.into()), ..aligned.encoded.into() };
        Ok(Self { words, features })
    }

    /// The values of each word's first token, NaN for a word without one, from those of all tokens; `None` where one of them is not finite.
    ///
    /// # Shapes
    /// `values`: `[tokens, width]`; output `[words, width]`.
    pub fn word_values(&self, values: &[f32], width: usize) -> Option<Vec<f32>> {
        words_at(values, width, 0, self.features.words.as_deref().unwrap_or_default())
    }

    /// Words behind the cut, and words that the tokenizer makes nothing of.
    pub fn unseen(&self) -> usize {
        self.features.words.iter().flat_map(|words| words.iter()).filter(|start| start.is_none()).count()
    }
}

/// What a head of tags answers to a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TagAnswer {
    /// Task of the head.
    pub task: String,
    /// The entities in their order; of tags that mark none, every word with its tag.
    pub entities: Vec<TextEntity>,
}

/// A part of a text with its kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextEntity {
    /// The kind, such as `PER`.
    pub kind: String,
    /// The part of the text.
    pub text: String,
    /// Its first character.
    pub start: usize,
    /// The character after its last one.
    pub end: usize,
    /// The mean over its words of the probability of their tags.
    pub probability: f32,
}

impl TagAnswer {
    /// What the values of the words of `text` mean, one row of outputs for each word ([`TaggedText::word_values`]).
    pub fn of(head: &TaskHeadConfig, text: &str, words: &[Range<usize>], values: &[f32]) -> Self {
        let set = TagSet::of(&head.labels);
        let likely = |word: &[f32]| {
            let all = softmax(word);
            let best =
                all.iter().enumerate().filter(|(_, p)| p.is_finite()).reduce(|a, b| if b.1 > a.1 { b } else { a });
            best.map_or((set.outside() as u16, 0.0), |(tag, probability)| (tag as u16, *probability))
        };
        let (tags, probabilities): (Vec<u16>, Vec<f32>) = values.chunks(head.labels.len().max(1)).map(likely).unzip();
        let found: Vec<(Range<usize>, &str)> = match set.scheme() {
            Scheme::Plain => {
                tags.iter().enumerate().map(|(at, tag)| (at..at + 1, head.labels[usize::from(*tag)].as_str())).collect()
            }
            _ => set.entities(&tags).into_iter().map(|e| (e.start..e.end, set.kinds()[e.kind].as_str())).collect(),
        };
        // Characters before a byte, counted once over the text.
        let (mut bytes, mut characters) = (0, 0);
        let mut count = |to: usize| {
            characters += text[bytes..to].chars().count();
            bytes = to;
            characters
        };
        let entity = |(run, kind): (Range<usize>, &str)| {
            let place = words[run.start].start..words[run.end - 1].end;
            let (start, end) = (count(place.start), count(place.end));
            let probability = probabilities[run.clone()].iter().sum::<f32>() / run.len() as f32;
            TextEntity { kind: kind.to_owned(), text: text[place].to_owned(), start, end, probability }
        };
        Self { task: head.task.clone(), entities: found.into_iter().map(entity).collect() }
    }
}

impl Predictor {
    /// A plain text divided into words, cut to what the model has positions for.
    ///
    /// # Errors
    /// As [`TextEncoder::encode_words`].
    pub fn words(&self, text: &str) -> Result<TaggedText> {
        TaggedText::encode(&self.tokenizer, text, self.config.max_position_embeddings)
    }

    /// What head `head`, which tags words, answers to `texts`.
    ///
    /// # Errors
    /// The model does not take the texts, or answers with NaN or infinity.
    pub fn tag(&mut self, texts: &[(&str, &TaggedText)], head: usize) -> Result<Vec<TagAnswer>> {
        let features: Vec<Features> = texts.iter().map(|(_, text)| text.features.clone()).collect();
        let max_len = self.config.max_position_embeddings;
        let padding = Padding { pad_id: self.tokenizer.pad_id(), multiple: 1, max_len };
        let values = self.model.tag(&features, padding, head)?;
        let head = &self.config.task_heads[head];
        let answer = |(text, values): (usize, Option<Vec<f32>>)| {
            let (given, tagged) = texts[text];
            let values = values.ok_or_else(|| Error::NotFinite { text, task: head.task.clone() })?;
            Ok(TagAnswer::of(head, given, &tagged.words, &values))
        };
        values.into_iter().enumerate().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use encoder_spec::TaskHeadKind;

    use super::*;

    fn head(labels: &[&str]) -> TaskHeadConfig {
        TaskHeadConfig::new("t", TaskHeadKind::Tags, labels.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn entities_have_their_characters_and_words_that_were_not_seen_are_in_none() {
        let text = "Ünlü Ana, in Köln x";
        let words = divide_words(text);
        let row = |tag: usize| (0..4).map(move |i| if i == tag { 9.0 } else { 0.0 });
        // Words: Ünlü Ana , in Köln x
        let mut values: Vec<f32> = [1, 2, 0, 0, 3].into_iter().flat_map(row).collect();
        values.extend([f32::NAN; 4]);
        let answer = TagAnswer::of(&head(&["O", "B-PER", "I-PER", "B-LOC"]), text, &words, &values);
        let found: Vec<_> =
            answer.entities.iter().map(|e| (e.kind.as_str(), e.text.as_str(), e.start, e.end)).collect();
        assert_eq!(found, [("PER", "Ünlü Ana", 0, 8), ("LOC", "Köln", 13, 17)]);
        assert!(answer.entities.iter().all(|e| e.probability > 0.99));
        let plain = TagAnswer::of(&head(&["NOUN", "VERB", "ADP", "X"]), "a in", &divide_words("a in"), &values[8..16]);
        assert_eq!(plain.entities.len(), 2);
        assert_eq!(TagAnswer::of(&head(&["O", "B-A"]), "", &[], &[]).entities, []);
    }
}
