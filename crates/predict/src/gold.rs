//! How sure a model is of the right answers: a finer measure than how many it gives.

use glue_squad::task::{Head, Label};

use crate::labels::{sigmoid, softmax};

/// The mean over examples of how near the outputs `rows` come to the gold answers `labels`, in their order; 1 is perfect.
///
/// - classes: `softmax(logits)[gold]`, the probability of the right class;
/// - sets of labels: the mean over labels of the probability of what is right, `sigmoid(±logit)`;
/// - tags: the mean over words of the probability of the right one;
/// - numbers: `1 - (output - gold)² / var(gold)`, whose mean is the coefficient of determination R².
///
/// On a few hundred examples its differences between models that are alike are less noisy than those of accuracy: an example counts by degrees,
/// not only when its answer changes. `None` without examples, and for heads that it is not defined for.
pub fn mean_gold_score(head: Head, rows: &[Vec<f32>], labels: &[Label]) -> Option<f64> {
    if rows.is_empty() || rows.len() != labels.len() {
        return None;
    }
    let count = rows.len() as f64;
    let sum = match head {
        Head::Classification { .. } => {
            let probability = |(row, label): (&Vec<f32>, &Label)| {
                let Label::Class(gold) = label else { return None };
                softmax(row).get(*gold).map(|p| f64::from(*p))
            };
            rows.iter().zip(labels).map(probability).sum::<Option<f64>>()?
        }
        Head::Regression => {
            let golds = labels.iter().map(|label| if let Label::Score(gold) = label { Some(*gold) } else { None });
            let golds = golds.collect::<Option<Vec<f64>>>()?;
            let mean = golds.iter().sum::<f64>() / count;
            let variance = golds.iter().map(|gold| (gold - mean).powi(2)).sum::<f64>() / count;
            // All golds are equal: the error itself is all there is to go by.
            let scale = if variance > 0.0 { variance } else { 1.0 };
            let near = |(row, gold): (&Vec<f32>, &f64)| {
                row.first().map(|output| 1.0 - (f64::from(*output) - gold).powi(2) / scale)
            };
            rows.iter().zip(&golds).map(near).sum::<Option<f64>>()?
        }
        Head::MultiLabel { labels: width } => {
            let near = |(row, label): (&Vec<f32>, &Label)| {
                let Label::Set(gold) = label else { return None };
                let right = |(label, logit): (usize, &f32)| {
                    f64::from(sigmoid(if gold.contains(label) { *logit } else { -*logit }))
                };
                (row.len() == width).then(|| row.iter().enumerate().map(right).sum::<f64>() / width as f64)
            };
            rows.iter().zip(labels).map(near).sum::<Option<f64>>()?
        }
        Head::Tags { tags: width } => {
            let near = |(row, label): (&Vec<f32>, &Label)| {
                let Label::Tags(gold) = label else { return None };
                if row.len() != gold.tags.len() * width {
                    return None;
                }
                // A word that the model did not see has no probability.
                let probability = |(word, tag): (&[f32], &u16)| {
                    softmax(word).get(usize::from(*tag)).copied().filter(|p| p.is_finite()).map_or(0.0, f64::from)
                };
                let sum: f64 = row.chunks(width).zip(&gold.tags).map(probability).sum();
                Some(sum / gold.tags.len().max(1) as f64)
            };
            rows.iter().zip(labels).map(near).sum::<Option<f64>>()?
        }
        Head::Spans | Head::Embedding => return None,
    };
    Some(sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 1e-6), "{found:?} is not {expected}");
    }

    #[test]
    fn classes_are_scored_by_the_probability_of_the_right_one() {
        let head = Head::Classification { classes: 2 };
        let rows = [vec![0.0, 3f32.ln()], vec![2.0, 2.0]];
        // 3/4 and 1/2.
        near(mean_gold_score(head, &rows, &[Label::Class(1), Label::Class(0)]), 0.625);
        near(mean_gold_score(head, &rows, &[Label::Class(0), Label::Class(0)]), 0.375);
    }

    #[test]
    fn numbers_are_scored_by_the_share_of_their_variance_that_is_explained() {
        let golds = [1.0, 2.0, 3.0, 4.0].map(Label::Score);
        let rows = |values: [f32; 4]| values.map(|v| vec![v]);
        near(mean_gold_score(Head::Regression, &rows([1.0, 2.0, 3.0, 4.0]), &golds), 1.0);
        near(mean_gold_score(Head::Regression, &rows([2.5; 4]), &golds), 0.0);
        // Squared errors 1, 0, 0, 1 of a variance of 1.25.
        near(mean_gold_score(Head::Regression, &rows([2.0, 2.0, 3.0, 3.0]), &golds), 1.0 - 0.5 / 1.25);
    }

    #[test]
    fn sets_of_labels_are_scored_label_by_label() {
        let head = Head::MultiLabel { labels: 2 };
        let gold = |labels: &[usize]| Label::Set(labels.iter().copied().collect());
        // 3/4 for the label that is there, 1/2 for the one that is not.
        near(mean_gold_score(head, &[vec![3f32.ln(), 0.0]], &[gold(&[0])]), 0.625);
        near(mean_gold_score(head, &[vec![3f32.ln(), 0.0]], &[gold(&[])]), 0.375);
    }

    #[test]
    fn nothing_is_said_without_examples_or_of_labels_of_another_kind() {
        let head = Head::Classification { classes: 2 };
        assert_eq!(mean_gold_score(head, &[], &[]), None);
        assert_eq!(mean_gold_score(head, &[vec![0.0, 1.0]], &[Label::Score(1.0)]), None);
        assert_eq!(mean_gold_score(head, &[vec![0.0, 1.0]], &[Label::Class(2)]), None);
    }
}
