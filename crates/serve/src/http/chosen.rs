//! The model that a request is for.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::Shared;
use crate::engine::Loaded;
use crate::failure::Failure;

/// The model that the path names (`/models/NAME/...`, `/v2/models/NAME/...`), else the first one.
pub(crate) struct Chosen(pub Arc<Loaded>);

impl FromRequestParts<Shared> for Chosen {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        let params = RawPathParams::from_request_parts(parts, app).await;
        let params = params.map_err(|_| Failure::not_found("the path is no UTF-8"))?;
        let named = params.iter().find(|(key, _)| *key == "model").map(|(_, name)| name);
        let version = params.iter().find(|(key, _)| *key == "version").map(|(_, version)| version);
        if let Some(version) = version.filter(|version| *version != super::kserve::VERSION) {
            return Err(Failure::not_found(format!("there is no version `{version}`; models have version 1")));
        }
        match named {
            None => app.models.first().ok_or_else(Failure::unhealthy).map(Self),
            Some(name) => find(app, name).map(Self),
        }
    }
}

/// # Errors
/// 404 with the names that there are.
pub(crate) fn find(app: &Shared, name: &str) -> Result<Arc<Loaded>, Failure> {
    app.models.get(name).ok_or_else(|| {
        let known: Vec<String> = app.models.all().iter().map(|model| model.name.clone()).collect();
        Failure::not_found(format!("there is no model `{name}`; models: {}", known.join(", ")))
    })
}
