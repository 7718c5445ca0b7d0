//! Bodies of requests, with limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::Shared;
use crate::failure::Failure;

/// What is read of a body that is too large, so that its sender reads the answer: this many times the limit.
const DRAIN: usize = 8;
/// From this size on, reading or writing JSON is left to a thread that may take its time.
pub(crate) const HEAVY: usize = 64 << 10;

/// The bytes of a body.
pub(crate) struct Whole(pub Bytes);

impl FromRequest<Shared> for Whole {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        let limits = app.engine.limits();
        let (limit, time) = (limits.body, limits.body_time);
        collect(request.into_body(), limit, time).await.map(Self)
    }
}

/// A body that is JSON of this form.
pub(crate) struct Json<T>(pub T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Shared> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        must_be_json(request.headers())?;
        let Whole(bytes) = Whole::from_request(request, app).await?;
        parse(bytes).await.map(Self)
    }
}

/// # Errors
/// 415: the body says that it is something else.
fn must_be_json(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let given = given.to_str().unwrap_or("?").to_ascii_lowercase();
    let kind = given.split(';').next().unwrap_or_default().trim();
    match kind == "application/json" || kind.ends_with("+json") {
        true => Ok(()),
        false => Err(Failure::media_type(format!("the body is `{kind}`; send `Content-Type: application/json`"))),
    }
}

/// Reads JSON; a large one on a thread of its own.
pub(crate) async fn parse<T: DeserializeOwned + Send + 'static>(bytes: Bytes) -> Result<T, Failure> {
    if bytes.len() < HEAVY {
        return parse_now(&bytes);
    }
    aside(move || parse_now(&bytes)).await?
}

/// # Errors
/// 400 for what is no JSON, 422 for JSON of another form.
pub(crate) fn parse_now<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Failure::malformed(format!("the body is no UTF-8 from byte {} on", error.valid_up_to())));
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Failure::invalid(format!("the body does not fit the route: {error}")),
        _ => Failure::malformed(format!("the body is no JSON: {error}")),
    })
}

/// Runs what takes its time where nobody waits for it.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::internal("a part of the answer failed"))
}

async fn collect(body: Body, limit: usize, time: Duration) -> Result<Bytes, Failure> {
    match tokio::time::timeout(time, gather(body, limit)).await {
        Ok(gathered) => gathered,
        Err(_) => Err(Failure::slow_body()),
    }
}

async fn gather(mut body: Body, limit: usize) -> Result<Bytes, Failure> {
    let (mut whole, mut length) = (Vec::new(), 0);
    // Most bodies come in one piece, which is then not copied.
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::malformed(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > limit {
            (whole, first) = (Vec::new(), None);
            if length > limit.saturating_mul(DRAIN) {
                break;
            }
        } else if first.is_none() && whole.is_empty() {
            first = Some(data);
        } else {
            if let Some(first) = first.take() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&data);
        }
    }
    match length > limit {
        true => Err(Failure::too_large(format!("the body is larger than the {limit} bytes that are taken"))),
        false => Ok(first.unwrap_or_else(|| whole.into())),
    }
}
