//! Rows of tables by number, and trigrams of rows.

use super::binary::{add_in_place, assert_rows};

/// `out[i, :] = table[ids[i], :]`
///
/// # Shapes
/// - `table`: `[entries, width]`; `ids`: `[n]`, below `entries`; `out`: `[n, width]`
///
/// # Panics
/// Shapes do not fit, or an id is out of range.
pub fn gather_rows(table: &[f32], width: usize, ids: &[u32], out: &mut [f32]) {
    assert_rows(table, width);
    assert_eq!(out.len(), ids.len() * width);
    for (&id, out) in ids.iter().zip(out.chunks_exact_mut(width.max(1))) {
        let start = id as usize * width;
        out.copy_from_slice(&table[start..start + width]);
    }
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
/// factorised embedding (Sun et al. 2020).
///
/// # Shapes
/// - `words`: `[batch, seq, width]`; `out`: `[batch, seq, 3 width]`
///
/// # Panics
/// Shapes do not fit.
pub fn trigram(words: &[f32], seq: usize, width: usize, out: &mut [f32]) {
    assert_rows(words, seq * width);
    assert_eq!(out.len(), 3 * words.len());
    let size = (seq * width).max(1);
    for (words, out) in words.chunks_exact(size).zip(out.chunks_exact_mut(3 * size)) {
        let row = |t: usize| &words[t * width..(t + 1) * width];
        for (t, out) in out.chunks_exact_mut(3 * width).enumerate() {
            let (next, rest) = out.split_at_mut(width);
            let (word, previous) = rest.split_at_mut(width);
            if t + 1 < seq {
                next.copy_from_slice(row(t + 1));
            } else {
                next.fill(0.0);
            }
            word.copy_from_slice(row(t));
            if t > 0 {
                previous.copy_from_slice(row(t - 1));
            } else {
                previous.fill(0.0);
            }
        }
    }
}

/// Gradient of [`trigram`]: each word's from its three places.
///
/// # Shapes
/// - `d_out`: `[batch, seq, 3 width]`; `d_words`: `[batch, seq, width]`
///
/// # Panics
/// Shapes do not fit.
pub fn trigram_backward(d_out: &[f32], seq: usize, width: usize, d_words: &mut [f32]) {
    assert_rows(d_words, seq * width);
    assert_eq!(d_out.len(), 3 * d_words.len());
    let size = (seq * width).max(1);
    for (d_out, d_words) in d_out.chunks_exact(3 * size).zip(d_words.chunks_exact_mut(size)) {
        let part = |t: usize, k: usize| &d_out[(3 * t + k) * width..(3 * t + k + 1) * width];
        for (t, d) in d_words.chunks_exact_mut(width).enumerate() {
            d.copy_from_slice(part(t, 1));
            if t > 0 {
                add_in_place(d, part(t - 1, 0));
            }
            if t + 1 < seq {
                add_in_place(d, part(t + 1, 2));
            }
        }
    }
}
