//! Word, position and segment embeddings; plain or factorized with a trigram view.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Embedding, Linear};
use burn::tensor::{Device, Int, Tensor, TensorData};
use encoder_spec::{BertConfig, Shape};
use fused_ops::{Ragged, dense, dropout, embedding, embedding_sum, round_table_rows, trigram};

use crate::batch::TokenBatch;
use crate::norm::Norm;
use crate::ragged::RaggedBatch;
use crate::spec::{linear, table};

/// BERT's embedding, with MobileBERT's factorized trigram form as an option.
///
/// - plain: `e = word[id]`
/// - factorized: `e = W word[id] + b`
/// - trigram (Sun et al. 2020): `e = W [word[next]; word[id]; word[previous]] + b`, zeros outside
///   the sequence; a width-3 convolution.
///
/// Then `Norm(e + position + segment)` and dropout; without a table of positions or segments, as ModernBERT, `Norm(e)`.
#[derive(Module, Debug)]
pub struct Embeddings {
    /// Word table, `[vocab, embed]`.
    pub word_embeddings: Embedding,
    /// From the word table's width (three times it for trigrams) to the hidden width.
    pub projection: Option<Linear>,
    /// Position table, `[positions, hidden]`.
    pub position_embeddings: Option<Embedding>,
    /// Segment table, `[segments, hidden]`.
    pub token_type_embeddings: Option<Embedding>,
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
            position_embeddings: spec.positions.as_ref().map(|positions| table(positions, device)),
            token_type_embeddings: spec.segments.as_ref().map(|segments| table(segments, device)),
            norm: Norm::new(&spec.norm, device),
            dropout: DropoutConfig::new(config.embedding_dropout()).init(),
            trigram: spec.projection.as_ref().is_some_and(|projection| projection.trigram),
        }
    }

    /// Whether a token is seen with its neighbors.
    pub fn has_trigrams(&self) -> bool {
        self.trigram
    }

    /// Computes `Norm(project(word) + position + segment)` of every token, without what there is no table for.
    ///
    /// # Shapes
    /// - `batch`: `[batch, seq]`, seq at most `max_position_embeddings`
    /// - output: `[batch, seq, hidden]`
    pub fn forward(&self, batch: &TokenBatch) -> Tensor<3> {
        let words = embedding(self.word_embeddings.weight.val(), batch.ids.clone());
        let mut words = round_table_rows(words);
        if self.trigram {
            words = trigram(words);
        }
        if let Some(projection) = &self.projection {
            words = dense(projection, words);
        }
        let sum = match (&self.position_embeddings, &self.token_type_embeddings) {
            (Some(positions), Some(segments)) => {
                embedding_sum(words, positions.weight.val(), segments.weight.val(), batch.type_ids.clone())
            }
            (positions, segments) => {
                let [_, seq] = batch.dims();
                let first = |table: &Embedding| table.weight.val().narrow(0, 0, seq).unsqueeze_dim(0);
                let words = positions.as_ref().map_or(words.clone(), |table| words + first(table));
                match segments {
                    Some(table) => words + embedding(table.weight.val(), batch.type_ids.clone()),
                    None => words,
                }
            }
        };
        dropout(self.norm.forward(sum), &self.dropout)
    }

    /// [`Embeddings::forward`] of texts that lie one after another; trigrams end where their text ends.
    ///
    /// # Shapes
    /// - output: `[1, tokens, hidden]`
    pub fn forward_ragged(&self, batch: &RaggedBatch) -> Tensor<3> {
        let words = embedding(self.word_embeddings.weight.val(), batch.ids.clone());
        let mut words = round_table_rows(words);
        if self.trigram {
            words = trigrams_of_texts(words, &batch.texts);
        }
        if let Some(projection) = &self.projection {
            words = dense(projection, words);
        }
        let rows = |table: &Option<Embedding>, ids: &Tensor<2, Int>| {
            table.as_ref().map(|table| embedding(table.weight.val(), ids.clone()))
        };
        let further =
            [rows(&self.position_embeddings, &batch.positions), rows(&self.token_type_embeddings, &batch.type_ids)];
        let sum = further.into_iter().flatten().fold(words, |sum, rows| sum + rows);
        dropout(self.norm.forward(sum), &self.dropout)
    }
}

/// `[x_next; x; x_previous]` along the last axis, zeros outside each text.
fn trigrams_of_texts(x: Tensor<3>, texts: &Ragged) -> Tensor<3> {
    let [_, tokens, width] = x.dims();
    let whole = trigram(x);
    let (mut factors, mut first) = (vec![1.0f32; tokens * 3], 0);
    for text in texts.texts() {
        factors[(first + text.keys - 1) * 3] = 0.0;
        factors[first * 3 + 2] = 0.0;
        first += text.keys;
    }
    let factors = Tensor::<4>::from_data(TensorData::new(factors, [1, tokens, 3, 1]), &whole.device());
    (whole.reshape([1, tokens, 3, width]) * factors).reshape([1, tokens, 3 * width])
}
