//! Loading and saving a tokeniser.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use durable::contain;
use serde::Deserialize;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::plain::PlainBert;
use crate::error::{Error, Result, excerpt, folder_listing};
use crate::lines::Lines;

/// The largest `tokenizer.json` that is read, in bytes; BERT's has about 0.5 MB.
pub const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// One more than the largest token id that is accepted. An id sizes the embedding table, so a wild id is refused here.
pub const MAX_VOCAB: usize = 1 << 22;

/// A tokeniser with BERT's special tokens.
#[derive(Clone)]
pub struct TextEncoder {
    library: Arc<Library>,
    /// What most of a text is encoded with, where the tokeniser is a plain BERT's.
    pub(super) plain: Option<Arc<PlainBert>>,
    pub(super) source: PathBuf,
    pub(super) cls: u32,
    pub(super) sep: u32,
    pad: u32,
    unk: Option<u32>,
    vocab_size: usize,
}

/// The library's tokeniser. Building it takes longer than loading a small model, and most texts can do without.
struct Library {
    built: OnceLock<std::result::Result<Tokenizer, String>>,
    /// What it is built from, if it has not been from the start.
    json: Vec<u8>,
}

impl std::fmt::Debug for TextEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextEncoder")
            .field("source", &self.source)
            .field("vocab_size", &self.vocab_size)
            .finish_non_exhaustive()
    }
}

/// The keys of `tokenizer_config.json` that change what a `vocab.txt` means; defaults as in BERT uncased.
#[derive(Deserialize)]
#[serde(default)]
struct BertOptions {
    do_lower_case: bool,
    tokenize_chinese_chars: bool,
    strip_accents: Option<bool>,
}

impl Default for BertOptions {
    fn default() -> Self {
        Self { do_lower_case: true, tokenize_chinese_chars: true, strip_accents: None }
    }
}

impl TextEncoder {
    /// Loads from a model folder: `tokenizer.json`, else `vocab.txt` with the casing of `tokenizer_config.json` (lower case
    /// where that file is missing). Padding and truncation stored in the file are switched off.
    ///
    /// # Errors
    /// Neither file is there, a file is too large or damaged, or `[CLS]`, `[SEP]` or `[PAD]` is missing.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            let hint = "a model folder with tokenizer.json or vocab.txt is expected".to_owned();
            return Err(Error::FolderMissing { path: dir.to_owned(), hint });
        }
        let json = dir.join("tokenizer.json");
        if json.is_file() {
            return Self::from_json(&read_bounded(&json)?, &json);
        }
        let vocab = dir.join("vocab.txt");
        if vocab.is_file() {
            let config = dir.join("tokenizer_config.json");
            let options = if config.is_file() { bert_options(&config)? } else { BertOptions::default() };
            return Self::from_vocab(&vocab, &options);
        }
        let wanted = "tokenizer.json or vocab.txt".to_owned();
        Err(Error::FileMissing { folder: dir.to_owned(), wanted, found: folder_listing(dir) })
    }

    /// Loads from the bytes of a `tokenizer.json`; `source` stands for the file in errors.
    ///
    /// # Errors
    /// The bytes are not a tokeniser, or a special token is missing.
    pub fn from_json(bytes: &[u8], source: &Path) -> Result<Self> {
        if let Some(plain) = PlainBert::read(bytes) {
            let library = Library { built: OnceLock::new(), json: bytes.to_vec() };
            let (id, largest) = (|name: &str| plain.id(name), plain.largest_id());
            let special = Special::find(id, largest, source)?;
            return Ok(Self::with(library, special, Some(Arc::new(plain)), source));
        }
        let tokenizer = parse(bytes).map_err(|reason| broken(source, &reason))?;
        Self::new(tokenizer, source)
    }

    fn from_vocab(path: &Path, options: &BertOptions) -> Result<Self> {
        let mut lines = Lines::open(path)?;
        let fail = |reason: String| broken(path, &reason);
        let mut vocab = WordPiece::read_bytes(b"").map_err(|e| fail(e.to_string()))?;
        while let Some((line, token)) = lines.next_line()? {
            let id = (line - 1) as u32;
            if line as usize > MAX_VOCAB {
                return Err(fail(format!("more than {MAX_VOCAB} lines; a vocabulary has one token per line")));
            }
            if let Some(first) = vocab.insert(token.to_owned(), id).filter(|_| !token.is_empty()) {
                return Err(fail(format!("line {line} repeats the token `{}` of line {}", excerpt(token), first + 1)));
            }
        }
        // A blank line keeps its id but is no token.
        vocab.remove("");
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(|name| (name, vocab.get(name).copied()));
        let model = WordPiece::builder()
            .vocab(vocab)
            .unk_token("[UNK]".to_owned())
            .continuing_subword_prefix("##".to_owned())
            .max_input_chars_per_word(100)
            .build()
            .map_err(|e| fail(e.to_string()))?;
        let mut tokenizer = Tokenizer::new(model);
        tokenizer
            .with_normalizer(Some(BertNormalizer::new(
                true,
                options.tokenize_chinese_chars,
                options.strip_accents,
                options.do_lower_case,
            )))
            .with_pre_tokenizer(Some(BertPreTokenizer))
            .with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
        let known: Vec<AddedToken> =
            special.iter().filter(|(_, id)| id.is_some()).map(|(name, _)| AddedToken::from(*name, true)).collect();
        tokenizer.add_special_tokens(&known);
        if let [_, _, (_, Some(cls)), (_, Some(sep)), _] = special {
            // Only for other readers of a saved file: this crate places the special tokens itself.
            tokenizer
                .with_post_processor(Some(BertProcessing::new(("[SEP]".to_owned(), sep), ("[CLS]".to_owned(), cls))));
        }
        Self::new(tokenizer, path)
    }

    fn new(tokenizer: Tokenizer, source: &Path) -> Result<Self> {
        let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        let special = Special::find(|name| tokenizer.token_to_id(name), largest, source)?;
        let built = tokenizer_alone(tokenizer).map_err(|reason| broken(source, &reason))?;
        Ok(Self::with(Library { built: OnceLock::from(Ok(built)), json: Vec::new() }, special, None, source))
    }

    fn with(library: Library, special: Special, plain: Option<Arc<PlainBert>>, source: &Path) -> Self {
        let Special { cls, sep, pad, unk, vocab_size } = special;
        Self { library: Arc::new(library), plain, source: source.to_owned(), cls, sep, pad, unk, vocab_size }
    }

    /// The library's tokeniser, built at the first call.
    pub(crate) fn library(&self) -> Result<&Tokenizer> {
        let built = self.library.built.get_or_init(|| parse(&self.library.json).and_then(tokenizer_alone));
        built.as_ref().map_err(|reason| broken(&self.source, reason))
    }

    /// An error of this tokeniser.
    pub(crate) fn fault(&self, reason: &str) -> Error {
        broken(&self.source, reason)
    }

    /// Whether texts are encoded without the library as far as they are plain.
    #[cfg(test)]
    pub(crate) fn is_plain(&self) -> bool {
        self.plain.is_some()
    }

    /// The rows an embedding table needs: the largest token id plus one.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The id of `[PAD]`.
    pub fn pad_id(&self) -> u32 {
        self.pad
    }

    /// The id of `[CLS]`.
    pub fn cls_id(&self) -> u32 {
        self.cls
    }

    /// The id of `[SEP]`.
    pub fn sep_id(&self) -> u32 {
        self.sep
    }

    /// The id of `[UNK]`, where the vocabulary has one.
    pub fn unk_id(&self) -> Option<u32> {
        self.unk
    }

    /// The tokeniser as the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// The library cannot write it.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let library = self.library()?;
        match contain::call(|| library.to_string(false)) {
            Ok(Ok(text)) => Ok(text.into_bytes()),
            Ok(Err(reason)) => {
                Err(broken(&self.source, &format!("cannot be written again: {}", excerpt(&reason.to_string()))))
            }
            Err(_) => Err(broken(&self.source, "cannot be written again: the tokeniser library failed on it")),
        }
    }

    /// Writes `tokenizer.json` into a folder, as a whole or not at all. Gives its path.
    ///
    /// # Errors
    /// The system refuses.
    pub fn save(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("tokenizer.json");
        durable::atomic::write_file(&path, &self.to_json()?)?;
        Ok(path)
    }
}

