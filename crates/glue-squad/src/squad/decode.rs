//! From start and end scores to answers. Follows BERT's `run_squad`, except that the text is cut out of the context by character
//! offsets instead of being aligned by words.

use std::cmp::Ordering;
use std::ops::Range;
use std::path::Path;

use indexmap::IndexMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::dataset::Dataset;
use super::json::OrderedMap;
use super::version::SquadVersion;
use super::windows::{ContextSpan, SpanLogits, WindowSet, max_context_window};
use crate::error::{Error, Result, excerpt};

/// How answers are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodeConfig {
    /// How many start and end positions of a window are looked at, and how many answers a question keeps.
    pub n_best: usize,
    /// An answer has at most this many tokens.
    pub max_answer_length: usize,
}

impl Default for DecodeConfig {
    /// BERT's: the 20 best, answers of 30 tokens.
    fn default() -> Self {
        Self { n_best: 20, max_answer_length: 30 }
    }
}

/// The text of BERT's placeholder where no span at all is possible.
const NO_SPAN: &str = "empty";

/// The null score of a question without windows, BERT's constant.
const NO_WINDOW_NULL_SCORE: f64 = 1_000_000.0;

/// One of the best answers to a question, with the official keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NBest {
    /// The answer; empty for "no answer".
    pub text: String,
    /// Softmax of `start_logit + end_logit` over the question's list.
    pub probability: f64,
    /// The score of its first token.
    pub start_logit: f64,
    /// The score of its last token.
    pub end_logit: f64,
}

/// All that was found out about a question.
#[derive(Debug, Clone, PartialEq)]
pub struct QuestionAnswer {
    /// The best answers, the best first; never empty.
    pub nbest: Vec<NBest>,
    /// The bytes of the context that are the best answer which is not empty; `None` where no span was possible.
    pub span: Option<Range<usize>>,
    /// v2.0: the null score less the score of the best answer that is not empty. The larger, the less there is an answer.
    pub null_odds: Option<f64>,
    text: String,
}

impl QuestionAnswer {
    /// The best answer that is not empty; empty where no span was possible.
    pub fn best_text(&self) -> &str {
        &self.text
    }

    /// What is predicted. v1.1: the best answer. v2.0: no answer where the null score is more than `threshold` above the best answer.
    pub fn prediction(&self, threshold: f64) -> &str {
        match self.null_odds {
            Some(odds) if odds > threshold => "",
            Some(_) => &self.text,
            None => self.nbest.first().map_or(NO_SPAN, |best| &best.text),
        }
    }
}

/// The answers to a data set's questions.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// By question id, in the order of the data set.
    pub answers: OrderedMap<QuestionAnswer>,
}

impl Decoded {
    /// The contents of the official predictions file. `threshold` is v2.0's `null_score_diff_threshold`, 0 by default.
    pub fn predictions(&self, threshold: f64) -> OrderedMap<String> {
        self.answers.iter().map(|(id, answer)| (id.clone(), answer.prediction(threshold).to_owned())).collect()
    }

    /// v2.0: the null score differences, to be given to the official script as no-answer probabilities; empty for v1.1.
    pub fn null_odds(&self) -> OrderedMap<f64> {
        self.answers.iter().filter_map(|(id, answer)| Some((id.clone(), answer.null_odds?))).collect()
    }

    /// Writes the official predictions file: an object from id to text.
    ///
    /// # Errors
    /// The folder is missing or the system refuses to write; a file that stood there is unchanged then.
    pub fn save_predictions(&self, path: &Path, threshold: f64) -> Result<()> {
        write_json(path, &self.predictions(threshold))
    }

    /// Writes the best answers of every question, as `run_squad` does: an object from id to a list of [`NBest`].
    ///
    /// # Errors
    /// As [`Decoded::save_predictions`].
    pub fn save_nbest(&self, path: &Path) -> Result<()> {
        let nbest: IndexMap<&str, &[NBest]> = self.answers.iter().map(|(id, a)| (id.as_str(), &a.nbest[..])).collect();
        write_json(path, &nbest)
    }

