//! Encoding texts shortened by pooling, as the first stages of a growing pre-training do (Gu et al. 2021).

use burn::tensor::{Int, Tensor, TensorData};
use fused_ops::{Ragged, TextRows, embedding};

use crate::encoder::BertEncoder;
use crate::ragged::RaggedBatch;
use crate::task_model::TaskModel;

/// How neighboring tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolBy {
    /// The mean of their embeddings.
    Mean,
    /// The largest value of each column.
    Max,
}

/// Which tokens become one, and which are asked for.
///
/// The first token of a text stays by itself; of the others, `window` at a time become one. Tokens that are asked for are appended, each by itself, so that
/// predictions keep the full resolution.
#[derive(Clone, Debug)]
pub struct Pooled {
    by: PoolBy,
    /// For each place in a window, its row for each pooled token; a window at the end of a text repeats its last one.
    rows: Vec<Vec<i32>>,
    /// How much each of them counts in the mean.
    shares: Vec<Vec<f32>>,
    texts: Vec<TextRows>,
    asked: Vec<i32>,
}

impl Pooled {
    /// Windows of `window` tokens over texts of these lengths; `asked` are the places in each text that are asked for.
    ///
    /// # Panics
    /// A window of no tokens, an empty text, other numbers of texts, or a place outside of its text.
    pub fn new(by: PoolBy, window: usize, lengths: &[usize], asked: &[Vec<usize>]) -> Self {
        assert!(window > 0, "a window has tokens");
        assert_eq!(lengths.len(), asked.len(), "places for each text");
        let mut pooled = Self {
            by,
            rows: vec![Vec::new(); window],
            shares: vec![Vec::new(); window],
            texts: Vec::with_capacity(lengths.len()),
            asked: Vec::new(),
        };
        let (mut first, mut new) = (0, 0);
        for (&length, asked) in lengths.iter().zip(asked) {
            assert!(length > 0 && asked.iter().all(|place| *place < length), "places of a text of {length} tokens");
            let before = pooled.rows[0].len();
            pooled.push(first, first + 1);
            (first + 1..first + length).step_by(window).for_each(|from| {
                pooled.push(from, (from + window).min(first + length));
            });
            asked.iter().for_each(|place| pooled.push(first + place, first + place + 1));
            let queries = pooled.rows[0].len() - before;
            new += queries;
            pooled.asked.extend((new - asked.len()..new).map(|row| row as i32));
            pooled.texts.push(TextRows { queries, keys: length });
            first += length;
        }
        pooled
    }

    /// One token of the rows `from..to`.
    fn push(&mut self, from: usize, to: usize) {
        let share = 1.0 / (to - from) as f32;
        for (place, (rows, shares)) in self.rows.iter_mut().zip(&mut self.shares).enumerate() {
            let row = from + place;
            rows.push(row.min(to - 1) as i32);
            shares.push(if row < to { share } else { 0.0 });
        }
    }

    /// The rows of the output that belong to the tokens that are asked for, in order.
    pub fn asked(&self) -> &[i32] {
        &self.asked
    }

    /// Tokens that later layers see.
    pub fn len(&self) -> usize {
        self.rows[0].len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows[0].is_empty()
    }

    /// The pooled rows of `x`, `[1, tokens, width]`.
    fn of(&self, x: &Tensor<3>) -> Tensor<3> {
        let [_, tokens, width] = x.dims();
        let (table, n) = (x.clone().reshape([tokens, width]), self.len());
        let places = self.rows.iter().zip(&self.shares).map(|(rows, shares)| {
            let ids = Tensor::<2, Int>::from_data(TensorData::new(rows.clone(), [1, n]), &x.device());
            let taken = embedding(table.clone(), ids);
            match self.by {
                PoolBy::Mean => taken * Tensor::from_data(TensorData::new(shares.clone(), [1, n, 1]), &x.device()),
                PoolBy::Max => taken,
            }
        });
        let both = |a: Tensor<3>, b: Tensor<3>| match self.by {
            PoolBy::Mean => a + b,
            PoolBy::Max => a.max_pair(b),
        };
        places.reduce(both).expect("a window has tokens")
    }
}

