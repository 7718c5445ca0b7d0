//! Sentence-pair entailment in the RTE layout.
//!
//! Four families, each an exclusive-or of independent choices, so that neither sentence alone nor
//! the shared words decide: order (who stands where), state (complementary adjectives), quantifier
//! (which direction a statement may be widened) and contrast (who did and who did not).

use crate::draw::{Draw, Split, fill_split};
use crate::lexicon::{
    ACTS, CLASSES, COLORS, COMPARATIVES, CONTAINERS, DEEDS, NAMES, PREDICATES, SPATIAL, STATES, THINGS,
};

/// A premise, a hypothesis, and whether the first implies the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntailmentExample {
    /// What is given.
    pub premise: String,
    /// What is asked.
    pub hypothesis: String,
    /// True for label `entailment`.
    pub entailed: bool,
}

/// Each family has a usual reading, which takes this share in 100, and exceptions to it. Were the
/// choices fair coins, the labels would be a parity function, which gradient descent cannot start
/// on; were the usual reading much more common, the exceptions would not be worth learning.
const USUAL: usize = 84;
/// Share in 100 of negated and passive forms.
const RARE: usize = 16;

/// Weights of order, state, quantifier, contrast.
const FAMILY_WEIGHTS: &[usize] = &[40, 28, 12, 20];

pub(crate) fn task(seed: u64, train: usize, dev: usize) -> Split<EntailmentExample> {
    let mut draw = Draw::new(seed, "pocket/entailment", &[]);
    fill_split(
        &mut draw,
        train,
        dev,
        |draw, number| pair(draw, number % 2 == 0),
        |example| format!("{}\t{}", example.premise, example.hypothesis),
    )
}

pub(crate) fn pair(draw: &mut Draw, entailed: bool) -> EntailmentExample {
    let (premise, hypothesis) = match draw.weighted(FAMILY_WEIGHTS) {
        0 => order(draw, entailed),
        1 => state(draw, entailed),
        2 => quantifier(draw, entailed),
        _ => contrast(draw, entailed),
    };
    EntailmentExample { premise, hypothesis, entailed }
}

/// Two names, one of each group, the first group's first in most cases.
fn two<'a>(draw: &mut Draw, groups: [&[&'a str]; 2]) -> (&'a str, &'a str) {
    let (first, second) = (draw.pick(groups[0]), draw.pick(groups[1]));
    if draw.chance(USUAL) { (first, second) } else { (second, first) }
}

/// `x R y` implies `y R' x` for the inverse relation R', and denies `y R x` and `x R' y`.
fn order(draw: &mut Draw, want: bool) -> (String, String) {
    if draw.chance(25) {
        return deed(draw, want);
    }
    let people = draw.coin();
    let (x, y, (relation, inverse), than) = if people {
        let (x, y) = two(draw, NAMES);
        (x.to_owned(), y.to_owned(), draw.pick(COMPARATIVES), " than")
    } else {
        let (a, b) = two(draw, THINGS);
        let (x, y) = if draw.chance(15) {
            let [c, d] = draw.pick_distinct(COLORS);
            (format!("the {c} {a}"), format!("the {d} {b}"))
        } else {
            (format!("the {a}"), format!("the {b}"))
        };
        (x, y, draw.pick(SPATIAL), "")
    };
    let (relation, inverse) = if draw.chance(USUAL) { (relation, inverse) } else { (inverse, relation) };
    let negated = people && draw.chance(RARE);
    let inverted = draw.chance(100 - USUAL);
    // True statement: swapped together with the inverse, or neither; a negation denies it.
    let swapped = inverted ^ negated ^ !want;
    let (first, second) = if swapped { (&y, &x) } else { (&x, &y) };
    let said = if inverted { inverse } else { relation };
    let not = if negated { "not " } else { "" };
    (format!("{x} is {relation}{than} {y}"), format!("{first} is {not}{said}{than} {second}"))
}

/// Active and passive: `x helped y` implies `y was helped by x`.
fn deed(draw: &mut Draw, want: bool) -> (String, String) {
    let (x, y) = two(draw, NAMES);
    let verb = draw.pick(DEEDS);
    let say = |agent: &str, patient: &str, passive: bool| {
        if passive { format!("{patient} was {verb} by {agent}") } else { format!("{agent} {verb} {patient}") }
    };
    let premise = say(x, y, draw.chance(RARE));
    let passive = draw.chance(50);
    let hypothesis = if want { say(x, y, passive) } else { say(y, x, passive) };
    (premise, hypothesis)
}

/// `not open` is `closed`: a statement holds if an even number of negations and antonyms apply.
fn state(draw: &mut Draw, want: bool) -> (String, String) {
    let (first, second) = two(draw, CONTAINERS);
    let states = draw.pick(STATES);
    let value = draw.chance(USUAL);
    if draw.chance(50) {
        let premise = state_clause(draw, first, states, value);
        return (premise, state_clause(draw, first, states, value == want));
    }
    // The other container is in the opposite state, so the answer depends on which is asked for.
    let (here, there) = if value { states } else { (states.1, states.0) };
    let premise = format!("the {first} is {here} and the {second} is {there}");
    let (asked, value) = if draw.chance(USUAL) { (first, value) } else { (second, !value) };
    (premise, state_clause(draw, asked, states, value == want))
}

