//! Tokenising fast what BERT's WordPiece makes easy, with the same result.
//!
//! BERT's normaliser and splitter look at one character at a time and never across white space, so a text is the sequence of its words
//! and punctuation marks, each tokenised by itself, and most words were seen before. The tokeniser library is asked for what is not
//! plain: words with letters outside ASCII, control characters, and whatever might be a special token.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use serde::Deserialize;

use crate::error::Result;
use crate::tokenizer::TextEncoder;

/// Words kept by a [`WordCache`], a power of two; about 2.5 MB.
const PLAIN_SLOTS: usize = 1 << 16;
/// Other chunks kept, a power of two.
const OTHER_SLOTS: usize = 1 << 14;
/// Longer chunks are not kept, so that a cache is bounded.
const MAX_OTHER_BYTES: usize = 64;
/// Plain words of more bytes, or more tokens than this, are not kept: few words are.
const MAX_WORD_BYTES: usize = 16;
const MAX_WORD_TOKENS: usize = 4;
/// Quotes, dashes and ellipses, U+2010 to U+2027: all of them punctuation, in UTF-8 `E2 80 90` to `E2 80 A7`.
const MARKS: std::ops::RangeInclusive<u32> = 0x2010..=0x2027;

/// Encodes text as [`TextEncoder::encode_plain`] does, several times faster where the tokeniser is BERT's.
#[derive(Debug)]
pub struct WordEncoder<'a> {
    encoder: &'a TextEncoder,
    plain: Option<Plain>,
}

/// What a thread remembers of the words it met. Which words it holds never changes a result.
#[derive(Debug)]
pub struct WordCache {
    plain: Box<[Word]>,
    other: Box<[Option<Chunk>]>,
    lower: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Word {
    bytes: [u8; MAX_WORD_BYTES],
    ids: [u32; MAX_WORD_TOKENS],
    /// 0 in a slot that was never filled.
    length: u8,
    count: u8,
}

#[derive(Debug)]
struct Chunk {
    text: Box<str>,
    ids: Box<[u32]>,
}

impl Default for WordCache {
    fn default() -> Self {
        Self {
            plain: vec![Word::default(); PLAIN_SLOTS].into_boxed_slice(),
            other: std::iter::repeat_with(|| None).take(OTHER_SLOTS).collect(),
            lower: Vec::new(),
        }
    }
}

impl<'a> WordEncoder<'a> {
    /// Looks at what kind of tokeniser it is.
    ///
    /// # Errors
    /// The tokeniser cannot be written out, or has no token for a punctuation mark and none for unknown words.
    pub fn new(encoder: &'a TextEncoder) -> Result<Self> {
        let plain = match serde_json::from_slice::<File>(&encoder.to_json()?) {
            Ok(file) => Plain::of(&file, encoder)?,
            Err(_) => None,
        };
        Ok(Self { encoder, plain })
    }

    /// Whether the fast way is open, or everything goes to the library.
    pub fn is_fast(&self) -> bool {
        self.plain.is_some()
    }

    /// Appends the ids of `text` without special tokens.
    ///
    /// # Errors
    /// As [`TextEncoder::encode_plain`].
    pub fn encode(&self, text: &str, cache: &mut WordCache, ids: &mut Vec<u32>) -> Result<()> {
        let Some(plain) = &self.plain else {
            ids.extend(self.encoder.encode_plain(text)?);
            return Ok(());
        };
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at].is_ascii_whitespace() && plain.class[usize::from(bytes[at])] == Class::Space {
                at += 1;
                continue;
            }
            let (end, simple) = plain.chunk(bytes, at);
            if simple {
                plain.encode_chunk(&bytes[at..end], cache, ids);
            } else {
                self.encode_other(&text[at..end], cache, ids)?;
            }
            at = end;
        }
        Ok(())
    }

    fn encode_other(&self, chunk: &str, cache: &mut WordCache, ids: &mut Vec<u32>) -> Result<()> {
        let slot = hash(chunk.as_bytes()) as usize & (OTHER_SLOTS - 1);
        match &cache.other[slot] {
            Some(known) if &*known.text == chunk => ids.extend_from_slice(&known.ids),
            _ => {
                let found = self.encoder.encode_plain(chunk)?;
                ids.extend_from_slice(&found);
                if chunk.len() <= MAX_OTHER_BYTES {
                    cache.other[slot] = Some(Chunk { text: chunk.into(), ids: found.into() });
                }
            }
        }
        Ok(())
    }
}

