//! Sentence polarity in the SST-2 layout.
//!
//! The label of a clause is the polarity of its adjective or verb, flipped by each negator above
//! it; the label of a sentence is that of its main clause. Negators are drawn independently of the
//! polarity, so no single word decides.

use crate::draw::{Draw, Split, fill_split};
use crate::lexicon::{ASPECTS, BLAME, BLAME_VERBS, INTENSIFIERS, OCCASIONS, PRAISE, PRAISE_VERBS};

/// Longest sentence, in words and punctuation marks.
pub const MAX_WORDS: usize = 20;

/// One sentence and whether it praises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolarityExample {
    /// Lower-case words separated by single spaces.
    pub sentence: String,
    /// True for label 1.
    pub positive: bool,
}

/// An operator between the copula and the adjective: text, whether it flips, whether an
/// intensifier may follow.
const OPERATORS: &[(&str, bool, bool)] = &[
    ("", false, true),
    ("nothing but", false, false),
    ("not", true, true),
    ("never", true, true),
    ("hardly", true, false),
    ("far from", true, false),
    ("anything but", true, false),
];
const OPERATOR_WEIGHTS: &[usize] = &[69, 8, 7, 4, 4, 4, 4];

/// What a clause can be embedded in, and whether that flips it.
const FRAMES: &[(&str, bool)] = &[
    ("everybody said that", false),
    ("i am sure that", false),
    ("nobody thought that", true),
    ("it is not true that", true),
    ("i doubt that", true),
];
const FRAME_WEIGHTS: &[usize] = &[6, 6, 3, 3, 3];

pub(crate) fn task(seed: u64, train: usize, dev: usize) -> Split<PolarityExample> {
    let mut draw = Draw::new(seed, "pocket/polarity", &[]);
    fill_split(
        &mut draw,
        train,
        dev,
        |draw, number| sentence(draw, number % 2 == 0),
        |example| example.sentence.clone(),
    )
}

pub(crate) fn sentence(draw: &mut Draw, positive: bool) -> PolarityExample {
    loop {
        let sentence = try_sentence(draw, positive);
        if sentence.split(' ').count() <= MAX_WORDS {
            return PolarityExample { sentence, positive };
        }
    }
}

fn try_sentence(draw: &mut Draw, want: bool) -> String {
    let [first, second] = draw.pick_distinct(ASPECTS);
    let kind = draw.weighted(&[50, 10, 4, 6, 7, 4, 19]);
    if kind == 0 {
        return clause(draw, first, want, 18);
    }
    if kind == 5 {
        let adjective = adjective(draw, !want);
        let main = clause(draw, second, want, 8);
        return format!("despite the {adjective} {first} , {main}");
    }
    let main = clause(draw, second, want, 8);
    // Only `and` joins clauses of one polarity; a contrast always opposes the two.
    let side = clause(draw, first, want == (kind == 6), 8);
    match kind {
        1 => format!("{side} , but {main}"),
        2 => format!("{side} , yet {main}"),
        3 => format!("although {side} , {main}"),
        4 => format!("{main} , although {side}"),
        _ => format!("{side} and {main}"),
    }
}

fn clause(draw: &mut Draw, subject: &str, want: bool, frame_percent: usize) -> String {
    if draw.chance(frame_percent) {
        let (frame, flips) = FRAMES[draw.weighted(FRAME_WEIGHTS)];
        let inner = simple_clause(draw, subject, want ^ flips);
        return format!("{frame} {inner}");
    }
    simple_clause(draw, subject, want)
}

fn simple_clause(draw: &mut Draw, subject: &str, want: bool) -> String {
    if draw.chance(25) {
        return verb_clause(draw, subject, want);
    }
    let (operator, flips, intensifiable) = OPERATORS[draw.weighted(OPERATOR_WEIGHTS)];
    let adjective = adjective(draw, want ^ flips);
    let mut words = vec!["the", subject, "was"];
    if !operator.is_empty() {
        words.push(operator);
    }
    if intensifiable && draw.chance(25) {
        words.push(draw.pick(INTENSIFIERS));
    }
    words.push(adjective);
    words.join(" ")
}

fn verb_clause(draw: &mut Draw, subject: &str, want: bool) -> String {
    let form = draw.weighted(&[60, 16, 10, 8, 6]);
    let flips = form >= 2;
    let verbs = if want ^ flips { PRAISE_VERBS } else { BLAME_VERBS };
    let (past, base) = draw.pick(verbs);
    let verb = match form {
        0 => past.to_owned(),
        1 => format!("managed to {base}"),
        2 => format!("did not {base}"),
        3 => format!("failed to {base}"),
        _ => format!("never {past}"),
    };
    let occasion = draw.pick(OCCASIONS);
    format!("the {subject} {verb} the {occasion}")
}

fn adjective(draw: &mut Draw, praise: bool) -> &'static str {
    draw.pick(if praise { PRAISE } else { BLAME })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negator_says_nothing_about_the_label_by_itself() {
        let task = task(1, 4000, 10);
        for cue in ["not", "never", "far", "anything", "nothing", "although", "but", "nobody"] {
            let with: Vec<_> = task.train.iter().filter(|e| e.sentence.split(' ').any(|w| w == cue)).collect();
            let positive = with.iter().filter(|e| e.positive).count() as f64 / with.len() as f64;
            assert!(with.len() > 50, "`{cue}` occurs only {} times", with.len());
            assert!((0.4..=0.6).contains(&positive), "`{cue}` is positive in {positive:.2}");
        }
    }

    #[test]
    fn plain_clauses_carry_the_polarity_of_their_adjective() {
        let task = task(2, 4000, 10);
        let mut checked = 0;
        for example in &task.train {
            let words: Vec<_> = example.sentence.split(' ').collect();
            if let ["the", _, "was", adjective] = words[..] {
                assert_eq!(PRAISE.contains(&adjective), example.positive, "{}", example.sentence);
                checked += 1;
            }
        }
        assert!(checked > 100, "only {checked} plain sentences");
    }
}
