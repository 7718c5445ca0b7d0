//! The comparison of models for a terminal.

use crate::data::ModelRow;
use crate::format::{count_or_missing, milliseconds, points_with_error};
use crate::plots::score_of;

/// Widest line that [`comparison_table_text`] writes.
pub const TERMINAL_COLUMNS: usize = 100;

const LONGEST_NAME: usize = 28;
const LONGEST_HEAD: usize = 16;
const BETWEEN: &str = "  ";

/// The comparison as aligned columns, no line wider than [`TERMINAL_COLUMNS`].
///
/// Scores that do not fit beside the sizes continue in further blocks, each beginning with the models' names; notes follow as
/// numbered lines. A model whose scores may mean nothing has the mark `[!]`. What was not measured is `n/a`. Text is shortened
/// where it must be, and control characters are replaced.
#[must_use]
pub fn comparison_table_text(rows: &[ModelRow]) -> String {
    if rows.is_empty() {
        return "no models to compare\n".into();
    }
    let mut noted = 0;
    let names = rows.iter().map(|m| {
        let mut mark = String::new();
        if !m.warnings.is_empty() {
            mark.push_str(" [!]");
        }
        if !m.note.trim().is_empty() {
            noted += 1;
            mark += &format!(" [{noted}]");
        }
        shortened(&m.name, LONGEST_NAME - mark.chars().count()) + &mark
    });
    let name = Column::new("model", "", names.collect());
    let mut columns = vec![
        Column::new("parameters", "", rows.iter().map(|m| count_or_missing(m.params)).collect()),
        Column::new("MACs", "", rows.iter().map(|m| count_or_missing(m.macs)).collect()),
        Column::new("latency", "", rows.iter().map(|m| milliseconds(m.latency_ms)).collect()),
    ];
    for task in all_tasks(rows) {
        columns.push(Column::new(
            &task.0,
            &task.1,
            rows.iter().map(|m| points_with_error(score_of(m, &task))).collect(),
        ));
    }
    let mut out = String::new();
    let mut from = 0;
    while from < columns.len() {
        let mut width = name.width;
        let fits = columns[from..].iter().take_while(|c| {
            width += BETWEEN.len() + c.width;
            width <= TERMINAL_COLUMNS
        });
        let until = from + fits.count().max(1);
        if from > 0 {
            out.push('\n');
        }
        block(&mut out, &name, &columns[from..until]);
        from = until;
    }
    out.push('\n');
    for (i, m) in (1..).zip(rows.iter().filter(|m| !m.note.trim().is_empty())) {
        let line = format!("[{i}] {}", printable(&m.note));
        out.push_str(&shortened(&line, TERMINAL_COLUMNS));
        out.push('\n');
    }
    if rows.iter().any(|m| !m.warnings.is_empty()) {
        out.push_str("[!] these scores may be meaningless, see the warnings\n");
    }
    out.push_str("MACs: multiply-adds of one forward pass, counted once. Scores: points of 100. n/a: not measured.\n");
    out
}

/// Every task and metric of any model, in order of first appearance.
pub(crate) fn all_tasks(rows: &[ModelRow]) -> Vec<(String, String)> {
    let mut tasks = Vec::new();
    for s in rows.iter().flat_map(|m| &m.scores) {
        let task = (s.task.clone(), s.metric.clone());
        if !tasks.contains(&task) {
            tasks.push(task);
        }
    }
    tasks
}

/// At most `most` characters, the last of them `…` where some were left out.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

struct Column {
    head: [String; 2],
    cells: Vec<String>,
    width: usize,
}

impl Column {
    fn new(head: &str, below: &str, cells: Vec<String>) -> Self {
        let head = [head, below].map(|h| shortened(&printable(h), LONGEST_HEAD));
        let cells: Vec<String> = cells.iter().map(|c| printable(c)).collect();
        let width = head.iter().chain(&cells).map(|c| c.chars().count()).max().unwrap_or(0);
        Self { head, cells, width }
    }
}

fn block(out: &mut String, name: &Column, columns: &[Column]) {
    let mut line = |first: &str, rest: Vec<&str>| {
        let mut text = format!("{first:<0$}", name.width);
        for (cell, column) in rest.into_iter().zip(columns) {
            text.push_str(&format!("{BETWEEN}{cell:>0$}", column.width));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&name.head[0], columns.iter().map(|c| c.head[0].as_str()).collect());
    if columns.iter().any(|c| !c.head[1].is_empty()) {
        line("", columns.iter().map(|c| c.head[1].as_str()).collect());
    }
    for (i, first) in name.cells.iter().enumerate() {
        line(first, columns.iter().map(|c| c.cells[i].as_str()).collect());
    }
}

/// A name from a file must not move the cursor of a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
