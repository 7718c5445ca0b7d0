//! The routes.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::message::{InferRequest, read, write};
use super::{infer, metadata};
use crate::failure::Failure;
use crate::http::Shared;
use crate::http::body::{Whole, aside};
use crate::http::chosen::Chosen;
use crate::http::health::is_ready;
use crate::http::reply;

/// All routes below `/v2`.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v2", get(server))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{model}", get(model))
        .route("/v2/models/{model}/versions/{version}", get(model))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/versions/{version}/ready", get(model_ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer))
}

/// The server and its extensions.
#[utoipa::path(get, path = "/v2", tag = "KServe v2", responses(
    (status = 200, description = "Name, version and extensions", body = serde_json::Value)))]
pub(crate) async fn server() -> Result<Response, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    reply::json(json!({ "name": "efficientbert", "version": version, "extensions": ["binary_tensor_data"] }), 0).await
}

/// Whether the server lives.
#[utoipa::path(get, path = "/v2/health/live", tag = "KServe v2", responses(
    (status = 200, description = "It does", body = serde_json::Value)))]
pub(crate) async fn live() -> Result<Response, Failure> {
    reply::json(json!({ "live": true }), 0).await
}

/// Whether all models are answering.
#[utoipa::path(get, path = "/v2/health/ready", tag = "KServe v2", responses(
    (status = 200, description = "They are", body = serde_json::Value),
    (status = 503, description = "The server is stopping, or does not get on")))]
pub(crate) async fn ready(State(app): State<Shared>) -> Result<Response, Failure> {
    match is_ready(&app) {
        true => reply::json(json!({ "ready": true }), 0).await,
        false => Err(Failure::unhealthy()),
    }
}

/// Tensors of a model.
#[utoipa::path(get, path = "/v2/models/{model}", tag = "KServe v2", params(("model", description = "Name of the model")),
    responses(
        (status = 200, description = "Inputs and outputs", body = serde_json::Value),
        (status = 404, description = "No such model")))]
pub(crate) async fn model(Chosen(model): Chosen) -> Result<Response, Failure> {
    reply::json(metadata::model(&model), 0).await
}

/// Whether a model is answering.
#[utoipa::path(get, path = "/v2/models/{model}/ready", tag = "KServe v2",
    params(("model", description = "Name of the model")),
    responses(
        (status = 200, description = "It is", body = serde_json::Value),
        (status = 404, description = "No such model"),
        (status = 503, description = "The server is stopping, or does not get on")))]
pub(crate) async fn model_ready(State(app): State<Shared>, Chosen(model): Chosen) -> Result<Response, Failure> {
    match is_ready(&app) {
        true => reply::json(json!({ "name": model.name, "ready": true }), 0).await,
        false => Err(Failure::unhealthy()),
    }
}

/// Runs a model on texts or token ids. Tensors may be binary, as the extension `binary_tensor_data` has it.
#[utoipa::path(post, path = "/v2/models/{model}/infer", tag = "KServe v2", request_body = InferRequest,
    params(("model", description = "Name of the model")),
    responses(
        (status = 200, description = "Output tensors", body = serde_json::Value),
        (status = "4XX", description = "Refused, with `error`"),
        (status = "5XX", description = "Not answered, with `error`")))]
pub(crate) async fn infer(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    headers: HeaderMap,
    Whole(bytes): Whole,
) -> Result<Response, Failure> {
    let large = bytes.len() >= crate::http::body::HEAVY;
    let request = if large { aside(move || read(&headers, &bytes)).await? } else { read(&headers, &bytes) }?;
    let id = request.id.clone();
    let (outputs, computed) = infer::infer(&app, &model, request).await?;
    let name = model.name.clone();
    let response = match outputs.iter().any(|(tensor, _)| tensor.shape.len() > 2) {
        true => aside(move || write(&name, id, outputs)).await?,
        false => write(&name, id, outputs),
    };
    Ok(computed.on(response?))
}
