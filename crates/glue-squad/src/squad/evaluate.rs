//! The official scores: what `evaluate-v1.1.py` and `evaluate-v2.0.py` compute, under their names.

use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::gold::Gold;
use super::json::{self, OrderedMap};
use super::normalize::{exact_match, f1, normalize_answer};
use super::version::SquadVersion;
use crate::error::{Error, Result, excerpt};

/// What errors call inputs that are no files.
const PREDICTIONS: &str = "the predictions";
const PROBABILITIES: &str = "the probabilities";

/// A value of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Score {
    /// A number of questions.
    Count(u64),
    /// A percentage (100.0 is perfect) or a threshold.
    Number(f64),
}

impl Score {
    /// The value as a float.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Number(number) => number,
        }
    }
}

/// The scores of a predictions file.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// v1.1: `exact_match`, `f1`. v2.0: `exact`, `f1`, `total`; the same with `HasAns_` over the answerable and with `NoAns_` over the
    /// unanswerable questions, where there are any; with probabilities `best_exact`, `best_exact_thresh`, `best_f1`,
    /// `best_f1_thresh`. Scores are percentages.
    pub scores: OrderedMap<Score>,
    /// Ids without a prediction, which v1.1 scores with 0. Always empty in v2.0, where they are an error.
    pub missing: Vec<String>,
    /// Predictions for ids that the data set does not have; they do not count, as in the official scripts.
    pub extra: usize,
}

impl Evaluation {
    /// A score by its official name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.scores.get(name).map(|score| score.as_f64())
    }

    /// The mean of exact match and F1, in percent: the number by which EfficientBERT chooses the best checkpoint.
    pub fn primary(&self) -> f64 {
        let exact = self.get("exact_match").or_else(|| self.get("exact"));
        (exact.unwrap_or(0.0) + self.get("f1").unwrap_or(0.0)) / 2.0
    }
}

/// The official script's default of `--na-prob-thresh`.
pub const NO_ANSWER_THRESHOLD: f64 = 1.0;

/// Scores files as the official script of `version` does: `data` in SQuAD's layout, `predictions` an object from id to text, and
/// for v2.0, where wanted, `na_probs` an object from id to the probability (or any score) that there is no answer.
///
/// Questions without a prediction score 0 in v1.1 and are an error in v2.0, whose official script fails on them too; predictions
/// for unknown questions are ignored. A split without a question has no keys in the result.
///
/// # Errors
/// A file that cannot be read or has another structure, a data file without questions or answers, predictions or probabilities
/// that are missing in v2.0, probabilities given for v1.1.
pub fn score_files(
    version: SquadVersion,
    data: &Path,
    predictions: &Path,
    na_probs: Option<&Path>,
) -> Result<Evaluation> {
    let gold = Gold::read(data)?;
    let predicted: OrderedMap<String> = json::read(predictions)?;
    let probabilities: Option<OrderedMap<f64>> = na_probs.map(json::read).transpose()?;
    let scored = evaluate(version, &gold, &predicted, probabilities.as_ref(), NO_ANSWER_THRESHOLD);
    scored.map_err(|error| match (error, na_probs) {
        (Error::MissingPredictions { path, data, count, total, first }, na_probs) => {
            let path = na_probs.filter(|_| path == Path::new(PROBABILITIES)).unwrap_or(predictions).to_owned();
            Error::MissingPredictions { path, data, count, total, first }
        }
        (other, _) => other,
    })
}

/// Scores predictions in memory, see [`score_files`]. In v2.0 a question whose probability is above `threshold`
/// ([`NO_ANSWER_THRESHOLD`] by default) counts as answered with "no answer".
///
/// # Errors
/// As [`score_files`], except for reading.
pub fn evaluate(
    version: SquadVersion,
    gold: &Gold,
    predictions: &OrderedMap<String>,
    na_probs: Option<&OrderedMap<f64>>,
    threshold: f64,
) -> Result<Evaluation> {
    if gold.questions.is_empty() {
        let (path, inside) = (gold.path.clone(), "data".to_owned());
        return Err(Error::WrongEntry { path, inside, reason: "holds no question to score".to_owned() });
    }
    match version {
        SquadVersion::V1 if na_probs.is_some() => Err(Error::Invalid(
            "squad-v1 has no unanswerable questions, so no-answer probabilities mean nothing; leave them out or use squad-v2".to_owned(),
        )),
        SquadVersion::V1 => score_v1(gold, predictions),
        SquadVersion::V2 => score_v2(gold, predictions, na_probs, threshold),
    }
}

fn score_v1(gold: &Gold, predictions: &OrderedMap<String>) -> Result<Evaluation> {
    let (mut exact, mut overlap, mut missing) = (0.0, 0.0, Vec::new());
    for (id, answers) in &gold.questions {
        if answers.is_empty() {
            return Err(Error::WrongEntry {
                path: gold.path.clone(),
                inside: format!("question `{}`", excerpt(id)),
                reason: "has no answer, which squad-v1 does not know; score it as squad-v2".to_owned(),
            });
        }
        let Some(prediction) = predictions.get(id) else {
            missing.push(id.clone());
            continue;
        };
        let (best_exact, best_f1) = best_over(answers.iter().map(String::as_str), prediction, 0.0);
        exact += best_exact;
        overlap += best_f1;
    }
    let total = gold.questions.len() as f64;
    let scores = [("exact_match", 100.0 * exact / total), ("f1", 100.0 * overlap / total)];
    let scores = scores.into_iter().map(|(name, value)| (name.to_owned(), Score::Number(value))).collect();
    let known: std::collections::HashSet<&str> = gold.questions.iter().map(|(id, _)| id.as_str()).collect();
    let extra = predictions.iter().filter(|(id, _)| !known.contains(id.as_str())).count();
    Ok(Evaluation { scores, missing, extra })
}

