//! Pieces by joining pairs, for WordPiece and byte-level BPE.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::ops::ControlFlow;

use super::settings::{LearnSettings, TokenizerKind};
use super::split::{CONTINUES, Pieces};
use super::{LearnProgress, Watch, too_small};
use crate::error::{Error, Result};

/// Merges between two reports.
const REPORT: usize = 128;

type Pair = (u32, u32);

/// Learns the pieces of `words`, whose characters are all in `alphabet`.
pub(super) fn learn(
    words: &[(String, u64)],
    alphabet: &[char],
    settings: &LearnSettings,
    progress: Watch<'_>,
) -> Result<Pieces> {
    let is_bpe = settings.kind == TokenizerKind::Bpe;
    let mut pieces: Vec<String> = settings.kind.special().map(str::to_owned).into();
    let special = pieces.len();
    pieces.extend(alphabet.iter().map(char::to_string));
    let first: HashMap<char, u32> = alphabet.iter().copied().zip(special as u32..).collect();
    let mut later = first.clone();
    if !is_bpe {
        let seen: HashSet<char> = words.iter().flat_map(|(word, _)| word.chars().skip(1)).collect();
        let continuing = alphabet.iter().copied().filter(|c| seen.contains(c));
        later = continuing.zip(pieces.len() as u32..).collect();
        let mut sorted: Vec<(&char, &u32)> = later.iter().collect();
        sorted.sort_unstable_by_key(|(_, id)| **id);
        pieces.extend(sorted.into_iter().map(|(c, _)| format!("{CONTINUES}{c}")));
    }
    if pieces.len() >= settings.vocab_size {
        let what = if is_bpe { "bytes" } else { "characters, at the begin of words and within them," };
        return Err(too_small(settings, pieces.len() - special, what));
    }
    let symbols = words.iter().map(|(word, count)| {
        let ids = word.chars().enumerate().map(|(at, c)| if at == 0 { first[&c] } else { later[&c] });
        (ids.collect::<Box<[u32]>>(), *count)
    });
    let mut corpus = Corpus::new(symbols.collect());
    let mut ids: HashMap<String, u32> = pieces.iter().cloned().zip(0..).collect();
    let mut merges = Vec::new();
    while pieces.len() < settings.vocab_size {
        let Some((pair, count)) = corpus.most_frequent() else { break };
        if count < settings.min_frequency {
            break;
        }
        let (left, right) = (&pieces[pair.0 as usize], &pieces[pair.1 as usize]);
        let tail = if is_bpe { right.as_str() } else { right.strip_prefix(CONTINUES).unwrap_or(right) };
        let joined = format!("{left}{tail}");
        merges.push((left.clone(), right.clone()));
        // Two pairs may make the same piece: `ab` `c` and `a` `bc`.
        let id = *ids.entry(joined).or_insert_with_key(|joined| {
            pieces.push(joined.clone());
            pieces.len() as u32 - 1
        });
        corpus.join(pair, id);
        if merges.len() % REPORT == 0 {
            let so_far = LearnProgress::Learning { pieces: pieces.len() as u64, wanted: settings.vocab_size as u64 };
            if progress(so_far) == ControlFlow::Break(()) {
                return Err(Error::Interrupted);
            }
        }
    }
    Ok(if is_bpe { Pieces::Bpe { pieces, merges } } else { Pieces::WordPiece(pieces) })
}

/// Words as pieces, with the counts of neighboring pairs kept up to date.
struct Corpus {
    words: Vec<(Box<[u32]>, u64)>,
    counts: HashMap<Pair, u64>,
    /// Words in which a pair was seen; it may have gone since.
    places: HashMap<Pair, Vec<u32>>,
    /// Largest count first, then smallest pair. An entry may be out of date; one with the true count is always there.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Corpus {
    fn new(words: Vec<(Box<[u32]>, u64)>) -> Self {
        let (mut counts, mut places) = (HashMap::<Pair, u64>::new(), HashMap::<Pair, Vec<u32>>::new());
        for (at, (symbols, count)) in words.iter().enumerate() {
            for pair in symbols.windows(2).map(|w| (w[0], w[1])) {
                *counts.entry(pair).or_default() += count;
                let places = places.entry(pair).or_default();
                if places.last() != Some(&(at as u32)) {
                    places.push(at as u32);
                }
            }
        }
        let queue = counts.iter().map(|(pair, count)| (*count, Reverse(*pair))).collect();
        Self { words, counts, places, queue }
    }

