//! Texts and pairs to answer to.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use glue_squad::Lines;
use table_rows::{Cell, Layout, Table};

use crate::error::{CliError, ResultExt};

/// Most lines in one pass; fewer where no more are waiting.
pub const BATCH: usize = 32;

/// A text or a pair, and where it came from for messages.
pub struct Query {
    pub place: String,
    pub a: String,
    pub b: Option<String>,
}

/// Lines of standard input as they arrive, read by a thread of their own.
pub fn read_ahead() -> Receiver<Result<Query, CliError>> {
    ahead(|send| {
        let mut lines = Lines::new(BufReader::new(std::io::stdin()), PathBuf::from("standard input"));
        while let Some((number, text)) = lines.next_line()? {
            let (a, b) = match text.split_once('\t') {
                Some((a, b)) => (a, Some(b.to_owned())),
                None => (text, None),
            };
            if !send(check(Query { place: format!("standard input:{number}"), a: a.to_owned(), b })?) {
                break;
            }
        }
        Ok(())
    })
}

/// The rows of a table: the texts in one or two `columns`. A row without text is answered like any other, so that every row has its line.
///
/// # Errors
/// The file cannot be read, or lacks a column.
pub fn rows_of(
    path: &Path,
    layout: &Layout,
    columns: &[String],
) -> Result<Receiver<Result<Query, CliError>>, CliError> {
    let names: Vec<String> = columns.to_vec();
    if names.len() > 2 {
        return Err(CliError::usage(format!("--text {}: a model takes one text or two", names[2])));
    }
    let (path, layout) = (path.to_owned(), *layout);
    let opened = move || {
        let mut table = Table::open(&path, &layout)?;
        table.select(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok::<Table, table_rows::Error>(table)
    };
    opened().or_usage()?;
    Ok(ahead(move |send| {
        let mut table = opened()?;
        while let Some(row) = table.next_row()? {
            let place = format!("{}{}", table.path().display(), row.place);
            let text = |cell: Cell| {
                let is_list = matches!(cell, Cell::List(_));
                let wrong = |given| CliError::failed(format!("{place}: a text is expected, and there is {given}"));
                let hint = is_list.then_some("words of a list are tagged by: eval --test FILE --predictions FILE");
                cell.into_text().map_err(|given| wrong(given).with_hints(hint))
            };
            let mut texts = row.cells.into_iter().map(text);
            let a = texts.next().transpose()?.unwrap_or_default();
            let b = texts.next().transpose()?;
            drop(texts);
            if !send(Query { place, a, b }) {
                break;
            }
        }
        Ok(())
    }))
}

/// Queries that a thread of its own reads; it stops where `send` says that nobody takes them any more.
fn ahead(
    read: impl FnOnce(&mut dyn FnMut(Query) -> bool) -> Result<(), CliError> + Send + 'static,
) -> Receiver<Result<Query, CliError>> {
    let (sender, receiver) = sync_channel(4 * BATCH);
    std::thread::spawn(move || {
        let failed = read(&mut |query| sender.send(Ok(query)).is_ok());
        if let Err(error) = failed {
            // The receiver is gone once the program ends early.
            let _ = sender.send(Err(error));
        }
    });
    receiver
}

/// Checks that there are one or two texts.
pub fn check(query: Query) -> Result<Query, CliError> {
    let Query { place, a, b } = &query;
    if a.trim().is_empty() {
        return Err(CliError::failed(format!("{place}: the text is empty")));
    }
    if b.as_ref().is_some_and(|b| b.trim().is_empty()) {
        return Err(CliError::failed(format!("{place}: the second text is empty")));
    }
    if place != "TEXT" && b.as_ref().is_some_and(|b| b.contains('\t')) {
        return Err(CliError::failed(format!("{place}: more than two texts; one tab separates the texts of a pair")));
    }
    Ok(query)
}
