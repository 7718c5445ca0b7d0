//! The routes.
//!
//! | file | concern |
//! |---|---|
//! | `listen`, `stall` | connections, and their end |
//! | `frame` | what every request goes through: id, token, log line, form of errors |
//! | `unread` | bodies of requests that are refused before they are read |
//! | `body`, `reply` | bodies of requests and answers |
//! | `chosen` | the model that a request is for |
//! | `tei/` | the routes of text-embeddings-inference |
//! | `openai` | embeddings as OpenAI has them |
//! | `own` | entities of texts, answers to questions |
//! | `root` | `POST /`, as Hugging Face's clients call it |
//! | `kserve/` | KServe v2, the Open Inference Protocol |
//! | `health` | health, metrics |
//! | `openapi` | the document that describes all of them |

mod body;
mod chosen;
pub(crate) mod frame;
mod health;
pub(crate) mod kserve;
pub(crate) mod listen;
mod openai;
mod openapi;
mod own;
mod reply;
mod root;
mod stall;
mod tei;
mod unread;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::routing::{get, post};

use crate::engine::Engine;
use crate::event::Events;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::settings::{Settings, Token};

pub(crate) type Shared = Arc<App>;

/// What all routes share.
pub(crate) struct App {
    pub engine: Arc<Engine>,
    pub models: Models,
    /// Threads for what comes in many parts.
    pub pool: Arc<rayon::ThreadPool>,
    pub metrics: Arc<Metrics>,
    pub events: Events,
    pub token: Option<Token>,
    pub truncate: bool,
    stopping: AtomicBool,
    /// Where ids of requests begin, so that those of two servers differ.
    origin: u64,
    requests: AtomicU64,
}

impl App {
    pub fn new(
        engine: Arc<Engine>,
        models: Models,
        pool: Arc<rayon::ThreadPool>,
        (metrics, events): (Arc<Metrics>, Events),
        settings: &Settings,
    ) -> Self {
        Self {
            engine,
            models,
            pool,
            metrics,
            events,
            token: settings.token.clone(),
            truncate: settings.truncate,
            stopping: AtomicBool::new(false),
            origin: RandomState::new().hash_one(0),
            requests: AtomicU64::new(0),
        }
    }

    fn next_id(&self) -> String {
        format!("{:016x}-{}", self.origin, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// From now on answers end their connections, and the server is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// Routes of one model, for the first one at the root and for each below `/models/NAME`.
fn of_a_model() -> Router<Shared> {
    Router::new()
        .route("/info", get(tei::info::info))
        .route("/predict", post(tei::predict::predict))
        .route("/rerank", post(tei::predict::rerank))
        .route("/embed", post(tei::embed::embed))
        .route("/embed_all", post(tei::embed::embed_all))
        .route("/similarity", post(tei::embed::similarity))
        .route("/tokenize", post(tei::tokenize::tokenize))
        .route("/decode", post(tei::tokenize::decode))
        .route("/embeddings", post(openai::embeddings))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/tokens", post(own::tokens::tokens))
        .route("/answers", post(own::answers::answers))
}

/// All routes.
pub(crate) fn router(app: Shared) -> Router {
    let below = of_a_model().route("/", post(root::root));
    Router::new()
        .route("/", get(health::health).post(root::root))
        .merge(of_a_model())
        .route("/models/{model}/", post(root::root))
        .nest("/models/{model}", below)
        .route("/v1/models", get(openai::models))
        .route("/health", get(health::health))
        .route("/ping", get(health::health))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::document))
        .merge(kserve::routes())
        .fallback(async || Failure::not_found("there is no such route; /openapi.json lists the routes"))
        .method_not_allowed_fallback(async || Failure::method())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), frame::frame))
        .with_state(app)
}
