//! The document that describes all routes.

use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::reply::json;
use super::{health, kserve, openai, own, root, tei};
use crate::failure::{ErrorType, Failure};

/// What is wrong with a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong and what to do.
    pub error: String,
    /// Kind of failure.
    pub error_type: ErrorType,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "EfficientBERT", description = "Models of the BERT family over HTTP. Routes that are for one model answer for the first one; \
below `/models/{model}` they answer for the one of this name."),
    paths(
        tei::info::info, tei::predict::predict, tei::predict::rerank, tei::embed::embed, tei::embed::embed_all,
        tei::embed::similarity, tei::tokenize::tokenize, tei::tokenize::decode, root::root,
        openai::embeddings, openai::models, own::tokens::tokens, own::answers::answers, health::health, health::metrics,
        kserve::routes::server, kserve::routes::live, kserve::routes::ready, kserve::routes::model,
        kserve::routes::model_ready, kserve::routes::infer,
    ),
    modifiers(&Finish),
)]
struct Document;

/// What the attributes cannot say.
struct Finish;

impl Modify for Finish {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        document.info.version = env!("CARGO_PKG_VERSION").to_owned();
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The OpenAPI document.
pub(crate) async fn document() -> Result<Response, Failure> {
    json(Document::openapi(), 0).await
}
