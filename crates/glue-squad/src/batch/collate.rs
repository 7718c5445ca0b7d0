//! Several examples as one rectangle of ids.

use std::ops::Range;

use tokenizer::{PaddedIds, Padding};

use crate::error::{Error, Result};
use crate::features::Features;
use crate::task::{Label, LabelSet, Match};

/// The labels of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Class indices, `[batch]`.
    Classes(Vec<i32>),
    /// Scores, `[batch]`.
    Scores(Vec<f32>),
    /// Sets of labels, `[batch]`.
    Sets(Vec<LabelSet>),
    /// The tag of the word that each token begins, `[batch, seq]`; [`Labels::NO_TAG`] on other tokens.
    Tags(Vec<i32>),
    /// Each second text answers the first, `[batch]`.
    Matches(Vec<Match>),
    /// No example has a label.
    None,
}

impl Labels {
    /// On tokens that begin no word, which a loss leaves out: special tokens, padding, and the rest of words.
    pub const NO_TAG: i32 = -1;
}

/// Examples padded on the right to one width. Rows are stored one after another.
///
/// # Shapes
/// `ids`, `type_ids`, `mask`: `[batch, seq]`; `indices` and labels: `[batch]`.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedBatch {
    /// Rows.
    pub batch: usize,
    /// Columns: the longest example, rounded up, at most [`Padding::max_len`].
    pub seq: usize,
    /// Token ids.
    pub ids: Vec<i32>,
    /// Segments; 0 on padding.
    pub type_ids: Vec<i32>,
    /// 1 on a real token, 0 on padding.
    pub mask: Vec<u8>,
    /// The gold answers.
    pub labels: Labels,
    /// Position of every row's example in the whole set.
    pub indices: Vec<usize>,
    /// The second texts in the same order, where both are read alone; without labels.
    pub second: Option<Box<EncodedBatch>>,
}

impl EncodedBatch {
    /// Builds the batch of `features[indices]`.
    ///
    /// # Errors
    /// No indices, an index out of range, an example without tokens or longer than the maximum, ids and segments of different
    /// lengths, or labels of different kinds.
    pub fn collate(features: &[Features], indices: &[usize], padding: Padding) -> Result<Self> {
        let row = |index: &usize| {
            let row = features.get(*index).map(|row| (*index, row));
            row.ok_or_else(|| {
                Error::Invalid(format!("a batch asks for example {index}, but there are {} examples", features.len()))
            })
        };
        let rows = indices.iter().map(row).collect::<Result<Vec<_>>>()?;
        let sequences: Vec<_> = rows.iter().map(|(index, row)| (*index, &*row.ids, &*row.type_ids)).collect();
        let padded = padding.pad(&sequences)?;
        let labels = collect_labels(&rows, padded.seq)?;
        let second = second_texts(&rows, padding)?.map(|padded| Box::new(Self::unlabeled(padded, indices.to_vec())));
        Ok(Self { labels, second, ..Self::unlabeled(padded, indices.to_vec()) })
    }

    /// Padded sequences without labels; `indices` are their positions in the whole set.
    pub fn unlabeled(padded: PaddedIds, indices: Vec<usize>) -> Self {
        let PaddedIds { batch, seq, ids, type_ids, mask } = padded;
        Self { batch, seq, ids, type_ids, mask, labels: Labels::None, indices, second: None }
    }

