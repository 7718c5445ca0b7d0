//! What a model knows about single words: its word table and its masked-language-model head.

use std::path::Path;

use cpu_runtime::{Model, Packing, Precision};
use encoder_spec::{BertConfig, Floats, MappedTensor, MlmHead, Transform};
use model_dir::ModelDir;

use crate::Result;

/// A model directory read for its words.
pub(super) struct WordModel {
    /// The configuration.
    pub config: BertConfig,
    /// The word table, `[vocab, embed]`.
    pub table: Floats,
    /// The masked-language-model head, where the directory has one.
    pub mlm: Option<WordHead>,
    /// The encoder, where there is a head, and an encoder was asked for.
    pub encoder: Option<Model>,
}

/// A masked-language-model head, and what hidden states go through before it.
pub(super) struct WordHead {
    pub transform: Transform<MappedTensor>,
    pub head: MlmHead<MappedTensor>,
    /// Word pieces.
    pub vocab: usize,
}

impl WordModel {
    /// Reads configuration and weights, strictly; where there is a masked-language-model head and `encoder` names a number format, the
    /// encoder is compiled too. Tables in `f32` stay in the file, which must stay as it is meanwhile.
    ///
    /// # Errors
    /// As [`ModelDir::read`].
    pub fn load(dir: &Path, encoder: Option<Precision>) -> Result<Self> {
        let read = ModelDir::map(dir)?;
        read.check_finite()?;
        let (config, keep) = (read.config.clone(), read.kept_of_bytes());
        let described = read.into_encoder()?;
        let table = described.embedding.words.data.clone();
        let vocab = described.embedding.words.shape.first().copied().unwrap_or_default();
        let mlm = described.mlm.clone().zip(described.word_transform().cloned());
        let mlm = mlm.map(|(head, transform)| WordHead { transform, head, vocab });
        let encoder = match encoder.filter(|_| mlm.is_some()) {
            Some(precision) => {
                let model = Model::compile_keeping(described, precision, Packing::Ahead, &keep);
                Some(model.map_err(bert_core::Error::from)?)
            }
            None => None,
        };
        Ok(Self { config, table, mlm, encoder })
    }
}

/// What `Norm(act(W h + b))` is multiplied with for word piece `id`, given the word table: its row there and, where the head has output
/// weights of its own, theirs.
pub(super) fn output_row<'a>(head: &'a WordHead, table: &'a [f32], id: u32) -> impl Iterator<Item = f32> + 'a {
    let (width, vocab, id) = (head.transform.dense.outputs(), head.vocab, id as usize);
    let embed = table.len() / vocab;
    let extra = head.head.extra.as_ref().map(|extra| &extra.data[..]).unwrap_or_default();
    let own = (embed..width).map(move |column| extra[(column - embed) * vocab + id]);
    table[id * embed..][..embed].iter().copied().chain(own)
}
