//! From two encoder outputs to named loss terms.

use bert_core::EncoderOutput;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use train::engine::LossTerms;

use super::{Feature, LayerMatch, MatchLoss, StepPlan};
use crate::losses;

/// Names of terms in the order in which they are added up.
const NAMES: [&str; 5] = ["attention", "hidden", "mean", "variance", "values"];

impl StepPlan<'_> {
    /// The terms between layers, by name: `attention`, `hidden` (embedding included), MobileBERT's `mean` and `variance`, and
    /// `values`; each the weighted sum over its entries. Empty where the step compares no layers.
    ///
    /// Both outputs must hold what [`StepPlan::options`] asks for.
    ///
    /// Terms that are means over real tokens (cosine, cross-entropy, KL) are multiplied by `density`, 1 for a whole batch: so parts
    /// of one add up to it, see [`Cut::density`](train::engine::Cut::density).
    ///
    /// # Shapes
    /// - `tokens`: `[batch, seq]`, 1 on tokens
    pub fn layer_terms(
        &self,
        student: &EncoderOutput,
        teacher: &EncoderOutput,
        tokens: &Tensor<2>,
        density: f64,
    ) -> LossTerms {
        let mut sums: [Option<Tensor<1>>; NAMES.len()] = Default::default();
        for (entry, weight) in &self.layers {
            let term = match entry.feature.is_state() {
                true => between_states(entry, student, teacher, tokens),
                false => between_rows(entry, student, teacher, tokens),
            };
            let factor = if entry.loss.over_tokens() { *weight * density } else { *weight };
            let term = if factor == 1.0 { term } else { term * factor };
            let sum = &mut sums[name(entry)];
            *sum = Some(match sum.take() {
                Some(so_far) => so_far + term,
                None => term,
            });
        }
        LossTerms(NAMES.into_iter().zip(sums).filter_map(|(n, t)| t.map(|t| (n, t))).collect())
    }
}

/// Position in [`NAMES`].
fn name(entry: &LayerMatch) -> usize {
    match (entry.feature, entry.loss) {
        (Feature::AttentionScores | Feature::AttentionProbs, _) => 0,
        (Feature::ValueRelation, _) => 4,
        (_, MatchLoss::Mean) => 2,
        (_, MatchLoss::Variance) => 3,
        _ => 1,
    }
}

fn between_states(
    entry: &LayerMatch,
    student: &EncoderOutput,
    teacher: &EncoderOutput,
    tokens: &Tensor<2>,
) -> Tensor<1> {
    let (s, t) = (student.hidden_states[entry.student].clone(), teacher.hidden_states[entry.teacher].clone());
    match entry.loss {
        MatchLoss::Cosine => losses::cosine(s, t, tokens),
        MatchLoss::FeatureMap => losses::feature_map(s, t),
        MatchLoss::Mean => losses::feature_mean(s, t),
        MatchLoss::Variance => losses::feature_variance(s, t),
        _ => losses::mse(s, t),
    }
}

fn between_rows(entry: &LayerMatch, student: &EncoderOutput, teacher: &EncoderOutput, tokens: &Tensor<2>) -> Tensor<1> {
    let scores = |output: &EncoderOutput, layer: usize| match entry.feature {
        Feature::ValueRelation => losses::value_relation(output.values[layer - 1].clone(), tokens),
        _ => output.attention_scores[layer - 1].clone(),
    };
    let (s, t) = (scores(student, entry.student), scores(teacher, entry.teacher));
    if entry.feature == Feature::AttentionScores {
        return losses::attention_scores(s, t);
    }
    match entry.loss {
        MatchLoss::CrossEntropy => losses::attention_cross_entropy(s, t, tokens),
        MatchLoss::Kl => losses::attention_kl(s, t, tokens),
        MatchLoss::Cosine => losses::row_cosine(softmax(s, 3), softmax(t, 3), tokens),
        _ => losses::mse(softmax(s, 3), softmax(t, 3)),
    }
}
