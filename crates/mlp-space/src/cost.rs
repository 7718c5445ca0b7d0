//! Parameters and multiply-adds of a student, counted exactly.
//!
//! MACs are multiply-adds of matrix products, each counted once; element-wise work, softmax and normalisation are not
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

/// Every size of an EfficientBERT student apart from its feed-forward expressions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentShape {
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Width of the token embedding; three neighbours are concatenated and projected to `hidden`.
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

    /// EfficientBERT-TINY and, with the doubled architecture, EfficientBERT++: width 360.
    pub fn efficientbert_tiny() -> Self {
        Self { hidden: 360, base: 360, ..Self::efficientbert() }
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

    /// Parameters of embedding, encoder and, where there is one, the distillation projection; no pooler, no classifier.
    ///
    /// With `V, E, H, P, S` = vocab, embed, hidden, positions, segments and `L` layers:
    /// `V E + (3 E H + H) + P H + S H + 2 H` for the embedding with its LayerNorm, `4 (H H + H) + 2 H` for each layer's
    /// attention with its LayerNorm, [`feed_forward`] for each layer, and `H T + T` for a projection to teacher width `T`.
    pub fn parameters(&self, ids: &[LinearId]) -> u64 {
        let [v, e, h, p, s] =
            [self.vocab, self.embed, self.hidden, self.max_positions, self.segments].map(|n| n as u128);
        let embedding = v * e + 3 * e * h + h + p * h + s * h + 2 * h;
        let attention = 4 * (h * h + h) + 2 * h;
        let fit = self.fit.map_or(0, |t| (h + 1) * t as u128);
        saturate(embedding + ids.len() as u128 * attention + self.feed_forwards(ids, |c| c.params) + fit)
    }

    /// Multiply-adds of embedding projection and encoder for one sequence of `seq` tokens: `s (3 E H + 4 L H H + F)` for the
    /// matrix products per token, where `F` sums [`feed_forward`] over the layers, and `2 L s s H` for scores and mixing.
    /// The distillation projection is not counted: a deployed student does not run it.
    pub fn macs(&self, ids: &[LinearId], seq: usize) -> u64 {
        let [e, h, s, layers] = [self.embed, self.hidden, seq, ids.len()].map(|n| n as u128);
        let per_token = 3 * e * h + 4 * layers * h * h + self.feed_forwards(ids, |c| c.macs);
        saturate(s.saturating_mul(per_token).saturating_add((2 * layers * h).saturating_mul(s).saturating_mul(s)))
    }

    /// [`StudentShape::parameters`] and [`StudentShape::macs`] together.
    pub fn cost(&self, ids: &[LinearId], seq: usize) -> Cost {
        Cost { params: self.parameters(ids), macs: self.macs(ids, seq) }
    }

    /// Parameters of a sentence classifier on top: pooler `H H + H` and `classes` outputs `H C + C`.
    pub fn classifier_parameters(&self, classes: usize) -> u64 {
        let (h, c) = (self.hidden as u128, classes as u128);
        saturate(h * h + h + (h + 1).saturating_mul(c))
    }

    fn feed_forwards(&self, ids: &[LinearId], part: impl Fn(Cost) -> u64) -> u128 {
        ids.iter().map(|id| u128::from(part(feed_forward(*id, self.hidden, self.base)))).sum()
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

    #[test]
    fn the_largest_accepted_sizes_do_not_overflow() {
        let n = MAX_SIZE;
        let shape = StudentShape {
            vocab: n,
            embed: n,
            hidden: n,
            base: n,
            heads: 1,
            max_positions: n,
            segments: n,
            fit: Some(n),
        };
        assert_eq!(shape.check(), Ok(()));
        let ids = [LinearId::LARGEST; 256];
        assert!(shape.parameters(&ids) > 1 << 50);
        assert_eq!(shape.macs(&ids, usize::MAX), u64::MAX);
    }
}
