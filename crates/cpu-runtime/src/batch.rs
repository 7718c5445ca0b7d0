//! Token sequences.

use std::ops::Range;

use crate::{Error, Model};

/// Sequences of tokens, one after the other without padding.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// Token ids, `[tokens]`.
    pub ids: &'a [u32],
    /// Segment ids, `[tokens]`; empty: all 0. A model without segments does not look at them.
    pub segments: &'a [u32],
    /// Sequence `s` is `offsets[s]..offsets[s + 1]`: from 0, rising, ending at the number of tokens.
    pub offsets: &'a [usize],
    /// 0 where attention does not look, `[tokens]`; empty: it looks everywhere.
    pub mask: &'a [u8],
    /// What trigram embeddings see behind the end of each sequence, `[sequences]`: in a padded batch the padding's id, and
    /// nothing where the sequence fills its row. Empty: nothing. Other embeddings do not look there.
    pub followers: &'a [Option<u32>],
}

impl Batch<'_> {
    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Tokens of sequence `s`.
    pub(crate) fn range(&self, s: usize) -> Range<usize> {
        self.offsets[s]..self.offsets[s + 1]
    }

    /// Checks everything that a run relies on.
    pub(crate) fn check(&self, model: &Model) -> Result<(), Error> {
        let tokens = self.ids.len();
        let whole = self.offsets.first() == Some(&0) && self.offsets.last() == Some(&tokens);
        if !whole || !self.offsets.is_sorted() {
            let message = format!("the offsets must rise from 0 to the number of tokens, {tokens}");
            return Err(Error::Batch(message));
        }
        let limit = model.max_length();
        for s in 0..self.sequences() {
            let length = self.range(s).len();
            if !(1..=limit).contains(&length) {
                return Err(Error::Length { sequence: s, length, limit });
            }
        }
        let lengths = [
            ("segment ids", self.segments.len(), tokens),
            ("mask values", self.mask.len(), tokens),
            ("followers", self.followers.len(), self.sequences()),
        ];
        if let Some((what, found, expected)) = lengths.into_iter().find(|&(_, n, expected)| n != 0 && n != expected) {
            return Err(Error::Batch(format!("{found} {what}, expected {expected} or none")));
        }
        let rows = model.vocabulary();
        let followers = self.followers.iter().zip(self.offsets.iter().skip(1));
        let followers = followers.filter_map(|(id, &end)| id.map(|id| (end - 1, id)));
        within("token", self.ids.iter().copied().enumerate().chain(followers), rows)?;
        match model.segment_rows() {
            Some(rows) => within("segment", self.segments.iter().copied().enumerate(), rows),
            None => Ok(()),
        }
    }
}

fn within(kind: &'static str, ids: impl Iterator<Item = (usize, u32)>, rows: usize) -> Result<(), Error> {
    for (position, id) in ids {
        if id as usize >= rows {
            return Err(Error::Id { position, kind, id, rows });
        }
    }
    Ok(())
}

/// An owned batch, made of padded rows or built sequence by sequence; its memory is used again.
#[derive(Clone, Debug, Default)]
pub struct Ragged {
    ids: Vec<u32>,
    segments: Vec<u32>,
    offsets: Vec<usize>,
    mask: Vec<u8>,
    followers: Vec<Option<u32>>,
}

impl Ragged {
    /// No sequences.
    pub fn new() -> Self {
        Self { offsets: vec![0], ..Self::default() }
    }

    /// Removes all sequences, keeps the memory.
    pub fn clear(&mut self) {
        let Self { ids, segments, offsets, mask, followers } = self;
        ids.clear();
        segments.clear();
        mask.clear();
        followers.clear();
        offsets.clear();
        offsets.push(0);
    }

    /// Adds a sequence that nothing follows.
    ///
    /// # Panics
    /// Ids and segments differ in length.
    pub fn push(&mut self, ids: &[u32], segments: impl ExactSizeIterator<Item = u32>) {
        assert_eq!(ids.len(), segments.len(), "ids and segments of one sequence");
        self.ids.extend_from_slice(ids);
        self.segments.extend(segments);
        self.mask.resize(self.ids.len(), 1);
        self.followers.push(None);
        self.offsets.push(self.ids.len());
    }

    /// Adds one row of a padded batch: masked positions at its end are not computed.
    ///
    /// The result is that of the padded row for all other positions: trigram embeddings see the id behind the end, and
    /// masked positions in between stay. A row that is masked altogether is kept as it is.
    ///
    /// # Panics
    /// The slices differ in length.
    pub fn push_row(&mut self, ids: &[u32], segments: &[u32], mask: &[u8]) {
        assert!(ids.len() == segments.len() && ids.len() == mask.len(), "ids, segments and mask of one sequence");
        let length = mask.iter().rposition(|&m| m != 0).map_or(ids.len(), |last| last + 1);
        self.ids.extend_from_slice(&ids[..length]);
        self.segments.extend_from_slice(&segments[..length]);
        self.mask.extend_from_slice(&mask[..length]);
        self.followers.push(ids.get(length).copied());
        self.offsets.push(self.ids.len());
    }

    /// The batch.
    pub fn as_batch(&self) -> Batch<'_> {
        let Self { ids, segments, offsets, mask, followers } = self;
        Batch { ids, segments, offsets, mask, followers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_cut_off_and_its_first_id_remembered() {
        let mut ragged = Ragged::new();
        ragged.push_row(&[5, 6, 0, 0], &[0, 1, 0, 0], &[1, 1, 0, 0]);
        ragged.push_row(&[5, 6, 7, 8], &[0; 4], &[1, 0, 1, 1]);
        ragged.push_row(&[9, 9, 9, 9], &[0; 4], &[0; 4]);
        ragged.push(&[3], std::iter::once(0));
        let batch = ragged.as_batch();
        assert_eq!(batch.ids, [5, 6, 5, 6, 7, 8, 9, 9, 9, 9, 3]);
        assert_eq!(batch.offsets, [0, 2, 6, 10, 11]);
        assert_eq!(batch.followers, [Some(0), None, None, None]);
        assert_eq!(batch.mask, [1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 1]);
        ragged.clear();
        assert_eq!((ragged.as_batch().sequences(), ragged.as_batch().tokens()), (0, 0));
    }
}
