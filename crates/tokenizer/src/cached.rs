//! Tokenizing much text: most words were seen before.

use std::sync::Arc;

use crate::error::Result;
use crate::load::TextEncoder;
use crate::pieces::hash;
use crate::plain::PlainBert;

/// Words kept by a [`WordCache`], a power of two; about 2.5 MB.
const PLAIN_SLOTS: usize = 1 << 16;
/// Other chunks kept, a power of two.
const OTHER_SLOTS: usize = 1 << 14;
/// Longer chunks are not kept, so that a cache is bounded.
const MAX_OTHER_BYTES: usize = 64;
/// Plain words of more bytes, or more tokens than this, are not kept: few words are.
const MAX_WORD_BYTES: usize = 16;
const MAX_WORD_TOKENS: usize = 4;

/// Encodes text as [`TextEncoder::encode_plain`] does, several times faster where the tokenizer is BERT's.
#[derive(Debug)]
pub struct WordEncoder<'a> {
    encoder: &'a TextEncoder,
    plain: Option<Arc<PlainBert>>,
}

/// What a thread remembers of the words it met. Which words it holds never changes a result.
#[derive(Debug)]
pub struct WordCache {
    plain: Box<[Word]>,
    other: Box<[Option<Chunk>]>,
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
        }
    }
}

impl<'a> WordEncoder<'a> {
    /// Looks at what kind of tokenizer it is.
    ///
    /// # Errors
    /// The tokenizer cannot be written out.
    pub fn new(encoder: &'a TextEncoder) -> Result<Self> {
        Ok(Self { encoder, plain: encoder.plain()? })
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
        for (chunk, simple) in plain.chunks(text) {
            if simple {
                plain.encode_chunk(chunk, ids, |word, ids| cache.encode_word(plain, word, ids));
            } else {
                self.encode_other(chunk, cache, ids)?;
            }
        }
        Ok(())
    }

    fn encode_other(&self, chunk: &str, cache: &mut WordCache, ids: &mut Vec<u32>) -> Result<()> {
        let slot = hash(chunk.as_bytes()) as usize & (OTHER_SLOTS - 1);
        match &cache.other[slot] {
            Some(known) if &*known.text == chunk => ids.extend_from_slice(&known.ids),
            _ => {
                let found = self.encoder.encode_by_library(chunk)?;
                ids.extend_from_slice(&found);
                if chunk.len() <= MAX_OTHER_BYTES {
                    cache.other[slot] = Some(Chunk { text: chunk.into(), ids: found.into() });
                }
            }
        }
        Ok(())
    }
}

impl WordCache {
    fn encode_word(&mut self, plain: &PlainBert, word: &[u8], ids: &mut Vec<u32>) {
        if word.len() > MAX_WORD_BYTES {
            plain.encode_word(word, ids);
            return;
        }
        let mut key = [0; MAX_WORD_BYTES];
        key.iter_mut().zip(word).for_each(|(to, from)| *to = plain.fold(*from));
        let length = word.len() as u8;
        let slot = &mut self.plain[hash(&key) as usize & (PLAIN_SLOTS - 1)];
        if slot.bytes == key && slot.length == length {
            ids.extend_from_slice(&slot.ids[..usize::from(slot.count)]);
            return;
        }
        let from = ids.len();
        plain.encode_word(word, ids);
        let found = &ids[from..];
        if found.len() <= MAX_WORD_TOKENS {
            let mut kept = [0; MAX_WORD_TOKENS];
            kept[..found.len()].copy_from_slice(found);
            *slot = Word { bytes: key, ids: kept, length, count: found.len() as u8 };
        }
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
        let again = reread(encoder);
        assert!(again.is_plain());
        assert_eq!(again.encode_plain(text).unwrap(), encoder.encode_by_library(text).unwrap(), "{text:?}");
        let mut cache = WordCache::default();
        // The second time, words come from the cache.
        for _ in 0..2 {
            let mut ids = Vec::new();
            words.encode(text, &mut cache, &mut ids).unwrap();
            assert_eq!(ids, encoder.encode_by_library(text).unwrap(), "{text:?}");
        }
    }

    /// The same tokenizer, read without the library.
    fn reread(encoder: &TextEncoder) -> TextEncoder {
        TextEncoder::from_json(&encoder.to_json().unwrap(), std::path::Path::new("t.json")).unwrap()
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
    fn a_tokenizer_of_another_kind_is_asked_about_everything() {
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
            assert_eq!(ids, other.encode_by_library("the mask river.").unwrap());
            assert!(!other.is_plain());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_the_ids_of_the_library(text in "([abnAB12 .,!’—\\[\\]東é\u{301}\u{200d}\t\n]|the|un|aff|able|\\[UNK\\]|\\PC|.){0,30}") {
            check(&encoder("{}"), &text);
        }
    }
}
