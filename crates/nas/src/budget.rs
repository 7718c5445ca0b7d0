//! Size and latency limits, checked before anything is trained.

use std::collections::BTreeMap;
use std::fmt;

pub use mlp_space::Cost;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Hard limits of a search. A limit that is absent does not apply; a candidate exactly at a limit
/// is within it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Fewest parameters (EfficientBERT: 15 million).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_params: Option<u64>,
    /// Most parameters (EfficientBERT: 16 million).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_params: Option<u64>,
    /// Most multiply-adds of one forward pass, counted once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_macs: Option<u64>,
    /// Largest file of weights in `f32`, bytes ([`file_bytes`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Longest measured forward pass, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<f64>,
}

/// Most bytes that a `model.safetensors` has beside its weights: names, shapes and places of its tensors.
const BESIDE_WEIGHTS: u64 = 128 << 10;

/// Bytes of a `model.safetensors` with so many parameters in `f32`, with room for what it says of its tensors: an upper bound.
pub fn file_bytes(params: u64) -> u64 {
    params.saturating_mul(4).saturating_add(BESIDE_WEIGHTS)
}

/// Why a drawn candidate was not evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// Fewer parameters than the budget's minimum.
    TooFewParams,
    /// More parameters than the budget's maximum.
    TooManyParams,
    /// More multiply-adds than the budget's maximum.
    TooManyMacs,
    /// A larger file than the budget's maximum.
    TooManyBytes,
    /// Slower than the budget's maximum latency.
    TooSlow,
    /// Computes the same function as an earlier trial of the stage.
    Duplicate,
}

impl Rejection {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::TooFewParams,
        Self::TooManyParams,
        Self::TooManyMacs,
        Self::TooManyBytes,
        Self::TooSlow,
        Self::Duplicate,
    ];

    /// The name under which the study stores it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooFewParams => "too few parameters",
            Self::TooManyParams => "too many parameters",
            Self::TooManyMacs => "too many MACs",
            Self::TooManyBytes => "file too large",
            Self::TooSlow => "too slow",
            Self::Duplicate => "duplicate",
        }
    }

    /// The reason of that [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Budget {
    /// Checks that the limits can be met at all by some numbers.
    ///
    /// # Errors
    /// [`Error::Budget`] if the minimum exceeds the maximum, or a latency limit is not a positive
    /// finite number.
    pub fn validate(&self) -> Result<()> {
        if let (Some(min), Some(max)) = (self.min_params, self.max_params)
            && min > max
        {
            return Err(Error::Budget(format!("min_params {min} is above max_params {max}; swap them or drop one")));
        }
        if let Some(ms) = self.max_latency_ms
            && !(ms.is_finite() && ms > 0.0)
        {
            return Err(Error::Budget(format!("max_latency_ms {ms} must be a positive number of milliseconds")));
        }
        Ok(())
    }

    /// The first size limit that `cost` breaks.
    pub fn check(&self, cost: Cost) -> Option<Rejection> {
        if self.min_params.is_some_and(|min| cost.params < min) {
            Some(Rejection::TooFewParams)
        } else if self.max_params.is_some_and(|max| cost.params > max) {
            Some(Rejection::TooManyParams)
        } else if self.max_macs.is_some_and(|max| cost.macs > max) {
            Some(Rejection::TooManyMacs)
        } else if self.max_bytes.is_some_and(|max| file_bytes(cost.params) > max) {
            Some(Rejection::TooManyBytes)
        } else {
            None
        }
    }

    /// Whether a measured latency (milliseconds) breaks its limit.
    pub fn check_latency(&self, latency_ms: f64) -> Option<Rejection> {
        self.max_latency_ms.is_some_and(|max| latency_ms > max).then_some(Rejection::TooSlow)
    }

    /// How far `cost` is outside the size limits: the sum, over the broken limits, of the relative
    /// overshoot `|value - limit| / limit`. Zero inside.
    pub fn excess(&self, cost: Cost) -> f64 {
        let overshoot = |value: u64, limit: u64| value.abs_diff(limit) as f64 / (limit.max(1)) as f64;
        let mut excess = 0.0;
        if let Some(min) = self.min_params.filter(|&min| cost.params < min) {
            excess += overshoot(cost.params, min);
        }
        if let Some(max) = self.max_params.filter(|&max| cost.params > max) {
            excess += overshoot(cost.params, max);
        }
        if let Some(max) = self.max_macs.filter(|&max| cost.macs > max) {
            excess += overshoot(cost.macs, max);
        }
        let bytes = file_bytes(cost.params);
        if let Some(max) = self.max_bytes.filter(|&max| bytes > max) {
            excess += overshoot(bytes, max);
        }
        excess
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(min) = self.min_params {
            parts.push(format!("at least {min} parameters"));
        }
        if let Some(max) = self.max_params {
            parts.push(format!("at most {max} parameters"));
        }
        if let Some(max) = self.max_macs {
            parts.push(format!("at most {max} MACs"));
        }
        if let Some(max) = self.max_bytes {
            let params = max.saturating_sub(BESIDE_WEIGHTS) / 4;
            parts.push(format!("at most {max} bytes of weights in f32, which are {params} parameters"));
        }
        if let Some(max) = self.max_latency_ms {
            parts.push(format!("at most {max} ms"));
        }
        if parts.is_empty() {
            return f.write_str("no limits");
        }
        f.write_str(&parts.join(", "))
    }
}

