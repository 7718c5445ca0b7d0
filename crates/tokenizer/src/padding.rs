//! Several sequences as one rectangle of ids.

use crate::error::{Error, Result};

/// How a batch is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// The id of `[PAD]`.
    pub pad_id: u32,
    /// The width is rounded up to a multiple of this (1 = not at all); few distinct widths keep kernels and caches warm.
    pub multiple: usize,
    /// The width never exceeds this, and no sequence may.
    pub max_len: usize,
}

/// Sequences padded on the right to one width. Rows are stored one after another.
///
/// # Shapes
/// `ids`, `type_ids`, `mask`: `[batch, seq]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaddedIds {
    /// Rows.
    pub batch: usize,
    /// Columns: the longest sequence, rounded up, at most [`Padding::max_len`].
    pub seq: usize,
    /// Token ids.
    pub ids: Vec<i32>,
    /// Segments; 0 on padding.
    pub type_ids: Vec<i32>,
    /// 1 on a real token, 0 on padding.
    pub mask: Vec<u8>,
}

impl Padding {
    /// The rectangle of `rows`: for each the number that messages give it, its ids, and the segment of every id.
    ///
    /// # Errors
    /// No rows, a row without tokens or longer than the maximum, ids and segments of different lengths.
    pub fn pad(self, rows: &[(usize, &[u32], &[u8])]) -> Result<PaddedIds> {
        for (index, ids, types) in rows {
            if ids.is_empty() || types.len() != ids.len() {
                let sizes = format!("{} ids and {} segments", ids.len(), types.len());
                return Err(Error::Batch(format!("example {index} has {sizes}; equal numbers above 0 are needed")));
            }
            if ids.len() > self.max_len {
                return Err(Error::TooLong { index: *index, length: ids.len(), max_len: self.max_len });
            }
        }
        let Some(longest) = rows.iter().map(|(_, ids, _)| ids.len()).max() else {
            return Err(Error::Batch("a batch needs at least one example".to_owned()));
        };
        let seq = longest.checked_next_multiple_of(self.multiple.max(1)).unwrap_or(longest).min(self.max_len);
        let size = rows.len() * seq;
        let pad = id_to_i32(self.pad_id)?;
        let (mut ids, mut type_ids, mut mask) =
            (Vec::with_capacity(size), Vec::with_capacity(size), Vec::with_capacity(size));
        for ((_, row, types), end) in rows.iter().zip((1..).map(|n| n * seq)) {
            for id in *row {
                ids.push(id_to_i32(*id)?);
            }
            type_ids.extend(types.iter().map(|t| i32::from(*t)));
            mask.resize(ids.len(), 1);
            ids.resize(end, pad);
            type_ids.resize(end, 0);
            mask.resize(end, 0);
        }
        Ok(PaddedIds { batch: rows.len(), seq, ids, type_ids, mask })
    }
}

impl PaddedIds {
    /// Real tokens, special tokens included.
    pub fn tokens(&self) -> usize {
        self.mask.iter().map(|m| usize::from(*m)).sum()
    }
}

fn id_to_i32(id: u32) -> Result<i32> {
    i32::try_from(id).map_err(|_| Error::Batch(format!("token id {id} does not fit 31 bits")))
}
