//! Why a request is refused.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// The `error_type` of an answer: text-embeddings-inference's words, and some for what it has none for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub enum ErrorType {
    /// The server is stopping.
    Unhealthy,
    /// The model does not answer requests of this kind, or not with finite numbers.
    Backend,
    /// Too much is waiting already.
    Overloaded,
    /// The request is not as it should be.
    Validation,
    /// The tokenizer fails on a text.
    Tokenizer,
    /// There is nothing to answer.
    Empty,
    /// The token is missing or wrong.
    Unauthorized,
    /// No such route or model.
    NotFound,
    /// It took too long.
    Timeout,
}

/// A refused request.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Status of the answer.
    pub status: StatusCode,
    /// Kind of failure.
    pub kind: ErrorType,
    /// What is wrong and what to do.
    pub message: String,
}

impl Failure {
    fn new(status: StatusCode, kind: ErrorType, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    /// 422: well-formed, but not what the route takes.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorType::Validation, message)
    }

    /// 400: not even JSON.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorType::Validation, message)
    }

    /// 413: more than is taken at once.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorType::Validation, message)
    }

    /// 415: the body is said to be something else.
    pub fn media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorType::Validation, message)
    }

    /// 400: nothing to answer.
    pub fn empty(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorType::Empty, format!("`{what}` cannot be empty"))
    }

    /// 424: this model does not do that.
    pub fn backend(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FAILED_DEPENDENCY, ErrorType::Backend, message)
    }

    /// 422: the tokenizer fails.
    pub fn tokenizer(error: &dyn std::fmt::Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorType::Tokenizer, error.to_string())
    }

    /// 429: too much is waiting.
    pub fn overloaded() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorType::Overloaded, "Model is overloaded")
    }

    /// 408: the body did not come in time.
    pub fn slow_body() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, ErrorType::Timeout, "the request's body did not arrive in time")
    }

    /// 504: the answer was not there in time.
    pub fn late() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, ErrorType::Timeout, "the model did not answer in time; try again later")
    }

    /// 401: no token or a wrong one.
    pub fn unauthorized() -> Self {
        let message = "send the server's token as `Authorization: Bearer TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, ErrorType::Unauthorized, message)
    }

    /// 404: no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorType::NotFound, message)
    }

    /// 405: the route takes other methods.
    pub fn method() -> Self {
        let message = "the route does not take this method; /openapi.json lists the routes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorType::Validation, message)
    }

    /// 503: it is not ready.
    pub fn unhealthy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::Unhealthy, "unhealthy")
    }

    /// 500: a fault of the server.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorType::Backend, message)
    }
}

/// Only the status is set here: the body depends on the route's protocol, and [`crate::http::frame`] writes it.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<tokenizer::Error> for Failure {
    fn from(error: tokenizer::Error) -> Self {
        Self::tokenizer(&error)
    }
}

impl From<predict::Error> for Failure {
    fn from(error: predict::Error) -> Self {
        match &error {
            predict::Error::Tokenizer(_) => Self::tokenizer(&error),
            predict::Error::Data(_) | predict::Error::Segments { .. } | predict::Error::WindowTooLong { .. } => {
                Self::invalid(error.to_string())
            }
            _ => Self::backend(error.to_string()),
        }
    }
}
