//! Attention of one head over one sequence, for inference.
//!
//! `softmax(scale Q K^T + key_bias) V` (Vaswani et al. 2017). Keys and values are packed once; then some queries at a time are taken from
//! their scores to their context, so that scores and probabilities stay in the first-level cache of the calling thread.

use crate::elementwise::softmax::unscaled_softmax_rows;
use crate::matmul::{Epilogue, Input, MatMut, MatRef, Precision, ROW_GROUP, Weights, matmul_serial, multiply_all};

/// Inputs of one head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// `[queries, width]`.
    pub query: MatRef<'a>,
    /// `[keys, width]`.
    pub key: MatRef<'a>,
    /// `[keys, width]`.
    pub value: MatRef<'a>,
    /// Factor of the scores, usually `1 / sqrt(width)`; 1 where it is part of the query's weights.
    pub scale: f32,
    /// `[keys]`, added to the scores of every query: 0, or very negative for keys that nothing may look at.
    pub key_bias: Option<&'a [f32]>,
    /// Where queries see near keys only.
    pub near: Option<Near>,
    /// Of both products. [`Precision::Int8`] computes them in `bf16`, in WebAssembly in `f32`: probabilities are too uneven for bytes.
    pub precision: Precision,
}

/// Query `i` sees key `k` only where `first_query + i` and `first_key + k` are at most `reach` apart (Beltagy et al. 2020); a key there must
/// be.
#[derive(Clone, Copy, Debug)]
pub struct Near {
    /// Position of the first query.
    pub first_query: usize,
    /// Position of the first key.
    pub first_key: usize,
    /// The largest distance.
    pub reach: usize,
}

impl Near {
    /// The same for the queries from number `skipped` on.
    fn after(self, skipped: usize) -> Self {
        Self { first_query: self.first_query + skipped, ..self }
    }

    /// Replaces the scores of keys out of reach, which then have the probability 0.
    fn apply(self, scores: &mut [f32], keys: usize) {
        for (query, scores) in scores.chunks_exact_mut(keys).enumerate() {
            let at = self.first_query + query;
            let first = at.saturating_sub(self.reach).saturating_sub(self.first_key).min(keys);
            let end = at.saturating_add(self.reach + 1).saturating_sub(self.first_key).clamp(first, keys);
            scores[..first].fill(f32::NEG_INFINITY);
            scores[end..].fill(f32::NEG_INFINITY);
        }
    }
}

/// Memory of one thread, kept between calls; empty before the first one.
#[derive(Debug)]
pub struct Scratch {
    scores: Vec<f32>,
    sums: Vec<f32>,
    context: Vec<f32>,
    /// Queries, then probabilities.
    rows: Input,
    keys: Weights,
    values: Weights,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            scores: Vec::new(),
            sums: Vec::new(),
            context: Vec::new(),
            rows: Input::default(),
            keys: Weights::empty(),
            values: Weights::empty(),
        }
    }
}

/// Scores that are taken to a context at a time: half of a first-level cache.
const SCORES: usize = 6 << 10;
/// Most keys whose sums no product divides, so that they round alike however many queries are taken at a time.
const KEYS: usize = 512;

