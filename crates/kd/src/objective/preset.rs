//! Published objectives by name.

use std::fmt;
use std::str::FromStr;

use serde::de::{IntoDeserializer, value};
use serde::{Deserialize, Serialize};

use super::{
    Feature, LayerMatch, MatchLoss, Mlm, Objective, Point, Prediction, PredictionLoss, RegressionTarget, Schedule,
    Shape,
};
use crate::{Error, Result};

/// What a training learns on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Source {
    /// Unlabeled text: the terms between layers.
    Text,
    /// Tasks: the terms between layers and the prediction term.
    Tasks,
}

/// A published objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Preset {
    /// Dong et al. 2021: embedding, attention scores and hidden states of all layers, and the teacher's logits.
    #[default]
    #[serde(rename = "efficientbert")]
    EfficientBert,
    /// Jiao et al. 2020: the same layer terms, then the teacher's logits, one stage after the other.
    #[serde(rename = "tinybert")]
    TinyBert,
    /// The first stage of TinyBERT alone.
    #[serde(rename = "tinybert-intermediate")]
    TinyBertIntermediate,
    /// The second stage of TinyBERT alone.
    #[serde(rename = "tinybert-prediction")]
    TinyBertPrediction,
    /// Sun et al. 2020: feature maps with means and variances, attention distributions, and the logits, all at once (auxiliary
    /// knowledge transfer).
    #[serde(rename = "mobilebert")]
    MobileBert,
    /// The same layers all at once, then the logits (joint knowledge transfer).
    #[serde(rename = "mobilebert-joint")]
    MobileBertJoint,
    /// The same layer after layer, then the logits (progressive knowledge transfer).
    #[serde(rename = "mobilebert-progressive")]
    MobileBertProgressive,
    /// Wang et al. 2020: attention distributions and value relations of the last layer.
    #[serde(rename = "minilm")]
    MiniLm,
    /// Hinton et al. 2015: the teacher's softened logits mixed with the labels.
    #[serde(rename = "logits")]
    Logits,
    /// Gold labels alone: what distillation has to beat.
    #[serde(rename = "labels")]
    Labels,
}

/// Share of TinyBERT's task training that its first stage takes: 20 of 23 epochs.
const INTERMEDIATE: f64 = 87.0;
/// Share of MobileBERT's training that its transfer takes: 240,000 of 740,000 steps.
const TRANSFER: f64 = 32.4;
/// MobileBERT's weights of feature maps, means, variances and attention.
const MOBILE: [(Feature, MatchLoss, f64); 4] = [
    (Feature::Hidden, MatchLoss::FeatureMap, 100.0),
    (Feature::Hidden, MatchLoss::Mean, 5000.0),
    (Feature::Hidden, MatchLoss::Variance, 5.0),
    (Feature::AttentionProbs, MatchLoss::CrossEntropy, 1.0),
];

