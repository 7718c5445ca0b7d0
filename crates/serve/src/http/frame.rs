//! What every request goes through: its id, its token, its log line, and the form of its error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use super::Shared;
use super::unread::Unread;
use crate::engine::Loaded;
use crate::engine::job::Answered;
use crate::event::{Event, RequestEvent};
use crate::failure::Failure;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Routes that answer without a token: whoever asks whether the server lives learns nothing else.
const OPEN: [&str; 4] = ["/health", "/ping", "/v2/health/live", "/v2/health/ready"];
/// Longest id of a request that is taken over.
const LONGEST_ID: usize = 128;

/// What a handler computed, for the log line and the headers of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Computed {
    pub model: String,
    pub texts: usize,
    pub tokens: usize,
    pub times: crate::engine::job::Times,
}

impl Computed {
    pub fn of(model: &Loaded, texts: usize, answered: &Answered) -> Self {
        Self { model: model.name.clone(), texts, tokens: answered.tokens, times: answered.times }
    }

    /// The answer with what it took.
    pub fn on(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        let milliseconds = |time: Duration| HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        headers.insert("x-compute-tokens", HeaderValue::from(self.tokens));
        headers.insert("x-tokenization-time", milliseconds(self.times.tokenization));
        headers.insert("x-queue-time", milliseconds(self.times.queue));
        headers.insert("x-inference-time", milliseconds(self.times.inference));
        response.extensions_mut().insert(self);
        response
    }
}

/// The protocol that an error is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Tei,
    OpenAi,
    Kserve,
}

impl Dialect {
    fn of(path: &str) -> Self {
        if path == "/v2" || path.starts_with("/v2/") {
            Self::Kserve
        } else if path.starts_with("/v1/") || path.contains("/v1/") || path.ends_with("/embeddings") {
            Self::OpenAi
        } else {
            Self::Tei
        }
    }

    fn body(self, failure: &Failure) -> serde_json::Value {
        let Failure { status, kind, message } = failure;
        match self {
            Self::Tei => json!({ "error": message, "error_type": kind }),
            Self::OpenAi => {
                json!({ "error": { "message": message, "type": kind, "param": null, "code": status.as_u16() } })
            }
            Self::Kserve => json!({ "error": message }),
        }
    }
}

/// The middleware around all routes.
pub(crate) async fn frame(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let open = Open::of(&app, &request);
    let (request, unread) = Unread::of(request);
    let mut response = if may_enter(&app, &open.path, &request) {
        next.run(request).await
    } else {
        drop(request);
        axum::response::IntoResponse::into_response(Failure::unauthorized())
    };
    // Of the others enough was read, or its time is over.
    if matches!(response.status().as_u16(), 400 | 401 | 404 | 405 | 415 | 503) {
        let limits = app.engine.limits();
        unread.drain(limits.body, limits.body_time).await;
    }
    let error = match response.extensions_mut().remove::<Failure>() {
        Some(failure) => {
            say(&mut response, Dialect::of(&open.path), &failure);
            Some(failure.message)
        }
        None => None,
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&open.id) {
        headers.insert(REQUEST_ID, value);
    }
    if app.is_stopping() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let computed = response.extensions_mut().remove::<Computed>();
    if let Some(Computed { model, texts, tokens, times }) = &computed {
        app.metrics.texts(model, (*texts, *tokens), *times);
    }
    open.answered(response.status().as_u16(), error, computed);
    response
}

/// The status in the log of a request whose client left before its answer; none has heard of it.
const LEFT: u16 = 499;

/// A request without an answer, which is logged and counted once: with its answer, or when its client leaves.
struct Open {
    app: Shared,
    begun: Instant,
    id: String,
    method: String,
    path: String,
    route: String,
    is_logged: bool,
}

impl Open {
    fn of(app: &Shared, request: &Request) -> Self {
        Self {
            app: Arc::clone(app),
            begun: Instant::now(),
            id: id_of(app, request),
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            route: request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned(),
            is_logged: false,
        }
    }

    fn answered(mut self, status: u16, error: Option<String>, computed: Option<Computed>) {
        self.log(status, error, computed);
    }

    fn log(&mut self, status: u16, error: Option<String>, computed: Option<Computed>) {
        self.is_logged = true;
        let total = self.begun.elapsed();
        self.app.metrics.request(&self.route, status, total);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let of = |time: fn(&Computed) -> Duration| computed.as_ref().map(|computed| micros(time(computed)));
        let event = RequestEvent {
            id: std::mem::take(&mut self.id),
            method: std::mem::take(&mut self.method),
            path: std::mem::take(&mut self.path),
            status,
            error,
            texts: computed.as_ref().map(|computed| computed.texts),
            tokens: computed.as_ref().map(|computed| computed.tokens),
            tokenization_us: of(|computed| computed.times.tokenization),
            queue_us: of(|computed| computed.times.queue),
            inference_us: of(|computed| computed.times.inference),
            total_us: micros(total),
            model: computed.map(|computed| computed.model),
        };
        (self.app.events)(&Event::Request(&event));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_logged {
            self.log(LEFT, Some("the connection ended before the answer".to_owned()), None);
        }
    }
}

/// Writes the failure in the protocol of the route.
fn say(response: &mut Response, dialect: Dialect, failure: &Failure) {
    let text = dialect.body(failure).to_string();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.remove(header::CONTENT_LENGTH);
    match failure.status.as_u16() {
        401 => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        429 | 503 | 504 => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    *response.body_mut() = Body::from(text);
}

/// Whether the request has the token, where there is one.
fn may_enter(app: &Shared, path: &str, request: &Request) -> bool {
    let Some(token) = &app.token else { return true };
    if OPEN.contains(&path) {
        return true;
    }
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, rest) = given.split_at(given.len().min("Bearer ".len()));
    scheme.eq_ignore_ascii_case(b"bearer ") && token.is(rest)
}

/// The id that the client gave, or a new one.
fn id_of(app: &Arc<super::App>, request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    match given.filter(|id| !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|b| b.is_ascii_graphic())) {
        Some(id) => id.to_owned(),
        None => app.next_id(),
    }
}
