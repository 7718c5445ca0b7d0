//! Standard output: results and nothing else.

use std::io::Write;
use std::path::{Path, PathBuf};

use run_store::output::Target;
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

/// Checks files that are written in the end, by the options that name them, against each other and against what the command reads.
/// Links are followed; a device or an open descriptor (`/dev/stdout`) takes more than one.
///
/// # Errors
/// One could not be written, would be written twice, or would replace one of `read`.
pub fn check_targets<'a>(
    targets: impl IntoIterator<Item = (&'static str, Option<&'a Path>)>,
    read: &[PathBuf],
) -> Result<(), CliError> {
    let mut known: Vec<(&str, PathBuf)> = Vec::new();
    for (option, file) in targets {
        let Some(file) = file else { continue };
        let place = match target(option, file)? {
            Target::File(place) => place,
            Target::Stream(place) if is_named_pipe(&place) => place,
            Target::Stream(_) => continue,
        };
        if let Some(path) = read.iter().find(|path| path.canonicalize().as_ref().unwrap_or(path) == &place) {
            let message = format!("{option} {}: would replace {}", file.display(), path.display());
            return Err(CliError::usage(message).with_hint("nothing was changed; name another file"));
        }
        if let Some((other, _)) = known.iter().find(|(_, path)| *path == place) {
            return Err(CliError::usage(format!("{option} {}: is the file of {other} too", file.display())));
        }
        known.push((option, place));
    }
    Ok(())
}

/// Where `file` is, or will be, without links.
fn target(option: &str, file: &Path) -> Result<Target, CliError> {
    let wrong = |what: String| CliError::usage(format!("{option} {}: {what}", file.display()));
    let ends_in_separator = file.to_string_lossy().ends_with(std::path::is_separator);
    if ends_in_separator || file.file_name().is_none() || file.is_dir() {
        return Err(wrong("is a folder; name a file".to_owned()));
    }
    let found = Target::of(file).map_err(|error| match error {
        run_store::Error::Io { cause, .. } => wrong(cause.to_string()),
        other => wrong(other.to_string()),
    })?;
    let place = found.path();
    let leads = if place == file { String::new() } else { format!("leads to {}; ", place.display()) };
    let parent = place.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = parent
        .canonicalize()
        .ok()
        .filter(|parent| parent.is_dir())
        .ok_or_else(|| wrong(format!("{leads}the folder {} does not exist", parent.display())))?;
    let name = place.file_name().ok_or_else(|| wrong(format!("{leads}name a file")))?;
    #[cfg(unix)]
    if matches!(found, Target::File(_)) && rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK).is_err() {
        // The new file is made beside the old one.
        return Err(wrong(format!("{leads}the folder {} cannot be written to", folder.display())));
    }
    let place = folder.join(name);
    Ok(match found {
        // As the file system spells it.
        Target::File(_) => Target::File(place.canonicalize().unwrap_or(place)),
        Target::Stream(_) => Target::Stream(place),
    })
}

/// Whether a reader of `place` sees the end of it when one writer is done.
fn is_named_pipe(place: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        std::fs::symlink_metadata(place).is_ok_and(|found| found.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        let _ = place;
        false
    }
}
