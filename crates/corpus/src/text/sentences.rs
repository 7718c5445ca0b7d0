//! A small sentence splitter for English prose.

/// Abbreviations after which a full stop ends no sentence; lower case, without the stop.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "messrs", "dr", "prof", "rev", "hon", "gen", "col", "capt", "lt", "sgt", "gov", "sen", "rep",
    "pres", "st", "mt", "ft", "vs", "cf", "e.g", "i.e", "viz", "no", "nos", "vol", "vols", "p", "pp", "fig", "figs",
    "eq", "ch", "sec", "ed", "eds", "al", "ca", "approx", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep",
    "sept", "oct", "nov", "dec",
];

/// Splits a paragraph into sentences, trimmed and never empty.
///
/// A sentence ends at `.`, `!`, `?` or `…` with any closing quotes and brackets, when white space follows and then something that can
/// begin a sentence: an upper-case letter, a letter without case, a digit, an opening quote or bracket. A full stop does not end
/// one after a common abbreviation, a single letter (an initial), or a word with stops inside (`U.S.`, `e.g.`). The Chinese and
/// Japanese marks `。！？` always end one. Tokenized text (`word .`) works too. A rule, not a model: it errs on the side of long sentences.
pub fn split_sentences(paragraph: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut chars = paragraph.char_indices().peekable();
    while let Some((at, mark)) = chars.next() {
        if !is_mark(mark) {
            continue;
        }
        let mut end = at + mark.len_utf8();
        let mut last = mark;
        while let Some((next_at, next)) = chars.next_if(|(_, c)| is_mark(*c) || is_closing(*c)) {
            end = next_at + next.len_utf8();
            last = if is_mark(next) { next } else { last };
        }
        let rest = &paragraph[end..];
        let always = is_full_width(last);
        let spaced = rest.starts_with(char::is_whitespace);
        let opens = rest.trim_start().chars().next().is_some_and(can_begin);
        let abbreviated = last == '.' && ends_in_abbreviation(&paragraph[start..at]);
        if always || (spaced && opens && !abbreviated) {
            push(&mut sentences, &paragraph[start..end]);
            start = end;
        }
    }
    push(&mut sentences, &paragraph[start..]);
    sentences
}

fn push<'a>(sentences: &mut Vec<&'a str>, text: &'a str) {
    let text = text.trim();
    if !text.is_empty() {
        sentences.push(text);
    }
}

fn is_full_width(c: char) -> bool {
    matches!(c, '。' | '！' | '？')
}

fn is_mark(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…') || is_full_width(c)
}

fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '」' | '』' | '）')
}

fn can_begin(c: char) -> bool {
    (c.is_alphabetic() && !c.is_lowercase())
        || c.is_numeric()
        || matches!(c, '"' | '\'' | '(' | '[' | '“' | '‘' | '«' | '「' | '『' | '（')
}

/// `before` is the sentence so far, without the stop.
fn ends_in_abbreviation(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut chars = word.chars();
    let single_letter = matches!((chars.next(), chars.next()), (Some(c), None) if c.is_alphabetic() && c != 'I');
    single_letter
        || (word.contains('.') && word.chars().any(char::is_alphabetic))
        || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, sentences: &[&str]) {
        assert_eq!(split_sentences(text), sentences);
    }

    #[test]
    fn sentences_end_at_marks_before_something_that_begins_one() {
        check("One. Two! Three? four. Five", &["One.", "Two!", "Three? four.", "Five"]);
        check(
            "He said \"Go.\" She went... Then (slowly.) It ended.",
            &["He said \"Go.\"", "She went...", "Then (slowly.)", "It ended."],
        );
        check("It cost 3.5 million. 40 people came.", &["It cost 3.5 million.", "40 people came."]);
        check("So did I. We left.", &["So did I.", "We left."]);
    }

    #[test]
    fn abbreviations_and_initials_do_not_end_a_sentence() {
        check(
            "Mr. Smith met J. R. Jones in the U.S. Army. They spoke, e.g. Latin.",
            &["Mr. Smith met J. R. Jones in the U.S. Army.", "They spoke, e.g. Latin."],
        );
        check("(Dr. No) Fig. 3 shows it.", &["(Dr. No) Fig. 3 shows it."]);
    }

    #[test]
    fn tokenized_and_unspaced_scripts_work() {
        check("It fell . The end .", &["It fell .", "The end ."]);
        check("東京。大阪！", &["東京。", "大阪！"]);
        check("  ", &[]);
        check("", &[]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_white_space_is_lost(text in "[ a-zA-Z.!?\"。é…()]{0,80}") {
            let joined: String = split_sentences(&text).concat();
            let squeeze = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            proptest::prop_assert_eq!(squeeze(&joined), squeeze(&text));
        }
    }
}
