//! What is done to make a student of its teacher.

use serde::{Deserialize, Serialize};

/// A part of the method that can be left out, to see what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Choosing hidden channels by what they explain; without it they are drawn at random.
    Channels,
    /// Choosing neurons by what they explain; without it they are the first ones.
    Neurons,
    /// Low-rank factors by what they do to the sample; without it by the weights alone.
    Covariance,
    /// Maps of the teacher read dropped channels from the kept ones; without it dropped channels are taken to be 0.
    Reconstruction,
    /// Least squares of each linear map that feeds a residual, of pooler and heads.
    Mending,
}

/// By what hidden channels are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelChoice {
    /// By how well the kept channels explain all others, and what the next maps make of them, at every place of the encoder.
    #[default]
    Explained,
    /// By their variance, relative to that of all at the same place.
    Variance,
}

/// How a student is made of its teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// By what channels are chosen.
    pub channels: ChannelChoice,
    /// Parts that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Part>,
    /// Ridge of least squares, a factor of a feature's mean variance.
    pub ridge: f64,
    /// The same for maps of the first token alone, of which there are as many samples as texts.
    pub ridge_of_first: f64,
    /// How many tokens the first one of a text counts for, since pooler and heads read it alone.
    pub first_token: f64,
    /// Occurrences that every word piece is taken to have beside those in the sample, for the SVD of the word table.
    pub unseen_words: f64,
    /// Seed of what is drawn at random.
    pub seed: u64,
}

impl Settings {
    /// The whole method.
    pub fn new(seed: u64) -> Self {
        Self {
            channels: ChannelChoice::default(),
            without: Vec::new(),
            ridge: 1e-2,
            ridge_of_first: 0.3,
            first_token: 4.0,
            unseen_words: 1.0,
            seed,
        }
    }

    /// Whether a part is not left out.
    pub fn does(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }
}
