//! One comparison of a teacher's layer with a student's, and its check against both models.

use bert_core::{BertConfig, layer_parts};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Feature, MatchLoss, Schedule};

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
    #[serde(default = "one")]
    pub weight: Schedule,
}

fn one() -> Schedule {
    Schedule::Constant(1.0)
}

/// Layers, width and heads of a model as an objective sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of layers.
    pub layers: usize,
    /// Width of the hidden states it returns.
    pub width: usize,
    /// Number of attention heads of every layer; 0 where layers have different numbers of them.
    pub heads: usize,
    /// Word pieces that its masked-language-model head scores, where it has one.
    pub words: Option<usize>,
}

impl Shape {
    /// The shape of a configuration's encoder.
    pub fn of(config: &BertConfig) -> Self {
        Self { layers: config.num_hidden_layers, width: config.state_width(), heads: heads(config), words: None }
    }

    /// The shape of a configuration's encoder, and of a masked-language-model head where there is one.
    pub fn with_words(config: &BertConfig, head: bool) -> Self {
        Self { words: head.then_some(config.vocab_size), ..Self::of(config) }
    }
}

/// The heads that all layers have, else 0.
fn heads(config: &BertConfig) -> usize {
    let parts = layer_parts(config).unwrap_or_default();
    let mut each = parts.iter().map(|layer| layer.attention.map_or(0, |attention| attention.heads));
    match each.next() {
        None => config.num_attention_heads,
        Some(first) => {
            if each.all(|heads| heads == first) {
                first
            } else {
                0
            }
        }
    }
}

impl LayerMatch {
    /// Checks what can be checked without the models.
    ///
    /// # Errors
    /// What is wrong and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        let (feature, loss) = (self.feature, self.loss);
        if !feature.losses().contains(&loss) {
            let names: Vec<String> = feature.losses().iter().map(MatchLoss::to_string).collect();
            let of_distributions = matches!(loss, MatchLoss::CrossEntropy | MatchLoss::Kl);
            let hint = match feature {
                Feature::AttentionScores if of_distributions => "; distributions are compared by attention_probs",
                _ => "",
            };
            return Err(format!("loss {loss} is not for feature {feature}, which takes {}{hint}", names.join(", ")));
        }
        if !self.weight.numbers().iter().all(|w| w.is_finite() && *w >= 0.0) {
            return Err(format!("weight {:?} is not a number from 0 up", self.weight.numbers()));
        }
        Ok(())
    }

    /// Checks the entry against both models.
    ///
    /// # Errors
    /// What does not fit.
    pub fn fits(&self, student: Shape, teacher: Shape) -> Result<(), String> {
        self.check()?;
        let name = self.feature;
        let lowest = usize::from(self.feature != Feature::Embedding);
        for (who, layer, model) in [("teacher", self.teacher, teacher), ("student", self.student, student)] {
            let highest = if lowest == 0 { 0 } else { model.layers };
            if !(lowest..=highest).contains(&layer) {
                return Err(format!("{who} layer {layer} is outside {lowest}..={highest} for feature {name}"));
            }
        }
        if !self.feature.is_state() && student.heads == 0 {
            return Err(format!(
                "{name} is compared head by head with the teacher's {} heads, and the student's layers have other numbers of heads, or \
                 none; compare hidden states instead",
                teacher.heads
            ));
        }
        if !self.feature.is_state() && student.heads != teacher.heads {
            return Err(format!(
                "{name} needs equal heads; the student has {}, the teacher {}",
                student.heads, teacher.heads
            ));
        }
        if self.feature.is_state() && student.width != teacher.width {
            return Err(format!(
                "{name} needs equal widths; the student gives {}, the teacher {}; a student is projected to the teacher's width by `fit_size` in its configuration",
                student.width, teacher.width
            ));
        }
        Ok(())
    }
}

/// Reads entries one by one, so that an error names its entry.
pub(super) fn numbered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LayerMatch>, D::Error> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<LayerMatch>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("entries [[distill.match]]")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<LayerMatch>, A::Error> {
            let mut found = Vec::new();
            loop {
                let number = found.len() + 1;
                match entries.next_element() {
                    Ok(Some(entry)) => found.push(entry),
                    Ok(None) => return Ok(found),
                    Err(error) => return Err(de::Error::custom(format!("`match`, entry {number}: {error}"))),
                }
            }
        }
    }
    deserializer.deserialize_seq(Entries)
}