    /// The pair that occurs most often, of equals the one with the smallest ids.
    fn most_frequent(&mut self) -> Option<(Pair, u64)> {
        loop {
            let (count, Reverse(pair)) = *self.queue.peek()?;
            if count > 0 && self.counts.get(&pair) == Some(&count) {
                return Some((pair, count));
            }
            self.queue.pop();
        }
    }

    /// Replaces a pair by one piece, from left to right in every word.
    fn join(&mut self, pair: Pair, id: u32) {
        let mut places = self.places.remove(&pair).unwrap_or_default();
        places.sort_unstable();
        places.dedup();
        // Pairs before the change, and after it.
        let mut changes: HashMap<Pair, (u64, u64)> = HashMap::new();
        for at in places {
            let (symbols, count) = &mut self.words[at as usize];
            let mut joined = Vec::with_capacity(symbols.len());
            let mut rest = &symbols[..];
            while let Some((first, after)) = rest.split_first() {
                let is_pair = *first == pair.0 && after.first() == Some(&pair.1);
                joined.push(if is_pair { id } else { *first });
                rest = if is_pair { &after[1..] } else { after };
            }
            if joined.len() == symbols.len() {
                continue;
            }
            for pair in symbols.windows(2).map(|w| (w[0], w[1])) {
                changes.entry(pair).or_default().0 += *count;
            }
            for pair in joined.windows(2).map(|w| (w[0], w[1])) {
                changes.entry(pair).or_default().1 += *count;
                if pair.0 == id || pair.1 == id {
                    let places = self.places.entry(pair).or_default();
                    if places.last() != Some(&at) {
                        places.push(at);
                    }
                }
            }
            *symbols = joined.into();
        }
        for (pair, (before, after)) in changes.into_iter().filter(|(_, (before, after))| before != after) {
            let count = self.counts.entry(pair).or_default();
            *count = *count + after - before;
            if *count == 0 {
                self.counts.remove(&pair);
                self.places.remove(&pair);
            } else {
                self.queue.push((*count, Reverse(pair)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::split::byte_alphabet;

    fn count(words: &[&str]) -> Vec<(String, u64)> {
        let mut counts = std::collections::BTreeMap::new();
        words.iter().for_each(|word| *counts.entry((*word).to_owned()).or_default() += 1);
        counts.into_iter().collect()
    }

    fn alphabet(words: &[(String, u64)]) -> Vec<char> {
        let all: std::collections::BTreeSet<char> = words.iter().flat_map(|(word, _)| word.chars()).collect();
        all.into_iter().collect()
    }

    fn settings(kind: TokenizerKind, vocab_size: usize) -> LearnSettings {
        LearnSettings { kind, vocab_size, min_frequency: 2, ..LearnSettings::default() }
    }

    const GO_ON: Watch<'_> = &|_| ControlFlow::Continue(());

    #[test]
    fn pairs_are_joined_by_their_count_then_by_their_ids() {
        let words = count(&["low", "low", "lower", "newest", "newest", "newest", "widest", "widest"]);
        let Pieces::WordPiece(pieces) =
            learn(&words, &alphabet(&words), &settings(TokenizerKind::WordPiece, 26), GO_ON).unwrap()
        else {
            panic!("another kind")
        };
        let (characters, joined) = pieces[5..].split_at(10 + 8);
        assert_eq!(characters[..10].concat(), "deilnorstw");
        assert!(characters[10..].iter().all(|piece| piece.starts_with("##")));
        // `##es` and `##st` occur 5 times each; `##e` has the smaller id.
        assert_eq!(joined, ["##es", "##est", "lo"]);
    }

    #[test]
    fn nothing_rarer_than_the_minimum_is_joined_and_a_small_corpus_gives_a_small_vocabulary() {
        let words = count(&["abc", "abd", "xy"]);
        let Pieces::Bpe { pieces, merges } =
            learn(&words, &byte_alphabet(), &settings(TokenizerKind::Bpe, 400), GO_ON).unwrap()
        else {
            panic!("another kind")
        };
        assert_eq!(merges, [("a".to_owned(), "b".to_owned())]);
        assert_eq!(pieces.len(), 5 + 256 + 1);
    }

    #[test]
    fn a_vocabulary_without_room_says_how_much_it_needs() {
        let words = count(&["abc", "bca"]);
        let message = |kind| learn(&words, &alphabet(&words), &settings(kind, 11), GO_ON).unwrap_err().to_string();
        assert!(
            message(TokenizerKind::WordPiece).contains("5 special tokens and 6 characters"),
            "{}",
            message(TokenizerKind::WordPiece)
        );
        assert!(message(TokenizerKind::WordPiece).contains("allow 12 pieces or more"));
        let bytes = learn(&words, &byte_alphabet(), &settings(TokenizerKind::Bpe, 261), GO_ON).unwrap_err().to_string();
        assert!(bytes.contains("256 bytes") && bytes.contains("262"), "{bytes}");
    }

    #[test]
    fn who_watches_can_end_it() {
        let text: Vec<String> = (0..2000).map(|n: u32| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
        let words = count(&text.iter().flat_map(|w| [w.as_str(); 3]).collect::<Vec<_>>());
        let stop: Watch<'_> = &|_| ControlFlow::Break(());
        let outcome = learn(&words, &alphabet(&words), &settings(TokenizerKind::WordPiece, 2000), stop);
        assert!(matches!(outcome, Err(Error::Interrupted)));
    }

    proptest::proptest! {
        #[test]
        fn counts_kept_up_to_date_equal_counts_made_anew(
            words in proptest::collection::vec(("[abc]{1,9}", 1_u64..9), 1..12), merges in 1_usize..12,
        ) {
            let symbols = |word: &str| word.bytes().map(|b| u32::from(b - b'a')).collect::<Box<[u32]>>();
            let mut corpus = Corpus::new(words.iter().map(|(word, n)| (symbols(word), *n)).collect());
            for id in 3..3 + merges as u32 {
                let Some((pair, count)) = corpus.most_frequent() else { break };
                let fresh = Corpus::new(corpus.words.clone());
                proptest::prop_assert_eq!(&fresh.counts, &corpus.counts);
                let best = fresh.counts.iter().map(|(pair, n)| (*n, Reverse(*pair))).max();
                proptest::prop_assert_eq!(best, Some((count, Reverse(pair))));
                corpus.join(pair, id);
            }
        }

        /// Where no two pairs make one piece, so that no hash order has a say, the library joins the same pairs.
        #[test]
        fn the_library_joins_the_same_pairs(words in proptest::collection::vec("[a-f]{1,6}", 1..40), more in 1_usize..8) {
            let words = count(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let vocab_size = 5 + 256 + more;
            let ours = learn(&words, &byte_alphabet(), &settings(TokenizerKind::Bpe, vocab_size), GO_ON).unwrap();
            let Pieces::Bpe { pieces, merges } = ours else { panic!("another kind") };
            proptest::prop_assume!(merges.len() + 261 == pieces.len());
            let special = TokenizerKind::Bpe.special().map(|name| tokenizers::AddedToken::from(name, true));
            let mut trainer = tokenizers::models::bpe::BpeTrainer::builder()
                .show_progress(false)
                .vocab_size(vocab_size)
                .min_frequency(2)
                .special_tokens(special.into())
                .initial_alphabet(byte_alphabet().into_iter().collect())
                .build();
            let texts = words.iter().flat_map(|(word, n)| std::iter::repeat_n(word.clone(), *n as usize));
            tokenizers::Trainer::feed(&mut trainer, texts, |text| Ok(vec![text.to_owned()])).unwrap();
            let mut model = tokenizers::models::bpe::BPE::default();
            tokenizers::Trainer::train(&trainer, &mut model).unwrap();
            let vocab = model.get_vocab();
            for (id, piece) in pieces.iter().enumerate() {
                proptest::prop_assert_eq!(vocab.get(piece), Some(&(id as u32)), "{}", piece);
            }
        }
    }
}
