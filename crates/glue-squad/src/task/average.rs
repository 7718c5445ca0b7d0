//! Averages over tasks, which differ between papers in their columns and are therefore never shown without them.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{Scores, TaskKind};

/// A column of a result table: one metric of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The task.
    pub task: TaskKind,
    /// One of its [`super::Task::metric_names`].
    pub metric: &'static str,
}

const fn column(task: TaskKind, metric: &'static str) -> Column {
    Column { task, metric }
}

/// The nine columns of TinyBERT's and EfficientBERT's test tables: both sets of MNLI, F1 for QQP and MRPC, Spearman for STS-B,
/// no WNLI.
pub const NINE_COLUMNS: [Column; 9] = [
    column(TaskKind::Mnli, "accuracy"),
    column(TaskKind::MnliMm, "accuracy"),
    column(TaskKind::Qqp, "f1"),
    column(TaskKind::Qnli, "accuracy"),
    column(TaskKind::Sst2, "accuracy"),
    column(TaskKind::Cola, "matthews"),
    column(TaskKind::Stsb, "spearman"),
    column(TaskKind::Mrpc, "f1"),
    column(TaskKind::Rte, "accuracy"),
];

/// Eight columns, as in NAS-BERT's tables: the matched set of MNLI only, accuracy for QQP and MRPC.
pub const EIGHT_COLUMNS: [Column; 8] = [
    column(TaskKind::Mnli, "accuracy"),
    column(TaskKind::Qqp, "accuracy"),
    column(TaskKind::Qnli, "accuracy"),
    column(TaskKind::Cola, "matthews"),
    column(TaskKind::Sst2, "accuracy"),
    column(TaskKind::Stsb, "spearman"),
    column(TaskKind::Rte, "accuracy"),
    column(TaskKind::Mrpc, "accuracy"),
];

/// Seven columns, as in EFTNAS's table of development sets: no STS-B, accuracy for QQP, F1 for MRPC.
pub const SEVEN_COLUMNS: [Column; 7] = [
    column(TaskKind::Mnli, "accuracy"),
    column(TaskKind::Qnli, "accuracy"),
    column(TaskKind::Qqp, "accuracy"),
    column(TaskKind::Sst2, "accuracy"),
    column(TaskKind::Cola, "matthews"),
    column(TaskKind::Mrpc, "f1"),
    column(TaskKind::Rte, "accuracy"),
];

/// The mean of some columns. It is shown and serialized with its columns, so that no number stands alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Average {
    /// `9-column average`.
    pub name: String,
    /// What it averages.
    pub columns: Vec<Column>,
    /// The mean as a fraction, where no column is missing.
    pub value: Option<f64>,
    /// The columns without a score, for want of which there is no average.
    pub missing: Vec<Column>,
}

impl Average {
    /// The mean of `columns` in the scores of `of`; there is none where a column has no score.
    pub fn over<'a>(columns: &[Column], of: impl Fn(TaskKind) -> Option<&'a Scores>) -> Self {
        let score = |column: &Column| of(column.task).and_then(|scores| scores.get(column.metric));
        let missing: Vec<Column> = columns.iter().filter(|column| score(column).is_none()).copied().collect();
        let values: Vec<f64> = columns.iter().filter_map(score).collect();
        let complete = missing.is_empty() && !values.is_empty();
        let value = complete.then(|| values.iter().sum::<f64>() / values.len() as f64);
        Self { name: format!("{}-column average", columns.len()), columns: columns.to_vec(), value, missing }
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Column {
    /// `RTE`; `QQP f1` where the task has several metrics.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task.task().metric_names().len() {
            1 => f.write_str(self.task.task().title()),
            _ => write!(f, "{} {}", self.task.task().title(), self.metric),
        }
    }
}

fn joined(columns: &[Column]) -> String {
    columns.iter().map(Column::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Average {
    /// `7-column average 82.91 of MNLI-m, QNLI, ...`; without a value, what is missing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(value) => write!(f, "{} {:.2} of {}", self.name, value * 100.0, joined(&self.columns)),
            None => write!(f, "{} n/a of {}; missing: {}", self.name, joined(&self.columns), joined(&self.missing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::NamedScore;

    fn scores(values: &[(&str, f64)]) -> Scores {
        let values: Vec<NamedScore> =
            values.iter().map(|(name, value)| NamedScore { name: (*name).into(), value: *value }).collect();
        Scores { values, primary: 0.0 }
    }

    #[test]
    fn every_column_is_a_metric_of_its_task_and_no_column_comes_twice() {
        for columns in [&NINE_COLUMNS[..], &EIGHT_COLUMNS, &SEVEN_COLUMNS] {
            for (at, column) in columns.iter().enumerate() {
                assert!(column.task.task().metric_names().contains(&column.metric), "{column}");
                assert!(!columns[..at].contains(column), "{column}");
            }
        }
    }

    #[test]
    fn the_published_average_of_a_row_comes_out_and_names_its_columns() {
        // TinyBERT's row in its own test table, which prints 77.0.
        let row = [82.5, 81.8, 71.3, 87.7, 92.6, 44.1, 80.4, 86.4, 66.6];
        let table: Vec<(TaskKind, Scores)> =
            NINE_COLUMNS.iter().zip(row).map(|(c, value)| (c.task, scores(&[(c.metric, value / 100.0)]))).collect();
        let of = |task| table.iter().find(|(found, _)| *found == task).map(|(_, scores)| scores);
        let average = Average::over(&NINE_COLUMNS, of);
        assert!((average.value.unwrap() - 0.770_444).abs() < 1e-5);
        assert_eq!(
            average.to_string(),
            "9-column average 77.04 of MNLI-m, MNLI-mm, QQP f1, QNLI, SST-2, CoLA, STS-B spearman, MRPC f1, RTE"
        );
        let json = serde_json::to_value(&average).unwrap();
        assert_eq!((json["name"].as_str(), json["columns"][2].as_str()), (Some("9-column average"), Some("QQP f1")));
    }

    #[test]
    fn a_missing_column_is_named_and_leaves_no_number() {
        let rte = scores(&[("accuracy", 0.5)]);
        let average = Average::over(&SEVEN_COLUMNS, |task| (task == TaskKind::Rte).then_some(&rte));
        assert_eq!((average.value, average.missing.len()), (None, 6));
        let text = average.to_string();
        assert!(
            text.starts_with("7-column average n/a of") && text.contains("missing: MNLI-m, QNLI, QQP accuracy"),
            "{text}"
        );
    }
}
