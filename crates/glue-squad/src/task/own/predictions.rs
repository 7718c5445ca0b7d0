//! Predictions as a table.

use super::file::OwnTask;
use crate::error::{Error, Result};
use crate::task::{Predictions, Task};

/// A CSV file with the columns `row` (from 0, as the file has them) and `prediction`: the name of the class, the names of the labels,
/// the number, the cosine of two texts, or the rank of the answer.
///
/// # Errors
/// Predictions that are not of the task's kind or not finite.
pub fn render_predictions(task: &Task, own: &OwnTask, rows: &[usize], predictions: &Predictions) -> Result<String> {
    let mut text = "row,prediction\n".to_owned();
    let names = task.labels();
    let name = |class: usize| {
        let found = names.get(class).copied();
        found.ok_or_else(|| Error::Invalid(format!("{task}: class {class}; the task has {} classes", names.len())))
    };
    for (at, row) in rows.iter().enumerate().take(predictions.len()) {
        let answer = match predictions {
            Predictions::Classes(classes) => name(classes[at])?.to_owned(),
            Predictions::Sets(sets) => {
                sets[at].iter().map(name).collect::<Result<Vec<_>>>()?.join(&own.label_separator)
            }
            // Words are needed beside them, see `render_tags`.
            Predictions::Tags(_) => return Err(Error::Invalid(format!("{task}: tags belong to words, not to rows"))),
            Predictions::Ranks(ranks) => ranks[at].to_string(),
            Predictions::Scores(scores) => {
                let number = task.scale().map_or(scores[at], |scale| scale.number(scores[at]));
                if !number.is_finite() {
                    let message = format!("{task}: the answer to row {row} is {number}; the model has diverged");
                    return Err(Error::Invalid(message));
                }
                number.to_string()
            }
        };
        text += &format!("{row},{}\n", quoted(&answer));
    }
    Ok(text)
}

/// A field of a CSV file.
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}
