//! Which of the names that there are was meant.

/// Jaro-Winkler similarity from which on a name is taken for a misspelling of another; of short ones it makes too little of two letters
/// that changed places.
const ENOUGH: f64 = 0.8;
/// Letters from which on a name that differs by one mistake is taken for a misspelling too.
const SHORT: usize = 3;

/// The one of `known` that is most like `text`, if any is like it; letters count regardless of case.
///
/// ```
/// assert_eq!(run_store::similar::closest("mprc", ["mrpc", "rte"]), Some("mrpc"));
/// assert_eq!(run_store::similar::closest("squad", ["mrpc", "rte"]), None);
/// ```
pub fn closest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    let likeness = |name: &'a str| {
        let lower = name.to_lowercase();
        let one_mistake = lower.chars().count() >= SHORT && strsim::osa_distance(&text, &lower) <= 1;
        let likeness = strsim::jaro_winkler(&text, &lower);
        (if one_mistake { likeness.max(ENOUGH) } else { likeness }, name)
    };
    let alike = known.into_iter().map(likeness).filter(|(likeness, _)| *likeness >= ENOUGH);
    alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// `message` of serde with the known name that an unknown field or variant is most like.
pub fn with_suggestion(message: String) -> String {
    match suggestion(&message) {
        Some(name) => format!("{}; did you mean `{name}`?", message.trim_end()),
        None => message,
    }
}

/// The known name that the unknown field or variant of a serde error is most like.
pub fn suggestion(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("unknown field `").or_else(|| message.split_once("unknown variant `"))?;
    let (unknown, rest) = rest.split_once("`, expected ")?;
    let names = rest.lines().next().unwrap_or_default().split('`').skip(1).step_by(2);
    closest(unknown, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_suggested_where_they_are_alike() {
        for (text, near) in [
            ("pokcet", Some("pocket")),
            ("MiniLM-quik", Some("minilm-quick")),
            ("smoke2", Some("smoke")),
            ("oppa", None),
            ("bert", None),
            ("", None),
        ] {
            assert_eq!(closest(text, ["pocket", "smoke", "minilm-quick", "tinybert-quick", "paper"]), near, "{text}");
        }
    }

    #[test]
    fn two_letters_of_a_short_name_may_have_changed_places() {
        assert_eq!(closest("uot", ["out", "in"]), Some("out"));
        assert_eq!(closest("rt", ["rte", "mrpc"]), Some("rte"));
        assert_eq!(closest("ab", ["cd", "xy"]), None);
    }

    #[test]
    fn a_message_of_serde_gets_the_name_that_was_meant() {
        for (message, near) in [
            (
                "unknown field `trails`, expected one of `trials`, `initial_random`, `proxy`\nin `search`",
                Some("trials"),
            ),
            ("unknown field `see`, expected `seed` or `name`", Some("seed")),
            ("unknown variant `rnadom`, expected one of `random`, `learned`", Some("random")),
            ("unknown field `x`, there are no fields", None),
            ("missing field `seed`", None),
        ] {
            assert_eq!(suggestion(message), near, "{message}");
        }
        let text = with_suggestion("unknown field `see`, expected `seed` or `name`\n".into());
        assert_eq!(text, "unknown field `see`, expected `seed` or `name`; did you mean `seed`?");
    }
}
