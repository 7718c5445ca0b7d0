//! Texts and pairs to answer to.

use std::io::BufReader;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};

use glue_squad::Lines;

use crate::error::CliError;

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
    let (sender, receiver) = sync_channel(4 * BATCH);
    std::thread::spawn(move || {
        let mut lines = Lines::new(BufReader::new(std::io::stdin()), PathBuf::from("standard input"));
        loop {
            let item = match lines.next_line() {
                Ok(None) => return,
                Ok(Some((number, text))) => {
                    let (a, b) = match text.split_once('\t') {
                        Some((a, b)) => (a, Some(b.to_owned())),
                        None => (text, None),
                    };
                    Ok(Query { place: format!("standard input:{number}"), a: a.to_owned(), b })
                }
                Err(error) => Err(error.into()),
            };
            let is_last = item.is_err();
            // The receiver is gone once the program ends early.
            if sender.send(item).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// Checks that there are one or two texts, or a file.
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
