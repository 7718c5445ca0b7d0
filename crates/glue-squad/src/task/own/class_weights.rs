//! How much an example of each class counts in training.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Weights of classes: the loss of an example is multiplied by that of its class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClassWeights {
    /// All classes count the same together, however often they are: `rows / (classes * rows of the class)`, as scikit-learn's `class_weight="balanced"`.
    Named(Balanced),
    /// One for each class, in their order.
    Given(Vec<f32>),
}

/// The word for weights that follow from the training file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Balanced {
    /// The only word.
    Balanced,
}

impl ClassWeights {
    /// Weights that follow from the numbers of rows of each class. A class without rows has weight 1.
    pub(super) fn balanced(rows: &[u64]) -> Self {
        let all = rows.iter().sum::<u64>() as f64;
        let weight = |count: &u64| if *count == 0 { 1.0 } else { all / (rows.len() as f64 * *count as f64) };
        Self::Given(rows.iter().map(|count| weight(count) as f32).collect())
    }

    /// What is wrong with weights for so many classes.
    pub(super) fn fault(&self, classes: usize) -> Option<String> {
        let Self::Given(weights) = self else { return None };
        if classes > 0 && weights.len() != classes {
            return Some(format!("class_weights: {} weights for {classes} classes", weights.len()));
        }
        let wrong = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0))?;
        Some(format!("class_weights: {wrong} is no number above 0"))
    }
}

impl FromStr for ClassWeights {
    type Err = String;

    /// `balanced`, or numbers that commas separate.
    fn from_str(given: &str) -> Result<Self, String> {
        if given == "balanced" {
            return Ok(Self::Named(Balanced::Balanced));
        }
        let numbers = given.split(',').map(|part| part.trim().parse());
        let weights = numbers.collect::<Result<Vec<f32>, _>>();
        weights
            .map(Self::Given)
            .map_err(|_| "use `balanced`, or a number for each class, separated by commas".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0] * 6 + [1] * 3 + [2])
        let ClassWeights::Given(weights) = ClassWeights::balanced(&[6, 3, 1]) else { panic!("numbers") };
        for (found, expected) in weights.iter().zip([5.0 / 9.0, 10.0 / 9.0, 10.0 / 3.0]) {
            assert!((found - expected).abs() < 1e-6);
        }
        assert_eq!(ClassWeights::balanced(&[2, 0]), ClassWeights::Given(vec![0.5, 1.0]));
    }

    #[test]
    fn weights_are_read_from_words_and_numbers_and_wrong_ones_are_named() {
        assert_eq!("balanced".parse(), Ok(ClassWeights::Named(Balanced::Balanced)));
        assert_eq!("1, 2.5".parse(), Ok(ClassWeights::Given(vec![1.0, 2.5])));
        assert!("equal".parse::<ClassWeights>().unwrap_err().contains("balanced"));
        let fault = |weights: &[f32], classes| ClassWeights::Given(weights.to_vec()).fault(classes);
        assert_eq!(fault(&[1.0, 2.0], 2), None);
        assert!(fault(&[1.0], 2).unwrap().contains("1 weights for 2 classes"));
        assert!(fault(&[1.0, 0.0], 2).unwrap().contains("0 is no number above 0"));
    }
}
