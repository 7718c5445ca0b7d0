//! Chunks of text between white space, counted in a table of bounded size.

use std::collections::HashMap;

use rayon::prelude::*;

use super::settings::TokenizerKind;
use super::split::Splitter;
use crate::error::Result;

/// Bytes of all entries together, as [`entry_bytes`] counts them, before the rarest are dropped.
const MOST_BYTES: usize = 512 << 20;
/// Longer words are counted in parts of so many characters: a line without spaces must not be one word of a million characters.
const LONGEST_WORD: usize = 256;
/// BERT's WordPiece does not look into longer words.
pub(super) const LONGEST_WORD_PIECE: usize = 100;

/// What the table needs for a chunk, about: the text, its allocation, the slot of the hash map.
fn entry_bytes(text: &str) -> usize {
    text.len() + 64
}

/// How often each chunk occurs: `[without, with]` a space before it, which only byte-level BPE distinguishes.
#[derive(Debug)]
pub(super) struct ChunkTable {
    counts: [HashMap<Box<str>, u64>; 2],
    bytes: usize,
    most_bytes: usize,
    forgotten: u64,
}

impl Default for ChunkTable {
    fn default() -> Self {
        Self::with_limit(MOST_BYTES)
    }
}

impl ChunkTable {
    pub fn with_limit(most_bytes: usize) -> Self {
        Self { counts: Default::default(), bytes: 0, most_bytes, forgotten: 0 }
    }

    /// Adds counts.
    pub fn add(&mut self, found: &[HashMap<&str, u64>; 2]) {
        for (counts, found) in self.counts.iter_mut().zip(found) {
            for (text, count) in found {
                if let Some(known) = counts.get_mut(*text) {
                    *known += count;
                } else {
                    self.bytes += entry_bytes(text);
                    counts.insert((*text).into(), *count);
                }
            }
        }
    }

