//! Students with drawn weights, to be timed: latency does not depend on their values.

use std::collections::BTreeMap;
use std::sync::Arc;

use bert_core::{BertConfig, Parts, student_config};
use cpu_runtime::{Model, Part};
use encoder_spec::{Encoder, Floats, MappedTensor, Shape};
use mlp_space::{Architecture, Expression};

use crate::recipe::LatencySettings;
use crate::{Error, Result};

/// Makes students of one frame; all have one word table.
pub(super) struct Networks {
    frame: BertConfig,
    settings: LatencySettings,
    words: Floats,
}

/// The frame without what no pass looks at.
pub(super) fn bare(frame: &BertConfig) -> BertConfig {
    BertConfig { fit_size: None, task_heads: Vec::new(), ..frame.clone() }
}

/// Parts of a pass of the student with these feed-forwards, of a frame with another number of layers maybe.
pub(super) fn parts_of(frame: &BertConfig, layers: &[Expression]) -> Result<Vec<Part>> {
    let frame = BertConfig { num_hidden_layers: layers.len(), ..bare(frame) };
    parts_in(&student_config(&frame, &Architecture::new(layers.to_vec())?)?)
}

/// Parts of a pass of any student, whose layers may have attention of their own or lack a part: what is absent adds none.
pub(super) fn parts_in(config: &BertConfig) -> Result<Vec<Part>> {
    Ok(cpu_runtime::parts(&outline(config)?).map_err(bert_core::Error::from)?)
}

fn outline(config: &BertConfig) -> Result<Encoder<Shape>> {
    Ok(Encoder::describe(&bare(config), Parts::default())?)
}

impl Networks {
    pub fn new(frame: &BertConfig, settings: LatencySettings) -> Self {
        let frame = bare(frame);
        let words = Floats::shared(Arc::new(values(frame.vocab_size * frame.embed_width(), 0.5)));
        // Asked once: clones know the answer.
        words.are_finite();
        Self { frame, settings, words }
    }

    /// The compiled student.
    ///
    /// # Errors
    /// An architecture that does not fit the frame.
    pub fn compile(&self, genome: &Architecture) -> Result<Model> {
        self.compile_config(&student_config(&self.frame, genome)?)
    }

    /// The compiled student of a configuration of its own.
    ///
    /// # Errors
    /// A configuration that is not valid.
    pub fn compile_config(&self, config: &BertConfig) -> Result<Model> {
        let words = [self.frame.vocab_size, self.frame.embed_width()];
        let encoder = outline(config)?.map(|path, shape| MappedTensor {
            shape: shape.clone(),
            data: if path.ends_with("word_embeddings.weight") && *shape == words {
                self.words.clone()
            } else {
                weight(path, shape).into()
            },
        });
        Ok(Model::compile(encoder, self.settings.precision).map_err(bert_core::Error::from)?)
    }
}

/// Values that keep hidden states at their size.
fn weight(path: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    match shape {
        [_] if path.ends_with("norm.weight") => vec![1.0; count],
        [_, inputs] if !path.ends_with("embeddings.weight") => values(count, 1.7 / (*inputs as f32).sqrt()),
        _ => values(count, if shape.len() == 2 { 0.5 } else { 0.1 }),
    }
}

fn values(count: usize, scale: f32) -> Vec<f32> {
    let spread = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0..count).map(|i| spread(i) * scale).collect()
}

/// Remembers the parts that a layer adds to a network, by its expression.
pub(super) struct LayerParts<'a> {
    frame: &'a BertConfig,
    known: BTreeMap<String, Vec<Part>>,
}

impl<'a> LayerParts<'a> {
    pub fn new(frame: &'a BertConfig) -> Self {
        Self { frame, known: BTreeMap::new() }
    }

    /// Parts of a network of this one layer, embedding included.
    ///
    /// # Errors
    /// An expression that does not fit the frame.
    pub fn of(&mut self, layer: &Expression) -> Result<&[Part]> {
        let key = layer.to_string();
        if !self.known.contains_key(&key) {
            let parts = parts_of(self.frame, std::slice::from_ref(layer))?;
            self.known.insert(key.clone(), parts);
        }
        self.known.get(&key).map(Vec::as_slice).ok_or_else(|| Error::Mismatch(format!("no parts of {key}")))
    }
}
