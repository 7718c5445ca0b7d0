//! Vectors of texts, hidden states, cosines.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use encoder_spec::TaskHeadKind;
use serde::Deserialize;
use utoipa::ToSchema;

use super::types::{Direction, EmbedInput, no_prompt, truncation};
use crate::engine::Loaded;
use crate::engine::input::{Input, Truncation, asked, encode};
use crate::engine::job::Want;
use crate::failure::Failure;
use crate::http::Shared;
use crate::http::body::Json;
use crate::http::chosen::Chosen;
use crate::http::frame::Computed;
use crate::http::reply::json;

/// A request for vectors.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbedRequest {
    pub inputs: EmbedInput,
    pub truncate: Option<bool>,
    pub truncation_direction: Option<Direction>,
    /// Refused: models have no prompts.
    pub prompt_name: Option<String>,
    /// Whether vectors get length 1; yes where it is absent.
    pub normalize: Option<bool>,
    /// How many values of each vector are kept, the first ones.
    pub dimensions: Option<usize>,
}

/// How vectors are finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish {
    pub normalize: bool,
    pub dimensions: Option<usize>,
}

/// A vector for each text.
#[utoipa::path(post, path = "/embed", tag = "text-embeddings-inference", request_body = EmbedRequest, responses(
    (status = 200, description = "A vector for each text", body = Vec<Vec<f32>>),
    (status = "4XX", description = "Refused", body = crate::http::openapi::ErrorBody),
    (status = "5XX", description = "Not answered", body = crate::http::openapi::ErrorBody)))]
pub(crate) async fn embed(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    Json(request): Json<EmbedRequest>,
) -> Result<Response, Failure> {
    no_prompt(request.prompt_name.as_deref())?;
    let cut = truncation(&app, request.truncate, request.truncation_direction);
    let finish = Finish { normalize: request.normalize.unwrap_or(true), dimensions: request.dimensions };
    let (vectors, computed) = vectors(&app, &model, request.inputs.into_inputs("inputs")?, cut, finish).await?;
    let numbers = vectors.iter().map(Vec::len).sum();
    Ok(computed.on(json(vectors, numbers).await?))
}

/// The vector of each input.
///
/// # Errors
/// The model makes none, or none of that many values, or as [`crate::engine::Engine::run`].
pub(crate) async fn vectors(
    app: &Shared,
    model: &Arc<Loaded>,
    inputs: Vec<Input>,
    cut: Truncation,
    finish: Finish,
) -> Result<(Vec<Vec<f32>>, Computed), Failure> {
    let (index, head) = model.head(None, "makes vectors", |kind| kind == TaskHeadKind::Embedding)?;
    let width = head.outputs(model.config.hidden_size);
    if let Some(wanted) = finish.dimensions.filter(|wanted| *wanted == 0 || *wanted > width) {
        return Err(Failure::invalid(format!("`dimensions` is {wanted}; vectors have {width} values")));
    }
    let asked = asked(&inputs);
    let encode = move |model: &Loaded| Ok((encode(model, &inputs, cut)?, ()));
    let (mut answered, ()) = app.engine.run(model, asked, Want::head(index), encode).await?;
    let computed = Computed::of(model, asked.texts, &answered);
    let mut vectors = Vec::with_capacity(asked.texts);
    for values in &mut answered.values {
        let mut vector = values.heads.pop().unwrap_or_default();
        if vector.iter().any(|value| !value.is_finite()) {
            return Err(Failure::backend(format!("the head `{}` gives no finite answer", head.task)));
        }
        vector.truncate(finish.dimensions.unwrap_or(width));
        if finish.normalize {
            unit(&mut vector);
        }
        vectors.push(vector);
    }
    Ok((vectors, computed))
}

/// `v / |v|`; a vector of zeros stays.
fn unit(vector: &mut [f32]) {
    let length = dot(vector, vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// A request for hidden states.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbedAllRequest {
    pub inputs: EmbedInput,
    pub truncate: Option<bool>,
    pub truncation_direction: Option<Direction>,
    /// Refused: models have no prompts.
    pub prompt_name: Option<String>,
}

/// The last hidden state of every token, special tokens included.
#[utoipa::path(post, path = "/embed_all", tag = "text-embeddings-inference", request_body = EmbedAllRequest, responses(
    (status = 200, description = "For each text a vector for each token", body = Vec<Vec<Vec<f32>>>),
    (status = "4XX", description = "Refused", body = crate::http::openapi::ErrorBody),
    (status = "5XX", description = "Not answered", body = crate::http::openapi::ErrorBody)))]
pub(crate) async fn embed_all(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    Json(request): Json<EmbedAllRequest>,
) -> Result<Response, Failure> {
    no_prompt(request.prompt_name.as_deref())?;
    let cut = truncation(&app, request.truncate, request.truncation_direction);
    let inputs = request.inputs.into_inputs("inputs")?;
    let asked = asked(&inputs);
    let encode = move |model: &Loaded| Ok((encode(model, &inputs, cut)?, ()));
    let want = Want { heads: Vec::new(), hidden: true };
    let (answered, ()) = app.engine.run(&model, asked, want, encode).await?;
    let computed = Computed::of(&model, asked.texts, &answered);
    let width = model.model.hidden();
    if answered.values.iter().any(|values| values.hidden.iter().any(|value| !value.is_finite())) {
        return Err(Failure::backend("the model gives no finite hidden states"));
    }
    let numbers = answered.tokens * width;
    let rows = |values: crate::engine::job::Values| values.hidden.chunks(width).map(<[f32]>::to_vec).collect();
    let states: Vec<Vec<Vec<f32>>> = answered.values.into_iter().map(rows).collect();
    Ok(computed.on(json(states, numbers).await?))
}

/// A text and others that it is compared with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimilarityInput {
    pub source_sentence: String,
    pub sentences: Vec<String>,
}

/// How texts are read.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimilarityParameters {
    pub truncate: Option<bool>,
    pub truncation_direction: Option<Direction>,
    /// Refused: models have no prompts.
    pub prompt_name: Option<String>,
}

/// A request for cosines.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimilarityRequest {
    pub inputs: SimilarityInput,
    pub parameters: Option<SimilarityParameters>,
}

/// The cosine of a text's vector with that of each of the others.
#[utoipa::path(post, path = "/similarity", tag = "text-embeddings-inference", request_body = SimilarityRequest, responses(
    (status = 200, description = "A cosine for each of the other texts", body = Vec<f32>),
    (status = "4XX", description = "Refused", body = crate::http::openapi::ErrorBody),
    (status = "5XX", description = "Not answered", body = crate::http::openapi::ErrorBody)))]
pub(crate) async fn similarity(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    Json(request): Json<SimilarityRequest>,
) -> Result<Response, Failure> {
    let SimilarityInput { source_sentence, sentences } = request.inputs;
    let parameters = request.parameters.unwrap_or_default();
    no_prompt(parameters.prompt_name.as_deref())?;
    if sentences.is_empty() {
        return Err(Failure::empty("inputs.sentences"));
    }
    let inputs = std::iter::once(source_sentence).chain(sentences).map(Input::Text).collect();
    let cut = truncation(&app, parameters.truncate, parameters.truncation_direction);
    let finish = Finish { normalize: true, dimensions: None };
    let (vectors, computed) = vectors(&app, &model, inputs, cut, finish).await?;
    let cosines: Vec<f32> = vectors[1..].iter().map(|other| dot(&vectors[0], other) as f32).collect();
    let numbers = cosines.len();
    Ok(computed.on(json(cosines, numbers).await?))
}
