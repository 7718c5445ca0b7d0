//! The student whose feed-forwards are searched: everything that stays the same.

use encoder_spec::{BertConfig, Encoder, Parts, student_config, student_frame, supernet_architecture};
use mlp_space::cost::feed_forward;
use mlp_space::encode::{self, Numbering};
use mlp_space::{Architecture, Heights, LinearId, Space, StudentShape, Widths};
use serde::{Deserialize, Serialize};

use crate::budget::Cost;
use crate::error::{Error, Result};

/// How architectures are shown to a learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Counts of operators by position, stacks, ratios and sizes: facts a tree can split on.
    #[default]
    Rich,
    /// EfficientBERT's: operator numbers in prefix order (stages 1 and 2), id numbers (stage 3).
    Reference,
}

/// What all architectures of a search share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Student {
    /// Hidden and base width, and how operands of different width meet.
    pub widths: Widths,
    /// Number of layers.
    pub layers: usize,
    /// Parameters and MACs of everything but the searched feed-forwards.
    pub fixed: Cost,
    /// Tokens per sequence, for the MACs of the feed-forwards.
    pub seq: usize,
    /// How architectures are shown to a learner.
    pub encoding: Encoding,
}

impl Student {
    /// An EfficientBERT of `layers` layers; MACs are counted for one sequence of `seq` tokens.
    ///
    /// # Errors
    /// [`Error::Space`] if the shape is impossible or there are no layers or tokens.
    pub fn efficientbert(shape: &StudentShape, layers: usize, seq: usize) -> Result<Self> {
        shape.check().map_err(space)?;
        Self::new(&student_frame(shape, layers), Parts::NONE, seq)
    }

    /// The student that `frame` describes but for its feed-forwards, with these parts; all of its weights count, also those of a
    /// distillation projection and of heads. MACs are counted for one sequence of `seq` tokens.
    ///
    /// # Errors
    /// [`Error::Space`] if the configuration is not a student's, or there are no layers or tokens.
    pub fn new(frame: &BertConfig, parts: Parts, seq: usize) -> Result<Self> {
        let layers = frame.num_hidden_layers;
        if layers == 0 || seq == 0 {
            return Err(Error::Space(format!("{layers} layers, {seq} tokens: both must be at least 1")));
        }
        // One architecture is counted and its feed-forwards are taken off: the rest is what all have in common.
        let config = student_config(frame, &supernet_architecture(layers).map_err(space)?).map_err(space)?;
        let count = Encoder::describe(&config, parts).map_err(space)?.count(seq);
        let searched = count.layers.iter().fold(Cost::default(), |sum, layer| sum + *layer);
        let fixed = Cost {
            params: count.params().saturating_sub(searched.params),
            macs: count.macs().saturating_sub(searched.macs),
        };
        let widths = Widths { base: frame.intermediate_size, ..Widths::square(frame.hidden_size) };
        Ok(Self { widths, layers, fixed, seq, encoding: Encoding::Rich })
    }

    /// The same student shown to learners in another way.
    #[must_use]
    pub fn with_encoding(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// Cost of one layer's feed-forwards.
    pub fn layer_cost(&self, id: LinearId) -> Cost {
        let cost = feed_forward(id, self.widths.hidden, self.widths.base);
        Cost { params: cost.params, macs: cost.macs.saturating_mul(self.seq as u64) }
    }

    /// Cost of the whole student.
    pub fn cost(&self, genome: &Architecture) -> Cost {
        genome.ids().iter().fold(self.fixed, |sum, &id| sum + self.layer_cost(id))
    }

    /// The expressions that may stand in a layer.
    pub(super) fn expressions(&self) -> Space {
        Space { heights: Heights::default(), widths: Some(self.widths) }
    }

    /// Whether every layer of `genome` may stand in this student.
    pub(super) fn check(&self, genome: &Architecture) -> Result<()> {
        let detail = if genome.layers().len() == self.layers {
            let rules = genome.validate(Heights::default());
            match rules.and_then(|()| genome.check_widths(self.widths)) {
                Ok(()) => return Ok(()),
                Err(broken) => broken.to_string(),
            }
        } else {
            format!("it has {} layers, the student has {}", genome.layers().len(), self.layers)
        };
        Err(Error::Genome { text: genome.to_string(), detail })
    }

    /// The encoding of expressions (stages 1 and 2).
    pub(super) fn encode(&self, genome: &Architecture, numbering: Numbering) -> Vec<f64> {
        match self.encoding {
            Encoding::Rich => encode::rich(genome, self.widths),
            Encoding::Reference => encode::reference(genome, numbering),
        }
    }

    /// The encoding of stack counts and ratios (stage 3).
    pub(super) fn encode_ids(&self, genome: &Architecture) -> Vec<f64> {
        match self.encoding {
            Encoding::Rich => encode::id_features(genome, self.widths),
            Encoding::Reference => encode::ids(genome),
        }
    }
}

fn space(reason: impl ToString) -> Error {
    Error::Space(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlp_space::released::preset;

    #[test]
    fn the_cost_of_a_student_is_that_of_its_description() {
        let shape = StudentShape::efficientbert();
        let student = Student::efficientbert(&shape, 6, 128).unwrap();
        for name in ["efficientbert", "stage1-winner", "warm-up"] {
            let genome = preset(name).unwrap();
            let config = student_config(&student_frame(&shape, 6), &genome).unwrap();
            let whole = Encoder::describe(&config, Parts::NONE).unwrap().count(128);
            assert_eq!(student.cost(&genome), Cost { params: whole.params(), macs: whole.macs() });
        }
        // The published size of EfficientBERT, with the distillation projection.
        assert_eq!(student.cost(&preset("efficientbert").unwrap()).params, 15_737_724);
    }

    #[test]
    fn an_architecture_of_another_depth_is_refused_with_both_depths() {
        let student = Student::efficientbert(&StudentShape::efficientbert(), 4, 128).unwrap();
        let message = student.check(&preset("efficientbert").unwrap()).unwrap_err().to_string();
        assert!(message.contains("6 layers") && message.contains("4"), "{message}");
    }
}
