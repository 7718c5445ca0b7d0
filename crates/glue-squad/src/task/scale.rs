//! Numbers as training sees them.

use serde::{Deserialize, Serialize};

/// How the numbers of a regression are scaled for training: a label `y` becomes `(y - mean) / deviation`, with the mean and the standard
/// deviation of the training labels. Without that a model would need most of its training to reach a far mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The mean of the training labels.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
}

/// Numbers whose mean is at most this far from 0, and whose deviation is at most this and at least its inverse, are learned as they are.
const USUAL: f64 = 5.0;

impl Scale {
    /// Leaves numbers as they are.
    pub const NONE: Self = Self { mean: 0.0, deviation: 1.0 };

    /// The scale of numbers with this mean and standard deviation. Numbers such as those of STS-B (mean 2.7, deviation 1.5) are learned as they are.
    pub fn of(mean: f64, deviation: f64) -> Self {
        match mean.abs() <= USUAL && (1.0 / USUAL..=USUAL).contains(&deviation) {
            true => Self::NONE,
            false => Self { mean, deviation },
        }
    }

    /// The number that training sees.
    pub fn scaled(self, number: f64) -> f64 {
        (number - self.mean) / self.deviation
    }

    /// The number that a scaled one stands for.
    pub fn number(self, scaled: f64) -> f64 {
        self.mean + scaled * self.deviation
    }
}