    /// Writes [`Decoded::null_odds`], which the official script takes as `--na-prob-file`.
    ///
    /// # Errors
    /// As [`Decoded::save_predictions`].
    pub fn save_null_odds(&self, path: &Path) -> Result<()> {
        write_json(path, &self.null_odds())
    }
}

/// Writes JSON as the official scripts do, indented by four.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = Vec::new();
    let style = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, style))
        .map_err(|e| Error::Invalid(format!("{}: cannot be written as JSON: {e}", path.display())))?;
    text.push(b'\n');
    Ok(run_store::output::write(path, &text)?)
}

/// Finds the answers to the questions of `dataset` from the scores of all windows of `set`, in their order.
///
/// In every window the `n_best` tokens with the best start and with the best end scores are paired; a pair is a candidate if both
/// lie in the context, the end is not before the start, the span is not longer than the maximum, and the window is the one that
/// sees the start token with the most context. Candidates are ranked by the sum of the two scores; of equal texts the best stays. For
/// v2.0 the `[CLS]` of the window with the least sum is the candidate "no answer".
///
/// A question without any candidate (an empty context) is answered "empty" in v1.1, as `run_squad` does, and with "no answer" in v2.0.
///
/// # Errors
/// Other numbers of windows, questions or scores than `set` has, scores that are not finite, or settings of 0.
pub fn decode(dataset: &Dataset, set: &WindowSet, logits: &[SpanLogits], config: &DecodeConfig) -> Result<Decoded> {
    if config.n_best == 0 || config.max_answer_length == 0 {
        return Err(Error::Invalid(
            "n-best size and maximum answer length must be at least 1; 20 and 30 are usual".to_owned(),
        ));
    }
    if logits.len() != set.len() || dataset.questions.len() != set.questions() {
        return Err(Error::Invalid(format!(
            "scores of {} windows for {} windows, {} questions for {}: these do not belong together",
            logits.len(),
            set.len(),
            dataset.questions.len(),
            set.questions()
        )));
    }
    let answers: Vec<QuestionAnswer> = (0..set.questions())
        .into_par_iter()
        .map(|question| answer(dataset, set, logits, config, question))
        .collect::<Result<_>>()?;
    Ok(Decoded { answers: dataset.questions.iter().map(|q| q.id.clone()).zip(answers).collect() })
}

/// A span of one window.
struct Candidate {
    start_logit: f64,
    end_logit: f64,
    /// First and last context token; `None` is "no answer".
    tokens: Option<(usize, usize)>,
}

fn answer(
    dataset: &Dataset,
    set: &WindowSet,
    logits: &[SpanLogits],
    config: &DecodeConfig,
    question: usize,
) -> Result<QuestionAnswer> {
    let range = set.question_windows(question);
    let spans: Vec<ContextSpan> = set.windows()[range.clone()].iter().map(|w| w.context).collect();
    let offset = set.context_position(question);
    let with_null = set.version() == SquadVersion::V2;
    let mut candidates = Vec::new();
    let mut null = Candidate { start_logit: 0.0, end_logit: 0.0, tokens: None };
    let mut null_score = NO_WINDOW_NULL_SCORE;
    for (number, window) in range.enumerate() {
        let length = set.length(window);
        let (starts, ends) = (&logits[window].start, &logits[window].end);
        if starts.len() < length || ends.len() < length {
            let found = format!("{} start and {} end scores", starts.len(), ends.len());
            return Err(Error::Invalid(format!("window {window} has {found} for {length} tokens")));
        }
        let (starts, ends) = (&starts[..length], &ends[..length]);
        if !starts.iter().chain(ends).all(|score| score.is_finite()) {
            let id = excerpt(&dataset.questions[question].id);
            return Err(Error::Invalid(format!(
                "question `{id}`, window {number}: a score is not finite; the model has diverged"
            )));
        }
        let at_cls = f64::from(starts[0]) + f64::from(ends[0]);
        if at_cls < null_score {
            null_score = at_cls;
            null = Candidate { start_logit: starts[0].into(), end_logit: ends[0].into(), tokens: None };
        }
        let span = spans[number];
        let end_positions = best_positions(ends, config.n_best);
        for start in best_positions(starts, config.n_best) {
            // Position in the context, if it is one: the question before and the [SEP] after it are not.
            let context =
                |position: usize| position.checked_sub(offset).filter(|at| *at < span.len).map(|at| at + span.start);
            let Some(first) = context(start).filter(|token| max_context_window(&spans, *token) == Some(number)) else {
                continue;
            };
            for end in &end_positions {
                let Some(last) = context(*end) else { continue };
                if last >= first && last - first < config.max_answer_length {
                    let (start_logit, end_logit) = (starts[start].into(), ends[*end].into());
                    candidates.push(Candidate { start_logit, end_logit, tokens: Some((first, last)) });
                }
            }
        }
    }
    let null_logits = (null.start_logit, null.end_logit);
    if with_null {
        candidates.push(null);
    }
    candidates.sort_by(|a, b| descending(a.start_logit + a.end_logit, b.start_logit + b.end_logit));
    rank(dataset, set, config, question, &candidates, with_null.then_some((null_score, null_logits)))
}

