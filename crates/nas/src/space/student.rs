//! The student whose feed-forwards are searched: everything that stays the same.

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
        shape.check().map_err(|e| Error::Space(e.to_string()))?;
        if layers == 0 || seq == 0 {
            return Err(Error::Space(format!("{layers} layers, {seq} tokens: both must be at least 1")));
        }
        let ids = vec![LinearId::LARGEST; layers];
        let whole = shape.cost(&ids, seq);
        let widths = Widths { hidden: shape.hidden, base: shape.base, align: Default::default() };
        let mut student = Self { widths, layers, fixed: Cost::default(), seq, encoding: Encoding::Rich };
        let searched = ids.iter().fold(Cost::default(), |sum, &id| sum + student.layer_cost(id));
        student.fixed = Cost {
            params: whole.params.saturating_sub(searched.params),
            macs: whole.macs.saturating_sub(searched.macs),
        };
        Ok(student)
    }

    /// The same student shown to learners in another way.
    #[must_use]
    pub fn with_encoding(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// Cost of one layer's feed-forwards.
    #[must_use]
    pub fn layer_cost(&self, id: LinearId) -> Cost {
        let cost = feed_forward(id, self.widths.hidden, self.widths.base);
        Cost { params: cost.params, macs: cost.macs.saturating_mul(self.seq as u64) }
    }

    /// Cost of the whole student.
    #[must_use]
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

#[cfg(test)]
mod tests {
    use super::*;
    use mlp_space::released::preset;

    #[test]
    fn the_cost_of_a_student_is_the_fixed_part_plus_its_layers() {
        let shape = StudentShape::efficientbert();
        let student = Student::efficientbert(&shape, 6, 128).unwrap();
        for name in ["efficientbert", "stage1-winner", "warm-up"] {
            let genome = preset(name).unwrap();
            let whole = shape.cost(genome.ids(), 128);
            assert_eq!(student.cost(&genome), Cost { params: whole.params, macs: whole.macs });
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
