//! Encoding texts without padding, and with less important tokens dropped in the middle layers (Hou et al. 2022).
//!
//! Texts lie one after another as the rows of one long sequence. Everything but attention works on rows alone; attention is told which rows are
//! a text's ([`fused_ops::Ragged`]).

use burn::tensor::{Device, Int, Tensor, TensorData};
use encoder_spec::Pooling;
use fused_ops::{Ragged, TextRows, embedding};

use crate::attention::Attention;
use crate::encoder::BertEncoder;
use crate::task_model::TaskModel;

/// Token sequences one after another, without padding.
#[derive(Clone, Debug)]
pub struct RaggedBatch {
    /// Token ids, `[1, tokens]`.
    pub ids: Tensor<2, Int>,
    /// Segment ids, `[1, tokens]`.
    pub type_ids: Tensor<2, Int>,
    /// The place of each token in its text, from 0, `[1, tokens]`.
    pub positions: Tensor<2, Int>,
    /// Which rows are a text's.
    pub texts: Ragged,
}

impl RaggedBatch {
    /// The real tokens of a padded batch.
    ///
    /// # Shapes
    /// `ids`, `type_ids` and `mask` are row-major `[batch, seq]`; `mask` is non-zero on the first tokens of each row.
    ///
    /// # Panics
    /// A slice does not hold `batch * seq` values, or a row has no token.
    pub fn from_host([batch, seq]: [usize; 2], ids: &[i32], type_ids: &[i32], mask: &[u8], device: &Device) -> Self {
        assert!([ids.len(), type_ids.len(), mask.len()].iter().all(|n| *n == batch * seq), "values of a batch");
        let lengths: Vec<usize> = (0..batch).map(|row| length(&mask[row * seq..][..seq])).collect();
        let total: usize = lengths.iter().sum();
        let real = |values: &[i32]| {
            let rows = lengths.iter().enumerate().flat_map(|(row, n)| &values[row * seq..][..*n]);
            Tensor::from_data(TensorData::new(rows.copied().collect::<Vec<i32>>(), [1, total]), device)
        };
        let places: Vec<i32> = lengths.iter().flat_map(|n| 0..*n as i32).collect();
        Self {
            ids: real(ids),
            type_ids: real(type_ids),
            positions: Tensor::from_data(TensorData::new(places, [1, total]), device),
            texts: Ragged::of_lengths(lengths),
        }
    }
}

/// Tokens of a row of a padded batch.
pub fn length(mask: &[u8]) -> usize {
    mask.iter().take_while(|m| **m != 0).count()
}

/// Which tokens the middle layers keep.
///
/// With `L` layers, layers `0..L/2-1` see all tokens; layer `L/2-1` computes the kept ones, from all; layers up to `L-2` see the kept
/// ones alone; the last layer sees all again, the dropped ones as they came out of layer `L/2-2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The kept rows of the batch, in order.
    rows: Vec<i32>,
    /// How many of them each text has.
    texts: Vec<usize>,
}

impl Kept {
    /// The tokens for which `keep` holds, text by text.
    ///
    /// # Panics
    /// Another number of values than `lengths` add up to, or a text of which nothing is kept.
    pub fn new(lengths: &[usize], keep: &[bool]) -> Self {
        assert_eq!(lengths.iter().sum::<usize>(), keep.len(), "a value for each token");
        let rows = keep.iter().enumerate().filter(|(_, keep)| **keep).map(|(row, _)| row as i32).collect();
        let mut rest = keep;
        let count = |n: &usize| {
            let (text, after) = rest.split_at(*n);
            rest = after;
            text.iter().filter(|keep| **keep).count()
        };
        let texts: Vec<usize> = lengths.iter().map(count).collect();
        assert!(texts.iter().all(|n| *n > 0), "something of each text is kept");
        Self { rows, texts }
    }

