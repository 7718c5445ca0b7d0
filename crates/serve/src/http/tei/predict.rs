//! Labels, and the order of texts for a query.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use encoder_spec::{TaskHeadConfig, TaskHeadKind};
use predict::HeadAnswer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::{Direction, PredictInput, truncation};
use crate::engine::Loaded;
use crate::engine::input::{Input, Truncation, asked, encode};
use crate::engine::job::Want;
use crate::failure::Failure;
use crate::http::Shared;
use crate::http::body::Json;
use crate::http::chosen::Chosen;
use crate::http::frame::Computed;
use crate::http::reply::json;

/// A request for labels.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PredictRequest {
    pub inputs: PredictInput,
    /// Whether texts that are too long are cut; the server's setting where it is absent.
    pub truncate: Option<bool>,
    /// What they lose.
    pub truncation_direction: Option<Direction>,
    /// Whether scores are outputs of the head, and not probabilities.
    #[serde(default)]
    pub raw_scores: bool,
    /// Task of the head that answers; the first that gives labels or numbers where it is absent.
    pub task: Option<String>,
}

/// A label and its score, of a regression the task and its number.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Prediction {
    pub score: f32,
    pub label: String,
}

/// Predictions of one text, or of each of several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Predictions {
    One(Vec<Prediction>),
    Many(Vec<Vec<Prediction>>),
}

/// Labels of a text, a pair, or several of them, the most likely one first.
#[utoipa::path(post, path = "/predict", tag = "text-embeddings-inference", request_body = PredictRequest, responses(
    (status = 200, description = "Labels with scores", body = Predictions),
    (status = "4XX", description = "Refused", body = crate::http::openapi::ErrorBody),
    (status = "5XX", description = "Not answered", body = crate::http::openapi::ErrorBody)))]
pub(crate) async fn predict(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    Json(request): Json<PredictRequest>,
) -> Result<Response, Failure> {
    let (inputs, many) = request.inputs.into_inputs()?;
    let cut = truncation(&app, request.truncate, request.truncation_direction);
    let (mut all, computed) = labels(&app, &model, inputs, cut, (request.raw_scores, request.task.as_deref())).await?;
    let numbers = all.iter().map(Vec::len).sum::<usize>() * 4;
    let body = match all.pop() {
        Some(one) if !many => Predictions::One(one),
        last => Predictions::Many(all.into_iter().chain(last).collect()),
    };
    Ok(computed.on(json(body, numbers).await?))
}

/// Predictions of each input, the highest score first.
///
/// # Errors
/// The model has no such head, or as [`crate::engine::Engine::run`].
pub(crate) async fn labels(
    app: &Shared,
    model: &Arc<Loaded>,
    inputs: Vec<Input>,
    cut: Truncation,
    (raw, task): (bool, Option<&str>),
) -> Result<(Vec<Vec<Prediction>>, Computed), Failure> {
    let (index, head) = model.head(task, "gives labels or numbers", TaskHeadKind::is_on_pooled)?;
    let asked = asked(&inputs);
    let encode = move |model: &Loaded| Ok((encode(model, &inputs, cut)?, ()));
    let (answered, ()) = app.engine.run(model, asked, Want::head(index), encode).await?;
    let predictions = answered.values.iter().map(|values| predictions(head, &values.heads[0], raw));
    let predictions = predictions.collect::<Result<_, _>>()?;
    Ok((predictions, Computed::of(model, asked.texts, &answered)))
}

/// What `outputs` of `head` mean.
///
/// # Errors
/// They are not finite.
fn predictions(head: &TaskHeadConfig, outputs: &[f32], raw: bool) -> Result<Vec<Prediction>, Failure> {
    let answer = finite(head, outputs)?;
    let mut all: Vec<Prediction> = match answer {
        HeadAnswer::Number { task, score } => {
            let score = if raw { outputs.first().copied().unwrap_or(score) } else { score };
            vec![Prediction { score, label: task }]
        }
        HeadAnswer::Label { probabilities, .. } | HeadAnswer::Labels { probabilities, .. } => {
            let scores = probabilities.iter().zip(outputs);
            scores
                .map(|((label, p), output)| Prediction { score: if raw { *output } else { *p }, label: label.clone() })
                .collect()
        }
    };
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(all)
}

/// # Errors
/// 424: the model has diverged.
pub(crate) fn finite(head: &TaskHeadConfig, outputs: &[f32]) -> Result<HeadAnswer, Failure> {
    HeadAnswer::of(head, outputs)
        .ok_or_else(|| Failure::backend(format!("the head `{}` gives no finite answer", head.task)))
}

/// A request for the order of texts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RerankRequest {
    pub query: String,
    pub texts: Vec<String>,
    pub truncate: Option<bool>,
    pub truncation_direction: Option<Direction>,
    /// Whether scores are outputs of the head, and not in the units of its task.
    #[serde(default)]
    pub raw_scores: bool,
    /// Whether the answer repeats the texts.
    #[serde(default)]
    pub return_text: bool,
    pub task: Option<String>,
}

/// The place of a text in the request, and its score.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rank {
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    pub score: f32,
}

/// Texts by the number that a regression gives to each with the query, the highest first.
#[utoipa::path(post, path = "/rerank", tag = "text-embeddings-inference", request_body = RerankRequest, responses(
    (status = 200, description = "Texts in their order", body = Vec<Rank>),
    (status = "4XX", description = "Refused", body = crate::http::openapi::ErrorBody),
    (status = "5XX", description = "Not answered", body = crate::http::openapi::ErrorBody)))]
pub(crate) async fn rerank(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    Json(request): Json<RerankRequest>,
) -> Result<Response, Failure> {
    let RerankRequest { query, texts, truncate, truncation_direction, raw_scores, return_text, task } = request;
    if texts.is_empty() {
        return Err(Failure::empty("texts"));
    }
    let (_, head) =
        model.head(task.as_deref(), "gives a number for a pair of texts", |kind| kind == TaskHeadKind::Regression)?;
    let inputs = texts.iter().map(|text| Input::Pair(query.clone(), text.clone())).collect();
    let cut = truncation(&app, truncate, truncation_direction);
    let (all, computed) = labels(&app, &model, inputs, cut, (raw_scores, Some(&head.task))).await?;
    let rank = |(index, predictions): (usize, Vec<Prediction>)| Rank {
        index,
        text: return_text.then(|| texts[index].clone()),
        score: predictions.first().map_or(0.0, |prediction| prediction.score),
    };
    let mut ranks: Vec<Rank> = all.into_iter().enumerate().map(rank).collect();
    ranks.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(computed.on(json(ranks, texts.len() * 4).await?))
}
