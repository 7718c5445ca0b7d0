//! Numbers for Prometheus.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::engine::job::Times;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ModelLabels {
    model: String,
}

/// All numbers of a server. Labels are routes as they are written in the code, statuses and configured names, so there are not many.
pub struct Metrics {
    registry: Registry,
    requests: Family<RouteLabels, Counter>,
    request_time: Histogram,
    tokenization_time: Histogram,
    queue_time: Histogram,
    inference_time: Histogram,
    texts: Family<ModelLabels, Counter>,
    tokens: Family<ModelLabels, Counter>,
    batch_texts: Histogram,
    batch_tokens: Histogram,
    batch_time: Histogram,
    reloads: Counter,
    failed_reloads: Counter,
    /// Connections that are open.
    pub(crate) connections: Gauge<i64, AtomicI64>,
    queue_texts: Gauge<i64, AtomicI64>,
    queue_tokens: Gauge<i64, AtomicI64>,
    weights: Family<ModelLabels, Gauge<u64, AtomicU64>>,
}

/// Seconds from 0.1 ms to 13 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(1e-4, 2.0, 18))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("efficientbert"),
            requests: Family::default(),
            request_time: seconds(),
            tokenization_time: seconds(),
            queue_time: seconds(),
            inference_time: seconds(),
            texts: Family::default(),
            tokens: Family::default(),
            batch_texts: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            batch_tokens: Histogram::new(exponential_buckets(8.0, 2.0, 12)),
            batch_time: seconds(),
            reloads: Counter::default(),
            failed_reloads: Counter::default(),
            connections: Gauge::default(),
            queue_texts: Gauge::default(),
            queue_tokens: Gauge::default(),
            weights: Family::default(),
        };
        let all = &mut metrics.registry;
        all.register("requests", "Requests by route and status", metrics.requests.clone());
        all.register("request_seconds", "From a request's head to its answer", metrics.request_time.clone());
        all.register("tokenization_seconds", "From texts to tokens", metrics.tokenization_time.clone());
        all.register("queue_seconds", "From tokens to the first batch", metrics.queue_time.clone());
        all.register("inference_seconds", "From the first batch to the last value", metrics.inference_time.clone());
        all.register("texts", "Texts that were answered", metrics.texts.clone());
        all.register("tokens", "Tokens of these texts", metrics.tokens.clone());
        all.register("batch_texts", "Texts of a batch", metrics.batch_texts.clone());
        all.register("batch_tokens", "Tokens of a batch", metrics.batch_tokens.clone());
        all.register("batch_seconds", "Time that a batch was computed", metrics.batch_time.clone());
        all.register("reloads", "Models that were read again", metrics.reloads.clone());
        all.register("failed_reloads", "Models that could not be read again", metrics.failed_reloads.clone());
        all.register("connections", "Open connections", metrics.connections.clone());
        all.register("queue_size", "Texts that wait for a batch", metrics.queue_texts.clone());
        all.register("queue_tokens", "Tokens of these texts", metrics.queue_tokens.clone());
        all.register("model_bytes", "Bytes of weights and tables in memory", metrics.weights.clone());
        metrics
    }
}

impl Metrics {
    /// A request was answered on `route`.
    pub(crate) fn request(&self, route: &str, status: u16, time: Duration) {
        self.requests.get_or_create(&RouteLabels { route: route.to_owned(), status }).inc();
        self.request_time.observe(time.as_secs_f64());
    }

    /// Texts of a request were answered.
    pub(crate) fn texts(&self, model: &str, (texts, tokens): (usize, usize), times: Times) {
        let labels = ModelLabels { model: model.to_owned() };
        self.texts.get_or_create(&labels).inc_by(texts as u64);
        self.tokens.get_or_create(&labels).inc_by(tokens as u64);
        self.tokenization_time.observe(times.tokenization.as_secs_f64());
        self.queue_time.observe(times.queue.as_secs_f64());
        self.inference_time.observe(times.inference.as_secs_f64());
    }

    /// A batch was computed.
    pub(crate) fn batch(&self, texts: usize, tokens: usize, time: Duration) {
        self.batch_texts.observe(texts as f64);
        self.batch_tokens.observe(tokens as f64);
        self.batch_time.observe(time.as_secs_f64());
    }

    /// A model is served.
    pub(crate) fn loaded(&self, model: &str, bytes: usize) {
        self.weights.get_or_create(&ModelLabels { model: model.to_owned() }).set(bytes as u64);
    }

    /// A reload ended.
    pub(crate) fn reloaded(&self, worked: bool) {
        if worked {
            self.reloads.inc()
        } else {
            self.failed_reloads.inc()
        };
    }

    /// The text that Prometheus reads; `waiting` are the sequences and tokens of the queue.
    pub(crate) fn text(&self, (sequences, tokens): (usize, usize)) -> String {
        self.queue_texts.set(sequences as i64);
        self.queue_tokens.set(tokens as i64);
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
