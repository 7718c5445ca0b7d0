//! Reviews in three scripts, for the tutorial.
//!
//! A review says one thing of one or two aspects. What says that something is good may be negated, so no single word decides. The classes are `good`, `bad` and `mixed`.

use std::collections::BTreeSet;

use crate::draw::Draw;

/// Labeled reviews.
const LABELED: usize = 900;
/// Reviews without a label.
const NEW: usize = 60;

/// The words of a language: aspects, praise, blame, and how sentences are made of them.
struct Language {
    aspects: &'static [&'static str],
    praise: &'static [&'static str],
    blame: &'static [&'static str],
    /// `{a}` is an aspect, `{x}` an adjective.
    plain: &'static str,
    /// The same, negated.
    negated: &'static str,
    but: &'static str,
    /// What may stand at the end and says nothing.
    ends: &'static [&'static str],
}

const LANGUAGES: [Language; 3] = [
    Language {
        aspects: &["service", "soup", "room", "view", "music", "coffee"],
        praise: &["good", "great", "lovely", "warm"],
        blame: &["bad", "poor", "cold", "noisy"],
        plain: "the {a} was {x}",
        negated: "the {a} was not {x}",
        but: ", but ",
        ends: &["", " today", " again", " last night", " as always", " this time", " on sunday"],
    },
    Language {
        aspects: &["εξυπηρέτηση", "σούπα", "θέα", "μουσική", "κουζίνα"],
        praise: &["καλή", "υπέροχη", "ωραία"],
        blame: &["κακή", "άσχημη", "κρύα"],
        plain: "η {a} ήταν {x}",
        negated: "η {a} δεν ήταν {x}",
        but: ", αλλά ",
        ends: &["", " σήμερα", " πάλι", " χθες", " όπως πάντα", " αυτή τη φορά"],
    },
    Language {
        aspects: &["服务", "汤", "房间", "音乐", "咖啡"],
        praise: &["好", "很棒", "舒服"],
        blame: &["差", "很吵", "冷"],
        plain: "{a}{x}",
        negated: "{a}不{x}",
        but: "，但是",
        ends: &["", "，跟以前一样", "，今天去的", "，昨天去的", "，这次", "，周末去的"],
    },
];

/// The names of the classes.
const CLASSES: [&str; 3] = ["good", "bad", "mixed"];

/// `reviews.csv` with the columns `id`, `review` and `verdict`, and `new.csv` without the last, each with its name.
#[must_use]
pub fn reviews(seed: u64) -> [(&'static str, String); 2] {
    let mut draw = Draw::new(seed, "reviews", &[]);
    let mut seen = BTreeSet::new();
    let mut another = |class: usize| loop {
        let text = review(&mut draw, class);
        if seen.insert(text.clone()) {
            return quoted(&text);
        }
    };
    let mut labeled = "id,review,verdict\n".to_owned();
    for id in 0..LABELED {
        let class = id % CLASSES.len();
        labeled += &format!("{id},{},{}\n", another(class), CLASSES[class]);
    }
    let mut new = "id,review\n".to_owned();
    for id in 0..NEW {
        new += &format!("{id},{}\n", another(id % CLASSES.len()));
    }
    [("reviews.csv", labeled), ("new.csv", new)]
}

fn review(draw: &mut Draw, class: usize) -> String {
    let language = &LANGUAGES[draw.weighted(&[2, 1, 1])];
    let [first, second] = draw.pick_distinct(language.aspects);
    let text = match class {
        2 => {
            let good_first = draw.weighted(&[1, 1]) == 0;
            let [a, b] = [clause(draw, language, first, good_first), clause(draw, language, second, !good_first)];
            format!("{a}{}{b}", language.but)
        }
        class => clause(draw, language, first, class == 0),
    };
    text + draw.pick(language.ends)
}

/// Three of four are plain.
fn clause(draw: &mut Draw, language: &Language, aspect: &str, good: bool) -> String {
    let negated = draw.weighted(&[3, 1]) == 1;
    let words = if good != negated { language.praise } else { language.blame };
    let [word, _] = draw.pick_distinct(words);
    let frame = if negated { language.negated } else { language.plain };
    frame.replace("{a}", aspect).replace("{x}", word)
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_are_the_same_for_a_seed_and_of_all_scripts_and_classes() {
        let [(_, labeled), (_, new)] = reviews(7);
        assert_eq!(labeled, reviews(7)[0].1);
        assert_ne!(labeled, reviews(8)[0].1);
        assert_eq!((labeled.lines().count(), new.lines().count()), (901, 61));
        let texts: BTreeSet<&str> =
            labeled.lines().chain(new.lines()).filter_map(|line| line.split_once(',')).map(|(_, text)| text).collect();
        assert_eq!(texts.len(), 962, "none comes twice");
        for (part, least) in [("was", 300), ("ήταν", 150), ("但是", 50), (",mixed", 300)] {
            let found = labeled.lines().filter(|line| line.contains(part)).count();
            assert!(found >= least, "{part}: {found}");
        }
    }
}