    /// Some rows of the batch, at its width.
    ///
    /// # Panics
    /// The batch has not that many rows.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        let cells = rows.start * self.seq..rows.end * self.seq;
        let labels = match &self.labels {
            Labels::Classes(classes) => Labels::Classes(classes[rows.clone()].to_vec()),
            Labels::Scores(scores) => Labels::Scores(scores[rows.clone()].to_vec()),
            Labels::Sets(sets) => Labels::Sets(sets[rows.clone()].to_vec()),
            Labels::Tags(tags) => Labels::Tags(tags[cells.clone()].to_vec()),
            Labels::Matches(matches) => Labels::Matches(matches[rows.clone()].to_vec()),
            Labels::None => Labels::None,
        };
        Self {
            batch: rows.len(),
            seq: self.seq,
            ids: self.ids[cells.clone()].to_vec(),
            type_ids: self.type_ids[cells.clone()].to_vec(),
            mask: self.mask[cells].to_vec(),
            labels,
            second: self.second.as_ref().map(|second| Box::new(second.rows(rows.clone()))),
            indices: self.indices[rows].to_vec(),
        }
    }

    /// All texts as rows of one batch: the first texts, then the second ones, at the width of the wider; the batch itself, where its texts are
    /// not compared. The labels are left out.
    #[must_use]
    pub fn stacked(&self) -> Self {
        let Some(second) = &self.second else { return Self { labels: Labels::None, ..self.clone() } };
        let seq = self.seq.max(second.seq);
        let halves = [self, &**second];
        fn widened<T: Copy>(
            halves: [&EncodedBatch; 2],
            seq: usize,
            cells: fn(&EncodedBatch) -> &[T],
            pad: T,
        ) -> Vec<T> {
            let mut all = Vec::with_capacity(2 * halves[0].batch * seq);
            for half in halves {
                for row in cells(half).chunks(half.seq) {
                    all.extend_from_slice(row);
                    all.resize(all.len() + seq - half.seq, pad);
                }
            }
            all
        }
        // The id that pads the halves. Without any padding it is not known; 0 then stands where attention does not look, and where a last token sees its right
        // neighbor (`trigram_input`) it sees that.
        let pad = halves.iter().find_map(|half| half.mask.iter().position(|m| *m == 0).map(|at| half.ids[at]));
        Self {
            batch: 2 * self.batch,
            seq,
            ids: widened(halves, seq, |half| &half.ids, pad.unwrap_or(0)),
            type_ids: widened(halves, seq, |half| &half.type_ids, 0),
            mask: widened(halves, seq, |half| &half.mask, 0),
            labels: Labels::None,
            indices: halves.iter().flat_map(|half| half.indices.iter().copied()).collect(),
            second: None,
        }
    }

    /// The tokens that carry a tag, each `row * seq + column`, and their tags; `None` where the labels are no tags.
    pub fn tagged(&self) -> Option<(Vec<i32>, Vec<i32>)> {
        let Labels::Tags(tags) = &self.labels else { return None };
        let carrying = (0_i32..).zip(tags).filter(|(_, tag)| **tag != Labels::NO_TAG);
        Some(carrying.map(|(place, tag)| (place, *tag)).unzip())
    }

    /// Real tokens in the batch, special tokens included.
    pub fn tokens(&self) -> usize {
        let own: usize = self.mask.iter().map(|m| usize::from(*m)).sum();
        own + self.second.as_ref().map_or(0, |second| second.tokens())
    }
}

/// The second texts of rows that have them.
fn second_texts(rows: &[(usize, &Features)], padding: Padding) -> Result<Option<PaddedIds>> {
    let having = rows.iter().filter_map(|(index, row)| Some((*index, row.second.as_ref()?)));
    let texts: Vec<(usize, &Vec<u32>, Vec<u8>)> = having.map(|(index, ids)| (index, ids, vec![0; ids.len()])).collect();
    if texts.is_empty() {
        return Ok(None);
    }
    if texts.len() < rows.len() {
        return Err(Error::Invalid("a batch mixes single texts and texts that are compared".to_owned()));
    }
    let sequences: Vec<_> = texts.iter().map(|(index, ids, segments)| (*index, &***ids, &**segments)).collect();
    Ok(Some(padding.pad(&sequences)?))
}

fn collect_labels(rows: &[(usize, &Features)], seq: usize) -> Result<Labels> {
    let (mut classes, mut scores, mut sets, mut tags) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let matched = |row: &Features| if let Some(Label::Match(one)) = row.label { Some(one) } else { None };
    let matches: Vec<Match> = rows.iter().filter_map(|(_, row)| matched(row)).collect();
    if matches.len() == rows.len() {
        return Ok(Labels::Matches(matches));
    }
    for (_, row) in rows {
        match &row.label {
            Some(Label::Class(class)) => {
                classes.push(
                    i32::try_from(*class).map_err(|_| Error::Invalid(format!("class {class} does not fit 31 bits")))?,
                );
            }
            Some(Label::Score(score)) => scores.push(*score as f32),
            Some(Label::Set(set)) => sets.push(*set),
            Some(Label::Tags(of)) => tags.push(tags_of_tokens(row, &of.tags, seq)?),
            Some(Label::Match(_)) | None => {}
        }
    }
    match (classes.len(), scores.len(), sets.len(), tags.len()) {
        (0, 0, 0, 0) => Ok(Labels::None),
        (n, 0, 0, 0) if n == rows.len() => Ok(Labels::Classes(classes)),
        (0, n, 0, 0) if n == rows.len() => Ok(Labels::Scores(scores)),
        (0, 0, n, 0) if n == rows.len() => Ok(Labels::Sets(sets)),
        (0, 0, 0, n) if n == rows.len() => Ok(Labels::Tags(tags.concat())),
        _ => Err(Error::Invalid(
            "a batch mixes classes, scores, sets of labels, tags and unlabeled examples; batch one kind at a time"
                .to_owned(),
        )),
    }
}