/// Writes the context of query `i` to `out + i * out_stride`.
///
/// # Shapes
/// `out`: `[queries, width]`
///
/// # Safety
/// These elements of `out` are valid, and no other thread uses them meanwhile.
///
/// # Panics
/// The shapes do not fit.
pub unsafe fn attend(head: &Head<'_>, out: *mut f32, out_stride: usize, scratch: &mut Scratch) {
    let (queries, keys, width) = (head.query.rows(), head.key.rows(), head.value.cols());
    assert!(head.query.cols() == head.key.cols() && head.value.rows() == keys, "shapes of an attention head");
    if queries == 0 || keys == 0 {
        return;
    }
    let precision = match head.precision {
        Precision::F32 => Precision::F32,
        // Pages of browsers have vectors of `f32` and none of `bf16`.
        Precision::Int8 if cfg!(target_family = "wasm") => Precision::F32,
        Precision::Bf16 | Precision::Int8 => Precision::Bf16,
    };
    // Models in bytes need not round as they did.
    let whole = keys > KEYS && head.precision != Precision::Int8;
    let block = if whole { queries } else { queries_at_a_time(keys) };
    let Scratch { scores, sums, context, rows, keys: packed_keys, values } = scratch;
    if !whole {
        packed_keys.repack(head.key.t(), precision, false);
        values.repack(head.value, precision, false);
    }
    for first in (0..queries).step_by(block) {
        let count = block.min(queries - first);
        let query = head.query.rows_in(first..first + count);
        let (scores, sums) = (sized(scores, count * keys), sized(sums, count));
        let context = sized(context, count * width);
        let epilogue = Epilogue { scale: Some(head.scale), bias: head.key_bias, ..Epilogue::default() };
        let scores = MatMut::row_major(scores, count, keys);
        let scores = if whole {
            matmul_serial(query, head.key.t(), scores, precision, &epilogue).values()
        } else {
            rows.repack(query, precision, false);
            multiply_all(rows, packed_keys, scores, &epilogue).values()
        };
        if let Some(near) = head.near {
            near.after(first).apply(scores, keys);
        }
        // Contexts are divided by the sums of their probabilities: they have fewer values.
        let bytes = head.precision == Precision::Int8 && precision == Precision::Bf16;
        if bytes {
            rows.repack_exponentials(scores, keys, sums);
        } else {
            unscaled_softmax_rows(scores, keys, sums);
        }
        let scores = MatRef::row_major(scores, count, keys);
        let context = MatMut::row_major(context, count, width);
        let context = if bytes {
            multiply_all(rows, values, context, &Epilogue::default()).values()
        } else if whole {
            matmul_serial(scores, head.value, context, precision, &Epilogue::default()).values()
        } else {
            rows.repack(scores, precision, false);
            multiply_all(rows, values, context, &Epilogue::default()).values()
        };
        if width > 0 {
            let (context, sums) = (&*context, &*sums);
            let out = Rows { start: out.wrapping_add(first * out_stride), stride: out_stride };
            dispatch!(|context: &[f32], width: usize, sums: &[f32], out: Rows| {
                for (i, (row, sum)) in context.chunks_exact(width).zip(sums).enumerate() {
                    // SAFETY: these elements are valid and nobody else's, as the caller of `attend` has promised.
                    let out = unsafe { std::slice::from_raw_parts_mut(out.start.add(i * out.stride), width) };
                    let factor = 1.0 / sum;
                    for (out, value) in out.iter_mut().zip(row) {
                        *out = value * factor;
                    }
                }
            });
        }
    }
}

/// Queries that are taken to their context at a time, a multiple of [`ROW_GROUP`].
fn queries_at_a_time(keys: usize) -> usize {
    (SCORES / keys / ROW_GROUP).clamp(1, 4) * ROW_GROUP
}

/// Rows that [`attend`]'s caller has promised.
#[derive(Clone, Copy)]
struct Rows {
    start: *mut f32,
    stride: usize,
}

