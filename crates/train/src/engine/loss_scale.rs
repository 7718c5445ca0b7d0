//! The factor of the loss where gradients are in `f16`.

use serde::{Deserialize, Serialize};

use super::Precision;

/// Steps with finite gradients after which the factor is doubled, as in PyTorch's `GradScaler`.
const PATIENCE: u32 = 2000;

/// The factor is 2 to the power of this at first, as in PyTorch's.
const START: u32 = 16;

/// And at most to the power of this, far from where `f32` ends.
const MOST: u32 = 24;

/// Dynamic loss scaling (Micikevicius et al. 2018): `f16` has no numbers below 6e-8, so the loss is multiplied by a factor before it
/// is back-propagated, and gradients are divided by it before they are used.
///
/// The factor is a power of two, which rounds nothing. It is halved where a gradient is not finite, and doubled after
/// 2000 steps in a row in which all were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LossScale {
    exponent: u32,
    finite: u32,
}

impl LossScale {
    /// That of a new training; none where gradients have the range of `f32`.
    pub fn of(precision: Precision) -> Option<Self> {
        (precision == Precision::F16).then_some(Self { exponent: START, finite: 0 })
    }

    /// The factor.
    pub fn factor(&self) -> f64 {
        f64::from(self.exponent).exp2()
    }

    /// The factor, 1 where there is none.
    pub fn factor_of(scale: Option<&Self>) -> f64 {
        scale.map_or(1.0, Self::factor)
    }

    /// Notes a step with finite gradients.
    pub fn grow(&mut self) {
        self.finite += 1;
        if self.finite == PATIENCE {
            *self = Self { exponent: (self.exponent + 1).min(MOST), finite: 0 };
        }
    }

    /// Half the factor, for a step whose gradients are not finite; `None` where it is 1, so that it is not to blame.
    pub fn halved(&self) -> Option<Self> {
        Some(Self { exponent: self.exponent.checked_sub(1)?, finite: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_halved_down_to_one_and_doubled_after_many_finite_steps() {
        assert_eq!(LossScale::of(Precision::F32), None);
        assert_eq!(LossScale::of(Precision::Bf16), None);
        let start = LossScale::of(Precision::F16).unwrap();
        assert_eq!(start.factor(), 65536.0);
        let all: Vec<f64> = std::iter::successors(Some(start.clone()), LossScale::halved).map(|s| s.factor()).collect();
        assert_eq!((all.len(), all[1], all[16]), (17, 32768.0, 1.0));

        let mut scale = start.halved().unwrap();
        (1..PATIENCE).for_each(|_| scale.grow());
        assert_eq!(scale.factor(), 32768.0);
        scale.grow();
        assert_eq!(scale, start);
        (0..20 * PATIENCE).for_each(|_| scale.grow());
        assert_eq!(scale.factor(), 16_777_216.0, "and no larger");
    }
}