/// What sizes a space can reach, seen from one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Architecture with the fewest parameters.
    pub smallest: Cost,
    /// Architecture with the most parameters.
    pub largest: Cost,
    /// Architecture that breaks the size limits least (any that meets them, if one does).
    pub nearest: Cost,
}

impl Reach {
    /// Checks that [`Reach::nearest`] meets the size limits.
    ///
    /// # Errors
    /// [`Error::Unreachable`] otherwise.
    pub fn require(&self, budget: &Budget) -> Result<()> {
        if budget.check(self.nearest).is_none() {
            return Ok(());
        }
        Err(Error::Unreachable {
            budget: *budget,
            smallest: self.smallest,
            largest: self.largest,
            nearest: self.nearest,
        })
    }
}

/// Measures how long an architecture takes.
pub trait Latency<G> {
    /// Time of one forward pass of `genome`, milliseconds.
    ///
    /// # Errors
    /// A sentence that says why it could not be measured; the run stops with it.
    fn measure(&mut self, genome: &G) -> std::result::Result<f64, String>;
}

impl<G, L: Latency<G> + ?Sized> Latency<G> for Box<L> {
    fn measure(&mut self, genome: &G) -> std::result::Result<f64, String> {
        (**self).measure(genome)
    }
}

/// Remembers measurements, so that an architecture drawn twice is timed once and keeps its number.
#[derive(Debug)]
pub struct CachedLatency<L> {
    inner: L,
    known: BTreeMap<String, f64>,
}

impl<L> CachedLatency<L> {
    /// A cache in front of `inner`.
    pub fn new(inner: L) -> Self {
        Self { inner, known: BTreeMap::new() }
    }

    /// Number of architectures measured so far.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing was measured yet.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

impl<G: fmt::Display, L: Latency<G>> Latency<G> for CachedLatency<L> {
    fn measure(&mut self, genome: &G) -> std::result::Result<f64, String> {
        let key = genome.to_string();
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        let measured = self.inner.measure(genome)?;
        self.known.insert(key, measured);
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Budget = Budget {
        min_params: Some(15),
        max_params: Some(16),
        max_macs: Some(100),
        max_bytes: None,
        max_latency_ms: Some(2.0),
    };

    #[test]
    fn a_file_holds_four_bytes_a_parameter_and_what_is_said_of_them() {
        let budget = Budget { max_bytes: Some(27_000_000), ..Budget::default() };
        let most = (27_000_000 - (128 << 10)) / 4;
        let cost = |params| Cost { params, macs: 0 };
        assert_eq!(budget.check(cost(most)), None);
        assert_eq!(budget.check(cost(most + 1)), Some(Rejection::TooManyBytes));
        assert!(budget.excess(cost(most)) == 0.0 && budget.excess(cost(2 * most)) > 0.9);
        assert!(budget.to_string().contains(&format!("{most} parameters")), "{budget}");
    }

    #[test]
    fn a_candidate_at_a_limit_is_within_it() {
        assert_eq!(WINDOW.check(Cost { params: 15, macs: 100 }), None);
        assert_eq!(WINDOW.check(Cost { params: 16, macs: 0 }), None);
        assert_eq!(WINDOW.check_latency(2.0), None);
    }

    #[test]
    fn each_broken_limit_has_its_own_reason() {
        let check = |params, macs| WINDOW.check(Cost { params, macs });
        assert_eq!(check(14, 0), Some(Rejection::TooFewParams));
        assert_eq!(check(17, 0), Some(Rejection::TooManyParams));
        assert_eq!(check(16, 101), Some(Rejection::TooManyMacs));
        assert_eq!(WINDOW.check_latency(2.1), Some(Rejection::TooSlow));
    }

    #[test]
    fn excess_grows_with_the_distance_to_the_window() {
        let excess = |params, macs| WINDOW.excess(Cost { params, macs });
        assert_eq!(excess(15, 50), 0.0);
        assert!(excess(10, 50) > excess(14, 50));
        assert!(excess(14, 150) > excess(14, 50));
    }

    #[test]
    fn contradicting_limits_are_refused_with_both_values() {
        let budget = Budget { min_params: Some(3), max_params: Some(2), ..Budget::default() };
        let message = budget.validate().unwrap_err().to_string();
        assert!(message.contains("min_params 3") && message.contains("max_params 2"), "{message}");
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let budget = Budget { max_latency_ms: Some(bad), ..Budget::default() };
            assert!(budget.validate().is_err(), "{bad} ms was accepted");
        }
    }

    #[test]
    fn every_rejection_is_found_again_by_its_name() {
        for reason in Rejection::ALL {
            assert_eq!(Rejection::from_name(reason.name()), Some(reason));
        }
        assert_eq!(Rejection::from_name("ugly"), None);
    }
}