/// The first `n` values of a vector that grows and never shrinks.
fn sized(values: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if values.len() < n {
        values.resize(n, 0.0);
    }
    &mut values[..n]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[rows, 3 * width]` with queries, keys and values side by side.
    fn side_by_side(rows: usize, width: usize) -> Vec<f32> {
        (0..rows * 3 * width).map(|i| ((i * 7919 % 1009) as f32 / 1009.0 - 0.5) * 3.0).collect()
    }

    fn reference(head: &Head<'_>) -> Vec<f64> {
        let at = |m: &MatRef<'_>, i: usize, j: usize| f64::from(m.data()[i * m.row_stride() + j * m.col_stride()]);
        let mut out = Vec::new();
        for i in 0..head.query.rows() {
            let scores: Vec<f64> = (0..head.key.rows())
                .map(|k| {
                    let dot: f64 = (0..head.key.cols()).map(|d| at(&head.query, i, d) * at(&head.key, k, d)).sum();
                    dot * f64::from(head.scale) + head.key_bias.map_or(0.0, |b| f64::from(b[k]))
                })
                .collect();
            let highest = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for d in 0..head.value.cols() {
                out.push((0..weights.len()).map(|k| weights[k] / total * at(&head.value, k, d)).sum());
            }
        }
        out
    }

    #[test]
    fn a_head_agrees_with_its_formula_in_f64() {
        let mut scratch = Scratch::default();
        for (rows, width, precision, tolerance) in [
            (1, 1, Precision::F32, 1e-6),
            (128, 45, Precision::F32, 2e-6),
            (31, 64, Precision::F32, 2e-6),
            (33, 12, Precision::Bf16, 2e-2),
            (128, 45, Precision::Int8, 2e-2),
        ] {
            let data = side_by_side(rows, width);
            let view = |part: usize| MatRef::new(&data[part * width..], rows, width, 3 * width, 1);
            // The last key is hidden where there is another.
            let bias: Vec<f32> = (0..rows).map(|k| if k > 0 && k + 1 == rows { -1e4 } else { 0.0 }).collect();
            let head = Head {
                query: view(0),
                key: view(1),
                value: view(2),
                scale: 1.0 / (width as f32).sqrt(),
                key_bias: Some(&bias),
                near: None,
                precision,
            };
            let stride = width + 2;
            let mut out = vec![7.0; rows * stride];
            // SAFETY: `out` has `rows` rows of `stride` values.
            unsafe { attend(&head, out.as_mut_ptr(), stride, &mut scratch) };
            for (i, wanted) in reference(&head).into_iter().enumerate() {
                let found = f64::from(out[i / width * stride + i % width]);
                assert!((found - wanted).abs() < tolerance, "{rows} x {width} {precision:?}: {found} for {wanted}");
            }
            assert!(out.chunks(stride).all(|row| row[width..] == [7.0, 7.0]), "wrote between rows");
        }
    }

    #[test]
    fn queries_taken_a_few_at_a_time_have_the_contexts_of_whole_products() {
        for (rows, width, precision) in [
            (200, 32, Precision::F32),
            (200, 45, Precision::Bf16),
            (512, 20, Precision::Bf16),
            (130, 64, Precision::F32),
        ] {
            let data = side_by_side(rows, width);
            let view = |part: usize| MatRef::new(&data[part * width..], rows, width, 3 * width, 1);
            let (query, key, value) = (view(0), view(1), view(2));
            let head = Head { query, key, value, scale: 0.3, key_bias: None, near: None, precision };
            let mut found = vec![0.0; rows * width];
            // SAFETY: `found` has `rows` rows of `width` values.
            unsafe { attend(&head, found.as_mut_ptr(), width, &mut Scratch::default()) };
            let (mut scores, mut sums, mut context) =
                (vec![0.0; rows * rows], vec![0.0; rows], vec![0.0; rows * width]);
            let epilogue = Epilogue { scale: Some(0.3), ..Epilogue::default() };
            matmul_serial(query, key.t(), MatMut::row_major(&mut scores[..], rows, rows), precision, &epilogue);
            unscaled_softmax_rows(&mut scores, rows, &mut sums);
            let (scores, out) =
                (MatRef::row_major(&scores, rows, rows), MatMut::row_major(&mut context[..], rows, width));
            matmul_serial(scores, value, out, precision, &Epilogue::default());
            for (row, sum) in context.chunks_mut(width).zip(&sums) {
                row.iter_mut().for_each(|value| *value *= 1.0 / sum);
            }
            assert!(found == context, "{rows} x {width} {precision:?}");
        }
    }
}
