//! The term between logits: the teacher's, the labels, or both.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use serde::{Deserialize, Serialize};
use train::Result;
use train::losses::binary_cross_entropy;

use super::Schedule;
use super::schedule::check_term;
use crate::losses;

/// How the student's logits are compared with the teacher's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionLoss {
    /// `-softmax(t/T) log_softmax(s/T)`, mean over batch and classes, as the released codes of EfficientBERT and TinyBERT have it.
    #[default]
    SoftCrossEntropy,
    /// `KL(softmax(t/T) || softmax(s/T))`, summed over classes, mean over the batch (Hinton et al. 2015).
    Kl,
    /// Squared differences of the scores before the softmax, mean over batch and classes; has no temperature.
    Mse,
}

/// What a task of scores (STS-B) learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegressionTarget {
    /// The gold scores alone, as the released codes of EfficientBERT and TinyBERT have it.
    #[default]
    Labels,
    /// The teacher's scores and the gold ones, mixed as `hard_label` says.
    Mix,
}

/// The prediction term: `weight ((1 - hard_label) soft + hard_label hard)`, `hard` the loss on gold labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prediction {
    /// How logits are compared.
    pub loss: PredictionLoss,
    /// Whether the soft term is multiplied by `T²`, so that its gradients do not shrink as the temperature rises.
    pub t_squared: bool,
    /// What a task of scores learns from.
    pub regression: RegressionTarget,
    /// Factor of the whole term.
    pub weight: Schedule,
    /// `T`, which divides the scores of both sides.
    pub temperature: Schedule,
    /// Share of the loss on gold labels, 0 to 1.
    pub hard_label: Schedule,
}

impl Default for Prediction {
    /// The teacher's logits alone at temperature 1 (EfficientBERT, TinyBERT).
    fn default() -> Self {
        Self {
            loss: PredictionLoss::default(),
            t_squared: true,
            regression: RegressionTarget::default(),
            weight: Schedule::Constant(1.0),
            temperature: Schedule::Constant(1.0),
            hard_label: Schedule::Constant(0.0),
        }
    }
}

impl Prediction {
    /// Checks what can be checked without the models.
    ///
    /// # Errors
    /// The key, what is wrong and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        let share = "`hard_label` must lie between 0 (the teacher's logits) and 1 (labels)";
        check_term(self.weight, self.temperature, (self.hard_label, share))?;
        if self.loss == PredictionLoss::Mse && !self.temperature.numbers().iter().all(|&t| t == 1.0) {
            return Err("`temperature` has no effect on loss mse, which compares scores before the softmax".into());
        }
        Ok(())
    }

    /// Whether the teacher's logits have a share in any step.
    pub fn asks_teacher(&self) -> bool {
        match self.hard_label {
            // Outside its gate the share of labels is 0.
            Schedule::Gate { .. } => true,
            other => other.numbers().iter().any(|&share| share < 1.0),
        }
    }

    /// The schedules with their keys.
    pub(super) fn schedules(&self) -> [(&'static str, Schedule); 3] {
        [("weight", self.weight), ("temperature", self.temperature), ("hard_label", self.hard_label)]
    }

    /// The term in step `step` of `total`; `None` where its weight is 0.
    pub(super) fn at(&self, step: u64, total: u64) -> Option<PredictionTerm> {
        let weight = self.weight.at(step, total);
        (weight > 0.0).then(|| PredictionTerm {
            loss: self.loss,
            t_squared: self.t_squared,
            regression: self.regression,
            weight,
            temperature: self.temperature.at(step, total),
            hard_label: self.hard_label.at(step, total),
        })
    }
}

/// The prediction term of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictionTerm {
    loss: PredictionLoss,
    t_squared: bool,
    regression: RegressionTarget,
    weight: f64,
    temperature: f64,
    hard_label: f64,
}

impl PredictionTerm {
    /// Whether a task of classes or spans needs the teacher's logits; else the labels are all it learns from.
    pub fn asks_teacher(&self) -> bool {
        self.hard_label < 1.0
    }

    /// Whether a task of scores learns from the gold ones alone.
    pub fn regression_on_labels(&self) -> bool {
        self.regression == RegressionTarget::Labels || !self.asks_teacher()
    }

    /// The soft term between scores.
    ///
    /// # Shapes
    /// - `student`, `teacher`: `[batch, classes]`
    /// - output: `[1]`
    pub fn soft(&self, student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
        let t = self.temperature;
        let loss = match self.loss {
            PredictionLoss::SoftCrossEntropy => losses::soft_cross_entropy(student, teacher, t),
            PredictionLoss::Kl => losses::kl(student, teacher, t),
            PredictionLoss::Mse => return losses::mse(student, teacher),
        };
        if self.t_squared && t != 1.0 { loss * (t * t) } else { loss }
    }

