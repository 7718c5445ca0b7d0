//! One prediction file: written, rendered, read back.

use std::path::Path;

use crate::error::{Error, Result, RowPlace};
use crate::lines::Lines;
use crate::task::{Predictions, Task, TaskKind};

const HEADER: &str = "index\tprediction";

/// The file name that the GLUE site expects: `CoLA.tsv`, ..., `MNLI-m.tsv`, `MNLI-mm.tsv`, `AX.tsv`.
pub fn file_name(task: TaskKind) -> String {
    format!("{}.tsv", task.task().title())
}

/// The text of a prediction file. Classes are written by the names of [`crate::task::Task::labels`]; STS-B scores are cut to 0..5 and
/// written with three decimals.
///
/// Of a task of one's own it is a CSV file with the columns `row` and `prediction`.
///
/// # Errors
/// Predictions of the wrong kind, an unknown class, or a score that is not finite.
pub fn render(task: &Task, predictions: &Predictions) -> Result<String> {
    render_rows(task, &(0..predictions.len()).collect::<Vec<_>>(), predictions)
}

/// [`render`] of examples that stand in these rows of their file, which a file of a task of one's own names.
///
/// # Errors
/// As [`render`].
pub fn render_rows(task: &Task, rows: &[usize], predictions: &Predictions) -> Result<String> {
    #[cfg(feature = "tables")]
    if let Some((own, _)) = task.described_by() {
        return crate::task::render_predictions(task, own, rows, predictions);
    }
    #[cfg(not(feature = "tables"))]
    let _ = rows;
    let mut text = format!("{HEADER}\n");
    match predictions {
        Predictions::Sets(_) | Predictions::Tags(_) | Predictions::Ranks(_) => {
            return Err(Error::Invalid(format!("{task}: there is no official file of sets of labels, tags or ranks")));
        }
        Predictions::Classes(classes) => {
            task.check_classes(classes)?;
            let names = task.labels();
            for (index, class) in classes.iter().enumerate() {
                text.push_str(&format!("{index}\t{}\n", names[*class]));
            }
        }
        Predictions::Scores(scores) => {
            let range = task
                .range()
                .ok_or_else(|| Error::Invalid(format!("{task}: scores cannot be written, the task has classes")))?;
            for (index, score) in scores.iter().enumerate() {
                if !score.is_finite() {
                    return Err(Error::Invalid(format!(
                        "{task}: the score of example {index} is {score}; the model has diverged"
                    )));
                }
                // `+ 0.0` turns -0 into 0.
                text.push_str(&format!("{index}\t{:.3}\n", score.clamp(*range.start(), *range.end()) + 0.0));
            }
        }
    }
    Ok(text)
}

/// Reads a prediction file back. A score may be any finite number, as other programs write what a regression gives.
///
/// # Errors
/// Names file and line: another header, an index out of order, an unknown label, a truncated row, no rows.
pub fn read(task: &Task, path: &Path) -> Result<Predictions> {
    let mut lines = Lines::open(path)?;
    let (names, mut classes, mut scores) = (task.labels(), Vec::new(), Vec::new());
    while let Some((line, text)) = lines.next_line()? {
        let wrong = |field, given: &str, allowed: &str| Error::field(path, RowPlace::Line(line), field, given, allowed);
        if line == 1 {
            if text != HEADER {
                return Err(wrong("header", text, "index<TAB>prediction"));
            }
            continue;
        }
        let Some((index, prediction)) = text.split_once('\t') else {
            return Err(Error::column_count(path, line, 1, 2, "index prediction"));
        };
        let row = classes.len() + scores.len();
        if index.parse() != Ok(row) {
            return Err(wrong("index", index, &row.to_string()));
        }
        if names.is_empty() {
            let score = prediction.trim().parse().ok().filter(|score: &f64| score.is_finite());
            scores.push(score.ok_or_else(|| wrong("prediction", prediction, "a finite number"))?);
        } else {
            let class = names.iter().position(|name| *name == prediction);
            classes.push(class.ok_or_else(|| wrong("prediction", prediction, &names.join(", ")))?);
        }
    }
    if classes.is_empty() && scores.is_empty() {
        return Err(Error::EmptyFile {
            path: path.to_owned(),
            hint: "a header and one prediction per line are expected".to_owned(),
        });
    }
    Ok(if names.is_empty() { Predictions::Scores(scores) } else { Predictions::Classes(classes) })
}