impl BertEncoder {
    /// Computes the last hidden states of pooled texts: the first layer's queries are the pooled embeddings, its keys and values all of them; later
    /// layers see the pooled tokens alone.
    ///
    /// # Shapes
    /// - output: `[1, pooled tokens, hidden]`
    ///
    /// # Panics
    /// As [`BertEncoder::encode_ragged`]; texts of other lengths than `pooled` was made for.
    pub fn encode_pooled(&self, batch: &RaggedBatch, pooled: &Pooled) -> Tensor<3> {
        let all = self.embeddings.forward_ragged(batch);
        let mut hidden = pooled.of(&all);
        let first = Ragged::new(pooled.texts.iter().copied());
        let later = Ragged::of_lengths(pooled.texts.iter().map(|text| text.queries));
        let mut context = Some((all, first));
        for layer in &self.layers {
            hidden = match context.take() {
                Some((all, texts)) => layer.forward_ragged(hidden, Some(all), &texts),
                None => layer.forward_ragged(hidden, None, &later),
            };
        }
        match &self.final_norm {
            Some(norm) => norm.forward(hidden),
            None => hidden,
        }
    }
}

impl TaskModel {
    /// [`BertEncoder::encode_pooled`].
    ///
    /// # Panics
    /// As there.
    pub fn encode_pooled(&self, batch: &RaggedBatch, pooled: &Pooled) -> Tensor<3> {
        self.encoder.encode_pooled(batch, pooled)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use encoder_spec::{BertConfig, Parts};

    use super::*;

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.try_into_vec_as::<f32>().expect("float tensors convert to f32")
    }

    #[test]
    fn windows_are_means_or_maxima_of_a_text_and_its_first_token_stays() {
        let x = Tensor::<3>::from_data(
            TensorData::new(vec![1.0f32, 9.0, 3.0, 2.0, 8.0, 4.0, 0.0, 5.0, -6.0, 7.0, 1.0, 1.0], [1, 6, 2]),
            &Device::flex(),
        );
        let asked = [vec![2], vec![]];
        let mean = Pooled::new(PoolBy::Mean, 2, &[4, 2], &asked);
        // Text 1: its first token, the mean of two, the last alone, the asked one; text 2: two tokens.
        assert_eq!(values(mean.of(&x)), [1.0, 9.0, 5.5, 3.0, 0.0, 5.0, 8.0, 4.0, -6.0, 7.0, 1.0, 1.0]);
        assert_eq!((mean.asked(), mean.len()), (&[3][..], 6));
        let max = Pooled::new(PoolBy::Max, 3, &[4, 2], &asked);
        assert_eq!(values(max.of(&x)), [1.0, 9.0, 8.0, 5.0, 8.0, 4.0, -6.0, 7.0, 1.0, 1.0]);
    }

    #[test]
    fn a_window_of_one_is_the_encoder_and_asked_tokens_come_last() {
        let config = BertConfig { max_position_embeddings: 16, ..BertConfig::bert(40, 24, 3, 3, 32) }.with_dropout(0.0);
        let model = TaskModel::new(&config, Parts::NONE, &Device::flex()).unwrap().initialized(&config, 3);
        let (ids, mask) = ((1..13).collect::<Vec<i32>>(), [1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0]);
        let batch = RaggedBatch::from_host([2, 6], &ids, &[0; 12], &mask, &Device::flex());
        let none = [vec![], vec![]];
        let one = Pooled::new(PoolBy::Mean, 1, &[5, 3], &none);
        let (pooled, plain) = (values(model.encode_pooled(&batch, &one)), values(model.encode_ragged(&batch, None)));
        assert!(pooled.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5));
        // The tokens that are asked for see all of the text.
        let two = Pooled::new(PoolBy::Mean, 2, &[5, 3], &[vec![1, 4], vec![2]]);
        assert_eq!(two.texts, [TextRows { queries: 5, keys: 5 }, TextRows { queries: 3, keys: 3 }]);
        assert_eq!(two.asked(), [3, 4, 7]);
        assert_eq!(model.encode_pooled(&batch, &two).dims(), [1, 8, 24]);
    }
}
