//! The model and the limits.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use encoder_spec::TaskHeadKind;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::{Loaded, Role};
use crate::failure::Failure;
use crate::http::Shared;
use crate::http::chosen::Chosen;
use crate::http::reply::json;

/// Names of classes.
#[derive(Serialize, ToSchema)]
pub(crate) struct Classes {
    pub id2label: BTreeMap<usize, String>,
    pub label2id: BTreeMap<String, usize>,
}

/// What a model does, in the words of text-embeddings-inference, which has none for tokens and questions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ModelType {
    Classifier(Classes),
    Embedding { pooling: String },
    Reranker(Classes),
    TokenClassifier(Classes),
    QuestionAnswering { version: String },
    Encoder {},
}

/// A head of a model.
#[derive(Serialize, ToSchema)]
pub(crate) struct HeadInfo {
    pub task: String,
    pub kind: String,
    pub labels: Vec<String>,
}

/// A model and the limits of requests.
#[derive(Serialize, ToSchema)]
pub(crate) struct Info {
    pub model_id: String,
    pub model_sha: Option<String>,
    pub model_dtype: String,
    pub model_type: ModelType,
    pub heads: Vec<HeadInfo>,
    pub max_concurrent_requests: usize,
    pub max_input_length: usize,
    pub max_batch_tokens: usize,
    pub max_batch_requests: Option<usize>,
    pub max_client_batch_size: usize,
    pub auto_truncate: bool,
    pub version: String,
}

/// The model and the limits of requests.
#[utoipa::path(get, path = "/info", tag = "text-embeddings-inference", responses(
    (status = 200, description = "Model and limits", body = Info)))]
pub(crate) async fn info(State(app): State<Shared>, Chosen(model): Chosen) -> Result<Response, Failure> {
    let limits = app.engine.limits();
    let heads = model.config.task_heads.iter().map(|head| HeadInfo {
        task: head.task.clone(),
        kind: head.kind.name().to_owned(),
        labels: head.labels.clone(),
    });
    let info = Info {
        model_id: model.name.clone(),
        model_sha: None,
        model_dtype: match model.model.precision().name() {
            "f32" => "float32".into(),
            "bf16" => "bfloat16".into(),
            other => other.into(),
        },
        model_type: model_type(&model),
        heads: heads.collect(),
        max_concurrent_requests: limits.queue,
        max_input_length: model.longest,
        max_batch_tokens: limits.batch_tokens,
        max_batch_requests: None,
        max_client_batch_size: limits.texts,
        auto_truncate: app.truncate,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    json(info, 0).await
}

fn model_type(model: &Loaded) -> ModelType {
    let Some(head) = model.config.task_heads.first() else { return ModelType::Encoder {} };
    let names = if head.labels.is_empty() { std::slice::from_ref(&head.task) } else { &head.labels[..] };
    let classes = || Classes {
        id2label: names.iter().cloned().enumerate().collect(),
        label2id: names.iter().cloned().enumerate().map(|(id, label)| (label, id)).collect(),
    };
    match model.role() {
        Role::States => ModelType::Encoder {},
        Role::Answers => ModelType::QuestionAnswering { version: head.task.clone() },
        Role::Tokens => ModelType::TokenClassifier(classes()),
        Role::Embed => {
            let pooling = head.vector.map(|vector| vector.pooling.name()).unwrap_or_default();
            ModelType::Embedding { pooling: pooling.to_owned() }
        }
        Role::Predict if head.kind == TaskHeadKind::Regression => ModelType::Reranker(classes()),
        Role::Predict => ModelType::Classifier(classes()),
    }
}
