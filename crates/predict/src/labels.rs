//! Labels and numbers: what heads on the pooled vector answer.

use encoder_spec::{TaskHeadConfig, TaskHeadKind};
use glue_squad::features::Features;
use glue_squad::squad::OrderedMap;
use glue_squad::task::Task;
use serde::Serialize;
use tokenizer::Padding;

use crate::predictor::Text;
use crate::{Error, Predictor, Result};

/// What a head answers to a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum HeadAnswer {
    /// One label of several.
    Label {
        /// Task of the head.
        task: String,
        /// The most likely label.
        label: String,
        /// Its probability.
        probability: f32,
        /// Probabilities of all labels, in the order of the head.
        probabilities: OrderedMap<f32>,
    },
    /// Any number of labels.
    Labels {
        /// Task of the head.
        task: String,
        /// Those that are more likely than not.
        labels: Vec<String>,
        /// Probabilities of all labels, each for itself.
        probabilities: OrderedMap<f32>,
    },
    /// A number.
    Number {
        /// Task of the head.
        task: String,
        /// The number.
        score: f32,
    },
}

impl HeadAnswer {
    /// What the outputs of `head` mean; `None` where they are not finite.
    pub fn of(head: &TaskHeadConfig, outputs: &[f32]) -> Option<Self> {
        let values = head_values(head, outputs);
        if values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let task = head.task.clone();
        let probabilities = || head.labels.iter().cloned().zip(values.iter().copied()).collect();
        match (head.kind, best(&values)) {
            (TaskHeadKind::Classification, Some((at, probability))) => {
                let label = head.labels[at].clone();
                Some(Self::Label { task, label, probability, probabilities: probabilities() })
            }
            (TaskHeadKind::MultiLabel, _) => {
                let likely = head.labels.iter().zip(&values).filter(|(_, probability)| **probability >= 0.5);
                let labels = likely.map(|(label, _)| label.clone()).collect();
                Some(Self::Labels { task, labels, probabilities: probabilities() })
            }
            _ => Some(Self::Number { task, score: *values.first()? }),
        }
    }

    /// Task of the head.
    pub fn task(&self) -> &str {
        match self {
            Self::Label { task, .. } | Self::Labels { task, .. } | Self::Number { task, .. } => task,
        }
    }
}

impl Predictor {
    /// What `heads`, which look at the pooled vector, answer to `texts`: per text one answer for each head.
    ///
    /// # Errors
    /// The model does not take the texts, or answers with NaN or infinity.
    pub fn answer(&mut self, texts: &[Text], heads: &[usize]) -> Result<Vec<Vec<HeadAnswer>>> {
        let features: Vec<Features> = texts.iter().map(|text| text.features.clone()).collect();
        let max_len = self.config.max_position_embeddings;
        let padding = Padding { pad_id: self.tokenizer.pad_id(), multiple: 1, max_len };
        let mut answers = vec![Vec::with_capacity(heads.len()); texts.len()];
        for (outputs, &head) in self.model.answer(&features, padding, heads)?.into_iter().zip(heads) {
            let head = &self.config.task_heads[head];
            for (text, row) in outputs.chunks(outputs.len() / texts.len()).enumerate() {
                let answer = HeadAnswer::of(head, row);
                answers[text].push(answer.ok_or_else(|| Error::NotFinite { text, task: head.task.clone() })?);
            }
        }
        Ok(answers)
    }
}

/// What the outputs of `head`, which looks at the pooled vector, stand for: probabilities of its classes, of each of its labels for itself, or
/// its number in the units of its task.
pub fn head_values(head: &TaskHeadConfig, outputs: &[f32]) -> Vec<f32> {
    let number = |&score: &f32| head.scale.map_or(score, |scale| scale.number(f64::from(score)) as f32);
    match head.kind {
        TaskHeadKind::Classification => softmax(outputs),
        TaskHeadKind::MultiLabel => outputs.iter().map(|&v| sigmoid(v)).collect(),
        TaskHeadKind::Regression => outputs.iter().map(number).collect(),
        _ => outputs.to_vec(),
    }
}

/// Whether `head` learned on pairs of texts; `None` where its task is not known.
pub fn learned_on_pairs(head: &TaskHeadConfig) -> Option<bool> {
    head.task.parse().ok().map(|task: Task| task.is_pair())
}

/// Probabilities from the scores of one text.
pub(crate) fn softmax(scores: &[f32]) -> Vec<f32> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = scores.iter().map(|s| (s - highest).exp()).collect();
    let total: f32 = weights.iter().sum();
    weights.into_iter().map(|w| w / total).collect()
}

/// The probability of a label that is for itself, from its score.
pub(crate) fn sigmoid(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

/// The largest value, the first of equals, and its position.
fn best(values: &[f32]) -> Option<(usize, f32)> {
    values.iter().copied().enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: TaskHeadKind, labels: &[&str]) -> TaskHeadConfig {
        TaskHeadConfig::new("t", kind, labels.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_first_of_equal_labels_wins_and_probabilities_add_up() {
        let three = head(TaskHeadKind::Classification, &["a", "b", "c"]);
        let Some(HeadAnswer::Label { label, probability, probabilities, .. }) =
            HeadAnswer::of(&three, &[0.0, 9.0, 9.0])
        else {
            panic!("a label")
        };
        assert_eq!((label.as_str(), probabilities.get("b")), ("b", Some(&probability)));
        assert!((probabilities.iter().map(|(_, p)| p).sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn labels_apply_each_for_itself_from_one_half_on() {
        let three = head(TaskHeadKind::MultiLabel, &["a", "b", "c"]);
        let Some(HeadAnswer::Labels { labels, .. }) = HeadAnswer::of(&three, &[0.0, -1.0, 3.0]) else {
            panic!("labels")
        };
        assert_eq!(labels, ["a", "c"]);
    }

    #[test]
    fn a_number_is_in_the_units_of_its_task() {
        let scale = encoder_spec::NumberScale { mean: 50.0, deviation: 20.0 };
        let number = TaskHeadConfig { scale: Some(scale), ..head(TaskHeadKind::Regression, &[]) };
        assert_eq!(HeadAnswer::of(&number, &[0.5]), Some(HeadAnswer::Number { task: "t".into(), score: 60.0 }));
    }

    #[test]
    fn outputs_that_are_not_finite_are_no_answer() {
        let two = head(TaskHeadKind::Classification, &["a", "b"]);
        assert_eq!(HeadAnswer::of(&two, &[f32::NAN, 1.0]), None);
        assert_eq!(HeadAnswer::of(&two, &[f32::INFINITY, 1.0]), None);
        assert_eq!(HeadAnswer::of(&head(TaskHeadKind::Regression, &[]), &[f32::INFINITY]), None);
    }
}