/// What a byte of the text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A letter or digit.
    Word,
    /// A punctuation mark of one byte.
    Mark,
    /// White space for every tokeniser of this kind.
    Space,
    /// Perhaps the first byte of one of [`MARKS`].
    MaybeMark,
    /// The library decides about the chunk that holds it.
    Other,
}

/// The tables of the fast way.
struct Plain {
    class: [Class; 256],
    /// The token of an ASCII punctuation mark.
    ascii_marks: [u32; 128],
    marks: Vec<u32>,
    first: Pieces,
    continued: Pieces,
    longest: usize,
    lower: bool,
    max_word: usize,
    unknown: u32,
}

type Pieces = HashMap<Box<[u8]>, u32, BuildHasherDefault<Fx>>;

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("pieces", &(self.first.len() + self.continued.len())).finish_non_exhaustive()
    }
}

impl Plain {
    fn of(file: &File, encoder: &TextEncoder) -> Result<Option<Self>> {
        let (Some(model), Some(normalizer), Some(splitter)) = (&file.model, &file.normalizer, &file.pre_tokenizer)
        else {
            return Ok(None);
        };
        let fits = model.kind == "WordPiece"
            && normalizer.kind == "BertNormalizer"
            && splitter.kind == "BertPreTokenizer"
            && !model.continuing_subword_prefix.is_empty()
            && model.continuing_subword_prefix.bytes().all(|b| b.is_ascii_punctuation());
        let Some(unknown) = model.vocab.get(&model.unk_token).copied().filter(|_| fits) else { return Ok(None) };
        let mut class = [Class::Other; 256];
        for byte in 0..128_u8 {
            class[usize::from(byte)] = match byte {
                b' ' | b'\t' | b'\n' | b'\r' => Class::Space,
                b if b.is_ascii_alphanumeric() => Class::Word,
                b if b.is_ascii_punctuation() => Class::Mark,
                _ => Class::Other,
            };
        }
        class[0xE2] = Class::MaybeMark;
        for token in &file.added_tokens {
            let first = token.content.bytes().next().unwrap_or(b'a');
            let harmless = !(token.normalized || token.lstrip || token.rstrip)
                && class[usize::from(first)] != Class::Word
                && first != 0xE2
                && !token.content.contains(char::is_whitespace);
            if !harmless {
                return Ok(None);
            }
            class[usize::from(first)] = Class::Other;
        }
        // A mark is one token, the vocabulary's or the unknown one.
        let mark = |c: char| model.vocab.get(c.to_string().as_str()).copied().unwrap_or(unknown);
        let mut ascii_marks = [unknown; 128];
        for byte in (0..128_u8).filter(u8::is_ascii_punctuation) {
            ascii_marks[usize::from(byte)] = mark(char::from(byte));
        }
        let marks = MARKS.filter_map(char::from_u32).map(mark).collect();
        let (mut first, mut continued) = (Pieces::default(), Pieces::default());
        for (piece, id) in model.vocab.iter().filter(|(piece, _)| piece.is_ascii()) {
            let (table, bytes) = match piece.strip_prefix(model.continuing_subword_prefix.as_str()) {
                Some(rest) => (&mut continued, rest),
                None => (&mut first, piece.as_str()),
            };
            if bytes.bytes().all(|b| b.is_ascii_alphanumeric()) && !bytes.is_empty() {
                table.insert(bytes.as_bytes().into(), *id);
            }
        }
        let longest = first.keys().chain(continued.keys()).map(|piece| piece.len()).max().unwrap_or(0);
        let (lower, max_word) = (normalizer.lowercase, model.max_input_chars_per_word);
        let plain = Self { class, ascii_marks, marks, first, continued, longest, lower, max_word, unknown };
        Ok(plain.agrees(encoder)?.then_some(plain))
    }

