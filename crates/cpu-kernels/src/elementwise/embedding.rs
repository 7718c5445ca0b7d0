//! Rows of tables by number, and trigrams of rows.

use super::binary::{add_in_place, assert_rows};
use crate::OutSlice;

/// `out[i, :] = table[ids[i], :]`
///
/// # Shapes
/// - `table`: `[entries, width]`; `ids`: `[n]`, below `entries`; `out`: `[n, width]`
///
/// # Panics
/// Shapes do not fit, or an id is out of range.
pub fn gather_rows<'a>(table: &[f32], width: usize, ids: &[u32], out: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
    let mut out = out.into();
    assert_rows(table, width);
    assert_eq!(out.len(), ids.len() * width);
    for (&id, out) in ids.iter().zip(out.reborrow().chunks(width.max(1))) {
        let start = id as usize * width;
        out.copy_from(&table[start..start + width]);
    }
    // SAFETY: `out` is as many rows as there are ids, and each has been written.
    unsafe { out.assume_init() }
}

/// `table_grad[ids[i], :] += grad[i, :]`, in the order of `i`: the backward pass of [`gather_rows`].
///
/// # Shapes
/// - `grad`: `[n, width]`; `ids`: `[n]`, below `entries`; `table_grad`: `[entries, width]`
///
/// # Panics
/// Shapes do not fit, or an id is out of range.
pub fn scatter_add_rows(grad: &[f32], width: usize, ids: &[u32], table_grad: &mut [f32]) {
    assert_rows(table_grad, width);
    assert_eq!(grad.len(), ids.len() * width);
    for (&id, grad) in ids.iter().zip(grad.chunks_exact(width.max(1))) {
        let start = id as usize * width;
        add_in_place(&mut table_grad[start..start + width], grad);
    }
}

/// `out[t] = [words[t + 1]; words[t]; words[t - 1]]` in every sequence, zeros outside it: the input of MobileBERT's
/// factorized embedding (Sun et al. 2020).
///
/// # Shapes
/// - `words`: `[batch, seq, width]`; `out`: `[batch, seq, 3 width]`
pub fn trigram<'a>(words: &[f32], seq: usize, width: usize, out: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
    let mut out = out.into();
    assert_rows(words, seq * width);
    assert_eq!(out.len(), 3 * words.len());
    let size = (seq * width).max(1);
    for (words, out) in words.chunks_exact(size).zip(out.reborrow().chunks(3 * size)) {
        let row = |t: usize| &words[t * width..(t + 1) * width];
        let copy = |to: OutSlice<'_>, t: Option<usize>| match t {
            Some(t) if t < seq => to.copy_from(row(t)).len(),
            _ => to.fill(0.0).len(),
        };
        for (t, out) in out.chunks(3 * width).enumerate() {
            let (next, rest) = out.split_at(width);
            let (word, previous) = rest.split_at(width);
            copy(next, Some(t + 1));
            copy(word, Some(t));
            copy(previous, t.checked_sub(1));
        }
    }
    // SAFETY: `out` is three times the words, whole sequences of them, and of each the three parts have been written.
    unsafe { out.assume_init() }
}

/// Gradient of [`trigram`]: each word's from its three places.
///
/// # Shapes
/// - `d_out`: `[batch, seq, 3 width]`; `d_words`: `[batch, seq, width]`
pub fn trigram_backward<'a>(
    d_out: &[f32],
    seq: usize,
    width: usize,
    d_words: impl Into<OutSlice<'a>>,
) -> &'a mut [f32] {
    let mut d_words = d_words.into();
    assert_rows(d_out, 3 * seq * width);
    assert_eq!(d_out.len(), 3 * d_words.len());
    let size = (seq * width).max(1);
    for (d_out, d_words) in d_out.chunks_exact(3 * size).zip(d_words.reborrow().chunks(size)) {
        let part = |t: usize, k: usize| &d_out[(3 * t + k) * width..(3 * t + k + 1) * width];
        for (t, d) in d_words.chunks(width).enumerate() {
            let d = d.copy_from(part(t, 1));
            if t > 0 {
                add_in_place(d, part(t - 1, 0));
            }
            if t + 1 < seq {
                add_in_place(d, part(t + 1, 2));
            }
        }
    }
    // SAFETY: `d_words` is whole sequences of words, and each has been written.
    unsafe { d_words.assume_init() }
}
