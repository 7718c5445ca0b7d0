//! One draw of replacements.

use std::ops::Range;

use rand::RngCore;
use run_store::rng::{below, unit};
use tokenizer::WordPieces;

/// A word of a text and what may stand in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its bytes in the text.
    pub bytes: Range<usize>,
    /// Ids of [`WordPieces::word`]s; a word without any stays.
    pub candidates: Vec<u32>,
}

/// `text` in which every slot, each with `probability`, holds one of its candidates, all equally likely. Everything else stays as it
/// is. Where the vocabulary has no upper case, a word that begins with it is replaced by one that does, for people who read the file.
///
/// Slots are in the order of the text and do not overlap. Two draws are made for every slot that has candidates.
pub fn replaced(text: &str, slots: &[Slot], probability: f64, pieces: &WordPieces, rng: &mut impl RngCore) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut from = 0;
    for slot in slots.iter().filter(|slot| !slot.candidates.is_empty()) {
        let (chance, choice) = (unit(rng), below(rng, slot.candidates.len()));
        let Some(word) = pieces.word(slot.candidates[choice]).filter(|_| chance < probability) else { continue };
        out.push_str(&text[from..slot.bytes.start]);
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if !pieces.is_cased() && is_title(&text[slot.bytes.clone()]) => {
                out.extend(first.to_uppercase());
                out.push_str(letters.as_str());
            }
            _ => out.push_str(word),
        }
        from = slot.bytes.end;
    }
    out.push_str(&text[from..]);
    out
}

/// Whether a word has one upper-case letter, its first.
fn is_title(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(char::is_uppercase) && !letters.any(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use run_store::rng::keyed;
    use tokenizer::TextEncoder;

    use crate::augment::replaceable;

    /// An uncased WordPiece tokenizer of these tokens.
    fn pieces(tokens: &[&str]) -> WordPieces {
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let dir = tempfile::tempdir().unwrap();
        let vocab = special.iter().chain(tokens).map(|token| format!("{token}\n")).collect::<String>();
        std::fs::write(dir.path().join("vocab.txt"), vocab).unwrap();
        WordPieces::new(TextEncoder::from_dir(dir.path()).unwrap()).unwrap()
    }

    const TEXT: &str = "Good films, a good one!";

    fn slots(pieces: &WordPieces) -> Vec<Slot> {
        let candidates: Vec<u32> = pieces.ids().filter(|id| pieces.word(*id).is_some_and(|w| w.len() == 3)).collect();
        let words = replaceable(pieces, TEXT).unwrap().words;
        words.into_iter().map(|word| Slot { bytes: word.bytes, candidates: candidates.clone() }).collect()
    }

    #[test]
    fn stop_words_and_what_is_no_word_are_left_alone() {
        let pieces = pieces(&["good", "film", "##s"]);
        let text = "The good Films, was 2 zzz";
        let words = replaceable(&pieces, text).unwrap().words;
        assert_eq!(words.iter().map(|w| &text[w.bytes.clone()]).collect::<Vec<_>>(), ["good", "Films", "zzz"]);
    }

    #[test]
    fn with_probability_0_nothing_changes_and_with_1_every_word_that_has_candidates() {
        let pieces = pieces(&["good", "film", "##s", "bad", "odd", "one"]);
        let mut slots = slots(&pieces);
        assert_eq!(slots.len(), 4);
        slots[3].candidates.clear();
        for seed in 0..50 {
            let draw = |p| replaced(TEXT, &slots, p, &pieces, &mut keyed(seed, "test", &[]));
            assert_eq!(draw(0.0), TEXT);
            let all = draw(1.0);
            let words: Vec<&str> = all.split(' ').collect();
            assert!(["Bad", "Odd", "One"].contains(&words[0]), "{all}");
            assert!(["bad,", "odd,", "one,"].contains(&words[1]), "{all}");
            assert!(words[2] == "a" && words[4] == "one!" && words[3] != "good", "{all}");
        }
    }

    #[test]
    fn words_are_replaced_as_often_as_asked_for_and_by_all_candidates_alike() {
        let pieces = pieces(&["good", "film", "##s", "bad", "odd", "one"]);
        let slots = slots(&pieces);
        let (mut changed, mut odd) = (0, 0);
        for seed in 0..4000 {
            let text = replaced(TEXT, &slots, 0.4, &pieces, &mut keyed(seed, "test", &[]));
            let first = text.split(' ').next().unwrap();
            changed += u32::from(first != "Good");
            odd += u32::from(first == "Odd");
        }
        // Five standard deviations of 4000 draws.
        assert!((1445..=1755).contains(&changed), "{changed}");
        assert!((423..=643).contains(&odd), "{odd}");
    }
}
