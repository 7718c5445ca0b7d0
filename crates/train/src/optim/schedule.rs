//! The learning rate over the steps.

use std::f64::consts::PI;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::written::name_or_table;
use crate::{Error, Result};

/// How the learning rate goes on after the warm-up. Written as a name (`"cosine"`) or a table
/// (`{ kind = "polynomial", power = 2.0, end = 0.1 }`).
///
/// With `rest` for the part of the decay that is still to come, from 1 after the warm-up to 0 at its end:
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// `end + (1 - end) rest`: BERT, EfficientBERT, MobileBERT's distillation.
    Linear {
        /// Factor at the end.
        #[serde(default)]
        end: f64,
        /// Steps from the start of the training to the end of the decay; 0 for the training's own.
        #[serde(default)]
        over: u64,
    },
    /// `end + (1 - end) (1 + cos(π (1 - rest))) / 2` (Loshchilov & Hutter 2017).
    Cosine {
        /// Factor at the end.
        #[serde(default)]
        end: f64,
        /// As for `Linear`.
        #[serde(default)]
        over: u64,
    },
    /// `end + (1 - end) rest^power`: CompoundGrow's, with `over` beyond a stage's steps.
    Polynomial {
        /// The power.
        power: f64,
        /// Factor at the end.
        #[serde(default)]
        end: f64,
        /// As for `Linear`.
        #[serde(default)]
        over: u64,
    },
    /// 1: TinyBERT.
    Constant {},
    /// 1, and from step `at[i]` on `factors[i]`.
    Steps {
        /// Steps, ascending.
        at: Vec<u64>,
        /// A factor for each.
        factors: Vec<f64>,
    },
    /// The background rate of MobileBERT's progressive knowledge transfer, over again every `length` steps: with `p` for the
    /// part of a phase that is over, `min(0.9 + 0.1 sqrt(1 - p), 10 p)`. Layers get their turns by [`super::Gate`].
    Phases {
        /// Steps of a phase.
        length: u64,
    },
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Table(#[serde(with = "Schedule")] Schedule);
        name_or_table(deserializer).map(|Table(schedule)| schedule)
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Linear { end: 0.0, over: 0 }
    }
}

impl Schedule {
    /// Factor of the learning rate at `step` (from 0) of `total`: linear from 0 over the first `warmup` steps, then what the
    /// schedule says.
    pub fn factor(&self, step: u64, warmup: u64, total: u64) -> f64 {
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let rest = |over: u64| {
            let last = if over == 0 { total } else { over };
            last.saturating_sub(step) as f64 / last.saturating_sub(warmup).max(1) as f64
        };
        let between = |end: f64, part: f64| end + (1.0 - end) * part;
        match self {
            Self::Linear { end, over } => between(*end, rest(*over)),
            Self::Cosine { end, over } => between(*end, 0.5 * (1.0 + (PI * (1.0 - rest(*over))).cos())),
            Self::Polynomial { power, end, over } => between(*end, rest(*over).powf(*power)),
            Self::Constant {} => 1.0,
            Self::Steps { at, factors } => {
                at.iter().zip(factors).take_while(|(at, _)| **at <= step).last().map_or(1.0, |(_, factor)| *factor)
            }
            Self::Phases { length } => {
                let part = (step % length) as f64 / *length as f64;
                (0.9 + 0.1 * (1.0 - part).sqrt()).min(10.0 * part)
            }
        }
    }

