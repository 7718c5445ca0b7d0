//! Finding an annotated answer in its context.

use std::ops::Range;

/// What separates words for BERT's `run_squad`.
fn separates_words(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{202f}')
}

/// The bytes of the answer, see [`super::Answer::locate`]. `start` counts characters.
pub(super) fn locate(context: &str, start: usize, answer: &str) -> Option<Range<usize>> {
    if answer.trim().is_empty() {
        return None;
    }
    let first = context.char_indices().nth(start)?.0;
    if context[first..].starts_with(answer) {
        return Some(first..first + answer.len());
    }
    locate_loosely(context, start, answer)
}

/// The slow path for files whose offsets or white space are a little off: the answer is looked for between the first letter of the
/// word at `start` and the last letter of the word where it should end, runs of white space counting as one space.
fn locate_loosely(context: &str, start: usize, answer: &str) -> Option<Range<usize>> {
    let chars: Vec<(usize, char)> = context.char_indices().collect();
    let wanted: Vec<char> = answer.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    let (mut low, mut high) = (start, (start + answer.chars().count() - 1).min(chars.len() - 1));
    while low > 0 && separates_words(chars[low].1) {
        low -= 1;
    }
    while low > 0 && !separates_words(chars[low - 1].1) {
        low -= 1;
    }
    while high + 1 < chars.len() && !separates_words(chars[high + 1].1) {
        high += 1;
    }
    let mut region: Vec<(usize, char)> = Vec::new();
    for (at, c) in &chars[low..=high] {
        if !c.is_whitespace() {
            region.push((*at, *c));
        } else if region.last().is_some_and(|(_, last)| *last != ' ') {
            region.push((*at, ' '));
        }
    }
    let found = region.windows(wanted.len()).find(|part| part.iter().map(|(_, c)| c).eq(&wanted))?;
    let (last, c) = found[found.len() - 1];
    Some(found[0].0..last + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(context: &str, start: usize, answer: &str) -> Option<String> {
        locate(context, start, answer).map(|range| context[range].to_owned())
    }

    #[test]
    fn positions_count_characters_and_not_bytes() {
        assert_eq!(locate("né à Paris", 5, "Paris"), Some(7..12));
        assert_eq!(found("𝄞 clef", 2, "clef").as_deref(), Some("clef"));
    }

    #[test]
    fn the_occurrence_at_the_position_is_taken() {
        assert_eq!(locate("one two one", 8, "one"), Some(8..11));
        assert_eq!(locate("one two one", 0, "one"), Some(0..3));
    }

    #[test]
    fn white_space_may_differ_and_offsets_be_off_within_a_word() {
        assert_eq!(found("in the  New\n York Times", 8, "New York").as_deref(), Some("New\n York"));
        assert_eq!(found("the (1895-1943).", 4, "1895").as_deref(), Some("1895"));
        assert_eq!(found("the (1895-1943).", 6, "1895").as_deref(), Some("1895"));
        assert_eq!(found("a  b", 2, "b").as_deref(), Some("b"));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(found("one two", 4, "one"), None);
        assert_eq!(found("one two", 0, "three"), None);
        assert_eq!(found("one two", 99, "one"), None);
        assert_eq!(found("one two", 0, " \t"), None);
        assert_eq!(found("", 0, "one"), None);
        assert_eq!(found("one", 0, "one two three"), None);
    }
}
