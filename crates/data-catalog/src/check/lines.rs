//! Plain text: UTF-8, counted by lines.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use glue_squad::Lines;

use super::{Content, Finding};

pub(super) fn check(path: &Path) -> Content {
    let mut content = Content::default();
    match count(path) {
        Ok((lines, filled)) => {
            content.rows = Some(lines);
            if filled == 0 {
                content.findings.push(Finding::problem("no line holds text"));
            }
        }
        Err(reason) => content.findings.push(Finding::problem(reason)),
    }
    content
}

/// Lines, and how many of them hold more than white space.
fn count(path: &Path) -> Result<(u64, u64), String> {
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, file), path.to_owned());
    let mut filled = 0;
    let mut last = 0;
    while let Some((number, text)) = lines.next_line().map_err(|e| e.to_string())? {
        last = number;
        filled += u64::from(!text.trim().is_empty());
    }
    Ok((last, filled))
}