    /// The soft term between scores of labels that are each right or wrong for themselves: binary cross-entropy with the teacher's
    /// probabilities `σ(logits / T)`, or the squared error.
    ///
    /// # Shapes
    /// - `student`, `teacher`: `[batch, labels]`
    /// - output: `[1]`
    pub fn soft_labels(&self, student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
        let t = self.temperature;
        let loss = match self.loss {
            PredictionLoss::SoftCrossEntropy | PredictionLoss::Kl => {
                binary_cross_entropy(student / t, sigmoid(teacher / t))
            }
            PredictionLoss::Mse => return losses::mse(student, teacher),
        };
        if self.t_squared && t != 1.0 { loss * (t * t) } else { loss }
    }

    /// Mixes the two terms as `hard_label` says; one with no share is not computed.
    ///
    /// # Errors
    /// Those of `hard`.
    pub fn mixed(
        &self,
        soft: impl FnOnce() -> Tensor<1>,
        hard: impl FnOnce() -> Result<Tensor<1>>,
    ) -> Result<Tensor<1>> {
        let share = self.hard_label;
        let term = if share <= 0.0 {
            soft()
        } else if share >= 1.0 {
            hard()?
        } else {
            soft() * (1.0 - share) + hard()? * share
        };
        Ok(self.weighted(term))
    }

    /// `term` times the weight.
    pub fn weighted(&self, term: Tensor<1>) -> Tensor<1> {
        if self.weight == 1.0 { term } else { term * self.weight }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn term(edit: impl Fn(&mut Prediction)) -> PredictionTerm {
        let mut prediction = Prediction::default();
        edit(&mut prediction);
        prediction.check().unwrap();
        prediction.at(1, 4).unwrap()
    }

    fn value(loss: Tensor<1>) -> f64 {
        f64::from(loss.into_scalar::<f32>())
    }

    #[test]
    fn the_square_of_the_temperature_is_a_factor_unless_it_is_left_out() {
        let rows = |values: [f32; 3]| Tensor::<2>::from_floats([values], &Device::flex());
        let (s, t) = (rows([0.5, -1.0, 2.0]), rows([1.0, 0.0, -0.5]));
        for loss in [PredictionLoss::SoftCrossEntropy, PredictionLoss::Kl] {
            let at = |square| {
                let term = term(|p| (p.loss, p.t_squared, p.temperature) = (loss, square, 3.0.into()));
                value(term.soft(s.clone(), t.clone()))
            };
            assert!((at(true) - 9.0 * at(false)).abs() < 1e-5 && at(false) > 0.0);
        }
    }

    #[test]
    fn labels_and_the_teacher_are_mixed_and_what_has_no_share_is_not_computed() {
        let one = |v: f32| Tensor::<1>::from_floats([v], &Device::flex());
        let mixed = |share: f64| {
            let term = term(|p| (p.hard_label, p.weight) = (share.into(), 2.0.into()));
            let soft = || if share < 1.0 { one(3.0) } else { panic!("not needed") };
            let hard = || if share > 0.0 { Ok(one(5.0)) } else { panic!("not needed") };
            value(term.mixed(soft, hard).unwrap())
        };
        assert_eq!([mixed(0.0), mixed(0.25), mixed(1.0)], [6.0, 7.0, 10.0]);
    }

    #[test]
    fn temperature_and_shares_follow_their_schedules() {
        let text = "temperature = { from = 4.0, to = 2.0 }\nhard_label = { from = 0.0, to = 1.0 }";
        let prediction: Prediction = toml::from_str(text).unwrap();
        let at = |step| prediction.at(step, 4).map(|p| (p.temperature, p.hard_label));
        assert_eq!([at(0), at(2), at(4)], [Some((4.0, 0.0)), Some((3.0, 0.5)), Some((2.0, 1.0))]);
        let late: Prediction = toml::from_str("weight = { value = 1.0, begin = 2 }").unwrap();
        assert!(late.at(1, 4).is_none() && late.at(2, 4).is_some());
    }

    #[test]
    fn values_out_of_range_are_refused_with_their_key() {
        for (text, words) in [
            ("weight = -1.0", "`weight`"),
            ("hard_label = 1.5", "`hard_label`"),
            ("temperature = 0.0", "`temperature`"),
            ("temperature = { value = 2.0, end = 4 }", "gate"),
            ("loss = \"mse\"\ntemperature = 2.0", "no effect"),
            ("weight = nan", "`weight`"),
        ] {
            let message = toml::from_str::<Prediction>(text).unwrap().check().unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }
}
