//! Word, position and segment embeddings; plain or factorised with a trigram view.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fused_ops::{dense, dropout, embedding, embedding_sum, trigram};

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
            norm: Norm::new(config.normalization_type, hidden, config.outer_norm_eps(), device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            trigram: config.trigram_input,
        }
    }

    /// # Shapes
    /// - `batch`: `[batch, seq]`, seq at most `max_position_embeddings`
    /// - output: `[batch, seq, hidden]`
    pub fn forward(&self, batch: &TokenBatch) -> Tensor<3> {
        let mut words = embedding(self.word_embeddings.weight.val(), batch.ids.clone());
        if self.trigram {
            words = trigram(words);
        }
        if let Some(projection) = &self.projection {
            words = dense(projection, words);
        }
        let (positions, segments) = (self.position_embeddings.weight.val(), self.token_type_embeddings.weight.val());
        let sum = embedding_sum(words, positions, segments, batch.type_ids.clone());
        dropout(self.norm.forward(sum), &self.dropout)
    }
}