impl Preset {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::EfficientBert,
        Self::TinyBert,
        Self::TinyBertIntermediate,
        Self::TinyBertPrediction,
        Self::MobileBert,
        Self::MobileBertJoint,
        Self::MobileBertProgressive,
        Self::MiniLm,
        Self::Logits,
        Self::Labels,
    ];

    /// One line on what it is.
    pub fn summary(self) -> &'static str {
        match self {
            Self::EfficientBert => "attention scores, hidden states and embedding by MSE, and the teacher's logits",
            Self::TinyBert => "efficientbert's layer terms for 87% of the steps, then the teacher's logits",
            Self::TinyBertIntermediate => "the layer terms of tinybert alone, for a training of its own",
            Self::TinyBertPrediction => "the logits term of tinybert alone, for a training after that",
            Self::MobileBert => "feature maps, means and variances of hidden states, attention cross-entropy, logits",
            Self::MobileBertJoint => "mobilebert's layer terms for 32.4% of the steps, then the logits",
            Self::MobileBertProgressive => "mobilebert layer after layer for 32.4% of the steps, then the logits",
            Self::MiniLm => "KL of attention and of value relations in the last layer, and the teacher's logits",
            Self::Logits => "KL to the teacher's logits at temperature 2, mixed half and half with the labels",
            Self::Labels => "gold labels alone, without a teacher's pass: what distillation has to beat",
        }
    }

    /// Whether it has terms between layers.
    pub fn has_layers(self) -> bool {
        !matches!(self, Self::TinyBertPrediction | Self::Logits | Self::Labels)
    }

    /// Whether every student layer has a teacher layer, so that `map` can say which.
    pub fn has_map(self) -> bool {
        self.has_layers() && self != Self::MiniLm
    }

    /// The objective for two models, written out. `map` is the teacher layer of each student layer, evenly spread where it is
    /// empty: `i * Lt / Ls` for student layer `i` from 1. `words`, the term between masked words, is added to it; in the presets of
    /// two stages it is the second one on text, unless it says itself when it counts.
    ///
    /// # Errors
    /// A map of another length than the student has layers, or none where the teacher's layers are no multiple of the student's.
    pub fn objective(
        self,
        student: Shape,
        teacher: Shape,
        source: Source,
        (map, words): (&[usize], Option<&Mlm>),
    ) -> Result<Objective> {
        let pairs = || self.pairs(student, teacher, map);
        // Text has no answers that could come after the layers; masked words could.
        let layers_until = |part: f64| if source == Source::Text && words.is_none() { 100.0 } else { part };
        let logits_from = |begin: f64| {
            (source == Source::Tasks).then(|| Prediction { weight: gate(1.0, begin, 100.0), ..Prediction::default() })
        };
        let from_teacher = Some(Prediction::default());
        let (matches, prediction) = match self {
            Self::EfficientBert => (all_layers(&pairs()?, 1.0.into()), from_teacher),
            Self::TinyBert if source == Source::Text => (all_layers(&pairs()?, 1.0.into()), from_teacher),
            Self::TinyBert => (all_layers(&pairs()?, gate(1.0, 0.0, INTERMEDIATE)), logits_from(INTERMEDIATE)),
            Self::TinyBertIntermediate => (all_layers(&pairs()?, 1.0.into()), None),
            Self::TinyBertPrediction => (Vec::new(), from_teacher),
            Self::MobileBert => (mobile(&pairs()?, |_, weight| weight.into()), from_teacher),
            Self::MobileBertJoint => {
                let end = layers_until(TRANSFER);
                (mobile(&pairs()?, |_, weight| gate(weight, 0.0, end)), logits_from(end))
            }
            Self::MobileBertProgressive => {
                let end = layers_until(TRANSFER);
                let layers = student.layers as f64;
                // Short to read, and the turns of 240,000 steps are exact.
                let part = |layer: usize| (end * layer as f64 / layers * 1e6).round() / 1e6;
                let phase = |layer: usize, weight| gate(weight, part(layer - 1), part(layer));
                (mobile(&pairs()?, phase), logits_from(end))
            }
            Self::MiniLm => {
                let entry = |feature| LayerMatch {
                    teacher: teacher.layers,
                    student: student.layers,
                    feature,
                    loss: MatchLoss::Kl,
                    weight: 1.0.into(),
                };
                (vec![entry(Feature::AttentionProbs), entry(Feature::ValueRelation)], from_teacher)
            }
            Self::Logits => {
                let prediction = Prediction {
                    loss: PredictionLoss::Kl,
                    regression: RegressionTarget::Mix,
                    temperature: 2.0.into(),
                    hard_label: 0.5.into(),
                    ..Prediction::default()
                };
                (Vec::new(), Some(prediction))
            }
            Self::Labels => (Vec::new(), Some(Prediction { hard_label: 1.0.into(), ..Prediction::default() })),
        };
        let default = match self {
            Self::MobileBertJoint | Self::MobileBertProgressive => gate(1.0, TRANSFER, 100.0),
            _ => 1.0.into(),
        };
        let mlm = words.map(|mlm| Mlm { weight: mlm.weight.or(Some(default)), ..mlm.clone() });
        Ok(Objective { preset: None, map: Vec::new(), matches, prediction, mlm })
    }

    /// Pairs of (student layer, teacher layer).
    fn pairs(self, student: Shape, teacher: Shape, map: &[usize]) -> Result<Vec<(usize, usize)>> {
        let (ours, theirs) = (student.layers, teacher.layers);
        if !map.is_empty() {
            if map.len() != ours {
                return Err(Error::Objective(format!(
                    "`map` has {} teacher layers, the student {ours} layers",
                    map.len()
                )));
            }
            return Ok((1..=ours).zip(map.iter().copied()).collect());
        }
        if ours == 0 || !theirs.is_multiple_of(ours) {
            // Evenly spread, rounded to the nearest layer from 1.
            let near: Vec<usize> = (1..=ours).map(|i| ((2 * i * theirs + ours) / (2 * ours)).max(1)).collect();
            return Err(Error::Objective(format!(
                "the teacher's {theirs} layers are no multiple of the student's {ours}; give the objective in a file that says \
                 which teacher layer teaches each student layer, for example\n  [distill]\n  preset = \"{self}\"\n  map = {near:?}"
            )));
        }
        Ok((1..=ours).map(|i| (i, i * (theirs / ours))).collect())
    }
}

/// `value` from `begin` to `end`, both in percent of the steps.
fn gate(value: f64, begin: f64, end: f64) -> Schedule {
    Schedule::gate(value, Point::Percent(begin), Point::Percent(end))
}

/// Embedding, then attention scores and hidden states of each pair, by mean squared error.
fn all_layers(pairs: &[(usize, usize)], weight: Schedule) -> Vec<LayerMatch> {
    let entry = |(student, teacher), feature| LayerMatch { teacher, student, feature, loss: MatchLoss::Mse, weight };
    let both = |&pair| [entry(pair, Feature::AttentionScores), entry(pair, Feature::Hidden)];
    std::iter::once(entry((0, 0), Feature::Embedding)).chain(pairs.iter().flat_map(both)).collect()
}

/// MobileBERT's terms of each pair; weights are divided by the number of layers.
fn mobile(pairs: &[(usize, usize)], schedule: impl Fn(usize, f64) -> Schedule) -> Vec<LayerMatch> {
    let share = 1.0 / pairs.len() as f64;
    let terms = |&(student, teacher): &(usize, usize)| {
        MOBILE.map(|(feature, loss, weight)| {
            let weight = schedule(student, weight * share);
            LayerMatch { teacher, student, feature, loss, weight }
        })
    };
    pairs.iter().flat_map(terms).collect()
}

/// The name in files, on the command line and in messages.
impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(|preset| preset.to_string()).join(", ");
        let read: Result<_, value::Error> = Self::deserialize(text.into_deserializer());
        read.map_err(|_| format!("unknown objective `{text}`; presets: {}", names()))
    }
}
