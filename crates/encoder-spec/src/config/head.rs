//! Task heads as a configuration carries them.

use serde::{Deserialize, Serialize};

/// What a task head predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskHeadKind {
    /// One of `labels.len()` classes: `softmax(logits)`.
    Classification,
    /// Any number of `labels.len()` labels, each for itself: `sigmoid(logit)`.
    MultiLabel,
    /// One number.
    Regression,
    /// Start and end of an answer: two scores per token.
    Span,
    /// One of `labels.len()` tags for every word: `softmax(logits)` of its first token.
    Tags,
    /// The vector of a text, as [`VectorConfig`] has it: similar texts have vectors in similar directions.
    Embedding,
}

impl TaskHeadKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Classification, Self::MultiLabel, Self::Regression, Self::Span, Self::Tags, Self::Embedding];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::MultiLabel => "multi_label",
            Self::Regression => "regression",
            Self::Span => "span",
            Self::Tags => "tags",
            Self::Embedding => "embedding",
        }
    }

    /// Whether the head scores every token, and not the pooled vector.
    pub fn is_on_tokens(self) -> bool {
        matches!(self, Self::Span | Self::Tags)
    }

    /// Whether the head looks at the pooled vector alone.
    pub fn is_on_pooled(self) -> bool {
        !self.is_on_tokens() && self != Self::Embedding
    }
}

/// How the last hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean over all tokens, special tokens included.
    #[default]
    Mean,
    /// That of the first token, `[CLS]`.
    Cls,
}

impl Pooling {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Mean, Self::Cls];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
        }
    }
}

/// The vector of a text: `v = W pool(h) + b` where there is a dense layer, else `v = pool(h)`, then `v / |v|` if it is normalized. These are
/// the modules `Pooling`, `Dense` and `Normalize` of `sentence-transformers` (Reimers and Gurevych 2019).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorConfig {
    /// From hidden states to a vector.
    #[serde(default)]
    pub pooling: Pooling,
    /// Width of the vector behind a dense layer; `None`: there is none, and the vector is as wide as the hidden states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Whether vectors have length 1.
    #[serde(default)]
    pub normalize: bool,
    /// The longest text in tokens that vectors are made of, longer ones lose their end; `None`: as many as the model has positions for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_len: Option<usize>,
}

/// One task head of a model directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskHeadConfig {
    /// Task name, e.g. `sst-2`.
    pub task: String,
    /// What the head predicts.
    pub kind: TaskHeadKind,
    /// Names of the classes, labels or tags in the order of the logits; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// How the output of a regression becomes a number; `None`: it is the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<NumberScale>,
    /// Of [`TaskHeadKind::Embedding`], and of no other kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<VectorConfig>,
}

/// A number is `mean + output * deviation`: a regression learns numbers less their mean, in units of their standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberScale {
    /// The mean of the training labels.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
}

impl NumberScale {
    /// The number that an output stands for.
    pub fn number(self, output: f64) -> f64 {
        self.mean + output * self.deviation
    }
}

impl TaskHeadConfig {
    /// A head whose outputs need no scale, of another kind than embeddings.
    pub fn new(task: impl Into<String>, kind: TaskHeadKind, labels: Vec<String>) -> Self {
        Self { task: task.into(), kind, labels, scale: None, vector: None }
    }

    /// A head that makes vectors.
    pub fn embedding(task: impl Into<String>, vector: VectorConfig) -> Self {
        Self { vector: Some(vector), ..Self::new(task, TaskHeadKind::Embedding, Vec::new()) }
    }

    /// Width of the head's output on hidden states of `hidden` values.
    pub fn outputs(&self, hidden: usize) -> usize {
        match self.kind {
            TaskHeadKind::Classification | TaskHeadKind::MultiLabel | TaskHeadKind::Tags => self.labels.len(),
            TaskHeadKind::Regression => 1,
            TaskHeadKind::Span => 2,
            TaskHeadKind::Embedding => self.vector.and_then(|vector| vector.size).unwrap_or(hidden),
        }
    }

    /// Whether the head contradicts itself, in words that follow its name.
    pub(super) fn fault(&self, hidden: usize) -> Option<&'static str> {
        match (self.kind == TaskHeadKind::Embedding, self.vector) {
            (true, None) => Some("makes vectors and lacks `vector`, which says how"),
            (false, Some(_)) => Some("makes no vectors and has `vector`"),
            (true, Some(_)) if self.outputs(hidden) == 0 => Some("makes vectors of no values"),
            (false, None) if self.outputs(hidden) == 0 => Some("lists no labels"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_file() {
        for kind in TaskHeadKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
