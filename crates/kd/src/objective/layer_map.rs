//! The layer map and its check against both models.

use bert_core::{BertConfig, EncodeOptions};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Output of the embedding (layer number 0 on both sides).
    Embedding,
    /// Output of a layer, after the distillation projection where the student has one.
    Hidden,
    /// Attention scores before the softmax, mask included.
    AttentionScores,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchLoss {
    /// Mean squared error.
    Mse,
    /// Cross-entropy of the attention distributions; attention only.
    CrossEntropy,
}

/// One comparison. Layers are counted from 1; 0 is the embedding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerMatch {
    /// Teacher layer.
    pub teacher: usize,
    /// Student layer.
    pub student: usize,
    /// What is compared.
    pub feature: Feature,
    /// How.
    pub loss: MatchLoss,
    /// Factor of this term.
    pub weight: f64,
}

/// Layers, width and heads of a model as the map sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of layers.
    pub layers: usize,
    /// Width of the hidden states it hands out.
    pub width: usize,
    /// Number of attention heads.
    pub heads: usize,
}

impl Shape {
    /// The shape of a configuration's encoder.
    pub fn of(config: &BertConfig) -> Self {
        Self {
            layers: config.num_hidden_layers,
            width: config.fit_size.unwrap_or(config.hidden_size),
            heads: config.num_attention_heads,
        }
    }
}

/// All comparisons of an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerMap(pub Vec<LayerMatch>);

impl LayerMap {
    /// EfficientBERT's map (Dong et al. 2021): student layer i (from 1) learns from teacher layer
    /// `i * Lt / Ls`, attention scores and hidden states by MSE, and the embedding; all weights 1.
    ///
    /// # Errors
    /// The teacher's layers are no multiple of the student's.
    pub fn efficientbert(student: Shape, teacher: Shape) -> Result<Self> {
        if !teacher.layers.is_multiple_of(student.layers) {
            return Err(Error::Mismatch(format!(
                "the teacher's {} layers are no multiple of the student's {}; give a layer map",
                teacher.layers, student.layers
            )));
        }
        let ratio = teacher.layers / student.layers;
        let entry = |layer: usize, feature| LayerMatch {
            teacher: layer * ratio,
            student: layer,
            feature,
            loss: MatchLoss::Mse,
            weight: 1.0,
        };
        let mut entries = vec![entry(0, Feature::Embedding)];
        for layer in 1..=student.layers {
            entries.push(entry(layer, Feature::AttentionScores));
            entries.push(entry(layer, Feature::Hidden));
        }
        Ok(Self(entries))
    }

    /// [`LayerMap::efficientbert`] of two models, checked.
    ///
    /// # Errors
    /// Layers, widths or heads that do not fit.
    pub fn between(student: &BertConfig, teacher: &BertConfig) -> Result<Self> {
        let (s, t) = (Shape::of(student), Shape::of(teacher));
        let map = Self::efficientbert(s, t)?;
        map.validate(s, t)?;
        Ok(map)
    }

    /// What both models have to hand out for the map.
    pub fn options(&self) -> EncodeOptions {
        let compares_scores = |m: &LayerMatch| m.feature == Feature::AttentionScores;
        EncodeOptions {
            hidden_states: !self.0.iter().all(compares_scores),
            attention_scores: self.0.iter().any(compares_scores),
        }
    }

    /// Checks every entry against both models before any training.
    ///
    /// # Errors
    /// [`Error::LayerMap`] naming the entry.
    pub fn validate(&self, student: Shape, teacher: Shape) -> Result<()> {
        if self.0.is_empty() {
            return Err(Error::LayerMap { entry: 1, message: "the map is empty".into() });
        }
        for (i, m) in self.0.iter().enumerate() {
            let fail = |message: String| Err(Error::LayerMap { entry: i + 1, message });
            let lowest = usize::from(m.feature != Feature::Embedding);
            for (who, layer, model) in [("teacher", m.teacher, teacher), ("student", m.student, student)] {
                let highest = if lowest == 0 { 0 } else { model.layers };
                if !(lowest..=highest).contains(&layer) {
                    return fail(format!("{who} layer {layer} is outside {lowest}..={highest}"));
                }
            }
            if m.feature == Feature::AttentionScores {
                if student.heads != teacher.heads {
                    return fail(format!(
                        "attention scores need equal heads; the student has {}, the teacher {}",
                        student.heads, teacher.heads
                    ));
                }
            } else {
                if student.width != teacher.width {
                    return fail(format!(
                        "hidden states need equal widths; the student gives {}, the teacher {} (set fit_size)",
                        student.width, teacher.width
                    ));
                }
                if m.loss == MatchLoss::CrossEntropy {
                    return fail("cross_entropy compares attention scores only".into());
                }
            }
            if !(m.weight.is_finite() && m.weight >= 0.0) {
                return fail(format!("weight {} is not a number from 0 up", m.weight));
            }
        }
        Ok(())
    }
}
