//! Answers to questions about texts.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use glue_squad::squad::{Dataset, DecodeConfig, NBest, SpanLogits, WindowSet, decode};
use predict::span::{SpanAnswer, WindowChoice};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::job::{Sequence, Want};
use crate::engine::{Asked, Loaded};
use crate::failure::Failure;
use crate::http::Shared;
use crate::http::body::{Json, aside};
use crate::http::chosen::Chosen;
use crate::http::frame::Computed;
use crate::http::reply::json;

/// A question and the text that it is about.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    pub question: String,
    pub context: String,
}

/// A question or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected {\"question\": ..., \"context\": ...} or a list of these")]
pub(crate) enum Questions {
    One(Question),
    Many(Vec<Question>),
}

/// How questions are read and answers chosen, in the words of Hugging Face's pipelines.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswersParameters {
    /// Tokens by which a window starts after the one before; 128 where it is absent.
    pub doc_stride: Option<usize>,
    /// Longest answer in tokens; 30 where it is absent.
    pub max_answer_len: Option<usize>,
    /// Longest question in tokens; 64 where it is absent.
    pub max_question_len: Option<usize>,
    /// Longest window in tokens; 384, or what the model takes, where it is absent.
    pub max_seq_len: Option<usize>,
    /// Whether there may be no answer; by the model's training where it is absent.
    pub handle_impossible_answer: Option<bool>,
    /// Changes nothing here: answers are cut out of the text where tokens begin and end.
    #[expect(dead_code, reason = "known, so that it is described and must be a truth value")]
    pub align_to_words: Option<bool>,
    /// 1; others are in `n_best`.
    pub top_k: Option<usize>,
    /// How many of the best texts the answer lists; none where it is absent.
    pub n_best: Option<usize>,
}

/// A request for answers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswersRequest {
    pub inputs: Questions,
    #[serde(default)]
    pub parameters: Option<AnswersParameters>,
    /// Task of the head that answers.
    pub task: Option<String>,
}

/// One of the best texts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Candidate {
    pub answer: String,
    pub score: f64,
}

/// An answer, a part of the text; empty, with 0 for both places, where there is none.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Answer {
    pub answer: String,
    pub score: f64,
    pub start: usize,
    pub end: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_best: Option<Vec<Candidate>>,
}

/// The answer to one question, or to each of several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Answers {
    One(Answer),
    Many(Vec<Answer>),
}

/// Answers to questions about texts, which are parts of these. Texts of any length are read in windows.
#[utoipa::path(post, path = "/answers", tag = "EfficientBERT", request_body = AnswersRequest, responses(
    (status = 200, description = "A part of the text, or an empty answer", body = Answers),
    (status = "4XX", description = "Refused", body = crate::http::openapi::ErrorBody),
    (status = "5XX", description = "Not answered", body = crate::http::openapi::ErrorBody)))]
pub(crate) async fn answers(
    State(app): State<Shared>,
    Chosen(model): Chosen,
    Json(request): Json<AnswersRequest>,
) -> Result<Response, Failure> {
    let (questions, many) = match request.inputs {
        Questions::One(question) => (vec![question], false),
        Questions::Many(questions) if questions.is_empty() => return Err(Failure::empty("inputs")),
        Questions::Many(questions) => (questions, true),
    };
    let parameters = request.parameters.unwrap_or_default();
    let (mut all, computed) = spans(&app, &model, questions, (&parameters, request.task.as_deref())).await?;
    let body = match all.pop() {
        Some(one) if !many => Answers::One(one),
        last => Answers::Many(all.into_iter().chain(last).collect()),
    };
    Ok(computed.on(json(body, 0).await?))
}

