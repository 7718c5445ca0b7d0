//! Whether the server lives, and its numbers.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::Shared;
use crate::failure::Failure;

/// Whether requests are taken and answered.
#[utoipa::path(get, path = "/health", tag = "Health", responses(
    (status = 200, description = "Requests are answered"),
    (status = 503, description = "The server is stopping, or does not get on", body = super::openapi::ErrorBody)))]
pub(crate) async fn health(State(app): State<Shared>) -> Result<StatusCode, Failure> {
    match is_ready(&app) {
        true => Ok(StatusCode::OK),
        false => Err(Failure::unhealthy()),
    }
}

pub(crate) fn is_ready(app: &Shared) -> bool {
    !app.is_stopping() && app.engine.is_healthy()
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "Health", responses(
    (status = 200, description = "Numbers in the text format of OpenMetrics", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<Shared>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (kind, app.metrics.text(app.engine.waiting()))
}
