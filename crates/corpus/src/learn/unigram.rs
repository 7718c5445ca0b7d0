//! Pieces by a unigram language model, through the library's trainer.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use run_store::contain;
use tokenizers::AddedToken;
use tokenizers::models::unigram::{Unigram, UnigramTrainer};

use super::settings::LearnSettings;
use super::split::Pieces;
use super::{LearnProgress, Watch, failed, too_small};
use crate::error::{Error, Result};

/// Time between two looks whether the work is to end.
const LOOK: Duration = Duration::from_millis(100);
/// The library counts characters in 32 bits.
const MOST_CHARACTERS: u64 = 1 << 31;
/// What the library puts between the scores of characters that its model has lost.
const LOST_STEP: f64 = 0.0001;

/// Learns the pieces of sorted `words` with so many different characters.
///
/// The library takes only substrings for candidates that stand before two different characters in its list of words: a word is a piece where
/// it also stands before a comma, say. Texts of many words have that; a few sentences give characters and endings alone.
///
/// The library's sums depend on its number of threads, so it gets one. It cannot be ended; a thread of its own is left to itself where
/// `progress` asks to stop, and what it makes is dropped.
pub(super) fn learn(
    words: &[(String, u64)],
    alphabet: usize,
    settings: &LearnSettings,
    progress: Watch<'_>,
) -> Result<Pieces> {
    let special: Vec<AddedToken> =
        settings.kind.special().into_iter().map(|name| AddedToken::from(name, true)).collect();
    let known = special.len();
    if known + alphabet >= settings.vocab_size {
        return Err(too_small(settings, alphabet, "characters"));
    }
    let wanted = settings.vocab_size as u64;
    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size(u32::try_from(settings.vocab_size).unwrap_or(u32::MAX))
        .special_tokens(special)
        .unk_token(Some(settings.kind.special()[1].to_owned()))
        .build()
        .map_err(failed)?;
    let words = scaled(words);
    let (send, receive) = channel();
    let train = move || {
        let mut model = Unigram::default();
        let outcome = contain::call(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| e.to_string())?;
            pool.install(|| contain::call(|| trainer.do_train(words, &mut model)))
                .map_err(|_| "it failed on these words".to_owned())?
                .map_err(|e| e.to_string())?;
            Ok(model.iter().cloned().collect::<Vec<(String, f64)>>())
        });
        // Nobody waits any more where the work was to end.
        drop(send.send(outcome.unwrap_or_else(|_| Err("it failed on these words".to_owned()))));
    };
    std::thread::Builder::new().name("unigram".to_owned()).spawn(train).map_err(failed)?;
    let pieces = loop {
        match receive.recv_timeout(LOOK) {
            Ok(outcome) => break outcome.map_err(failed)?,
            Err(RecvTimeoutError::Disconnected) => return Err(Error::Worker),
            Err(RecvTimeoutError::Timeout) => {
                if progress(LearnProgress::Learning { pieces: 0, wanted }) == ControlFlow::Break(()) {
                    return Err(Error::Interrupted);
                }
            }
        }
    };
    Ok(Pieces::Unigram(in_order(pieces, known)))
}

/// Words with counts that the library can sum up.
fn scaled(words: &[(String, u64)]) -> Vec<(String, u32)> {
    let characters: u64 = words.iter().map(|(word, count)| word.chars().count() as u64 * count).sum();
    let part = characters.div_ceil(MOST_CHARACTERS).max(1);
    let count = |count: u64| u32::try_from(count.div_ceil(part)).unwrap_or(u32::MAX);
    words.iter().map(|(word, n)| (word.clone(), count(*n))).collect()
}

/// Pieces behind the `known` special ones by their scores, of equal ones by their text.
///
/// Characters that the model has lost come back with the lowest score and others little above, one after the other as a hash map has
/// them. Here the first characters get the highest of these scores.
fn in_order(mut pieces: Vec<(String, f64)>, known: usize) -> Vec<(String, f64)> {
    let learned = &mut pieces[known..];
    let is_character = |piece: &str| piece.chars().nth(1).is_none();
    let lowest = learned.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let characters = learned.iter().filter(|(piece, _)| is_character(piece)).count();
    // As the library adds them up.
    let steps = std::iter::successors(Some(0.0), |above: &f64| Some(above + LOST_STEP)).take(characters);
    let lost: HashMap<u64, ()> = steps.map(|above| ((lowest + above).to_bits(), ())).collect();
    let is_lost = |(piece, score): &(String, f64)| is_character(piece) && lost.contains_key(&score.to_bits());
    let mut scores: Vec<f64> = learned.iter().filter(|entry| is_lost(entry)).map(|(_, score)| *score).collect();
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut entries: Vec<&mut (String, f64)> = learned.iter_mut().filter(|entry| is_lost(entry)).collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    entries.into_iter().zip(scores).for_each(|(entry, score)| entry.1 = score);
    learned.sort_by(|(a, one), (b, other)| other.total_cmp(one).then_with(|| a.cmp(b)));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_characters_have_one_order_whatever_the_library_made_of_them() {
        let step = LOST_STEP;
        let piece = |text: &str, score: f64| (text.to_owned(), score);
        let special = piece("[PAD]", 0.0);
        let one = vec![
            special.clone(),
            piece("ab", -2.0),
            piece("é", -9.0 + (step + step)),
            piece("b", -9.0),
            piece("z", -9.0 + step),
            piece("cd", -9.0),
            piece("x", -3.0),
        ];
        let other = vec![
            special.clone(),
            piece("ab", -2.0),
            piece("x", -3.0),
            piece("b", -9.0 + (step + step)),
            piece("é", -9.0 + step),
            piece("cd", -9.0),
            piece("z", -9.0),
        ];
        let ordered = in_order(other, 1);
        assert_eq!(ordered[..3], [special, piece("ab", -2.0), piece("x", -3.0)]);
        let texts: Vec<&str> = ordered.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts[3..], ["b", "z", "cd", "é"]);
        let texts = |pieces: Vec<(String, f64)>| pieces.into_iter().map(|(text, _)| text).collect::<Vec<_>>();
        assert_eq!(texts(in_order(one, 1)), texts(ordered));
    }

    #[test]
    fn large_counts_are_scaled_and_none_becomes_zero() {
        let words = [("abcd".to_owned(), 1 << 32), ("x".to_owned(), 1)];
        let scaled = scaled(&words);
        assert_eq!(scaled[1].1, 1);
        assert!(u64::from(scaled[0].1) * 4 <= MOST_CHARACTERS);
    }
}
