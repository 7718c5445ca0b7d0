//! Naming the first difference of two recipes.

/// The first difference of two TOML texts in words, `None` when they are equal byte for byte.
///
/// Looks at lines, not at TOML: `[table]` headers and `key = value` lines are understood, which is
/// how effective recipes are written. Where that finds nothing (comments, order, damage), the first
/// differing line is named.
pub(super) fn first_difference(recorded: &str, given: &str) -> Option<String> {
    if recorded == given {
        return None;
    }
    let (old, new) = (entries(recorded), entries(given));
    let value_in = |entries: &[(String, String)], key: &str| {
        let found = entries.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone())
    };
    for (key, was) in &old {
        match value_in(&new, key) {
            None => return Some(format!("`{key}` was {was} and is not set now")),
            Some(is) if is != *was => return Some(format!("`{key}` was {was} and is now {is}")),
            Some(_) => {}
        }
    }
    for (key, is) in &new {
        if value_in(&old, key).is_none() {
            return Some(format!("`{key}` was not set and is now {is}"));
        }
    }
    let same = recorded.split('\n').zip(given.split('\n'));
    let line = 1 + same.take_while(|(was, is)| was == is).count();
    Some(format!("line {line} differs"))
}

/// (dotted key, value) in the order of the text; continuation lines belong to the value above.
fn entries(text: &str) -> Vec<(String, String)> {
    let mut table = String::new();
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let is_array = header.starts_with('[');
            let header = header.trim_matches(['[', ']', ' ']);
            // `[[task]]` repeats its keys; the position keeps them apart.
            table = if is_array {
                let prefix = format!("{header}[");
                let seen = entries.iter().filter(|(key, _)| *key == format!("{prefix}]"));
                let index = seen.count();
                entries.push((format!("{prefix}]"), String::new()));
                format!("{prefix}{index}].")
            } else {
                format!("{header}.")
            };
            continue;
        }
        match line.split_once('=') {
            Some((key, value)) if is_key(key.trim()) => {
                let key = format!("{table}{}", key.trim());
                entries.push((key, value.trim().to_owned()));
            }
            _ => {
                if let Some((_, value)) = entries.last_mut() {
                    value.push_str(line);
                }
            }
        }
    }
    entries
}

/// Bare or dotted keys, or one in quotation marks, which may hold anything else.
fn is_key(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"');
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    !text.is_empty() && text.chars().all(plain) || quoted.is_some_and(|key| !key.is_empty() && !key.contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(recorded: &str, given: &str, expected: &str) {
        let found = first_difference(recorded, given);
        assert_eq!(found.as_deref(), Some(expected), "{recorded:?} / {given:?}");
    }

    #[test]
    fn equal_texts_have_no_difference() {
        assert_eq!(first_difference("a = 1\n", "a = 1\n"), None);
    }

    #[test]
    fn the_first_differing_key_is_named_with_its_table_and_both_values() {
        let old = "seed = 1\n[student]\nhidden = 540\nlayers = 6\n";
        let new = "seed = 1\n[student]\nhidden = 360\nlayers = 4\n";
        check(old, new, "`student.hidden` was 540 and is now 360");
    }

    #[test]
    fn keys_that_came_or_went_are_named() {
        check("a = 1\nb = 2\n", "b = 2\n", "`a` was 1 and is not set now");
        check("b = 2\n", "a = 1\nb = 2\n", "`a` was not set and is now 1");
    }

    #[test]
    fn keys_of_repeated_tables_are_told_apart_by_position() {
        let old = "[[map]]\nteacher = 1\n[[map]]\nteacher = 3\n";
        let new = "[[map]]\nteacher = 1\n[[map]]\nteacher = 4\n";
        check(old, new, "`map[1].teacher` was 3 and is now 4");
    }

    #[test]
    fn keys_in_quotation_marks_may_hold_spaces() {
        let old = "[sha256]\n\"SST-2 train.tsv\" = \"a\"\n\"teacher config.json\" = \"b\"\n";
        let new = old.replace("\"b\"", "\"c\"");
        check(old, &new, "`sha256.\"teacher config.json\"` was \"b\" and is now \"c\"");
    }

    #[test]
    fn arrays_over_several_lines_count_as_one_value() {
        let old = "tasks = [\n\"sst2\",\n]\n";
        check(old, "tasks = [\n\"mnli\",\n]\n", "`tasks` was [\"sst2\",] and is now [\"mnli\",]");
    }

    #[test]
    fn a_difference_outside_all_values_is_named_by_its_line() {
        check("a = 1\n# old\n", "a = 1\n# new\n", "line 2 differs");
        check("a = 1\nb = 2\n", "b = 2\na = 1\n", "line 1 differs");
        check("a = 1", "a = 1\n", "line 2 differs");
    }
}
