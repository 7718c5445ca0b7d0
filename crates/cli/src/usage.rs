//! Errors of the command line in words that say more than the parser's.

use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args;

/// Numbers from here on are as good as no limit.
const UNLIMITED: [i128; 3] = [u32::MAX as i128, i64::MAX as i128, u64::MAX as i128];

/// `error` with a value that is no such number explained in words; any other as it is.
pub fn explained(error: clap::Error) -> clap::Error {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let number = (error.kind() == ErrorKind::ValueValidation)
        .then(|| error.source().and_then(|source| in_words(&source.to_string())))
        .flatten();
    let (Some(number), Some(option), Some(value)) =
        (number, said(ContextKind::InvalidArg), said(ContextKind::InvalidValue))
    else {
        return error;
    };
    let message = format!("invalid value '{value}' for '{option}': {number}\n\nFor more information, try '--help'.\n");
    clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(&args::command())
}

/// What a number has to be, from the parser's or the standard library's words.
fn in_words(said: &str) -> Option<String> {
    let text = match said {
        "invalid digit found in string" | "cannot parse integer from empty string" => "a whole number is expected",
        "number would be zero for non-zero type" => "a whole number, at least 1",
        "number too large to fit in target type" => "the number is too large",
        "number too small to fit in target type" => "the number is too small",
        "invalid float literal" | "cannot parse float from empty string" => "a number is expected",
        _ => return range_in_words(said),
    };
    Some(text.to_owned())
}

/// `0 is not in 1..=65536`, and `0 is not in 1..18446744073709551615` where there is no upper limit.
fn range_in_words(said: &str) -> Option<String> {
    let (_, range) = said.split_once(" is not in ")?;
    let (low, high) = range.split_once("..")?;
    let high = high.strip_prefix('=').unwrap_or(high);
    let (low, high): (i128, i128) = (low.parse().ok()?, high.parse().ok()?);
    Some(match UNLIMITED.contains(&high) {
        true => format!("a whole number, at least {low}"),
        false => format!("a whole number from {low} to {high}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_said_in_words() {
        for (said, words) in [
            ("0 is not in 1..18446744073709551615", "a whole number, at least 1"),
            ("0 is not in 1..=4294967295", "a whole number, at least 1"),
            ("3 is not in 4..=65536", "a whole number from 4 to 65536"),
            ("number would be zero for non-zero type", "a whole number, at least 1"),
            ("invalid digit found in string", "a whole number is expected"),
        ] {
            assert_eq!(in_words(said).as_deref(), Some(words), "{said}");
        }
        assert_eq!(in_words("no such file"), None);
    }

    #[test]
    fn every_numeric_option_is_explained_by_name() {
        for (words, part) in [
            (&["teacher", "--steps", "0"][..], "'--steps <N>': a whole number, at least 1"),
            (&["teacher", "--batch-size", "0"], "'--batch-size <N>': a whole number from 1 to 65536"),
            (&["teacher", "--keep-last", "0"], "'--keep-last <N>': a whole number, at least 1"),
            (&["teacher", "--eval-every", "two"], "'--eval-every <N>': a whole number is expected"),
            (&["eval", "--max-len", "3"], "'--max-len <N>': a whole number from 4 to 65536"),
            (&["bench", "--threads", "0"], "'--threads <N>': a whole number, at least 1"),
            (&["teacher", "--dropout", "much"], "'--dropout <P>': a number is expected"),
        ] {
            let error = args::command().try_get_matches_from([&["efficientbert"], words].concat()).unwrap_err();
            let text = explained(error).to_string();
            assert!(text.contains(part) && text.contains("--help"), "{part} in {text}");
        }
    }
}
