//! Embeddings as OpenAI's API has them.

use axum::extract::{RawPathParams, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use super::body::Json;
use super::chosen::{Chosen, find};
use super::reply::json;
use super::tei::embed::{Finish, vectors};
use super::tei::types::{EmbedInput, truncation};
use crate::failure::Failure;

/// How vectors are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// Base64 of the numbers as little-endian `f32`.
    Base64,
}

/// A request for vectors.
#[derive(Deserialize, ToSchema)]
pub(crate) struct EmbeddingsRequest {
    pub input: EmbedInput,
    /// Name of the model; where several are served it chooses one.
    pub model: Option<String>,
    pub encoding_format: Option<EncodingFormat>,
    /// How many values of each vector are kept, the first ones.
    pub dimensions: Option<usize>,
    /// Of the service that the form comes from; it changes nothing here.
    #[expect(dead_code, reason = "known, so that it is described and must be a string")]
    pub user: Option<String>,
}

/// A vector.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// A vector and its place in the request.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingObject {
    pub object: &'static str,
    pub index: usize,
    pub embedding: Vector,
}

/// Tokens of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    pub prompt_tokens: usize,
    pub total_tokens: usize,
}

/// Vectors of all texts.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingsResponse {
    pub object: &'static str,
    pub data: Vec<EmbeddingObject>,
    pub model: String,
    pub usage: Usage,
}

/// A vector of length 1 for each text.
#[utoipa::path(post, path = "/v1/embeddings", tag = "OpenAI", request_body = EmbeddingsRequest, responses(
    (status = 200, description = "A vector for each text", body = EmbeddingsResponse),
    (status = "4XX", description = "Refused, with `error.message`, `error.type` and `error.code`"),
    (status = "5XX", description = "Not answered, with the same keys")))]
pub(crate) async fn embeddings(
    State(app): State<Shared>,
    params: RawPathParams,
    Chosen(model): Chosen,
    Json(request): Json<EmbeddingsRequest>,
) -> Result<Response, Failure> {
    // A path that names a model has chosen; of a single model any name is taken, as clients must give one.
    let is_named = params.iter().any(|(key, _)| key == "model");
    let model = match &request.model {
        Some(name) if !is_named && app.models.all().len() > 1 => find(&app, name)?,
        _ => model,
    };
    let cut = truncation(&app, None, None);
    let finish = Finish { normalize: true, dimensions: request.dimensions };
    let inputs = request.input.into_inputs("input")?;
    let (vectors, computed) = vectors(&app, &model, inputs, cut, finish).await?;
    let numbers = vectors.iter().map(Vec::len).sum();
    let written = |vector: Vec<f32>| match request.encoding_format.unwrap_or_default() {
        EncodingFormat::Float => Vector::Float(vector),
        EncodingFormat::Base64 => Vector::Base64(base64(&vector)),
    };
    let object = |(index, vector)| EmbeddingObject { object: "embedding", index, embedding: written(vector) };
    let usage = Usage { prompt_tokens: computed.tokens, total_tokens: computed.tokens };
    let data = vectors.into_iter().enumerate().map(object).collect();
    let body = EmbeddingsResponse { object: "list", data, model: request.model.unwrap_or(model.name.clone()), usage };
    Ok(computed.on(json(body, numbers).await?))
}

fn base64(vector: &[f32]) -> String {
    use base64::Engine;
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A model that is served.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelObject {
    pub id: String,
    pub object: &'static str,
    pub owned_by: &'static str,
    pub created: u64,
}

/// All models.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelList {
    pub object: &'static str,
    pub data: Vec<ModelObject>,
}

/// The models that are served.
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI", responses(
    (status = 200, description = "All models", body = ModelList)))]
pub(crate) async fn models(State(app): State<Shared>) -> Result<Response, Failure> {
    let object =
        |name: &String| ModelObject { id: name.clone(), object: "model", owned_by: "efficientbert", created: 0 };
    let data = app.models.all().iter().map(|model| object(&model.name)).collect();
    json(ModelList { object: "list", data }, 0).await
}