/// The answer to each question.
///
/// # Errors
/// The model answers none, parameters that make no sense, or as [`crate::engine::Engine::run`].
pub(crate) async fn spans(
    app: &Shared,
    model: &Arc<Loaded>,
    questions: Vec<Question>,
    (parameters, task): (&AnswersParameters, Option<&str>),
) -> Result<(Vec<Answer>, Computed), Failure> {
    let (index, version) = model.span_head(task)?;
    if parameters.top_k.is_some_and(|k| k != 1) {
        return Err(Failure::invalid("`top_k` is 1 here; `n_best` lists more texts with their scores"));
    }
    if let Some(empty) = questions.iter().position(|q| q.context.trim().is_empty() || q.question.trim().is_empty()) {
        return Err(Failure::invalid(format!("question {empty}: `question` and `context` cannot be empty")));
    }
    let choice = WindowChoice {
        max_len: parameters.max_seq_len,
        stride: parameters.doc_stride,
        max_query: parameters.max_question_len,
    };
    let windows = choice.windows(model.config.max_position_embeddings, model.tokenizer.frame())?;
    let decoding = DecodeConfig {
        n_best: parameters.n_best.unwrap_or(0).max(DecodeConfig::default().n_best),
        max_answer_length: parameters.max_answer_len.unwrap_or(DecodeConfig::default().max_answer_length),
    };
    if decoding.n_best > 1000 || !(1..=1000).contains(&decoding.max_answer_length) {
        return Err(Failure::invalid("`n_best` and `max_answer_len` are numbers up to 1000"));
    }
    // A null score above this means that there is no answer.
    let threshold = if parameters.handle_impossible_answer == Some(false) { f64::INFINITY } else { 0.0 };
    let count = questions.len();
    // However short: other threads have a part in it, which may be busy with a long one.
    let asked = Asked { texts: count, bytes: usize::MAX };
    let (pool, limits) = (Arc::clone(&app.pool), *app.engine.limits());
    let encode = move |model: &Loaded| {
        let dataset = Dataset::from_texts(questions.into_iter().map(|q| (q.question, q.context)));
        let set = pool.install(|| WindowSet::for_prediction(&dataset, &model.tokenizer, windows, version));
        let set = set.map_err(read)?;
        // A small stride makes many windows of few tokens.
        limits.check_tokens(set.lengths().iter().sum())?;
        let sequence = |window| Ok(Sequence::from(set.features(window).map_err(read)?));
        let sequences = (0..set.len()).map(sequence).collect::<Result<_, Failure>>()?;
        Ok((sequences, (dataset, set)))
    };
    let (answered, (dataset, set)) = app.engine.run(model, asked, Want::head(index), encode).await?;
    let computed = Computed::of(model, count, &answered);
    let n_best = parameters.n_best;
    let pool = Arc::clone(&app.pool);
    let answers = aside(move || {
        let side = |values: &[f32], side: usize| values.chunks_exact(2).map(|pair| pair[side]).collect();
        let logits = answered.values.iter().map(|values| &values.heads[0][..]);
        let logits: Vec<_> = logits.map(|v| SpanLogits { start: side(v, 0), end: side(v, 1) }).collect();
        let decoded = pool.install(|| decode(&dataset, &set, &logits, &decoding));
        let decoded = decoded.map_err(|e| Failure::backend(e.to_string()))?;
        let answers = decoded.answers.iter().enumerate().map(|(number, (_, answer))| {
            let found = SpanAnswer::of(version, answer, dataset.context(number), threshold);
            let listed = |n_best: usize| found.n_best.iter().take(n_best).map(candidate).collect();
            Answer {
                n_best: n_best.map(listed),
                answer: found.answer,
                score: found.probability,
                start: found.start.unwrap_or(0),
                end: found.end.unwrap_or(0),
            }
        });
        Ok::<Vec<Answer>, Failure>(answers.collect())
    });
    Ok((answers.await??, computed))
}

fn candidate(entry: &NBest) -> Candidate {
    Candidate { answer: entry.text.clone(), score: entry.probability }
}

fn read(error: glue_squad::Error) -> Failure {
    Failure::invalid(error.to_string())
}