/// The tags of words on their first tokens, for a row of `seq` tokens.
fn tags_of_tokens(row: &Features, tags: &[u16], seq: usize) -> Result<Vec<i32>> {
    let starts = row.words.as_deref().unwrap_or_default();
    if starts.len() != tags.len() {
        return Err(Error::Invalid(format!("{} tags for {} words", tags.len(), starts.len())));
    }
    let mut tokens = vec![Labels::NO_TAG; seq];
    for (start, tag) in starts.iter().zip(tags) {
        if let Some(token) = start.and_then(|start| tokens.get_mut(start as usize)) {
            *token = i32::from(*tag);
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Tags;

    fn features(length: usize, label: Option<Label>) -> Features {
        Features { ids: (1..=length as u32).collect(), type_ids: vec![1; length], label, words: None, second: None }
    }

    const PADDING: Padding = Padding { pad_id: 9, multiple: 4, max_len: 6 };

    #[test]
    fn rows_are_padded_to_a_multiple_of_the_longest() {
        let all = [features(2, Some(Label::Class(1))), features(3, Some(Label::Class(0)))];
        let batch = EncodedBatch::collate(&all, &[1, 0], PADDING).unwrap();
        assert_eq!((batch.batch, batch.seq), (2, 4));
        assert_eq!(batch.ids, [1, 2, 3, 9, 1, 2, 9, 9]);
        assert_eq!(batch.type_ids, [1, 1, 1, 0, 1, 1, 0, 0]);
        assert_eq!(batch.mask, [1, 1, 1, 0, 1, 1, 0, 0]);
        assert_eq!(batch.labels, Labels::Classes(vec![0, 1]));
        assert_eq!((batch.indices.as_slice(), batch.tokens()), ([1, 0].as_slice(), 5));
        let last = batch.rows(1..2);
        assert_eq!(
            (last.batch, last.seq, last.ids.as_slice()),
            (1, 4, [1, 2, 9, 9].as_slice()),
            "at the batch's width"
        );
        assert_eq!((last.labels, last.indices, last.mask), (Labels::Classes(vec![1]), vec![0], vec![1, 1, 0, 0]));
        assert_eq!(batch.rows(0..2), batch);
    }

    #[test]
    fn the_width_is_capped_at_the_maximum_length() {
        let all = [features(5, Some(Label::Score(2.5)))];
        let batch = EncodedBatch::collate(&all, &[0], PADDING).unwrap();
        assert_eq!((batch.seq, batch.labels), (6, Labels::Scores(vec![2.5])));
    }

    #[test]
    fn only_the_first_token_of_a_word_carries_its_tag() {
        let tags = |tags: &[u16]| Some(Label::Tags(Tags::new(tags.iter().map(|_| "w"), tags.to_vec())));
        let with =
            |length, starts: &[Option<u32>], label| Features { words: Some(starts.into()), ..features(length, label) };
        // Two words of two tokens and one, and one that was cut off; then a word between special tokens.
        let all = [with(5, &[Some(1), Some(3), None], tags(&[2, 0, 1])), with(3, &[Some(1)], tags(&[1]))];
        let batch = EncodedBatch::collate(&all, &[0, 1], PADDING).unwrap();
        assert_eq!(batch.labels, Labels::Tags(vec![-1, 2, -1, 0, -1, -1, -1, 1, -1, -1, -1, -1]));
        assert_eq!(batch.tagged(), Some((vec![1, 3, 7], vec![2, 0, 1])));
        assert_eq!(batch.rows(1..2).tagged(), Some((vec![1], vec![1])));
        let wrong = [with(3, &[Some(1)], tags(&[1, 2]))];
        assert!(EncodedBatch::collate(&wrong, &[0], PADDING).unwrap_err().to_string().contains("2 tags for 1 words"));
    }

    #[test]
    fn batches_that_make_no_sense_are_errors() {
        let all = [features(7, None), features(1, None), features(0, None), features(1, Some(Label::Class(0)))];
        let message = |indices: &[usize]| EncodedBatch::collate(&all, indices, PADDING).unwrap_err().to_string();
        assert!(message(&[0]).contains("example 0 has 7 tokens"));
        assert!(message(&[]).contains("at least one"));
        assert!(message(&[4]).contains("example 4"));
        assert!(message(&[2]).contains("0 ids"));
        assert!(message(&[1, 3]).contains("mixes"));
        assert_eq!(EncodedBatch::collate(&all, &[1], PADDING).unwrap().labels, Labels::None);
    }
}
