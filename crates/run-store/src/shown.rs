//! Values of the user as messages show them.

use std::path::Path;

/// At most 60 characters of a value, control characters escaped.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// The names in a folder: sorted, at most twelve, then a count.
#[must_use]
pub fn folder_listing(folder: &Path) -> String {
    const SHOWN: usize = 12;
    let Ok(entries) = std::fs::read_dir(folder) else {
        return "nothing that can be listed".to_owned();
    };
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    match names.len() {
        0 => "nothing".to_owned(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{}, and {} more", names[..SHOWN].join(", "), n - SHOWN),
    }
}
