//! Bodies of answers.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;

use super::body::{HEAVY, aside};
use crate::failure::Failure;

/// Bytes that a number takes in JSON, about.
const BYTES_PER_NUMBER: usize = 12;

/// `value` as JSON. One of many `numbers` is written on a thread that may take its time.
///
/// # Errors
/// 500: it cannot be written.
pub(crate) async fn json<T: Serialize + Send + 'static>(value: T, numbers: usize) -> Result<Response, Failure> {
    let write = move || serde_json::to_vec(&value);
    let bytes = if numbers * BYTES_PER_NUMBER < HEAVY { write() } else { aside(write).await? };
    let bytes = bytes.map_err(|error| Failure::internal(format!("the answer cannot be written: {error}")))?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