    /// Number of kept tokens.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Fewest layers of an encoder that may drop tokens: one that drops, one without them, and the last.
pub const LAYERS_TO_DROP: usize = 3;

impl BertEncoder {
    /// Why this encoder cannot encode texts without padding; `None` where it can.
    pub fn ragged_fault(&self) -> Option<&'static str> {
        let attentions = self.layers.iter().filter_map(|layer| layer.attention.as_ref());
        if self.embeddings.position_embeddings.is_none() {
            return Some("it has no table of positions");
        }
        if attentions.into_iter().any(Attention::is_local_or_rotary) {
            return Some("its attention depends on the distance of tokens");
        }
        None
    }

    /// Computes the last hidden states of texts without padding; with `kept`, the middle layers see the kept tokens alone.
    ///
    /// The same numbers as [`BertEncoder::encode`] of each text by itself, where nothing is dropped.
    ///
    /// # Shapes
    /// - output: `[1, tokens, hidden]`
    ///
    /// # Panics
    /// A text longer than the table of positions, an encoder of which [`BertEncoder::ragged_fault`] says why, or fewer than
    /// [`LAYERS_TO_DROP`] layers with `kept`.
    pub fn encode_ragged(&self, batch: &RaggedBatch, kept: Option<&Kept>) -> Tensor<3> {
        let hidden = self.embeddings.forward_ragged(batch);
        let hidden = match kept {
            Some(kept) => self.dropping(hidden, batch, kept),
            None => self.layers.iter().fold(hidden, |h, layer| layer.forward_ragged(h, None, &batch.texts)),
        };
        match &self.final_norm {
            Some(norm) => norm.forward(hidden),
            None => hidden,
        }
    }

    fn dropping(&self, mut hidden: Tensor<3>, batch: &RaggedBatch, kept: &Kept) -> Tensor<3> {
        let count = self.layers.len();
        assert!(count >= LAYERS_TO_DROP, "{count} layers cannot drop tokens");
        let cross = count / 2 - 1;
        let (full, rest) = self.layers.split_at(cross);
        let [crossing, half @ .., last] = rest else { unreachable!("at least three layers") };
        for layer in full {
            hidden = layer.forward_ragged(hidden, None, &batch.texts);
        }
        let device = hidden.device();
        let rows = |rows: Vec<i32>| {
            let n = rows.len();
            Tensor::<2, Int>::from_data(TensorData::new(rows, [1, n]), &device)
        };
        let lengths = batch.texts.texts().iter().map(|text| text.keys);
        let [_, tokens, width] = hidden.dims();
        let all = hidden.clone().reshape([tokens, width]);
        let queries = embedding(all.clone(), rows(kept.rows.clone()));
        let some = kept.texts.iter().zip(lengths).map(|(&queries, keys)| TextRows { queries, keys });
        let mut short = crossing.forward_ragged(queries, Some(hidden), &Ragged::new(some));
        let texts = Ragged::of_lengths(kept.texts.iter().copied());
        for layer in half {
            short = layer.forward_ragged(short, None, &texts);
        }
        // Behind the kept rows stand all of them as they were: each takes its own, the new one where there is one.
        let mut merged: Vec<i32> = (0..tokens).map(|row| (kept.len() + row) as i32).collect();
        kept.rows.iter().enumerate().for_each(|(new, row)| merged[*row as usize] = new as i32);
        let both = Tensor::cat(vec![short.reshape([kept.len(), width]), all], 0);
        last.forward_ragged(embedding(both, rows(merged)), None, &batch.texts)
    }
}

impl TaskModel {
    /// Whether [`TaskModel::of_ragged_texts`] gives the scores of head `head` that [`TaskModel::forward`] gives: on the
    /// processor, where texts are read by their first token and no word sees the padding behind it, as trigrams do.
    pub fn needs_no_padding(&self, head: usize, device: &Device) -> bool {
        let reads_first = self.pooling == Pooling::Cls && self.heads[head].kind().is_on_pooled();
        let encoder = &self.encoder;
        reads_first
            && encoder.ragged_fault().is_none()
            && !encoder.embeddings.has_trigrams()
            && fused_ops::on_flex(device)
    }