/// The largest exact match and the largest F1 over the answers, as fractions.
fn best_over<'a>(answers: impl Iterator<Item = &'a str>, prediction: &str, empty: f64) -> (f64, f64) {
    answers.fold((0.0_f64, 0.0_f64), |(exact, overlap), answer| {
        (exact.max(f64::from(u8::from(exact_match(answer, prediction)))), overlap.max(f1(answer, prediction, empty)))
    })
}

/// Exact match and F1 of a v2.0 prediction: answers that are nothing but articles and punctuation do not count, and a question
/// without answers wants the empty text.
pub(super) fn pair_v2(answers: &[String], prediction: &str) -> (f64, f64) {
    let mut kept = answers.iter().map(String::as_str).filter(|answer| !normalize_answer(answer).is_empty()).peekable();
    if kept.peek().is_none() {
        return best_over(std::iter::once(""), prediction, 1.0);
    }
    best_over(kept, prediction, 1.0)
}

struct Scored {
    has_answer: bool,
    says_something: bool,
    exact: f64,
    f1: f64,
    no_answer: f64,
}

fn score_v2(
    gold: &Gold,
    predictions: &OrderedMap<String>,
    na_probs: Option<&OrderedMap<f64>>,
    threshold: f64,
) -> Result<Evaluation> {
    let questions: IndexMap<&str, &[String]> =
        gold.questions.iter().map(|(id, answers)| (id.as_str(), &answers[..])).collect();
    let absent = |what: &str, has: &dyn Fn(&str) -> bool| {
        let missing: Vec<&str> = questions.keys().copied().filter(|id| !has(id)).collect();
        match missing.first() {
            None => Ok(()),
            Some(first) => Err(Error::MissingPredictions {
                path: what.into(),
                data: gold.path.clone(),
                count: missing.len(),
                total: questions.len(),
                first: excerpt(first),
            }),
        }
    };
    absent(PREDICTIONS, &|id| predictions.contains_key(id))?;
    if let Some(odds) = na_probs {
        absent(PROBABILITIES, &|id| odds.contains_key(id))?;
    }
    let scored: IndexMap<&str, Scored> = questions
        .iter()
        .map(|(&id, answers)| {
            let prediction = predictions.get(id).map_or("", String::as_str);
            let (exact, f1) = pair_v2(answers, prediction);
            let no_answer = na_probs.and_then(|odds| odds.get(id)).copied().unwrap_or(0.0);
            let (has_answer, says_something) = (!answers.is_empty(), !prediction.is_empty());
            (id, Scored { has_answer, says_something, exact, f1, no_answer })
        })
        .collect();

    let mut scores = OrderedMap::default();
    for (prefix, wanted) in [("", None), ("HasAns_", Some(true)), ("NoAns_", Some(false))] {
        let (mut exact, mut f1, mut total) = (0.0, 0.0, 0_u64);
        for s in scored.values().filter(|s| wanted.is_none_or(|wanted| wanted == s.has_answer)) {
            let silenced = s.no_answer > threshold;
            let right = f64::from(u8::from(!s.has_answer));
            exact += if silenced { right } else { s.exact };
            f1 += if silenced { right } else { s.f1 };
            total += 1;
        }
        if total > 0 {
            scores.insert(format!("{prefix}exact"), Score::Number(100.0 * exact / total as f64));
            scores.insert(format!("{prefix}f1"), Score::Number(100.0 * f1 / total as f64));
            scores.insert(format!("{prefix}total"), Score::Count(total));
        }
    }
    if let Some(odds) = na_probs {
        for (name, of) in [("best_exact", (|s: &Scored| s.exact) as fn(&Scored) -> f64), ("best_f1", |s| s.f1)] {
            let (best, threshold) = best_threshold(&scored, odds, of);
            scores.insert(name.to_owned(), Score::Number(best));
            scores.insert(format!("{name}_thresh"), Score::Number(threshold));
        }
    }
    let extra = predictions.iter().filter(|(id, _)| !scored.contains_key(id.as_str())).count();
    Ok(Evaluation { scores, missing: Vec::new(), extra })
}

/// The official `find_best_thresh`: from "no answer to everything" on, questions are answered from the least probability of no
/// answer up, and the best score and the probability at that point are kept. Questions of equal probability are taken one by
/// one in the order of the probabilities' file, which is part of the official definition. [`super::search_threshold`] is the
/// search to choose a threshold with.
fn best_threshold(scored: &IndexMap<&str, Scored>, odds: &OrderedMap<f64>, of: fn(&Scored) -> f64) -> (f64, f64) {
    let mut current = scored.values().filter(|s| !s.has_answer).count() as f64;
    let (mut best, mut threshold) = (current, 0.0);
    let mut order: Vec<(&str, f64)> = odds.iter().map(|(id, odds)| (id.as_str(), *odds)).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    for (id, odds) in order {
        let Some(question) = scored.get(id) else { continue };
        current += match (question.has_answer, question.says_something) {
            (true, _) => of(question),
            (false, true) => -1.0,
            (false, false) => 0.0,
        };
        if current > best {
            (best, threshold) = (current, odds);
        }
    }
    (100.0 * best / scored.len() as f64, threshold)
}
