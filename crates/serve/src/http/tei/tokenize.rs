//! Tokens of texts, and text from ids.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokenizer::WithOffsets;
use utoipa::ToSchema;

use super::types::no_prompt;
use crate::engine::Loaded;
use crate::failure::Failure;
use crate::http::Shared;
use crate::http::body::Json;
use crate::http::chosen::Chosen;
use crate::http::reply::json;

/// A text or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(crate) enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    /// The texts, and whether it is a list of them.
    ///
    /// # Errors
    /// There is none.
    pub fn into_list(self) -> Result<(Vec<String>, bool), Failure> {
        match self {
            Self::One(text) => Ok((vec![text], false)),
            Self::Many(texts) if texts.is_empty() => Err(Failure::empty("inputs")),
            Self::Many(texts) => Ok((texts, true)),
        }
    }
}

/// A request for tokens.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenizeRequest {
    pub inputs: Texts,
    /// Whether special tokens stand around each text; yes where it is absent.
    pub add_special_tokens: Option<bool>,
    /// Refused: models have no prompts.
    pub prompt_name: Option<String>,
}

/// A token and its characters in the text.
#[derive(Serialize, ToSchema)]
pub(crate) struct Token {
    pub id: u32,
    pub text: String,
    pub special: bool,
    pub start: Option<usize>,
    pub stop: Option<usize>,
}

/// The tokens of each text.
#[utoipa::path(post, path = "/tokenize", tag = "text-embeddings-inference", request_body = TokenizeRequest, responses(
    (status = 200, description = "For each text its tokens", body = Vec<Vec<Token>>),
    (status = "4XX", description = "Refused", body = crate::http::openapi::ErrorBody)))]
pub(crate) async fn tokenize(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    Json(request): Json<TokenizeRequest>,
) -> Result<Response, Failure> {
    no_prompt(request.prompt_name.as_deref())?;
    let (texts, _) = request.inputs.into_list()?;
    let count = texts.len();
    let special = request.add_special_tokens.unwrap_or(true);
    let limits = *app.engine.limits();
    let work = move || {
        let mut count = 0;
        let mut all = Vec::with_capacity(texts.len());
        for text in &texts {
            let encoded = model.tokenizer.encode_with_offsets(text)?;
            // Tokens of an answer are far larger than their ids.
            count += encoded.ids.len() + if special { 2 } else { 0 };
            limits.check_tokens(count)?;
            all.push(tokens(&model, text, encoded, special)?);
        }
        Ok(all)
    };
    let tokens = app.engine.read(count, work).await?;
    let count = tokens.iter().map(Vec::len).sum::<usize>();
    json(tokens, count * 8).await
}

fn tokens(model: &Loaded, text: &str, encoded: WithOffsets, special: bool) -> Result<Vec<Token>, Failure> {
    let tokenizer = &model.tokenizer;
    let named = |id: u32| Ok::<_, Failure>(tokenizer.token(id)?.unwrap_or_default());
    let around = |id: u32| {
        let token = Token { id, text: named(id)?, special: true, start: None, stop: None };
        Ok::<_, Failure>(special.then_some(token))
    };
    // Characters before a byte; offsets rise, so that the text is counted once.
    let (mut bytes, mut characters) = (0, 0);
    let mut count = |to: usize| {
        if to < bytes {
            (bytes, characters) = (0, 0);
        }
        characters += text[bytes..to].chars().count();
        bytes = to;
        characters
    };
    let mut all = Vec::with_capacity(encoded.ids.len() + 2);
    all.extend(around(tokenizer.cls_id())?);
    for (id, (start, stop)) in encoded.ids.into_iter().zip(encoded.offsets) {
        let special = tokenizer.is_special(id)?;
        let (start, stop) = (Some(count(start)), Some(count(stop)));
        all.push(Token { id, text: named(id)?, special, start, stop });
    }
    all.extend(around(tokenizer.sep_id())?);
    Ok(all)
}

/// Token ids of a text or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a list of token ids, or a list of such lists")]
pub(crate) enum Ids {
    One(Vec<u32>),
    Many(Vec<Vec<u32>>),
}

/// A request for text.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecodeRequest {
    pub ids: Ids,
    /// Whether special tokens are left out; yes where it is absent.
    pub skip_special_tokens: Option<bool>,
}

/// The text that ids stand for.
#[utoipa::path(post, path = "/decode", tag = "text-embeddings-inference", request_body = DecodeRequest, responses(
    (status = 200, description = "A text for each list of ids", body = Vec<String>),
    (status = "4XX", description = "Refused", body = crate::http::openapi::ErrorBody)))]
pub(crate) async fn decode(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    Json(request): Json<DecodeRequest>,
) -> Result<Response, Failure> {
    let all = match request.ids {
        Ids::One(ids) => vec![ids],
        Ids::Many(all) => all,
    };
    if all.iter().all(Vec::is_empty) {
        return Err(Failure::empty("ids"));
    }
    app.engine.limits().check_tokens(all.iter().map(Vec::len).sum())?;
    let skip = request.skip_special_tokens.unwrap_or(true);
    let count = all.len();
    let decode = move || {
        let texts = all.iter().map(|ids| model.tokenizer.decode(ids, skip)).collect::<Result<Vec<_>, _>>();
        texts.map_err(Failure::from)
    };
    let texts = app.engine.read(count, decode).await?;
    let length = texts.iter().map(String::len).sum::<usize>();
    json(texts, length / 8).await
}
