//! Word, position and segment embeddings; plain or factorised with a trigram view.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};

use crate::{BertConfig, Norm, TokenBatch};

/// BERT's embedding, with MobileBERT's factorised trigram form as an option.
///
/// - plain: `e = word[id]`
/// - factorised: `e = W word[id] + b`
/// - trigram (Sun et al. 2020): `e = W [word[next]; word[id]; word[previous]] + b`, zeros outside
///   the sequence; a width-3 convolution.
///
/// Then `Norm(e + position + segment)` and dropout.
#[derive(Module, Debug)]
pub struct Embeddings {
    /// Word table, `[vocab, embed]`.
    pub word_embeddings: Embedding,
    /// From the word table's width (three times it for trigrams) to the hidden width.
    pub projection: Option<Linear>,
    /// Position table, `[positions, hidden]`.
    pub position_embeddings: Embedding,
    /// Segment table, `[segments, hidden]`.
    pub token_type_embeddings: Embedding,
    /// Normalisation of the sum.
    pub norm: Norm,
    dropout: Dropout,
    trigram: bool,
}

impl Embeddings {
    /// Builds the embedding that `config` describes; weights are lazy until loaded or initialised.
    pub fn new(config: &BertConfig, device: &Device) -> Self {
        let (embed, hidden) = (config.embed_width(), config.hidden_size);
        let projection = config.embedding_size.map(|_| {
            let input = if config.trigram_input { 3 * embed } else { embed };
            LinearConfig::new(input, hidden).init(device)
        });
        Self {
            word_embeddings: EmbeddingConfig::new(config.vocab_size, embed).init(device),
            projection,
            position_embeddings: EmbeddingConfig::new(config.max_position_embeddings, hidden).init(device),
            token_type_embeddings: EmbeddingConfig::new(config.type_vocab_size, hidden).init(device),
            norm: Norm::new(config.normalization_type, hidden, config.layer_norm_eps, device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            trigram: config.trigram_input,
        }
    }

    /// # Shapes
    /// - `batch`: `[batch, seq]`, seq at most `max_position_embeddings`
    /// - output: `[batch, seq, hidden]`
    pub fn forward(&self, batch: &TokenBatch) -> Tensor<3> {
        let [size, seq] = batch.dims();
        let device = batch.ids.device();
        let mut words = self.word_embeddings.forward(batch.ids.clone());
        if self.trigram {
            words = trigram(words);
        }
        if let Some(projection) = &self.projection {
            words = projection.forward(words);
        }
        let positions = Tensor::<1, Int>::arange(0..seq as i64, &device).reshape([1, seq]);
        let positions = self.position_embeddings.forward(positions).expand([size as i64, -1, -1]);
        let segments = self.token_type_embeddings.forward(batch.type_ids.clone());
        self.dropout.forward(self.norm.forward(words + segments + positions))
    }
}

/// `[next; current; previous]` along the last axis, zeros outside the sequence.
fn trigram(words: Tensor<3>) -> Tensor<3> {
    let [batch, seq, embed] = words.dims();
    let edge = Tensor::zeros([batch, 1, embed], &words.device());
    if seq == 1 {
        return Tensor::cat(vec![edge.clone(), words, edge], 2);
    }
    let next = Tensor::cat(vec![words.clone().narrow(1, 1, seq - 1), edge.clone()], 1);
    let previous = Tensor::cat(vec![edge, words.clone().narrow(1, 0, seq - 1)], 1);
    Tensor::cat(vec![next, words, previous], 2)
}
