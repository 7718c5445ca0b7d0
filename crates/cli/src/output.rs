//! Standard output: results and nothing else.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::error::{CliError, is_closed_pipe};

/// Prints `text`, which ends its own lines.
///
/// # Errors
/// The output cannot be written. A reader that has left is [`CliError::closed`], which ends the program quietly.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match is_closed_pipe(&e) {
        true => CliError::closed(),
        false => CliError::failed(format!("cannot write to standard output: {e}")),
    })
}

/// Prints one JSON object, indented.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// A table with aligned columns; the first column is flush left, the others flush right except a last one that is text.
pub fn table(header: &[&str], rows: &[Vec<String>], last_is_text: bool) -> String {
    let columns = header.len();
    let cell = |row: &[String], i: usize| row.get(i).cloned().unwrap_or_default();
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    let lines: Vec<&[String]> = std::iter::once(&header[..]).chain(rows.iter().map(|r| &r[..])).collect();
    let width = |i| lines.iter().map(|row| cell(row, i).chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in lines {
        let mut line = String::new();
        for (i, width) in widths.iter().enumerate() {
            let value = cell(row, i);
            let left = i == 0 || (last_is_text && i + 1 == columns);
            line += if i == 0 { "" } else { "  " };
            line += &if left { format!("{value:<width$}") } else { format!("{value:>width$}") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// # Errors
/// The file that `option` names could not be written in the end.
pub fn check_target(option: &str, file: &Path) -> Result<(), CliError> {
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.is_dir() || file.file_name().is_none() {
        return Err(CliError::usage(format!("{option} {}: is a folder; name a file", file.display())));
    }
    if !parent.is_dir() {
        let message = format!("{option} {}: the folder {} does not exist", file.display(), parent.display());
        return Err(CliError::usage(message));
    }
    Ok(())
}
