//! From two encoder outputs to named loss terms.

use bert_core::EncoderOutput;
use burn::tensor::Tensor;

use super::{Feature, LayerMap, MatchLoss};
use crate::losses;

/// Named loss terms of one step; the loss is their sum.
#[derive(Debug)]
pub struct LossTerms(pub Vec<(&'static str, Tensor<1>)>);

impl LossTerms {
    /// The sum of all terms.
    ///
    /// # Panics
    /// Without terms: every objective has at least one.
    pub fn total(&self) -> Tensor<1> {
        let mut terms = self.0.iter().map(|(_, t)| t.clone());
        let first = terms.next().expect("an objective has at least one term");
        terms.fold(first, |a, b| a + b)
    }
}

/// The layer terms of an objective: `attention` and `hidden` (embedding included), each the
/// weighted sum over the map's entries.
///
/// Both outputs must hold what the map compares ([`LayerMap::options`]); the map must have been validated.
pub fn layer_terms(map: &LayerMap, student: &EncoderOutput, teacher: &EncoderOutput) -> LossTerms {
    let mut attention: Option<Tensor<1>> = None;
    let mut hidden: Option<Tensor<1>> = None;
    for m in &map.0 {
        let term = match m.feature {
            Feature::AttentionScores => {
                let s = student.attention_scores[m.student - 1].clone();
                let t = teacher.attention_scores[m.teacher - 1].clone();
                match m.loss {
                    MatchLoss::Mse => losses::attention_scores(s, t),
                    MatchLoss::CrossEntropy => losses::attention_cross_entropy(s, t),
                }
            }
            Feature::Hidden | Feature::Embedding => {
                losses::mse(student.hidden_states[m.student].clone(), teacher.hidden_states[m.teacher].clone())
            }
        };
        let term = if m.weight == 1.0 { term } else { term * m.weight };
        let sum = if m.feature == Feature::AttentionScores { &mut attention } else { &mut hidden };
        *sum = Some(match sum.take() {
            Some(so_far) => so_far + term,
            None => term,
        });
    }
    let named = [("attention", attention), ("hidden", hidden)];
    LossTerms(named.into_iter().filter_map(|(n, t)| t.map(|t| (n, t))).collect())
}
