//! What can be compared, and how.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Output of the embedding (layer number 0 on both sides), after the distillation projection where the student has one.
    Embedding,
    /// Output of a layer, after the distillation projection where the student has one.
    Hidden,
    /// Attention scores before the softmax, mask included.
    AttentionScores,
    /// Attention probabilities: the scores after the softmax, without dropout.
    AttentionProbs,
    /// MiniLM's value relation of each head, `softmax(V Vᵀ / sqrt(d))`.
    ValueRelation,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchLoss {
    /// Mean squared error.
    Mse,
    /// Cross-entropy of distributions.
    CrossEntropy,
    /// Kullback-Leibler divergence of distributions, from the teacher's.
    Kl,
    /// One minus the cosine.
    Cosine,
    /// MobileBERT's feature map transfer: mean squared error after a norm without parameters.
    FeatureMap,
    /// MobileBERT's mean term: squared difference of each token's mean.
    Mean,
    /// MobileBERT's variance term: absolute difference of each token's variance.
    Variance,
}

impl MatchLoss {
    /// Whether it is a mean over real tokens; else over all positions, padding included.
    pub fn over_tokens(self) -> bool {
        matches!(self, Self::CrossEntropy | Self::Kl | Self::Cosine)
    }
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Embedding, Self::Hidden, Self::AttentionScores, Self::AttentionProbs, Self::ValueRelation];

    /// The losses that mean something for it.
    pub fn losses(self) -> &'static [MatchLoss] {
        use MatchLoss::{Cosine, CrossEntropy, FeatureMap, Kl, Mean, Mse, Variance};
        match self {
            Self::Embedding | Self::Hidden => &[Mse, Cosine, FeatureMap, Mean, Variance],
            Self::AttentionScores => &[Mse],
            Self::AttentionProbs | Self::ValueRelation => &[Mse, CrossEntropy, Kl, Cosine],
        }
    }

    /// Whether it is a hidden state, which has a width; else it has heads.
    pub fn is_state(self) -> bool {
        matches!(self, Self::Embedding | Self::Hidden)
    }
}

impl MatchLoss {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Mse, Self::CrossEntropy, Self::Kl, Self::Cosine, Self::FeatureMap, Self::Mean, Self::Variance];
}

/// The name in files and messages.
impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The name in files and messages.
impl fmt::Display for MatchLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
