//! The words that fit best: products with one row per word.

use cpu_kernels::matmul::{Epilogue, Input, MatMut, MatRef, Precision, Weights, multiply_all};
use rayon::prelude::*;

/// Queries that are multiplied at a time by one thread.
const TOGETHER: usize = 32;

/// Rows of whole words, packed.
pub(super) struct WordScores {
    ids: Vec<u32>,
    rows: Weights,
    bias: Option<Vec<f32>>,
    width: usize,
}

impl WordScores {
    /// Keeps the output rows of the candidate ids for the scores of words.
    ///
    /// # Shapes
    /// `rows [ids, width]`, `bias [ids]`
    pub fn new(ids: Vec<u32>, rows: &[f32], bias: Option<Vec<f32>>, width: usize) -> Self {
        let view = MatRef::row_major(rows, ids.len(), width);
        Self { rows: Weights::pack(view.t(), Precision::F32), ids, bias, width }
    }

    /// For every query the `count` words with the highest `query · row + bias`, the best first, of equal ones the lower id.
    /// Words for which `skip(query, id)` holds are left out. The result does not depend on the number of threads.
    ///
    /// # Shapes
    /// `queries [n, width]`
    pub fn best(&self, queries: &[f32], count: usize, skip: impl Fn(usize, u32) -> bool + Sync) -> Vec<Vec<u32>> {
        let blocks = queries.par_chunks(TOGETHER * self.width).enumerate();
        let best = blocks.map_init(
            || (Input::default(), Vec::new()),
            |(input, scores), (block, queries)| {
                let n = queries.len() / self.width;
                scores.resize(TOGETHER * self.ids.len(), 0.0);
                let scores = &mut scores[..n * self.ids.len()];
                input.repack(MatRef::row_major(queries, n, self.width), Precision::F32, false);
                let epilogue = Epilogue { bias: self.bias.as_deref(), ..Epilogue::default() };
                let scores = MatMut::row_major(scores, n, self.ids.len());
                let scores = multiply_all(input, &self.rows, scores, &epilogue).values();
                let row = |i: usize| &scores[i * self.ids.len()..][..self.ids.len()];
                let highest = |i| self.highest(row(i), count, |id| skip(block * TOGETHER + i, id));
                (0..n).map(highest).collect::<Vec<_>>()
            },
        );
        best.flatten_iter().collect()
    }

    fn highest(&self, scores: &[f32], count: usize, skip: impl Fn(u32) -> bool) -> Vec<u32> {
        // The best so far, the worst of them last.
        let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
        for (score, id) in scores.iter().zip(&self.ids) {
            let is_full = best.len() == count;
            if is_full && best.last().is_none_or(|(last, _)| score <= last) || skip(*id) {
                continue;
            }
            if is_full {
                best.pop();
            }
            let at = best.partition_point(|(other, _)| other >= score);
            best.insert(at, (*score, *id));
        }
        best.into_iter().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_those_of_a_sorted_list_of_all_products() {
        let (width, words, queries) = (7, 100, 70);
        let value = |i: usize| ((i * 7919 % 101) as f32 - 50.0) / 17.0;
        let rows: Vec<f32> = (0..words * width).map(value).collect();
        let bias: Vec<f32> = (0..words).map(|i| value(3 * i) / 4.0).collect();
        let ids: Vec<u32> = (0..words as u32).map(|i| 10 + 2 * i).collect();
        let asked: Vec<f32> = (0..queries * width).map(|i| value(5 * i + 1)).collect();
        let scores = WordScores::new(ids.clone(), &rows, Some(bias.clone()), width);
        let found = scores.best(&asked, 9, |query, id| id as usize == 10 + query);
        assert_eq!(found.len(), queries);
        for (query, found) in found.iter().enumerate() {
            let mut all: Vec<(f64, u32)> = (0..words)
                .filter(|i| ids[*i] as usize != 10 + query)
                .map(|i| {
                    let products =
                        (0..width).map(|k| f64::from(asked[query * width + k]) * f64::from(rows[i * width + k]));
                    (products.sum::<f64>() + f64::from(bias[i]), ids[i])
                })
                .collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            let score = |id: &u32| all.iter().find(|(_, other)| other == id).unwrap().0;
            let expected: Vec<f64> = all.iter().take(9).map(|(score, _)| *score).collect();
            for (id, expected) in found.iter().zip(expected) {
                assert!((score(id) - expected).abs() < 1e-4, "{query}: {id}");
            }
        }
    }

    #[test]
    fn equal_scores_are_in_the_order_of_ids_and_fewer_words_than_asked_for_are_all_of_them() {
        let scores = WordScores::new(vec![3, 5, 8], &[1.0, 2.0, 1.0], None, 1);
        assert_eq!(scores.best(&[1.0, -1.0], 9, |_, _| false), [vec![5, 3, 8], vec![3, 8, 5]]);
        assert_eq!(scores.best(&[1.0], 2, |_, id| id == 5), [vec![3, 8]]);
        let none = WordScores::new(Vec::new(), &[], None, 1);
        assert_eq!(none.best(&[1.0], 2, |_, _| false), [Vec::<u32>::new()]);
    }
}
