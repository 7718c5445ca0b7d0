//! Plain text: UTF-8, counted by lines.

use std::path::Path;

use glue_squad::Lines;

use super::{Content, Finding};

pub(super) fn check(path: &Path) -> Result<Content, glue_squad::Error> {
    let mut lines = Lines::open(path)?;
    let (mut filled, mut last) = (0, 0);
    while let Some((number, text)) = lines.next_line()? {
        last = number;
        filled += u64::from(!text.trim().is_empty());
    }
    let mut content = Content { rows: Some(last), ..Content::default() };
    if filled == 0 {
        content.findings.push(Finding::problem("no line holds text"));
    }
    Ok(content)
}