/// As [`read()`], and that scores are the official ones: what the GLUE site takes.
///
/// # Errors
/// As [`read()`], or a score below 0 or above 5, with its line.
pub fn read_official(task: TaskKind, path: &Path) -> Result<Predictions> {
    let predictions = read(task.task(), path)?;
    if let (Predictions::Scores(scores), Some(range)) = (&predictions, task.task().range())
        && let Some(row) = scores.iter().position(|score| !range.contains(score))
    {
        let allowed = format!("a number from {} to {} in a submission", range.start(), range.end());
        // The header is line 1.
        let place = RowPlace::Line(row as u64 + 2);
        return Err(Error::field(path, place, "prediction", &scores[row].to_string(), &allowed));
    }
    Ok(predictions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_for_every_task() {
        let dir = tempfile::tempdir().unwrap();
        for task in TaskKind::ALL {
            let predictions = match task {
                TaskKind::Stsb => Predictions::Scores(vec![0.0, 4.25, 5.0]),
                _ => Predictions::Classes((0..task.task().labels().len()).rev().collect()),
            };
            let path = dir.path().join(file_name(task));
            std::fs::write(&path, render(task.task(), &predictions).unwrap()).unwrap();
            assert_eq!(read(task.task(), &path).unwrap(), predictions, "{task}");
        }
    }

    #[test]
    fn the_format_is_the_official_one() {
        assert_eq!(
            render(TaskKind::Rte.task(), &Predictions::Classes(vec![1, 0])).unwrap(),
            "index\tprediction\n0\tnot_entailment\n1\tentailment\n"
        );
        assert_eq!(
            render(TaskKind::Stsb.task(), &Predictions::Scores(vec![-0.1, 7.0, 1.0005])).unwrap(),
            "index\tprediction\n0\t0.000\n1\t5.000\n2\t1.000\n"
        );
        assert_eq!(
            render(TaskKind::Ax.task(), &Predictions::Classes(vec![2, 1])).unwrap(),
            "index\tprediction\n0\tcontradiction\n1\tneutral\n"
        );
        assert_eq!(
            TaskKind::ALL.map(file_name).join(" "),
            "CoLA.tsv SST-2.tsv MRPC.tsv STS-B.tsv QQP.tsv MNLI-m.tsv MNLI-mm.tsv QNLI.tsv RTE.tsv WNLI.tsv AX.tsv"
        );
        assert!(render(TaskKind::Stsb.task(), &Predictions::Scores(vec![f64::NAN])).is_err());
        assert!(render(TaskKind::Sst2.task(), &Predictions::Classes(vec![2])).is_err());
        assert!(render(TaskKind::Sst2.task(), &Predictions::Scores(vec![2.0])).is_err());
    }

    #[test]
    fn a_damaged_prediction_file_names_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let check = |text: &str, wanted: &str| {
            let path = dir.path().join("SST-2.tsv");
            std::fs::write(&path, text).unwrap();
            let message = read(TaskKind::Sst2.task(), &path).unwrap_err().to_string();
            assert!(message.contains("SST-2.tsv") && message.contains(wanted), "{message}");
        };
        check("", "empty");
        check("index\tprediction\n", "empty");
        check("index\tlabel\n", ":1: field `header`");
        check("index\tprediction\n0\t1\n2\t1\n", ":3: field `index`");
        check("index\tprediction\n0\t7\n", ":2: field `prediction` is `7`; allowed: 0, 1");
        check("index\tprediction\n0\n", ":2: 1 tab-separated columns");
    }
}