/// Turns sorted candidates into texts and the list of the best.
fn rank(
    dataset: &Dataset,
    set: &WindowSet,
    config: &DecodeConfig,
    question: usize,
    candidates: &[Candidate],
    null: Option<(f64, (f64, f64))>,
) -> Result<QuestionAnswer> {
    let context = dataset.context(question);
    let mut nbest: Vec<NBest> = Vec::new();
    let mut best: Option<(usize, Range<usize>)> = None;
    for candidate in candidates {
        if nbest.len() >= config.n_best {
            break;
        }
        let text = match candidate.tokens {
            None => "",
            Some((first, last)) => {
                let bytes = set.context_bytes(dataset, question, first, last);
                let Some((text, bytes)) = bytes.and_then(|b| Some((context.get(b.clone())?, b))) else {
                    return Err(Error::Invalid("the windows were made from another data set".to_owned()));
                };
                if text.is_empty() || nbest.iter().any(|entry| entry.text == text) {
                    continue;
                }
                best.get_or_insert((nbest.len(), bytes));
                text
            }
        };
        let (start_logit, end_logit) = (candidate.start_logit, candidate.end_logit);
        nbest.push(NBest { text: text.to_owned(), probability: 0.0, start_logit, end_logit });
    }
    if let Some((_, (start_logit, end_logit))) = null
        && !nbest.iter().any(|entry| entry.text.is_empty())
    {
        nbest.push(NBest { text: String::new(), probability: 0.0, start_logit, end_logit });
    }
    if nbest.is_empty() {
        nbest.push(NBest { text: NO_SPAN.to_owned(), probability: 0.0, start_logit: 0.0, end_logit: 0.0 });
    }
    let null_odds = null.map(|(score, _)| match &best {
        Some((at, _)) => score - nbest[*at].start_logit - nbest[*at].end_logit,
        None => score,
    });
    let text = best.as_ref().map_or_else(String::new, |(at, _)| nbest[*at].text.clone());
    softmax(&mut nbest);
    Ok(QuestionAnswer { nbest, span: best.map(|(_, bytes)| bytes), null_odds, text })
}

/// The larger first; the scores are finite, and 0 equals -0.
fn descending(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

/// The positions of the `n` largest scores, the largest first, the first of equals first.
fn best_positions(scores: &[f32], n: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..scores.len()).collect();
    let order = |a: &usize, b: &usize| descending(scores[*a].into(), scores[*b].into()).then(a.cmp(b));
    if n < positions.len() {
        positions.select_nth_unstable_by(n, order);
        positions.truncate(n);
    }
    positions.sort_unstable_by(order);
    positions
}

fn softmax(nbest: &mut [NBest]) {
    let score = |entry: &NBest| entry.start_logit + entry.end_logit;
    let largest = nbest.iter().map(score).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = nbest.iter().map(|entry| (score(entry) - largest).exp()).sum();
    for entry in nbest {
        entry.probability = (score(entry) - largest).exp() / sum;
    }
}
