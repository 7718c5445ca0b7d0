//! Words with similar embeddings.

use std::collections::HashMap;

use encoder_spec::Floats;
use tokenizer::WordPieces;

use super::same_word;
use super::scores::WordScores;

/// Words whose neighbors are remembered, so that memory stays bounded.
const REMEMBERED: usize = 1 << 16;

/// The nearest words by the cosine of word embeddings. TinyBERT has GloVe's; a model's own need no second download, and every
/// word of theirs is one token.
pub(super) struct NearestWords {
    table: Floats,
    width: usize,
    scores: WordScores,
    count: usize,
    /// By the pieces of the word.
    known: HashMap<Vec<u32>, Vec<u32>>,
}

impl NearestWords {
    /// Prepares the search for the nearest words by cosine of their embeddings.
    ///
    /// # Shapes
    /// `table [vocab, width]`
    pub fn new(table: Floats, width: usize, pieces: &WordPieces, count: usize) -> Self {
        let ids: Vec<u32> = pieces.ids().collect();
        let mut rows = Vec::with_capacity(ids.len() * width);
        for id in &ids {
            let from = rows.len();
            rows.extend_from_slice(&table[*id as usize * width..][..width]);
            normalize(&mut rows[from..]);
        }
        let scores = WordScores::new(ids, &rows, None, width);
        Self { table, width, scores, count, known: HashMap::new() }
    }

    /// The neighbors of words given by their pieces and their texts; of a word of several pieces, those of the mean of its pieces'
    /// embeddings. Unknown words have none.
    pub fn candidates(&mut self, words: &[(&[u32], &str)], pieces: &WordPieces) -> Vec<Vec<u32>> {
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        let unknown = pieces.encoder().unk_id();
        let (mut asked, mut queries): (Vec<(&[u32], &str)>, Vec<f32>) = (Vec::new(), Vec::new());
        for (ids, text) in words {
            if self.known.contains_key(*ids) {
                continue;
            }
            self.known.insert(ids.to_vec(), Vec::new());
            if ids.iter().any(|id| Some(*id) == unknown) {
                continue;
            }
            let from = queries.len();
            queries.resize(from + self.width, 0.0);
            for id in *ids {
                let row = &self.table[*id as usize * self.width..][..self.width];
                queries[from..].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            // The length of a query does not change the order, but keeps the mean's sum in range.
            normalize(&mut queries[from..]);
            asked.push((ids, text));
        }
        let found = self.scores.best(&queries, self.count, |query, id| same_word(pieces, id, asked[query].1));
        for ((ids, _), found) in asked.iter().zip(found) {
            self.known.insert(ids.to_vec(), found);
        }
        words.iter().map(|(ids, _)| self.known[*ids].clone()).collect()
    }
}

/// Scales a vector to length 1; one of zeros stays.
fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
}