    /// Drops the rarest chunks where the table is too large, until it is half as large. Of equally rare ones a hash of their text decides,
    /// so that no letter is preferred.
    pub fn prune(&mut self) {
        if self.bytes <= self.most_bytes {
            return;
        }
        let mut all: Vec<(u64, u64, bool, Box<str>)> = Vec::new();
        for (spaced, counts) in [false, true].into_iter().zip(&mut self.counts) {
            all.extend(counts.drain().map(|(text, count)| (count, fnv(&text), spaced, text)));
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        self.bytes = 0;
        for (count, _, spaced, text) in all {
            if self.bytes + entry_bytes(&text) > self.most_bytes / 2 {
                self.forgotten += count;
                continue;
            }
            self.bytes += entry_bytes(&text);
            self.counts[usize::from(spaced)].insert(text, count);
        }
    }

    /// Occurrences of chunks that were dropped.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The words of all chunks, sorted, each with its number.
    pub fn words(&self, splitter: &Splitter) -> Result<Vec<(String, u64)>> {
        let of = |spaced: bool| {
            let chunks: Vec<(&str, u64)> =
                self.counts[usize::from(spaced)].iter().map(|(text, count)| (&**text, *count)).collect();
            let count = |mut words: HashMap<String, u64>, (text, count): &(&str, u64)| -> Result<_> {
                for word in splitter.words(text, spaced)? {
                    for part in parts(&word, splitter.kind()) {
                        match words.get_mut(part) {
                            Some(known) => *known += count,
                            None => drop(words.insert(part.to_owned(), *count)),
                        }
                    }
                }
                Ok(words)
            };
            chunks.par_chunks(1 << 14).map(|chunks| chunks.iter().try_fold(HashMap::new(), count)).try_reduce(
                HashMap::new,
                |mut all, one| {
                    one.into_iter().for_each(|(word, count)| *all.entry(word).or_default() += count);
                    Ok(all)
                },
            )
        };
        let mut all = of(false)?;
        of(true)?.into_iter().for_each(|(word, count)| *all.entry(word).or_default() += count);
        let mut words: Vec<(String, u64)> = all.into_iter().collect();
        words.sort_unstable();
        Ok(words)
    }
}

/// A word in parts of bounded length; none of a word that WordPiece would not look into.
fn parts(word: &str, kind: TokenizerKind) -> Vec<&str> {
    let ends: Vec<usize> = word.char_indices().map(|(at, _)| at).collect();
    if kind == TokenizerKind::WordPiece {
        return if ends.is_empty() || ends.len() > LONGEST_WORD_PIECE { Vec::new() } else { vec![word] };
    }
    let end = |at: usize| ends.get(at).copied().unwrap_or(word.len());
    (0..ends.len()).step_by(LONGEST_WORD).map(|at| &word[end(at)..end(at + LONGEST_WORD)]).collect()
}

/// FNV-1a: the same on every machine.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Counts the chunks of a sentence: what stands between white space, which is taken for one space. For WordPiece a Chinese character is a
/// chunk, since BERT's splitter makes it a word, or else every sentence would be a chunk of its own.
pub(super) fn count_chunks<'t>(sentence: &'t str, kind: TokenizerKind, counts: &mut [HashMap<&'t str, u64>; 2]) {
    for (at, chunk) in sentence.split_whitespace().enumerate() {
        let counts = &mut counts[usize::from(kind == TokenizerKind::Bpe && at > 0)];
        if kind != TokenizerKind::WordPiece || chunk.is_ascii() {
            *counts.entry(chunk).or_default() += 1;
            continue;
        }
        let mut start = 0;
        for (at, c) in chunk.char_indices().filter(|(_, c)| is_chinese(*c)) {
            let end = at + c.len_utf8();
            for part in [&chunk[start..at], &chunk[at..end]].into_iter().filter(|part| !part.is_empty()) {
                *counts.entry(part).or_default() += 1;
            }
            start = end;
        }
        if start < chunk.len() {
            *counts.entry(&chunk[start..]).or_default() += 1;
        }
    }
}

/// Characters that BERT's normalizer puts spaces around; not all of them, which is not needed.
fn is_chinese(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{2A6DF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str, kind: TokenizerKind) -> Vec<(bool, String, u64)> {
        let mut counts = Default::default();
        count_chunks(text, kind, &mut counts);
        let of = |spaced: bool| counts[usize::from(spaced)].iter().map(move |(t, n)| (spaced, (*t).to_owned(), *n));
        let mut all: Vec<_> = of(false).chain(of(true)).collect();
        all.sort();
        all
    }

    #[test]
    fn chunks_stand_between_white_space_and_chinese_characters_alone() {
        let chunk = |spaced: bool, text: &str, count: u64| (spaced, text.to_owned(), count);
        assert_eq!(
            counted("a b,\u{a0}a 東京a京", TokenizerKind::WordPiece),
            [chunk(false, "a", 3), chunk(false, "b,", 1), chunk(false, "京", 2), chunk(false, "東", 1)]
        );
        assert_eq!(counted("a a 東京", TokenizerKind::Unigram), [chunk(false, "a", 2), chunk(false, "東京", 1)]);
        assert_eq!(
            counted("a  a b", TokenizerKind::Bpe),
            [chunk(false, "a", 1), chunk(true, "a", 1), chunk(true, "b", 1)]
        );
    }

    #[test]
    fn a_full_table_forgets_the_rarest_and_says_how_many() {
        let mut table = ChunkTable::with_limit(65 * 10);
        let text: Vec<String> = ('a'..='p').flat_map(|c| vec![c.to_string(); if c < 'd' { 5 } else { 1 }]).collect();
        let text = text.join(" ");
        let mut counts = Default::default();
        count_chunks(&text, TokenizerKind::Unigram, &mut counts);
        table.add(&counts);
        table.prune();
        assert_eq!(table.counts[0].len(), 5);
        for frequent in ["a", "b", "c"] {
            assert_eq!(table.counts[0][frequent], 5);
        }
        assert_eq!((table.forgotten(), table.bytes), (11, 5 * 65));
        table.prune();
        assert_eq!(table.forgotten(), 11);
    }

    #[test]
    fn long_words_come_in_parts_and_wordpiece_leaves_them_out() {
        let long = "é".repeat(600);
        assert_eq!(
            parts(&long, TokenizerKind::Bpe).iter().map(|p| p.chars().count()).collect::<Vec<_>>(),
            [256, 256, 88]
        );
        assert!(parts(&long, TokenizerKind::WordPiece).is_empty());
        assert_eq!(parts("ab", TokenizerKind::WordPiece), ["ab"]);
        assert!(parts("", TokenizerKind::Unigram).is_empty());
    }
}
