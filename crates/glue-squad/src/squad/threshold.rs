//! The threshold of v2.0 above which a question counts as unanswerable.

use serde::{Deserialize, Serialize};

use super::decode::Decoded;
use super::evaluate::pair_v2;
use super::gold::Gold;
use crate::error::{Error, Result, excerpt};

/// The best thresholds for the null score difference on one data set, and what they reach there in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestThresholds {
    /// The largest exact match that any threshold reaches.
    pub best_exact: f64,
    /// The threshold that reaches it, the lowest of equals.
    pub best_exact_thresh: f64,
    /// The largest F1 that any threshold reaches.
    pub best_f1: f64,
    /// The threshold that reaches it, the lowest of equals.
    pub best_f1_thresh: f64,
}

/// Tries every threshold that makes a difference. [`Decoded::predictions`] with a threshold found here scores exactly what is
/// promised. Unlike `best_f1_thresh` of the official script it starts from the answers before any threshold, keeps questions of
/// equal odds together, and can advise to answer nothing.
///
/// # Errors
/// No questions, or one that was not decoded for v2.0.
pub fn search_threshold(gold: &Gold, decoded: &Decoded) -> Result<BestThresholds> {
    let mut rows = Vec::with_capacity(gold.questions.len());
    for (id, answers) in &gold.questions {
        let Some((answer, odds)) = decoded.answers.get(id).and_then(|a| Some((a, a.null_odds?))) else {
            let given = format!("question `{}` was not decoded with a null score", excerpt(id));
            return Err(Error::Invalid(format!("{given}; decode the same data set as squad-v2")));
        };
        rows.push((odds, pair_v2(answers, answer.best_text()), pair_v2(answers, "")));
    }
    let Some(least) = rows.iter().map(|row| row.0).reduce(f64::min) else {
        return Err(Error::Invalid("there are no questions to search a threshold on".to_owned()));
    };
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let search = |side: fn(&(f64, f64)) -> f64| {
        let mut current: f64 = rows.iter().map(|(_, _, silent)| side(silent)).sum();
        let (mut best, mut threshold) = (current, least.next_down());
        for group in rows.chunk_by(|a, b| a.0 == b.0) {
            current += group.iter().map(|(_, spoken, silent)| side(spoken) - side(silent)).sum::<f64>();
            if current > best {
                (best, threshold) = (current, group[0].0);
            }
        }
        (100.0 * best / rows.len() as f64, threshold)
    };
    let (best_exact, best_exact_thresh) = search(|pair| pair.0);
    let (best_f1, best_f1_thresh) = search(|pair| pair.1);
    Ok(BestThresholds { best_exact, best_exact_thresh, best_f1, best_f1_thresh })
}
