//! What requests may hold.

use serde::Deserialize;
use tokenizer::Cut;
use utoipa::ToSchema;

use crate::engine::input::{Input, Truncation};
use crate::failure::Failure;
use crate::http::Shared;

/// Which tokens a text loses that is too long.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
pub(crate) enum Direction {
    /// Its first ones.
    #[serde(alias = "left")]
    Left,
    /// Its last ones.
    #[default]
    #[serde(alias = "right")]
    Right,
}

/// What becomes of texts that are too long.
pub(crate) fn truncation(app: &Shared, truncate: Option<bool>, direction: Option<Direction>) -> Truncation {
    let cut = match direction.unwrap_or_default() {
        Direction::Left => Cut::Start,
        Direction::Right => Cut::End,
    };
    Truncation { allowed: truncate.unwrap_or(app.truncate), cut }
}

/// A text, or token ids of one.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or a list of token ids")]
pub(crate) enum TextOrIds {
    /// A text.
    Text(String),
    /// Token ids.
    Ids(Vec<u32>),
}

/// A text, token ids, or a list of these.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string, a list of token ids, or a list of these")]
pub(crate) enum EmbedInput {
    /// A text.
    Text(String),
    /// Token ids.
    Ids(Vec<u32>),
    /// Several.
    Batch(Vec<TextOrIds>),
}

impl From<TextOrIds> for Input {
    fn from(input: TextOrIds) -> Self {
        match input {
            TextOrIds::Text(text) => Self::Text(text),
            TextOrIds::Ids(ids) => Self::Ids(ids),
        }
    }
}

impl EmbedInput {
    /// The texts; `name` is the key of the request that holds them.
    ///
    /// # Errors
    /// There is none.
    pub fn into_inputs(self, name: &str) -> Result<Vec<Input>, Failure> {
        match self {
            Self::Text(text) => Ok(vec![Input::Text(text)]),
            Self::Ids(ids) if ids.is_empty() => Err(Failure::empty(name)),
            Self::Ids(ids) => Ok(vec![Input::Ids(ids)]),
            Self::Batch(all) if all.is_empty() => Err(Failure::empty(name)),
            Self::Batch(all) => Ok(all.into_iter().map(Input::from).collect()),
        }
    }
}

/// A text or a pair, or a list of texts and pairs, each a list of one or two strings.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string, a pair of strings [a, b], or a list of both [[a], [b, c], ...]")]
pub(crate) enum PredictInput {
    /// A text.
    Text(String),
    /// A text or a pair.
    Flat(Vec<String>),
    /// Texts and pairs.
    Batch(Vec<Vec<String>>),
}

impl PredictInput {
    /// The texts and pairs, and whether it is a list of them.
    ///
    /// # Errors
    /// There is none, or more than two strings belong together.
    pub fn into_inputs(self) -> Result<(Vec<Input>, bool), Failure> {
        match self {
            Self::Text(text) => Ok((vec![Input::Text(text)], false)),
            Self::Flat(texts) if texts.is_empty() => Err(Failure::empty("inputs")),
            Self::Flat(texts) => Ok((vec![text_or_pair(texts)?], false)),
            Self::Batch(all) if all.is_empty() => Err(Failure::empty("inputs")),
            Self::Batch(all) => Ok((all.into_iter().map(text_or_pair).collect::<Result<_, _>>()?, true)),
        }
    }
}

fn text_or_pair(texts: Vec<String>) -> Result<Input, Failure> {
    let count = texts.len();
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next(), texts.next()) {
        (Some(text), None, None) => Ok(Input::Text(text)),
        (Some(a), Some(b), None) => Ok(Input::Pair(a, b)),
        _ => Err(Failure::invalid(format!("an input has {count} strings; it is one text or a pair [a, b]"))),
    }
}

/// `prompt_name` is for models that state prompts.
///
/// # Errors
/// 422: ours do not.
pub(crate) fn no_prompt(prompt_name: Option<&str>) -> Result<(), Failure> {
    match prompt_name {
        None => Ok(()),
        Some(name) => Err(Failure::invalid(format!("`prompt_name` is `{name}`, but this model has no prompts"))),
    }
}
