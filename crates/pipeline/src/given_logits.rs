//! Logits of training examples from files that other programs wrote.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bert_core::weights;
use glue_squad::task::{Head, Task};
use kd::job::GivenLogits;
use table_rows::{Cell, Format, Layout, Table};

use crate::{Error, Result};

/// The column with the number of the row in the training file.
const ROW: &str = "row";
/// The column with all logits of a row, or the tensor of all rows.
const LOGITS: &str = "logits";

/// Reads the logits of the examples that stand in rows `rows` of the training file of `task`; of several files the mean.
///
/// A file is JSON Lines with the keys `row` (from 0) and `logits`, a list in the order of the task's labels; or a CSV, TSV or Parquet file with the columns `row` and one for
/// each label, called as it is (of a regression `prediction`, in the units of the labels); or a safetensors file with a tensor `logits` of `[rows, labels]`.
///
/// # Errors
/// A file that cannot be read, has another number of labels, lacks rows, has a row twice, or a value that is no finite number.
pub fn read(files: &[PathBuf], task: &Task, rows: &[usize]) -> Result<GivenLogits> {
    if matches!(task.head(), Head::Tags { .. }) {
        return Err(Error::Mismatch(format!(
            "{task}: asks for a tag of each word; only logits of whole texts are read"
        )));
    }
    if task.head() == Head::Embedding {
        return Err(Error::Mismatch(format!(
            "{task}: is learned by vectors; only logits of labels and numbers are read"
        )));
    }
    let width = task.head().outputs();
    let mut sum = vec![0.0f64; rows.len() * width];
    for file in files {
        let all = match file.extension().is_some_and(|extension| extension == "safetensors") {
            true => from_tensor(file, width)?,
            false => from_table(file, task, width)?,
        };
        let missing: Vec<usize> = rows.iter().copied().filter(|row| !all.contains_key(row)).collect();
        if let Some(first) = missing.first() {
            let (count, path) = (missing.len(), file.display());
            return Err(Error::Mismatch(format!(
                "{path}: {count} of {} training rows have no logits, the first is row {first}",
                rows.len()
            )));
        }
        for (at, row) in rows.iter().enumerate() {
            for (total, value) in sum[at * width..(at + 1) * width].iter_mut().zip(&all[row]) {
                let value = task.scale().map_or(*value, |scale| scale.scaled(*value));
                *total += value / files.len() as f64;
            }
        }
    }
    Ok(GivenLogits::new(width, sum.into_iter().map(|value| value as f32).collect())?)
}

type Rows = HashMap<usize, Vec<f64>>;

fn from_table(path: &Path, task: &Task, width: usize) -> Result<Rows> {
    let table = |e: table_rows::Error| Error::Mismatch(e.to_string());
    let mut rows = Table::open(path, &Layout::default()).map_err(table)?;
    let is_list = Format::of_name(path) == Some(Format::Jsonl);
    let labels = if task.head() == Head::Regression { vec!["prediction"] } else { task.labels() };
    if !is_list && labels.contains(&ROW) {
        let message = format!("{}: a label is called `{ROW}`, as the column of rows; use JSON Lines", path.display());
        return Err(Error::Mismatch(message));
    }
    let columns: Vec<&str> = std::iter::once(ROW).chain(if is_list { vec![LOGITS] } else { labels }).collect();
    rows.select(&columns).map_err(table)?;
    let mut all = Rows::new();
    while let Some(row) = rows.next_row().map_err(table)? {
        let bad = |what: String| Error::Mismatch(format!("{}{}: {what}", path.display(), row.place));
        let mut cells = row.cells.clone().into_iter();
        let number = cells.next().and_then(|cell| finite(&cell)).filter(|n| *n >= 0.0 && n.fract() == 0.0);
        let number = number.ok_or_else(|| bad(format!("`{ROW}` is no number of a row")))? as usize;
        let cells: Vec<Cell> = match cells.next() {
            Some(Cell::List(values)) if is_list => values,
            first => first.into_iter().chain(cells).collect(),
        };
        let values = cells.iter().map(finite).collect::<Option<Vec<f64>>>();
        let values = values.ok_or_else(|| bad("a logit is no finite number".to_owned()))?;
        if values.len() != width {
            return Err(bad(format!("{} logits; the task has {width}", values.len())));
        }
        if all.insert(number, values).is_some() {
            return Err(bad(format!("row {number} stands there twice")));
        }
    }
    Ok(all)
}

fn finite(cell: &Cell) -> Option<f64> {
    let number = match cell {
        Cell::Int(number) => *number as f64,
        Cell::Float(number) => *number,
        Cell::Text(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn from_tensor(path: &Path, width: usize) -> Result<Rows> {
    let mut tensors = weights::read(path).map_err(|e| Error::Mismatch(e.to_string()))?;
    let bad = |what: String| Error::Mismatch(format!("{}: {what}", path.display()));
    let tensor = tensors.0.remove(LOGITS).ok_or_else(|| {
        let names = tensors.0.keys().take(8).cloned().collect::<Vec<_>>().join(", ");
        bad(format!("there is no tensor `{LOGITS}`; there are: {names}"))
    })?;
    match tensor.shape[..] {
        [_, outputs] if outputs == width => {
            let rows = tensor.data.chunks(width).map(|row| row.iter().map(|value| f64::from(*value)).collect());
            Ok(rows.enumerate().collect())
        }
        _ => Err(bad(format!("the tensor `{LOGITS}` has the shape {:?}, not [rows, {width}]", tensor.shape))),
    }
}
