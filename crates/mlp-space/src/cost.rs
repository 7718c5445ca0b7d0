//! Parameters and multiply-adds of a feed-forward, counted exactly, and the sizes of a student around it.
//!
//! MACs are multiply-adds of matrix products, each counted once; element-wise work, softmax and normalization are not
//! counted. All sums saturate instead of overflowing.

use crate::error::Error;
use crate::expr::LinearId;

/// Parameters, and multiply-adds for one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Cost {
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds of one forward pass, each counted once.
    pub macs: u64,
}

impl std::ops::Add for Cost {
    type Output = Self;
    /// The sum, saturating: a size beyond 64 bits is beyond any budget.
    fn add(self, other: Self) -> Self {
        Self { params: self.params.saturating_add(other.params), macs: self.macs.saturating_add(other.macs) }
    }
}

/// Cost of one layer's stacked feed-forwards; `macs` are per token.
///
/// With hidden width `H`, inner width `e = floor(base / r)` and `n` stacks: `n (H e + e + e H + H + 2 H)` parameters (the
/// last term is each feed-forward's LayerNorm) and `2 n H e` multiply-adds. The operators of the expression cost nothing.
pub fn feed_forward(id: LinearId, hidden: usize, base: usize) -> Cost {
    let (n, h, e) = (u128::from(id.stacks()), hidden as u128, id.inner_size(base) as u128);
    Cost { params: saturate(n * (2 * h * e + e + 3 * h)), macs: saturate(n * 2 * h * e) }
}

fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Every size of an EfficientBERT student except its feed-forward expressions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentShape {
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Width of the token embedding; three neighbors are concatenated and projected to `hidden`.
    pub embed: usize,
    /// Hidden width.
    pub hidden: usize,
    /// Base width of the feed-forward, `hidden` in every published EfficientBERT.
    pub base: usize,
    /// Attention heads; must divide `hidden`.
    pub heads: usize,
    /// Longest sequence.
    pub max_positions: usize,
    /// Segment types.
    pub segments: usize,
    /// Teacher width of the shared projection used for distillation only; `None` in a deployed student.
    pub fit: Option<usize>,
}

/// Largest accepted size of any field: far above any BERT, and small enough that no product of the formulas wraps.
pub const MAX_SIZE: usize = 1 << 24;

impl StudentShape {
    /// EfficientBERT: width 540, 12 heads, distilled from a teacher of width 768.
    pub fn efficientbert() -> Self {
        Self {
            vocab: 30_522,
            embed: 128,
            hidden: 540,
            base: 540,
            heads: 12,
            max_positions: 512,
            segments: 2,
            fit: Some(768),
        }
    }

    /// Whether the sizes can make a student.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the first impossible field.
    pub fn check(&self) -> Result<(), Error> {
        let fields = [
            ("vocab", self.vocab),
            ("embed", self.embed),
            ("hidden", self.hidden),
            ("base", self.base),
            ("heads", self.heads),
            ("max_positions", self.max_positions),
            ("segments", self.segments),
            ("fit", self.fit.unwrap_or(1)),
        ];
        for (field, value) in fields {
            if value == 0 || value > MAX_SIZE {
                return Err(Error::Shape { field, value, reason: format!("it must be 1 to {MAX_SIZE}") });
            }
        }
        if !self.hidden.is_multiple_of(self.heads) {
            let reason = format!("it must divide hidden = {}", self.hidden);
            return Err(Error::Shape { field: "heads", value: self.heads, reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_feed_forward_costs_what_the_reference_tables_list() {
        // `param_list` of the released configuration for width 540, in millions with four decimals.
        let listed = [
            0.5854, 0.2935, 0.1962, 0.1476, 1.1707, 0.5870, 0.3924, 0.2951, 1.7561, 0.8805, 0.5886, 0.4427, 2.3414,
            1.1740, 0.7848, 0.5902,
        ];
        for (id, millions) in LinearId::all().zip(listed) {
            let parameters = feed_forward(id, 540, 540).params as f64 / 1e6;
            assert!((parameters - millions).abs() < 6e-5, "linear{id}: {parameters}M, listed {millions}M");
        }
    }

    #[test]
    fn impossible_shapes_name_the_field() {
        let check = |shape: StudentShape| shape.check().unwrap_err().to_string();
        let good = StudentShape::efficientbert();
        assert_eq!(good.check(), Ok(()));
        assert_eq!(
            check(StudentShape { heads: 7, ..good.clone() }),
            "student shape, field `heads` = 7: it must divide hidden = 540"
        );
        assert!(check(StudentShape { heads: 0, ..good.clone() }).contains("`heads` = 0"));
        assert!(check(StudentShape { fit: Some(0), ..good.clone() }).contains("`fit` = 0"));
        assert!(check(StudentShape { vocab: usize::MAX, ..good }).contains("`vocab`"));
    }
}
