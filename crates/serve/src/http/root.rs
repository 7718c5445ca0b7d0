//! `POST /`: what the model is for, in the forms of text-embeddings-inference and of Hugging Face's pipelines.

use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use super::Shared;
use super::body::Json;
use super::chosen::Chosen;
use super::own::{answers, tokens};
use super::reply::json;
use super::tei::predict::{PredictRequest, labels};
use super::tei::tokenize::Texts;
use super::tei::types::{Direction, truncation};
use super::tei::{embed, predict};
use crate::engine::input::Input;
use crate::engine::{Loaded, Role};
use crate::failure::Failure;

/// What scores of labels are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Function {
    /// Probabilities that add up to 1: of heads of one label.
    Softmax,
    /// Each for itself: of heads of any number of labels.
    Sigmoid,
    /// Outputs of the head.
    None,
}

/// How labels are given, in the words of Hugging Face's pipelines.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassificationParameters {
    pub function_to_apply: Option<Function>,
    /// How many labels are given, the best ones; all where it is absent.
    pub top_k: Option<usize>,
}

/// A request of a pipeline for labels: told from others by `parameters`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassificationRequest {
    pub inputs: Texts,
    pub parameters: ClassificationParameters,
    /// Whether texts that are too long are cut; the server's setting where it is absent.
    pub truncate: Option<bool>,
    /// What they lose.
    pub truncation_direction: Option<Direction>,
    /// Task of the head that answers.
    pub task: Option<String>,
}

/// Calls the model by what its first head is for: `/predict`, `/embed`, `/similarity`, `/tokens` or `/answers`. With `parameters`, labels
/// come as a list for each text, as pipelines give them.
#[utoipa::path(post, path = "/", tag = "text-embeddings-inference", request_body = serde_json::Value, responses(
    (status = 200, description = "As the route that the model is for", body = serde_json::Value),
    (status = "4XX", description = "Refused", body = super::openapi::ErrorBody),
    (status = "5XX", description = "Not answered", body = super::openapi::ErrorBody)))]
pub(crate) async fn root(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    request: Request,
) -> Result<Response, Failure> {
    let Json(body) = Json::<Value>::from_request(request, &app).await?;
    let (state, chosen) = (State(app.clone()), Chosen(model.clone()));
    match model.role() {
        Role::Predict if body.get("parameters").is_some() => classify(&app, &model, of(body)?).await,
        Role::Predict => predict::predict(state, chosen, Json(of::<PredictRequest>(body)?)).await,
        Role::Embed if body.get("inputs").is_some_and(Value::is_object) => {
            embed::similarity(state, chosen, Json(of(body)?)).await
        }
        Role::Embed => embed::embed(state, chosen, Json(of(body)?)).await,
        Role::Tokens => tokens::tokens(state, chosen, Json(of(body)?)).await,
        Role::Answers => answers::answers(state, chosen, Json(of(body)?)).await,
        Role::States => {
            Err(Failure::backend(format!("the model `{}` has no head; /embed_all gives hidden states", model.name)))
        }
    }
}

fn of<T: DeserializeOwned>(body: Value) -> Result<T, Failure> {
    serde_json::from_value(body).map_err(|error| Failure::invalid(format!("the body does not fit the model: {error}")))
}

async fn classify(
    app: &Shared,
    model: &std::sync::Arc<Loaded>,
    request: ClassificationRequest,
) -> Result<Response, Failure> {
    let ClassificationParameters { function_to_apply, top_k } = request.parameters;
    let task = request.task.as_deref();
    let (_, head) = model.head(task, "gives labels or numbers", encoder_spec::TaskHeadKind::is_on_pooled)?;
    let is_one_of = head.kind == encoder_spec::TaskHeadKind::Classification;
    match function_to_apply {
        Some(Function::Softmax) if !is_one_of => {
            return Err(Failure::invalid("`softmax` is for heads of one label; this head is of another kind"));
        }
        Some(Function::Sigmoid) if is_one_of => {
            return Err(Failure::invalid(
                "`sigmoid` is for heads of any number of labels; this head is of another kind",
            ));
        }
        _ => {}
    }
    let raw = function_to_apply == Some(Function::None);
    let (texts, _) = request.inputs.into_list()?;
    let inputs = texts.into_iter().map(Input::Text).collect();
    let cut = truncation(app, request.truncate, request.truncation_direction);
    let (mut all, computed) = labels(app, model, inputs, cut, (raw, task)).await?;
    all.iter_mut().for_each(|labels| labels.truncate(top_k.unwrap_or(usize::MAX)));
    let numbers = all.iter().map(Vec::len).sum::<usize>() * 4;
    Ok(computed.on(json(all, numbers).await?))
}