    /// The single marks, asked of the library: a tokeniser that treats them in another way is not of this kind.
    fn agrees(&self, encoder: &TextEncoder) -> Result<bool> {
        let ascii = (0..128_u8).filter(|b| self.class[usize::from(*b)] == Class::Mark);
        let ascii = ascii.map(|b| (char::from(b), self.ascii_marks[usize::from(b)]));
        let marks = MARKS.filter_map(char::from_u32).zip(self.marks.iter().copied());
        for (c, id) in ascii.chain(marks) {
            if encoder.encode_plain(&c.to_string())? != [id] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The end of the chunk at `at` (white space ends it) and whether it has nothing but words and marks.
    fn chunk(&self, bytes: &[u8], at: usize) -> (usize, bool) {
        let (mut end, mut simple) = (at, true);
        while let Some(byte) = bytes.get(end) {
            end += match self.class[usize::from(*byte)] {
                Class::Space => break,
                Class::Word | Class::Mark => 1,
                Class::MaybeMark if matches!(bytes.get(end + 1..end + 3), Some([0x80, 0x90..=0xA7])) => 3,
                Class::MaybeMark | Class::Other => {
                    simple = false;
                    1
                }
            };
        }
        (end, simple)
    }

    fn encode_chunk(&self, chunk: &[u8], cache: &mut WordCache, ids: &mut Vec<u32>) {
        let mut at = 0;
        while let Some(byte) = chunk.get(at) {
            match self.class[usize::from(*byte)] {
                Class::Word => {
                    let rest = &chunk[at..];
                    let more = rest.iter().position(|b| self.class[usize::from(*b)] != Class::Word);
                    let word = &rest[..more.unwrap_or(rest.len())];
                    self.encode_word(word, cache, ids);
                    at += word.len();
                }
                Class::MaybeMark => {
                    ids.push(self.marks[usize::from(chunk[at + 2] - 0x90)]);
                    at += 3;
                }
                _ => {
                    ids.push(self.ascii_marks[usize::from(*byte & 127)]);
                    at += 1;
                }
            }
        }
    }

    fn encode_word(&self, word: &[u8], cache: &mut WordCache, ids: &mut Vec<u32>) {
        if word.len() > MAX_WORD_BYTES {
            let mut lower = std::mem::take(&mut cache.lower);
            lower.clear();
            lower.extend(word.iter().map(|b| if self.lower { b.to_ascii_lowercase() } else { *b }));
            self.pieces(&lower, ids);
            cache.lower = lower;
            return;
        }
        let mut key = [0; MAX_WORD_BYTES];
        for (to, from) in key.iter_mut().zip(word) {
            *to = if self.lower { from.to_ascii_lowercase() } else { *from };
        }
        let length = word.len() as u8;
        let slot = &mut cache.plain[hash(&key) as usize & (PLAIN_SLOTS - 1)];
        if slot.bytes == key && slot.length == length {
            ids.extend_from_slice(&slot.ids[..usize::from(slot.count)]);
            return;
        }
        let from = ids.len();
        self.pieces(&key[..word.len()], ids);
        let found = &ids[from..];
        if found.len() <= MAX_WORD_TOKENS {
            let mut kept = [0; MAX_WORD_TOKENS];
            kept[..found.len()].copy_from_slice(found);
            *slot = Word { bytes: key, ids: kept, length, count: found.len() as u8 };
        }
    }

    /// WordPiece: the longest known piece, again and again; one unknown token where a rest has none.
    fn pieces(&self, word: &[u8], ids: &mut Vec<u32>) {
        let from = ids.len();
        let mut at = 0;
        if word.len() <= self.max_word {
            while at < word.len() {
                let table = if at == 0 { &self.first } else { &self.continued };
                let most = word.len().min(at + self.longest);
                let Some((end, id)) = (at + 1..=most).rev().find_map(|end| Some((end, *table.get(&word[at..end])?)))
                else {
                    break;
                };
                ids.push(id);
                at = end;
            }
        }
        if at < word.len() {
            ids.truncate(from);
            ids.push(self.unknown);
        }
    }
}

/// What decides here of a `tokenizer.json`.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Normalizer>,
    pre_tokenizer: Option<Kind>,
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Added {
    content: String,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    lowercase: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}

/// A quick hash of short keys; what collides only costs a look at the library.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = Fx::default();
    hasher.write(bytes);
    hasher.finish()
}

#[derive(Default, Clone, Copy)]
struct Fx(u64);

impl Fx {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn finish(&self) -> u64 {
        // The upper bits are the well mixed ones; tables use the lower.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(config: &str) -> TextEncoder {
        let dir = tempfile::tempdir().unwrap();
        let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nriver\nun\n##aff\n##able\nab\n##c\na\n##a\n##b\nn\nA\n.\n,\n!\n’\n—\n[\n]\n東\ne\n##e\n1\n##2\nunaffablestation\n";
        std::fs::write(dir.path().join("vocab.txt"), words).unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
        TextEncoder::from_dir(dir.path()).unwrap()
    }