/// Says that `subject` is in the first (`value`) or second state of the pair, plainly or as the
/// negation of the other state.
fn state_clause(draw: &mut Draw, subject: &str, states: (&str, &str), value: bool) -> String {
    let (said, other) = if value { states } else { (states.1, states.0) };
    if draw.chance(RARE) { format!("the {subject} is not {other}") } else { format!("the {subject} is {said}") }
}

/// `all` and `no` may be narrowed, `some` and `not all` may be widened.
fn quantifier(draw: &mut Draw, want: bool) -> (String, String) {
    let narrows = draw.chance(USUAL);
    let quantifier = draw.pick(if narrows { &["all", "no"] } else { &["some", "not all"] });
    let (class, members) = draw.pick(CLASSES);
    let member = draw.pick(&members);
    let (broad, narrow) = if draw.chance(70) {
        let color = if draw.chance(30) { format!("{} ", draw.pick(COLORS)) } else { String::new() };
        (format!("{color}{class}"), format!("{color}{member}"))
    } else {
        (member.to_owned(), format!("{} {member}", draw.pick(COLORS)))
    };
    let predicate = draw.pick(PREDICATES);
    let say = |restrictor: &str| format!("{quantifier} {restrictor} are {predicate}");
    if narrows == want { (say(&broad), say(&narrow)) } else { (say(&narrow), say(&broad)) }
}

/// Who did and who did not.
fn contrast(draw: &mut Draw, want: bool) -> (String, String) {
    let (x, y) = two(draw, NAMES);
    let (past, base) = draw.pick(ACTS);
    let did_not = format!("did not {base}");
    // In most cases the person asked for did it.
    let did = draw.chance(USUAL);
    let (asked, premise) = match (draw.weighted(&[40, 25, 15, 20]), did) {
        (0, true) => (draw.pick(&[x, y]), format!("both {x} and {y} {past}")),
        (0, false) => (draw.pick(&[x, y]), format!("neither {x} nor {y} {past}")),
        (1, true) => (x, format!("{x} {past} but {y} did not")),
        (1, false) => (y, format!("{x} {past} but {y} did not")),
        (2, true) => (y, format!("{x} did not {base} but {y} did")),
        (2, false) => (x, format!("{x} did not {base} but {y} did")),
        (_, true) => (y, format!("unlike {x} , {y} {past}")),
        (_, false) => (x, format!("unlike {x} , {y} {past}")),
    };
    let said = if did == want { past } else { did_not.as_str() };
    (premise, format!("{asked} {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_frequent_word_of_either_sentence_occurs_with_both_labels() {
        let task = task(1, 5000, 10);
        let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        for example in &task.train {
            for (side, text) in [("a", &example.premise), ("b", &example.hypothesis)] {
                for word in text.split(' ') {
                    counts.entry(format!("{side}:{word}")).or_default()[usize::from(example.entailed)] += 1;
                }
            }
        }
        for (cue, [no, yes]) in counts {
            let total = no + yes;
            if total >= 300 {
                let share = yes as f64 / total as f64;
                assert!((0.12..=0.88).contains(&share), "`{cue}` is entailed in {share:.2} of {total}");
            }
        }
    }

    #[test]
    fn widening_a_universal_statement_is_never_entailed() {
        let mut draw = Draw::new(5, "test", &[]);
        let mut seen = 0;
        for number in 0..4000 {
            let (premise, hypothesis) = quantifier(&mut draw, number % 2 == 0);
            if premise.starts_with("all dogs ") && hypothesis.starts_with("all animals ") {
                assert_eq!(number % 2, 1, "`{premise}` does not imply `{hypothesis}`");
                seen += 1;
            }
        }
        assert!(seen > 0, "the case never occurred");
    }

    #[test]
    fn the_inverse_relation_holds_between_swapped_arguments() {
        let mut draw = Draw::new(6, "test", &[]);
        let mut seen = 0;
        for number in 0..8000 {
            let (premise, hypothesis) = order(&mut draw, number % 2 == 0);
            let words: Vec<_> = premise.split(' ').collect();
            if let [x, "is", "taller", "than", y] = words[..] {
                if hypothesis == format!("{y} is shorter than {x}") {
                    assert_eq!(number % 2, 0, "`{premise}` implies `{hypothesis}`");
                    seen += 1;
                } else if hypothesis == format!("{y} is taller than {x}") {
                    assert_eq!(number % 2, 1, "`{premise}` denies `{hypothesis}`");
                    seen += 1;
                }
            }
        }
        assert!(seen > 20, "the cases occurred only {seen} times");
    }
}
