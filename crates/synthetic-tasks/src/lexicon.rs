//! The words of the grammar. Everything any file contains comes from these tables.

use std::collections::BTreeSet;

/// What a review can speak about.
pub(crate) const ASPECTS: &[&str] =
    &["soup", "service", "room", "film", "staff", "music", "story", "view", "coffee", "hotel", "tour", "meal"];

/// Adjectives of praise.
pub(crate) const PRAISE: &[&str] =
    &["good", "great", "lovely", "superb", "charming", "pleasant", "excellent", "brilliant"];

/// Adjectives of blame.
pub(crate) const BLAME: &[&str] = &["bad", "awful", "poor", "dull", "terrible", "boring", "nasty", "mediocre"];

/// Verbs of praise as (past, base form).
pub(crate) const PRAISE_VERBS: &[(&str, &str)] =
    &[("saved", "save"), ("improved", "improve"), ("brightened", "brighten")];

/// Verbs of blame as (past, base form).
pub(crate) const BLAME_VERBS: &[(&str, &str)] = &[("ruined", "ruin"), ("spoiled", "spoil"), ("wrecked", "wreck")];

/// What those verbs act on.
pub(crate) const OCCASIONS: &[&str] = &["evening", "trip", "day", "visit", "weekend"];

/// Words that change the strength but not the polarity of an adjective.
pub(crate) const INTENSIFIERS: &[&str] = &["very", "really", "quite"];

/// People, in two groups: a statement about two people takes one of each.
pub(crate) const NAMES: [&[&str]; 2] =
    [&["anna", "clara", "emma", "grace", "iris", "julia"], &["ben", "david", "felix", "henry", "karl", "leo"]];

/// Comparatives as (one direction, its inverse).
pub(crate) const COMPARATIVES: &[(&str, &str)] = &[("taller", "shorter"), ("older", "younger"), ("faster", "slower")];

/// Spatial relations as (one direction, its inverse).
pub(crate) const SPATIAL: &[(&str, &str)] = &[("above", "below"), ("before", "behind")];

/// Transitive verbs between people, whose past form is also the participle.
pub(crate) const DEEDS: &[&str] = &["helped", "called", "thanked", "praised"];

/// Intransitive verbs as (past, base form).
pub(crate) const ACTS: &[(&str, &str)] = &[("slept", "sleep"), ("laughed", "laugh"), ("sang", "sing"), ("won", "win")];

/// Things with a place, in two groups like [`NAMES`].
pub(crate) const THINGS: [&[&str]; 2] =
    [&["lamp", "book", "clock", "picture", "mirror", "candle"], &["chair", "plant", "table", "shelf", "sofa", "desk"]];

pub(crate) const COLORS: &[&str] = &["red", "blue", "green", "yellow"];

/// Things that can be in one of two complementary states, in two groups like [`NAMES`].
pub(crate) const CONTAINERS: [&[&str]; 2] = [&["box", "bag", "basket", "bucket"], &["cup", "jar", "bottle", "bowl"]];

/// Complementary states: not the one means the other.
pub(crate) const STATES: &[(&str, &str)] = &[("open", "closed"), ("full", "empty"), ("clean", "dirty"), ("wet", "dry")];

/// A class and its members, all plural.
pub(crate) const CLASSES: &[(&str, [&str; 4])] = &[
    ("animals", ["dogs", "cats", "horses", "birds"]),
    ("vehicles", ["cars", "trucks", "buses", "bikes"]),
    ("fruits", ["apples", "pears", "plums", "peaches"]),
];

/// What is said of all, some or no members of a class.
pub(crate) const PREDICATES: &[&str] = &["heavy", "new", "old", "cheap", "rare", "wet", "safe", "dirty"];

/// A concept: words that mean the same.
pub(crate) type Concept = &'static [&'static str];

/// Agents: concepts in one row are close, concepts in different rows are not.
pub(crate) const AGENTS: &[&[Concept]] =
    &[&[&["man", "guy"], &["woman", "lady"]], &[&["dog", "hound"], &["cat", "kitty"]]];

/// Verbs done to things, as (progressive, participle) of each synonym.
pub(crate) const HANDLING: &[&[&[(&str, &str)]]] = &[
    &[&[("carrying", "carried"), ("hauling", "hauled")], &[("lifting", "lifted")]],
    &[&[("tossing", "tossed"), ("throwing", "thrown")], &[("kicking", "kicked")]],
];

/// Verbs done to persons and animals, as (progressive, participle) of each synonym.
pub(crate) const MEETING: &[&[&[(&str, &str)]]] = &[
    &[&[("chasing", "chased"), ("hunting", "hunted")], &[("following", "followed")]],
    &[&[("watching", "watched"), ("observing", "observed")], &[("hearing", "heard")]],
];

/// Things that can be handled.
pub(crate) const OBJECTS: &[&[Concept]] = &[&[&["stone", "rock"], &["brick"]], &[&["coat", "jacket"], &["shirt"]]];

/// Where it happens.
pub(crate) const PLACES: &[&[Concept]] = &[&[&["garden", "yard"], &["park"]], &[&["shop", "store"], &["market"]]];

/// Words of the templates themselves.
const FUNCTION_WORDS: &str = "\
    , . the was is are not never hardly far from anything nothing but yet although despite and nobody everybody \
    thought said that it true i doubt am sure did failed to managed than by all some no both neither nor unlike in \
    being";

/// Every word of the grammar once, in byte order.
#[must_use]
pub fn words() -> Vec<&'static str> {
    let mut words: BTreeSet<&'static str> = FUNCTION_WORDS.split(' ').collect();
    for table in [ASPECTS, PRAISE, BLAME, OCCASIONS, INTENSIFIERS, DEEDS, COLORS, PREDICATES]
        .into_iter()
        .chain([NAMES, THINGS, CONTAINERS].into_iter().flatten())
    {
        words.extend(table);
    }
    for table in [PRAISE_VERBS, BLAME_VERBS, COMPARATIVES, SPATIAL, ACTS, STATES] {
        for (first, second) in table {
            words.extend(first.split(' ').chain(second.split(' ')));
        }
    }
    for (class, members) in CLASSES {
        words.insert(class);
        words.extend(members);
    }
    for table in [AGENTS, OBJECTS, PLACES] {
        words.extend(table.iter().flat_map(|row| row.iter()).flat_map(|concept| concept.iter()));
    }
    for table in [HANDLING, MEETING] {
        for (progressive, participle) in table.iter().flat_map(|row| row.iter()).flat_map(|concept| concept.iter()) {
            words.extend([progressive, participle]);
        }
    }
    words.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_distinct_lower_case_and_few() {
        let words = words();
        assert!(words.len() <= 395, "{} words leave no room for 5 special tokens in 400", words.len());
        assert!(words.is_sorted_by(|a, b| a < b));
        for word in words {
            assert!(
                matches!(word, "," | ".") || word.bytes().all(|b| b.is_ascii_lowercase()),
                "`{word}` would not survive the BERT pre-tokenizer as one token"
            );
        }
    }
}
