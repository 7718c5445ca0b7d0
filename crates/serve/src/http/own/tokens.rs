//! Entities of texts.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use encoder_spec::TaskHeadKind;
use predict::{TagAnswer, TaggedText};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::job::{Sequence, Want};
use crate::engine::{Asked, Loaded};
use crate::failure::Failure;
use crate::http::Shared;
use crate::http::body::Json;
use crate::http::chosen::Chosen;
use crate::http::frame::Computed;
use crate::http::reply::json;
use crate::http::tei::tokenize::Texts;

/// How entities are put together, in the words of Hugging Face's pipelines.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aggregation {
    /// Not supported: every token with its tag.
    None,
    /// As `first`.
    Simple,
    /// Words have the tag of their first token; words of one entity are put together.
    First,
    /// Not supported.
    Average,
    /// Not supported.
    Max,
}

/// How texts are tagged.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokensParameters {
    pub aggregation_strategy: Option<Aggregation>,
    /// Kinds of entities, or tags, that are left out.
    pub ignore_labels: Option<Vec<String>>,
    /// Refused: texts are not divided.
    pub stride: Option<usize>,
}

/// A request for entities.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokensRequest {
    pub inputs: Texts,
    #[serde(default)]
    pub parameters: Option<TokensParameters>,
    /// Whether texts that are too long lose their end.
    pub truncate: Option<bool>,
    /// Task of the head that answers.
    pub task: Option<String>,
}

/// A part of a text with its kind; characters are counted from 0, and `end` is behind the last one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Entity {
    pub entity_group: String,
    pub score: f32,
    pub word: String,
    pub start: usize,
    pub end: usize,
}

/// Entities of one text, or of each of several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Entities {
    One(Vec<Entity>),
    Many(Vec<Vec<Entity>>),
}

/// Entities of a text or several; of tags that mark none, every word with its tag.
#[utoipa::path(post, path = "/tokens", tag = "EfficientBERT", request_body = TokensRequest, responses(
    (status = 200, description = "Entities in their order", body = Entities),
    (status = "4XX", description = "Refused", body = crate::http::openapi::ErrorBody),
    (status = "5XX", description = "Not answered", body = crate::http::openapi::ErrorBody)))]
pub(crate) async fn tokens(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    Json(request): Json<TokensRequest>,
) -> Result<Response, Failure> {
    let parameters = request.parameters.unwrap_or_default();
    if let Some(other @ (Aggregation::None | Aggregation::Average | Aggregation::Max)) = parameters.aggregation_strategy
    {
        let message = format!("`aggregation_strategy` {other:?} is not known here; use `simple` or `first`");
        return Err(Failure::invalid(message));
    }
    if parameters.stride.is_some() {
        return Err(Failure::invalid("`stride` is not known here: a text is read once, and cut if it is too long"));
    }
    let (texts, many) = request.inputs.into_list()?;
    let truncate = request.truncate.unwrap_or(app.truncate);
    let (mut all, computed) = entities(&app, &model, texts, (truncate, request.task.as_deref())).await?;
    let ignored = parameters.ignore_labels.unwrap_or_default();
    all.iter_mut().for_each(|entities| entities.retain(|entity| !ignored.contains(&entity.entity_group)));
    let numbers = all.iter().map(Vec::len).sum::<usize>() * 8;
    let body = match all.pop() {
        Some(one) if !many => Entities::One(one),
        last => Entities::Many(all.into_iter().chain(last).collect()),
    };
    Ok(computed.on(json(body, numbers).await?))
}

/// The entities of each text.
///
/// # Errors
/// The model has no such head, or as [`crate::engine::Engine::run`].
pub(crate) async fn entities(
    app: &Shared,
    model: &Arc<Loaded>,
    texts: Vec<String>,
    (truncate, task): (bool, Option<&str>),
) -> Result<(Vec<Vec<Entity>>, Computed), Failure> {
    let (index, head) = model.head(task, "tags words", |kind| kind == TaskHeadKind::Tags)?;
    let count = texts.len();
    let asked = Asked { texts: count, bytes: texts.iter().map(String::len).sum() };
    let encode = move |model: &Loaded| {
        let tagged = texts.iter().map(|text| words(model, text, truncate)).collect::<Result<Vec<_>, _>>()?;
        let sequences = tagged.iter().map(|tagged| Sequence::from(tagged.features.clone())).collect();
        Ok((sequences, (texts, tagged)))
    };
    let (answered, (texts, tagged)) = app.engine.run(model, asked, Want::head(index), encode).await?;
    let answer = |((text, tagged), values): ((&String, &TaggedText), &crate::engine::job::Values)| {
        let words = tagged.word_values(&values.heads[0], head.labels.len());
        let words =
            words.ok_or_else(|| Failure::backend(format!("the head `{}` gives no finite answer", head.task)))?;
        let answer = TagAnswer::of(head, text, &tagged.words, &words);
        let entity = |entity: predict::TextEntity| Entity {
            entity_group: entity.kind,
            score: entity.probability,
            word: entity.text,
            start: entity.start,
            end: entity.end,
        };
        Ok(answer.entities.into_iter().map(entity).collect())
    };
    let all = texts.iter().zip(&tagged).zip(&answered.values).map(answer).collect::<Result<_, Failure>>()?;
    Ok((all, Computed::of(model, count, &answered)))
}

/// # Errors
/// The text is too long and may not be cut, or the tokenizer fails on it.
fn words(model: &Loaded, text: &str, truncate: bool) -> Result<TaggedText, Failure> {
    let (whole, longest) = (TaggedText::encode(&model.tokenizer, text, usize::MAX)?, model.longest);
    let given = whole.features.ids.len();
    if given <= longest {
        return Ok(whole);
    }
    if !truncate {
        let message = format!("`inputs` must have at most {longest} tokens. Given: {given}; or set `truncate` to true");
        return Err(Failure::invalid(message));
    }
    Ok(TaggedText::encode(&model.tokenizer, text, longest)?)
}
