//! Word, position and segment embeddings; plain or factorized with a trigram view.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Embedding, Linear};
use burn::tensor::{Device, Tensor};
use encoder_spec::{BertConfig, Shape};
use fused_ops::{dense, dropout, embedding, embedding_sum, trigram};

use crate::batch::TokenBatch;
use crate::norm::Norm;
use crate::spec::{linear, table};

/// BERT's embedding, with MobileBERT's factorized trigram form as an option.
///
/// - plain: `e = word[id]`
/// - factorized: `e = W word[id] + b`
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
    /// Normalization of the sum.
    pub norm: Norm,
    dropout: Dropout,
    trigram: bool,
}

impl Embeddings {
    /// Builds the embedding of `config` from its description; weights are lazy until loaded or initialized.
    pub fn new(spec: &encoder_spec::Embedding<Shape>, config: &BertConfig, device: &Device) -> Self {
        Self {
            word_embeddings: table(&spec.words, device),
            projection: spec.projection.as_ref().map(|projection| linear(&projection.linear, device)),
            position_embeddings: table(&spec.positions, device),
            token_type_embeddings: table(&spec.segments, device),
            norm: Norm::new(&spec.norm, device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            trigram: spec.projection.as_ref().is_some_and(|projection| projection.trigram),
        }
    }

    /// Computes `Norm(project(word) + position + segment)` of every token.
    ///
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
