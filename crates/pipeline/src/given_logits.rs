//! Logits of training examples from files that other programs wrote.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bert_core::weights;
use glue_squad::features::Features;
use glue_squad::task::{Head, Task};
use kd::job::GivenLogits;
use table_rows::{Cell, Format, Layout, Table};

use crate::{Error, Result};

/// The column with the number of the row in the training file.
const ROW: &str = "row";
/// The column with all logits of a row, or the tensor of all rows.
const LOGITS: &str = "logits";

/// A file of logits and how much it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    /// The file.
    pub path: PathBuf,
    /// Its weight in the mean of several.
    pub weight: f64,
}

/// Reads the logits of the examples that stand in rows `rows` of the training file of `task`; of several files the mean by their weights.
///
/// A file is JSON Lines with the keys `row` (from 0) and `logits`, a list in the order of the task's labels; or a CSV, TSV or Parquet file with the columns `row` and one for
/// each label, called as it is (of a regression `prediction`, in the units of the labels); or a safetensors file with a tensor `logits` of `[rows, labels]`.
/// Of tags `logits` has a list for each word; `examples` say which words have a token that can learn from them.
///
/// # Errors
/// A file that cannot be read, has another number of labels, lacks rows, has a row twice, or a value that is no finite number.
pub fn read(files: &[Weighed], task: &Task, rows: &[usize], examples: &[Features]) -> Result<GivenLogits> {
    if task.head() == Head::Embedding {
        return Err(Error::Mismatch(format!(
            "{task}: is learned by vectors; only logits of labels and numbers are read"
        )));
    }
    let width = task.head().outputs();
    let tags = matches!(task.head(), Head::Tags { .. });
    let words_of = |at: usize| examples.get(at).and_then(|example| example.words.as_deref()).unwrap_or_default();
    let counts = (0..rows.len()).map(|at| if tags { words_of(at).len() } else { 1 });
    let starts: Vec<usize> = std::iter::once(0)
        .chain(counts.scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
        .collect();
    let mut sum = vec![0.0f64; starts[rows.len()] * width];
    let total: f64 = files.iter().map(|file| file.weight).sum();
    for Weighed { path: file, weight } in files {
        let all = match file.extension().is_some_and(|extension| extension == "safetensors") {
            true if tags => {
                let file = file.display();
                return Err(Error::Mismatch(format!("{file}: logits of words are read from JSON Lines alone")));
            }
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
            let (own, given) = (&mut sum[starts[at] * width..starts[at + 1] * width], &all[row]);
            if own.len() != given.len() {
                return Err(Error::Mismatch(format!(
                    "{}: row {row} has logits of {} words, the training file has {} words there",
                    file.display(),
                    given.len() / width,
                    own.len() / width
                )));
            }
            for (sum, value) in own.iter_mut().zip(given) {
                let value = task.scale().map_or(*value, |scale| scale.scaled(*value));
                *sum += value * weight / total;
            }
        }
    }
    let values = |range: std::ops::Range<usize>| sum[range].iter().map(|value| *value as f32);
    if !tags {
        return Ok(GivenLogits::new(width, values(0..sum.len()).collect())?);
    }
    // Words that no token stands for are learned from by nobody.
    let seen = |at: usize| -> Vec<f32> {
        let words = words_of(at).iter().enumerate().filter(|(_, start)| start.is_some());
        words.flat_map(|(word, _)| values((starts[at] + word) * width..(starts[at] + word + 1) * width)).collect()
    };
    Ok(GivenLogits::of_words(width, (0..rows.len()).map(seen).collect())?)
}

type Rows = HashMap<usize, Vec<f64>>;

fn from_table(path: &Path, task: &Task, width: usize) -> Result<Rows> {
    let table = |e: table_rows::Error| Error::Mismatch(e.to_string());
    let mut rows = Table::open(path, &Layout::default()).map_err(table)?;
    let tags = matches!(task.head(), Head::Tags { .. });
    let is_list = Format::of_name(path) == Some(Format::Jsonl);
    let labels = if task.head() == Head::Regression { vec!["prediction"] } else { task.labels() };
    if tags && !is_list {
        return Err(Error::Mismatch(format!("{}: logits of words are read from JSON Lines alone", path.display())));
    }
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
        let cells = match tags {
            true => words(cells, width)
                .ok_or_else(|| bad(format!("`{LOGITS}` is no list of {width} logits for each word")))?,
            false => cells,
        };
        let values = cells.iter().map(finite).collect::<Option<Vec<f64>>>();
        let values = values.ok_or_else(|| bad("a logit is no finite number".to_owned()))?;
        if !tags && values.len() != width {
            return Err(bad(format!("{} logits; the task has {width}", values.len())));
        }
        if all.insert(number, values).is_some() {
            return Err(bad(format!("row {number} stands there twice")));
        }
    }
    Ok(all)
}

/// The logits of all words one behind the other; `None` where a word has not `width` of them.
fn words(cells: Vec<Cell>, width: usize) -> Option<Vec<Cell>> {
    let one = |cell| match cell {
        Cell::List(values) if values.len() == width => Some(values),
        _ => None,
    };
    cells.into_iter().map(one).collect::<Option<Vec<_>>>().map(|words| words.concat())
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