    /// For each text the scores of head `head` (classes, labels, a number), which reads its first token.
    ///
    /// # Shapes
    /// - output: `[texts, outputs]`
    ///
    /// # Panics
    /// As [`BertEncoder::encode_ragged`]; a model or head that reads all tokens ([`TaskModel::needs_no_padding`]).
    pub fn of_ragged_texts(&self, head: usize, batch: &RaggedBatch) -> Tensor<2> {
        assert!(self.pooling == Pooling::Cls, "texts are read by their first token");
        let hidden = self.encode_ragged(batch, None);
        let (device, [_, tokens, width]) = (hidden.device(), hidden.dims());
        let mut next = 0;
        let begin = |text: &TextRows| {
            next += text.keys as i32;
            next - text.keys as i32
        };
        let first: Vec<i32> = batch.texts.texts().iter().map(begin).collect();
        let count = first.len();
        let rows = Tensor::from_data(TensorData::new(first, [1, count]), &device);
        let first = embedding(hidden.reshape([tokens, width]), rows).reshape([count, 1, width]);
        self.of_texts(head, first, Tensor::ones([count, 1], &device))
    }

    /// [`BertEncoder::encode_ragged`].
    ///
    /// # Panics
    /// As there.
    pub fn encode_ragged(&self, batch: &RaggedBatch, kept: Option<&Kept>) -> Tensor<3> {
        self.encoder.encode_ragged(batch, kept)
    }
}

#[cfg(test)]
mod tests {
    use encoder_spec::{BertConfig, Parts, TaskHeadConfig, TaskHeadKind, preset};

    use super::*;
    use crate::batch::TokenBatch;
    use crate::encoder::EncodeOptions;

    const LENGTHS: [usize; 3] = [7, 2, 5];

    fn model(config: &BertConfig, seed: u64) -> TaskModel {
        let config = config.clone().with_dropout(0.0);
        let wide = BertConfig { initializer_range: 0.3, ..config };
        TaskModel::new(&wide, Parts::NONE, &Device::flex()).unwrap().initialized(&wide, seed)
    }

    /// Ids, segments and mask of the texts, padded to `seq`.
    fn padded(seq: usize) -> (Vec<i32>, Vec<i32>, Vec<u8>) {
        let place = |row: usize, column: usize| column < LENGTHS[row];
        let all = |value: &dyn Fn(usize, usize) -> i32| -> Vec<i32> {
            (0..LENGTHS.len() * seq)
                .map(|i| if place(i / seq, i % seq) { value(i / seq, i % seq) } else { 0 })
                .collect()
        };
        let mask = (0..LENGTHS.len() * seq).map(|i| u8::from(place(i / seq, i % seq))).collect();
        (all(&|row, column| (1 + row * 11 + column * 3) as i32 % 40), all(&|_, column| i32::from(column > 3)), mask)
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.try_into_vec_as::<f32>().expect("float tensors convert to f32")
    }

    fn families() -> Vec<(&'static str, BertConfig)> {
        let bert = BertConfig { max_position_embeddings: 16, ..BertConfig::bert(40, 24, 6, 3, 32) };
        let mobile = BertConfig {
            vocab_size: 40,
            max_position_embeddings: 16,
            num_hidden_layers: 4,
            ..preset("mobilebert-tiny").unwrap()
        };
        vec![("bert", bert), ("mobilebert", mobile)]
    }

    #[test]
    fn texts_without_padding_have_the_hidden_states_of_padded_ones() {
        // Of BERT: a MobileBERT's trigrams see padding, as in the reference code.
        let model = model(&families()[0].1, 3);
        let (ids, types, mask) = padded(8);
        let whole = TokenBatch::from_host([3, 8], &ids, &types, &mask, &Device::flex());
        let ragged = RaggedBatch::from_host([3, 8], &ids, &types, &mask, &Device::flex());
        let expected = values(model.encode(&whole, EncodeOptions::LAST).last_hidden);
        let found = values(model.encode_ragged(&ragged, None));
        let width = found.len() / LENGTHS.iter().sum::<usize>();
        let real = (0..3).flat_map(|row| &expected[row * 8 * width..][..LENGTHS[row] * width]);
        for (i, (a, b)) in found.iter().zip(real).enumerate() {
            assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{a} instead of {b} at {i}");
        }
    }

