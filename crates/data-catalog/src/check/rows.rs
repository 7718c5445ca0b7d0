//! Texts of rows, remembered well enough to find equal ones.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use run_store::shown::excerpt;

/// The texts of the rows of a file, by fingerprint: two 64-bit hashes, so that of a million rows two different ones are taken for
/// equal with a probability below 1e-26.
#[derive(Default)]
pub(super) struct Texts {
    seen: HashSet<u128>,
    repeats: u64,
    first_repeat: Option<String>,
    /// In the order of the file, with a short form for messages.
    order: Vec<(u128, String)>,
}

impl Texts {
    /// Adds the row that stands at `place` (a line, an id).
    pub fn add(&mut self, place: &str, first: &str, second: Option<&str>) {
        let key = fingerprint(first, second);
        let text = second.map_or_else(|| first.to_owned(), |second| format!("{first} / {second}"));
        let short = format!("{place} `{}`", excerpt(&text));
        if !self.seen.insert(key) {
            self.repeats += 1;
            self.first_repeat.get_or_insert_with(|| short.clone());
        }
        self.order.push((key, short));
    }

    /// How many rows repeat an earlier one, and the first of them.
    pub fn repeated(&self) -> Option<(u64, &str)> {
        Some((self.repeats, self.first_repeat.as_deref()?))
    }

    /// How many rows another file has too, and the first of them.
    pub fn shared_with(&self, other: &Self) -> Option<(u64, &str)> {
        let mut shared = self.order.iter().filter(|(key, _)| other.seen.contains(key));
        let (_, first) = shared.next()?;
        Some((1 + shared.count() as u64, first))
    }
}

fn fingerprint(first: &str, second: Option<&str>) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, first, second).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_shared_rows_are_counted_with_the_first_named() {
        let mut train = Texts::default();
        for (line, text) in [("line 2", "a"), ("line 3", "b"), ("line 4", "a"), ("line 5", "a")] {
            train.add(line, text, None);
        }
        assert_eq!(train.repeated(), Some((2, "line 4 `a`")));
        let mut dev = Texts::default();
        dev.add("line 2", "c", None);
        assert_eq!(dev.shared_with(&train), None);
        dev.add("line 3", "b", None);
        dev.add("line 4", "a", None);
        assert_eq!(dev.shared_with(&train), Some((2, "line 3 `b`")));
        assert_eq!(dev.repeated(), None);
    }

    #[test]
    fn where_a_pair_is_split_matters() {
        let mut texts = Texts::default();
        texts.add("1", "ab", Some("c"));
        texts.add("2", "a", Some("bc"));
        texts.add("3", "abc", None);
        texts.add("4", "abc", Some(""));
        assert_eq!(texts.repeated(), None);
    }
}