    fn check(encoder: &TextEncoder, text: &str) {
        let words = WordEncoder::new(encoder).unwrap();
        assert!(words.is_fast());
        let mut cache = WordCache::default();
        // The second time, words come from the cache.
        for _ in 0..2 {
            let mut ids = Vec::new();
            words.encode(text, &mut cache, &mut ids).unwrap();
            assert_eq!(ids, encoder.encode_plain(text).unwrap(), "{text:?}");
        }
    }

    #[test]
    fn marks_special_tokens_and_odd_characters_come_out_as_from_the_library() {
        for config in ["{}", r#"{"do_lower_case": false}"#] {
            let encoder = encoder(config);
            for text in [
                "The river, unaffable! A[MASK]b [ MASK ] x[y [UNK].",
                "a\u{1}b a\u{b}b a\u{a0}b\u{2028}c a\u{200d}b a\tb\r\nc",
                "’tis—a river’s \u{2010}\u{2027}\u{2028}\u{2029} \u{e2}",
                "é e\u{301} .\u{301}b ’\u{301} 東京12 İ ﬁ AbC",
                "unaffablestationunaffablestation unaffablestation aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "",
                " ",
            ] {
                check(&encoder, text);
            }
            check(&encoder, &"a".repeat(99));
            check(&encoder, &"a".repeat(100));
            check(&encoder, &"a".repeat(101));
        }
    }

    #[test]
    fn a_tokeniser_of_another_kind_is_asked_about_everything() {
        let json = String::from_utf8(encoder("{}").to_json().unwrap()).unwrap();
        for (from, to) in [
            ("{\"type\":\"BertPreTokenizer\"}", "{\"type\":\"Whitespace\"}"),
            ("\"content\":\"[MASK]\"", "\"content\":\"mask\""),
            ("\"lstrip\":false", "\"lstrip\":true"),
        ] {
            assert!(json.contains(from), "{from}");
            let json = json.replace(from, to).replace("\"[MASK]\":", "\"mask\":");
            let other = TextEncoder::from_json(json.as_bytes(), std::path::Path::new("t.json")).unwrap();
            let words = WordEncoder::new(&other).unwrap();
            assert!(!words.is_fast(), "{to}");
            let mut ids = Vec::new();
            words.encode("the mask river.", &mut WordCache::default(), &mut ids).unwrap();
            assert_eq!(ids, other.encode_plain("the mask river.").unwrap());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_the_ids_of_the_library(text in "([abnAB12 .,!’—\\[\\]東é\u{301}\u{200d}\t\n]|the|un|aff|able|\\[UNK\\]|\\PC|.){0,30}") {
            check(&encoder("{}"), &text);
        }
    }
}