/// Ids that are always needed.
struct Special {
    cls: u32,
    sep: u32,
    pad: u32,
    unk: Option<u32>,
    vocab_size: usize,
}

impl Special {
    fn find(id: impl Fn(&str) -> Option<u32>, largest: u32, source: &Path) -> Result<Self> {
        let special = |name: &str| {
            let missing =
                || broken(source, &format!("the special token `{name}` is missing; a BERT vocabulary is needed"));
            id(name).ok_or_else(missing)
        };
        let (cls, sep, pad) = (special("[CLS]")?, special("[SEP]")?, special("[PAD]")?);
        let largest = largest as usize;
        if largest >= MAX_VOCAB {
            return Err(broken(
                source,
                &format!("token id {largest} is too large; ids below {MAX_VOCAB} are accepted"),
            ));
        }
        Ok(Self { cls, sep, pad, unk: id("[UNK]"), vocab_size: largest + 1 })
    }
}

/// The library's reader.
fn parse(json: &[u8]) -> std::result::Result<Tokenizer, String> {
    // A crafted file can make the tokenizers crate panic; that is an error of the file, not of this program.
    match contain::call(|| Tokenizer::from_bytes(json)) {
        Ok(Ok(tokenizer)) => Ok(tokenizer),
        Ok(Err(reason)) => Err(format!("not a tokeniser file: {}", excerpt(&reason.to_string()))),
        Err(_) => Err("not a usable tokeniser file: the tokeniser library failed on it".into()),
    }
}

/// Without the padding and truncation that a file can ask for.
fn tokenizer_alone(mut tokenizer: Tokenizer) -> std::result::Result<Tokenizer, String> {
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
    Ok(tokenizer)
}

pub(super) fn broken(path: &Path, reason: &str) -> Error {
    Error::Tokenizer { path: path.to_owned(), reason: reason.to_owned() }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut bytes = Vec::new();
    file.take(MAX_TOKENIZER_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    if bytes.len() as u64 > MAX_TOKENIZER_BYTES {
        return Err(broken(path, &format!("larger than {MAX_TOKENIZER_BYTES} bytes; a tokeniser is not that large")));
    }
    Ok(bytes)
}

fn bert_options(path: &Path) -> Result<BertOptions> {
    serde_json::from_slice(&read_bounded(path)?)
        .map_err(|e| broken(path, &format!("not a tokeniser configuration: {e}")))
}
