//! BERT's WordPiece on what it makes easy, with the same result as the tokenizer library.
//!
//! BERT's normalizer and splitter look at one character at a time and never across white space, so a text is the sequence of its words
//! and punctuation marks, each tokenized by itself. The library is asked for what is not plain: words with letters outside ASCII,
//! control characters, and anything that might be a special token.

use run_store::contain;
use serde::Deserialize;
use tokenizers::{AddedToken, DecoderWrapper, PaddingParams, PostProcessorWrapper, TruncationParams};

use crate::agree::{Casing, Header};
use crate::frame::PairFrame;
use crate::pieces::Pieces;

/// Quotes, dashes and ellipses, U+2010 to U+2027: all of them punctuation, in UTF-8 `E2 80 90` to `E2 80 A7`.
const MARKS: std::ops::RangeInclusive<u32> = 0x2010..=0x2027;
/// Words with their prefix up to this length need no memory from the heap.
const SHORT: usize = 128;

/// A `tokenizer.json` of a plain BERT tokenizer as the library writes it: nothing is left out, unknown or repeated. Every other
/// file is the library's to read, or to refuse.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    #[serde(rename = "truncation")]
    _truncation: Option<TruncationParams>,
    #[serde(rename = "padding")]
    _padding: Option<PaddingParams>,
    added_tokens: Vec<Added>,
    normalizer: Normalizer,
    pre_tokenizer: Splitter,
    /// Special tokens are placed by this crate, in BERT's frame.
    post_processor: Option<PostProcessorWrapper>,
    #[serde(rename = "decoder")]
    _decoder: Option<DecoderWrapper>,
    model: Model,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Added {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

impl Added {
    fn token(self) -> (u32, AddedToken) {
        let Self { id, content, single_word, lstrip, rstrip, normalized, special } = self;
        (id, AddedToken { content, single_word, lstrip, rstrip, normalized, special })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clean_text")]
    _clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Splitter {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: Pieces,
}

/// What a byte of the text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A letter or digit.
    Word,
    /// A punctuation mark of one byte.
    Mark,
    /// White space for every tokenizer of this kind.
    Space,
    /// Perhaps the first byte of one of [`MARKS`].
    MaybeMark,
    /// The library decides about the chunk that holds it.
    Other,
}

/// A plain BERT tokenizer.
#[derive(Debug)]
pub(crate) struct PlainBert {
    class: [Class; 256],
    /// The token of an ASCII punctuation mark.
    ascii_marks: [u32; 128],
    marks: Vec<u32>,
    pieces: Pieces,
    prefix: Box<[u8]>,
    /// Bytes of the longest piece that begins a word, and of the longest that continues one, without the prefix.
    longest: [usize; 2],
    lower: bool,
    max_word: usize,
    unknown: u32,
    header: Header,
}

impl PlainBert {
    /// The tokenizer of a `tokenizer.json`, where it is one of this kind.
    pub fn read(json: &[u8]) -> Option<Self> {
        // The library's own types panic on some files; it will say what is wrong with them.
        let file = contain::call(|| serde_json::from_slice(json)).ok()?.ok()?;
        let File { version, added_tokens, normalizer, pre_tokenizer, post_processor, model, .. } = file;
        let Model { kind, unk_token, continuing_subword_prefix: prefix, max_input_chars_per_word: max_word, vocab } =
            model;
        let fits = version == "1.0"
            && kind == "WordPiece"
            && normalizer.kind == "BertNormalizer"
            && pre_tokenizer.kind == "BertPreTokenizer"
            && !prefix.is_empty()
            && prefix.bytes().all(|b| b.is_ascii_punctuation())
            && max_word > 0;
        let frame = post_processor.and_then(|frame| serde_json::to_value(frame).ok());
        if !fits || frame.is_some_and(|frame| PairFrame::of(&frame) != PairFrame::Bert) {
            return None;
        }
        let unknown = vocab.get(unk_token.as_bytes())?;
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
        for token in &added_tokens {
            let first = *token.content.as_bytes().first()?;
            let harmless = !(token.normalized || token.lstrip || token.rstrip)
                && class[usize::from(first)] != Class::Word
                && first != 0xE2
                && !token.content.contains(char::is_whitespace)
                // A token of its own, outside of the vocabulary, gets its id from the library.
                && vocab.get(token.content.as_bytes()) == Some(token.id);
            if !harmless {
                return None;
            }
            class[usize::from(first)] = Class::Other;
        }
        // A mark is one token, the vocabulary's or the unknown one.
        let mark = |c: char| vocab.get(c.encode_utf8(&mut [0; 4]).as_bytes()).unwrap_or(unknown);
        let mut ascii_marks = [unknown; 128];
        for byte in (0..128_u8).filter(u8::is_ascii_punctuation) {
            ascii_marks[usize::from(byte)] = mark(char::from(byte));
        }
        let marks = MARKS.filter_map(char::from_u32).map(mark).collect();
        let prefix: Box<[u8]> = prefix.into_bytes().into();
        let mut longest = [0; 2];
        for piece in vocab.iter() {
            let (continues, length) = match piece.strip_prefix(&*prefix) {
                Some(rest) => (1, rest.len()),
                None => (0, piece.len()),
            };
            longest[continues] = longest[continues].max(length);
        }
        let lower = normalizer.lowercase;
        let casing = Casing { lower, accents: normalizer.strip_accents, chinese: normalizer.handle_chinese_chars };
        let added = added_tokens.into_iter().map(Added::token).collect();
        let header = Header { casing: Some(casing), unknown: Some(unk_token), added };
        Some(Self { class, ascii_marks, marks, pieces: vocab, prefix, longest, lower, max_word, unknown, header })
    }

    /// What other files may say too.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Number of entries of the vocabulary.
    pub(crate) fn size(&self) -> usize {
        self.pieces.len()
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.pieces.get(token.as_bytes())
    }

    /// The largest id of the vocabulary.
    pub fn largest_id(&self) -> u32 {
        self.pieces.largest()
    }

    /// What white space separates, each with whether it has nothing but words and marks; everything else is for the library.
    pub fn chunks<'t>(&self, text: &'t str) -> impl Iterator<Item = (&'t str, bool)> {
        let bytes = text.as_bytes();
        let mut at = 0;
        std::iter::from_fn(move || {
            while bytes.get(at).is_some_and(|b| self.class[usize::from(*b)] == Class::Space) {
                at += 1;
            }
            let start = at;
            let (end, simple) = self.chunk(bytes, start);
            at = end;
            (start < end).then(|| (&text[start..end], simple))
        })
    }

    /// The end of the chunk at `at` and whether it has nothing but words and marks.
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

    /// Appends the ids of a simple chunk, those of its words through `word`, which is given each as it stands in the text.
    pub fn encode_chunk(&self, chunk: &str, ids: &mut Vec<u32>, mut word: impl FnMut(&[u8], &mut Vec<u32>)) {
        let chunk = chunk.as_bytes();
        let mut at = 0;
        while let Some(byte) = chunk.get(at) {
            match self.class[usize::from(*byte)] {
                Class::Word => {
                    let rest = &chunk[at..];
                    let more = rest.iter().position(|b| self.class[usize::from(*b)] != Class::Word);
                    let found = &rest[..more.unwrap_or(rest.len())];
                    word(found, ids);
                    at += found.len();
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

    /// `byte` in the case of the vocabulary.
    pub fn fold(&self, byte: u8) -> u8 {
        if self.lower { byte.to_ascii_lowercase() } else { byte }
    }

    /// Appends the ids of a word of letters and digits: the longest known piece, again and again; one unknown token where a rest
    /// has none.
    pub fn encode_word(&self, word: &[u8], ids: &mut Vec<u32>) {
        let (prefix, from) = (self.prefix.len(), ids.len());
        if word.len() > self.max_word {
            ids.push(self.unknown);
            return;
        }
        let (mut short, mut long) = ([0; SHORT], Vec::new());
        let text: &mut [u8] = match prefix + word.len() {
            length if length <= SHORT => &mut short[..length],
            length => {
                long.resize(length, 0);
                &mut long
            }
        };
        text[prefix..].iter_mut().zip(word).for_each(|(to, from)| *to = self.fold(*from));
        let mut at = 0;
        while at < word.len() {
            // A rest is looked up with the prefix before it; what stood there has its ids already.
            let start = if at == 0 { prefix } else { at };
            if at > 0 {
                text[at..at + prefix].copy_from_slice(&self.prefix);
            }
            let most = word.len().min(at + self.longest[usize::from(at > 0)]);
            let known = |end: usize| Some((end, self.pieces.get(&text[start..prefix + end])?));
            let Some((end, id)) = (at + 1..=most).rev().find_map(known) else {
                ids.truncate(from);
                ids.push(self.unknown);
                return;
            };
            ids.push(id);
            at = end;
        }
    }
}