    /// Checks the numbers for a training of `total` steps of which `warmup` warm up.
    ///
    /// # Errors
    /// [`Error::Setting`] that says what is wrong.
    pub fn validate(&self, warmup: u64, total: u64) -> Result<()> {
        let fail = |message: String| Err(Error::Setting { field: "schedule", message });
        let factor = |x: f64| x >= 0.0 && x.is_finite();
        match self {
            Self::Linear { end, over } | Self::Cosine { end, over } | Self::Polynomial { end, over, .. } => {
                if !factor(*end) {
                    return fail("`end` must not be negative".into());
                }
                if *over > 0 && *over < warmup.max(total.min(1)) {
                    return fail(format!("`over` ({over}) must not be below the {warmup} steps of the warm-up"));
                }
                match self {
                    Self::Polynomial { power, .. } if !(*power > 0.0 && power.is_finite()) => {
                        fail("`power` must be above 0".into())
                    }
                    _ => Ok(()),
                }
            }
            Self::Constant {} => Ok(()),
            Self::Steps { at, factors } => {
                if at.is_empty() || at.len() != factors.len() {
                    return fail("`at` and `factors` must have one value for each change".into());
                }
                if !at.is_sorted_by(|a, b| a < b) {
                    return fail("`at` must ascend".into());
                }
                if !factors.iter().all(|f| factor(*f)) {
                    return fail("`factors` must not be negative".into());
                }
                Ok(())
            }
            Self::Phases { length: 0 } => fail("`length` must be at least 1".into()),
            Self::Phases { .. } if warmup > 0 => {
                fail("with `phases` every phase begins with its own warm-up; set `warmup_ratio` to 0".into())
            }
            Self::Phases { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Schedule, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn linear_rises_to_one_at_the_end_of_warmup_and_falls_to_zero_at_the_end() {
        let at = |step| Schedule::default().factor(step, 10, 110);
        assert_eq!([at(0), at(5), at(10), at(60), at(110), at(200)], [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]);
        assert_eq!(Schedule::default().factor(0, 0, 4), 1.0, "without warm-up");
    }

    #[test]
    fn every_shape_has_its_values() {
        let close = |json: &str, step, expected: f64| {
            let found = read(json).unwrap().factor(step, 10, 110);
            assert!((found - expected).abs() < 1e-12, "{json} at {step}: {found} instead of {expected}");
        };
        close(r#"{"kind": "linear", "end": 0.2}"#, 60, 0.6);
        close(r#"{"kind": "linear", "over": 210}"#, 110, 0.5);
        close(r#""cosine""#, 35, (1.0 + 0.5f64.sqrt()) / 2.0);
        close(r#""cosine""#, 110, 0.0);
        close(r#"{"kind": "cosine", "end": 0.1}"#, 60, 0.55);
        close(r#"{"kind": "polynomial", "power": 2}"#, 60, 0.25);
        close(r#""constant""#, 5, 0.5);
        close(r#""constant""#, 109, 1.0);
        for (step, factor) in [(5, 0.5), (10, 1.0), (49, 1.0), (50, 0.3), (80, 0.1), (109, 0.1)] {
            close(r#"{"kind": "steps", "at": [50, 80], "factors": [0.3, 0.1]}"#, step, factor);
        }
    }

    #[test]
    fn phases_are_mobilebert_s_background_rate() {
        let at = |step| read(r#"{"kind": "phases", "length": 100}"#).unwrap().factor(step, 0, 1000);
        assert_eq!((at(0), at(5), at(100), at(305)), (0.0, 0.5, 0.0, 0.5));
        assert!((at(75) - 0.95).abs() < 1e-12 && (at(99) - 0.91).abs() < 1e-12, "{} {}", at(75), at(99));
    }

    #[test]
    fn a_round_trip_keeps_every_shape() {
        for json in [
            r#""linear""#,
            r#"{"kind": "cosine", "end": 0.1, "over": 5}"#,
            r#"{"kind": "polynomial", "power": 2}"#,
            r#""constant""#,
            r#"{"kind": "steps", "at": [1], "factors": [0.5]}"#,
            r#"{"kind": "phases", "length": 7}"#,
        ] {
            let schedule = read(json).unwrap();
            assert_eq!(read(&serde_json::to_string(&schedule).unwrap()).unwrap(), schedule);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (json, word) in
            [(r#""cosinus""#, "cosine"), (r#"{"kind": "constant", "end": 1}"#, "end"), (r#"{"kind": "steps"}"#, "at")]
        {
            let message = read(json).unwrap_err();
            assert!(message.contains(word), "{message}");
        }
        for (json, word) in [
            (r#"{"kind": "linear", "end": -1}"#, "end"),
            (r#"{"kind": "linear", "over": 3}"#, "over"),
            (r#"{"kind": "polynomial", "power": 0}"#, "power"),
            (r#"{"kind": "steps", "at": [2, 2], "factors": [1, 1]}"#, "ascend"),
            (r#"{"kind": "steps", "at": [2], "factors": []}"#, "factors"),
            (r#"{"kind": "phases", "length": 0}"#, "length"),
            (r#"{"kind": "phases", "length": 5}"#, "warmup_ratio"),
        ] {
            let message = read(json).unwrap().validate(10, 100).unwrap_err().to_string();
            assert!(message.contains("schedule") && message.contains(word), "{message}");
        }
    }
}
