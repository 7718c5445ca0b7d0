//! The official normalization of answers, and the two scores of a pair of them.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

/// A maximal run of what Python's `re` calls word characters: letters, numbers and `_`.
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]+").expect("a valid pattern"));

/// What Python's `str.split` splits at: Unicode's white space and the four ASCII information separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Lower case, without ASCII punctuation, without the words `a`, `an` and `the`, words parted by one space; in this order, as
/// the official scripts do.
pub fn normalize_answer(text: &str) -> String {
    let plain: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let without_articles = WORD.replace_all(&plain, |word: &regex::Captures<'_>| match &word[0] {
        "a" | "an" | "the" => " ".to_owned(),
        other => other.to_owned(),
    });
    let words: Vec<&str> = without_articles.split(is_space).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// Whether two answers are equal once both are normalized.
pub fn exact_match(gold: &str, predicted: &str) -> bool {
    normalize_answer(gold) == normalize_answer(predicted)
}

/// How much two answers have in common: with `c` common words (counted as often as both have them), `2 p r / (p + r)` for
/// precision `p = c / words predicted` and recall `r = c / gold words`; 0 where nothing is common. Two answers without a word
/// score `empty`: 0 in v1.1, 1 in v2.0, where both then say "no answer".
pub(super) fn f1(gold: &str, predicted: &str, empty: f64) -> f64 {
    let (gold, predicted) = (normalize_answer(gold), normalize_answer(predicted));
    let (gold, predicted): (Vec<&str>, Vec<&str>) = (words(&gold), words(&predicted));
    if gold.is_empty() && predicted.is_empty() {
        return empty;
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in &gold {
        *counts.entry(word).or_default() += 1;
    }
    let mut common = 0;
    for word in &predicted {
        if let Some(left) = counts.get_mut(word).filter(|left| **left > 0) {
            *left -= 1;
            common += 1;
        }
    }
    if common == 0 {
        return 0.0;
    }
    let precision = common as f64 / predicted.len() as f64;
    let recall = common as f64 / gold.len() as f64;
    2.0 * precision * recall / (precision + recall)
}

fn words(normalized: &str) -> Vec<&str> {
    normalized.split(' ').filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_punctuation_articles_and_space_do_not_count() {
        assert_eq!(normalize_answer("The  Quick-Brown (fox)!"), "quickbrown fox");
        assert_eq!(normalize_answer("an apple, a day"), "apple day");
        assert_eq!(normalize_answer("theatre a1 the_end Ana"), "theatre a1 theend ana");
        assert_eq!(normalize_answer("the"), "");
        assert_eq!(normalize_answer("É\u{a0}à\u{2003}Ü\u{1f}x"), "é à ü x");
    }

    #[test]
    fn only_ascii_punctuation_is_dropped_and_parts_words_elsewhere() {
        // The apostrophe of Unicode stays, and it bounds the word `a` for the articles' rule.
        assert_eq!(normalize_answer("it’s a“the”b"), "it’s “ ”b");
        assert_eq!(normalize_answer("it's"), "its");
        // A combining mark is no word character for Python, so `a` before it is an article.
        assert_eq!(normalize_answer("a\u{301}b"), "\u{301}b");
        assert_eq!(normalize_answer("a\u{93e}"), "\u{93e}");
    }

    #[test]
    fn f1_counts_common_words_as_often_as_both_have_them() {
        assert_eq!(f1("cat cat dog", "cat dog dog", 0.0), 2.0 / 3.0);
        assert_eq!(f1("the cat", "a cat", 0.0), 1.0);
        assert_eq!(f1("cat", "dog", 0.0), 0.0);
        assert_eq!((f1("the", "", 0.0), f1("the", "", 1.0)), (0.0, 1.0));
        assert_eq!((f1("cat", "", 1.0), f1("", "cat", 1.0)), (0.0, 0.0));
        assert!(exact_match("The cat.", "cat") && !exact_match("cats", "cat"));
    }
}