    #[test]
    fn scores_of_texts_without_padding_are_those_of_padded_ones() {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let head = TaskHeadConfig::new("task", TaskHeadKind::Classification, names);
        let config = BertConfig { task_heads: vec![head.clone()], ..families()[0].1.clone() };
        let wide = BertConfig { initializer_range: 0.3, ..config.with_dropout(0.0) };
        let model = TaskModel::new(&wide, Parts::POOLER, &Device::flex()).unwrap().initialized(&wide, 5);
        assert!(model.needs_no_padding(0, &Device::flex()));
        let (ids, types, mask) = padded(8);
        let whole = TokenBatch::from_host([3, 8], &ids, &types, &mask, &Device::flex());
        let ragged = RaggedBatch::from_host([3, 8], &ids, &types, &mask, &Device::flex());
        let expected = values(model.forward(&whole, 0, EncodeOptions::LAST).1);
        let found = values(model.of_ragged_texts(0, &ragged));
        assert_eq!(found.len(), 9);
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{a} instead of {b}");
        }
        let searched = preset("efficientbert-tiny").unwrap();
        let searched = BertConfig { task_heads: vec![head], ..searched };
        let searched = TaskModel::new(&searched, Parts::POOLER, &Device::flex()).unwrap();
        assert!(!searched.needs_no_padding(0, &Device::flex()), "trigrams see the padding");
    }

    #[test]
    fn a_text_is_encoded_as_if_it_were_alone() {
        for (name, config) in families() {
            let model = model(&config, 4);
            assert_eq!(model.encoder.ragged_fault(), None, "{name}");
            let (ids, types, mask) = padded(8);
            let together = values(
                model.encode_ragged(&RaggedBatch::from_host([3, 8], &ids, &types, &mask, &Device::flex()), None),
            );
            let mut alone = Vec::new();
            for (row, n) in LENGTHS.into_iter().enumerate() {
                let part = row * 8..row * 8 + n;
                let (ids, types) = (&ids[part.clone()], &types[part]);
                let text = RaggedBatch::from_host([1, n], ids, types, &vec![1; n], &Device::flex());
                let whole = TokenBatch::from_host([1, n], ids, types, &vec![1; n], &Device::flex());
                let found = values(model.encode_ragged(&text, None));
                let expected = values(model.encode(&whole, EncodeOptions::LAST).last_hidden);
                let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 2e-5 * b.abs().max(1.0));
                assert!(near, "{name}: text {row} by itself");
                alone.extend(found);
            }
            let near = together.iter().zip(&alone).all(|(a, b)| (a - b).abs() <= 2e-5 * b.abs().max(1.0));
            assert!(near, "{name}");
        }
    }

    #[test]
    fn dropping_nothing_changes_nothing_and_dropping_leaves_the_first_layers_alone() {
        let (_, config) = families().remove(0);
        let model = model(&config, 5);
        let (ids, types, mask) = padded(8);
        let batch = RaggedBatch::from_host([3, 8], &ids, &types, &mask, &Device::flex());
        let all = Kept::new(&LENGTHS, &[true; 14]);
        let (plain, kept) =
            (values(model.encode_ragged(&batch, None)), values(model.encode_ragged(&batch, Some(&all))));
        assert!(plain.iter().zip(&kept).all(|(a, b)| (a - b).abs() < 1e-5));
        let keep: Vec<bool> = (0..14).map(|i| i % 2 == 0).collect();
        let some = Kept::new(&LENGTHS, &keep);
        assert_eq!((some.len(), &some.texts[..]), (7, &[4, 1, 2][..]));
        let dropped = values(model.encode_ragged(&batch, Some(&some)));
        assert!(plain.iter().zip(&dropped).any(|(a, b)| (a - b).abs() > 1e-3));
    }
}
