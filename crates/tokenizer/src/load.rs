//! Loading and saving a tokenizer.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use run_store::contain;
use run_store::shown::{excerpt, folder_listing};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::agree::{Casing, agreed};
use crate::byte_level;
use crate::error::{Error, Result};
use crate::frame::PairFrame;
use crate::plain::PlainBert;
use crate::stated::Stated;

/// The largest `tokenizer.json` that is read, in bytes; BERT's has about 0.5 MB.
pub const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// One more than the largest token id that is accepted. An id sizes the embedding table, so a wild id is refused here.
pub const MAX_VOCAB: usize = 1 << 22;

/// SentencePiece's own files, which are not read.
const SENTENCE_PIECE: [&str; 2] = ["sentencepiece.bpe.model", "spiece.model"];

/// A tokenizer with the special tokens of BERT or RoBERTa.
#[derive(Clone)]
pub struct TextEncoder {
    library: Arc<Library>,
    /// What most of a text is encoded with, where the tokenizer is a plain BERT's.
    pub(crate) plain: Option<Arc<PlainBert>>,
    pub(crate) source: PathBuf,
    pub(crate) cls: u32,
    pub(crate) sep: u32,
    pad: u32,
    unk: Option<u32>,
    mask: Option<u32>,
    vocab_size: usize,
    pub(crate) frame: PairFrame,
    pub(crate) origin: Arc<Origin>,
}

/// What a tokenizer was made of.
#[derive(Default)]
pub(crate) struct Origin {
    /// What the files beside it say.
    pub stated: Stated,
    /// The bytes of `tokenizer.json`, where it is followed in everything.
    pub json: Option<Vec<u8>>,
    pub notes: Vec<String>,
}

/// The library's tokenizer. Building it takes longer than loading a small model, and most texts can do without.
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

impl TextEncoder {
    /// Loads from a model folder: `tokenizer.json`, else `vocab.txt`, else `vocab.json` with `merges.txt`, and what
    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say about it. Where they contradict each other, the
    /// configuration goes before `tokenizer.json` as in `transformers`, and [`TextEncoder::notes`] says so. Where nothing is said, a
    /// `vocab.txt` is that of BERT uncased, and a `vocab.json` that of RoBERTa. Padding and truncation stored in the file are switched
    /// off.
    ///
    /// # Errors
    /// None of these files is there, a file is too large or damaged, `[CLS]`, `[SEP]` or `[PAD]`, or what the configuration names in
    /// their place, is missing, or a vocabulary belongs to another kind of tokenizer.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::FolderMissing { path: dir.to_owned() });
        }
        let (json, vocab) = (dir.join("tokenizer.json"), dir.join("vocab.txt"));
        let pieces = byte_level::files(dir);
        if !json.is_file() && !vocab.is_file() && pieces.is_none() {
            if let Some(path) = SENTENCE_PIECE.iter().map(|name| dir.join(name)).find(|path| path.is_file()) {
                let reason = "a SentencePiece model is not read, only the tokenizer.json that transformers makes of it \
                              (`AutoTokenizer.from_pretrained(...).save_pretrained(...)`)";
                return Err(broken(&path, reason));
            }
            return Err(Error::FileMissing { folder: dir.to_owned(), found: folder_listing(dir) });
        }
        let mut stated = Stated::read(dir)?;
        let mut notes: Vec<String> = stated.unused().into_iter().collect();
        match pieces {
            _ if json.is_file() => {}
            Some((vocab, merges)) if !dir.join("vocab.txt").is_file() => {
                let tokenizer = byte_level::build((&vocab, &merges), &mut stated, &mut notes)?;
                return Self::new(tokenizer, &vocab, Origin { stated, json: None, notes });
            }
            _ => return Self::from_vocab(&vocab, stated, notes),
        }
        let bytes = read_bounded(&json)?;
        let plain = PlainBert::read(&bytes);
        match agreed(&bytes, plain.as_ref(), &stated, &mut notes) {
            None => {
                let origin = Origin { stated, json: Some(bytes.clone()), notes };
                Self::read(plain, &bytes, &json, origin)
            }
            Some(bytes) => {
                let origin = Origin { stated, json: None, notes };
                Self::read(PlainBert::read(&bytes), &bytes, &json, origin)
            }
        }
    }

    /// Loads from the bytes of a `tokenizer.json`; `source` stands for the file in errors.
    ///
    /// # Errors
    /// The bytes are not a tokenizer, or a special token is missing.
    pub fn from_json(bytes: &[u8], source: &Path) -> Result<Self> {
        Self::read(PlainBert::read(bytes), bytes, source, Origin { json: Some(bytes.to_vec()), ..Origin::default() })
    }

    pub(crate) fn read(plain: Option<PlainBert>, bytes: &[u8], source: &Path, mut origin: Origin) -> Result<Self> {
        if let Some(plain) = plain {
            let library = Library { built: OnceLock::new(), json: bytes.to_vec() };
            let (id, largest) = (|name: &str| plain.id(name), plain.largest_id());
            origin.stated.settle(|name| id(name).is_some());
            let special = Special::find(id, largest, source, &origin.stated)?;
            return Ok(Self::with(library, special, (Some(Arc::new(plain)), PairFrame::Bert), (source, origin)));
        }
        let tokenizer = parse(bytes).map_err(|reason| broken(source, &reason))?;
        origin.stated.settle(|name| tokenizer.token_to_id(name).is_some());
        Self::new(tokenizer, source, origin)
    }

    fn from_vocab(path: &Path, stated: Stated, mut notes: Vec<String>) -> Result<Self> {
        let bytes = read_bounded(path)?;
        let fail = |reason: String| broken(path, &reason);
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            fail(format!("line {line} is not valid UTF-8; convert the file to UTF-8"))
        })?;
        if let Some(class) = stated.foreign_class() {
            let class = excerpt(class);
            return Err(fail(format!(
                "belongs to a `{class}`, which does not split text as BERT does; only its tokenizer.json could be used"
            )));
        }
        let mut vocab = WordPiece::read_bytes(b"").map_err(|e| fail(e.to_string()))?;
        for (at, token) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let line = at + 1;
            if line > MAX_VOCAB {
                return Err(fail(format!("more than {MAX_VOCAB} lines; a vocabulary has one token per line")));
            }
            if let Some(first) = vocab.insert(token.to_owned(), at as u32).filter(|_| !token.is_empty()) {
                return Err(fail(format!("line {line} repeats the token `{}` of line {}", excerpt(token), first + 1)));
            }
        }
        let tokens = stated.tokens(&[], |token| vocab.get(token).copied(), vocab.len(), &mut notes);
        // A blank line keeps its id but is no token. The library counts it where it numbers the tokens behind the vocabulary.
        if tokens.iter().all(|(_, token)| vocab.contains_key(&token.content)) {
            vocab.remove("");
        } else if vocab.values().max().is_some_and(|last| *last as usize >= vocab.len()) {
            return Err(fail(
                "has blank lines, so that added tokens would get ids of other tokens; remove them".into(),
            ));
        }
        let frame = ["sep_token", "cls_token"].map(|key| (stated.name(key).to_owned(), vocab.get(stated.name(key))));
        // Only for other readers of a saved file: this crate places the special tokens itself.
        let frame = match frame {
            [(sep, Some(sep_id)), (cls, Some(cls_id))] => Some(BertProcessing::new((sep, *sep_id), (cls, *cls_id))),
            _ => None,
        };
        let model = WordPiece::builder()
            .vocab(vocab)
            .unk_token(stated.name("unk_token").to_owned())
            .continuing_subword_prefix("##".to_owned())
            .max_input_chars_per_word(100)
            .build()
            .map_err(|e| fail(e.to_string()))?;
        let mut tokenizer = Tokenizer::new(model);
        let Casing { lower, accents, chinese } = stated.casing(Casing::DEFAULT);
        tokenizer
            .with_normalizer(Some(BertNormalizer::new(true, chinese, accents, lower)))
            .map_err(|e| fail(e.to_string()))?
            .with_pre_tokenizer(Some(BertPreTokenizer))
            .with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()))
            .with_post_processor(frame);
        let tokens: Vec<AddedToken> = tokens.into_iter().map(|(_, token)| token).collect();
        tokenizer.add_tokens(tokens).map_err(|e| fail(e.to_string()))?;
        Self::new(tokenizer, path, Origin { stated, json: None, notes })
    }

    fn new(tokenizer: Tokenizer, source: &Path, origin: Origin) -> Result<Self> {
        let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        let special = Special::find(|name| tokenizer.token_to_id(name), largest, source, &origin.stated)?;
        let frame = tokenizer.get_post_processor().and_then(|frame| serde_json::to_value(frame).ok());
        let frame = frame.map_or(PairFrame::Bert, |frame| PairFrame::of(&frame));
        let built = tokenizer_alone(tokenizer).map_err(|reason| broken(source, &reason))?;
        let library = Library { built: OnceLock::from(Ok(built)), json: Vec::new() };
        Ok(Self::with(library, special, (None, frame), (source, origin)))
    }

    fn with(
        library: Library,
        special: Special,
        (plain, frame): (Option<Arc<PlainBert>>, PairFrame),
        (source, origin): (&Path, Origin),
    ) -> Self {
        let Special { cls, sep, pad, unk, mask, vocab_size } = special;
        let (library, origin, source) = (Arc::new(library), Arc::new(origin), source.to_owned());
        Self { library, plain, source, cls, sep, pad, unk, mask, vocab_size, frame, origin }
    }

    /// What the files of its folder contradict each other in, and what was decided; for people.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let folder = self.source.parent().unwrap_or(Path::new(".")).display().to_string();
        self.origin.notes.iter().map(move |note| format!("{folder}: {note}"))
    }

    /// The library's tokenizer, built at the first call.
    pub(crate) fn library(&self) -> Result<&Tokenizer> {
        let built = self.library.built.get_or_init(|| parse(&self.library.json).and_then(tokenizer_alone));
        built.as_ref().map_err(|reason| broken(&self.source, reason))
    }

    /// An error of this tokenizer.
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

    /// How the second text of a pair follows the first.
    pub fn frame(&self) -> PairFrame {
        self.frame
    }

    /// The id of `[PAD]`, or of what the tokenizer has in its place.
    pub fn pad_id(&self) -> u32 {
        self.pad
    }

    /// The id of `[CLS]`, or of what the tokenizer has in its place.
    pub fn cls_id(&self) -> u32 {
        self.cls
    }

    /// The id of `[SEP]`, or of what the tokenizer has in its place.
    pub fn sep_id(&self) -> u32 {
        self.sep
    }

    /// The id of `[UNK]`, where the vocabulary has one.
    pub fn unk_id(&self) -> Option<u32> {
        self.unk
    }

    /// The id of `[MASK]`, where the vocabulary has one.
    pub fn mask_id(&self) -> Option<u32> {
        self.mask
    }

    /// The tokenizer as the bytes of a `tokenizer.json`.
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
            Err(_) => Err(broken(&self.source, "cannot be written again: the tokenizer library failed on it")),
        }
    }
}

/// Ids that are always needed.
struct Special {
    cls: u32,
    sep: u32,
    pad: u32,
    unk: Option<u32>,
    mask: Option<u32>,
    vocab_size: usize,
}

impl Special {
    fn find(id: impl Fn(&str) -> Option<u32>, largest: u32, source: &Path, stated: &Stated) -> Result<Self> {
        let special = |key: &str| {
            let name = stated.name(key);
            let missing = || {
                let who = if stated.named(key).is_some() { format!(", the `{key}`,") } else { String::new() };
                let name = excerpt(name);
                let needed = "a vocabulary of BERT or RoBERTa is needed";
                broken(source, &format!("the special token `{name}`{who} is missing; {needed}"))
            };
            id(name).ok_or_else(missing)
        };
        let (cls, sep, pad) = (special("cls_token")?, special("sep_token")?, special("pad_token")?);
        let largest = largest as usize;
        if largest >= MAX_VOCAB {
            return Err(broken(
                source,
                &format!("token id {largest} is too large; ids below {MAX_VOCAB} are accepted"),
            ));
        }
        let (unk, mask) = (id(stated.name("unk_token")), id(stated.name("mask_token")));
        Ok(Self { cls, sep, pad, unk, mask, vocab_size: largest + 1 })
    }
}

/// The library's reader.
fn parse(json: &[u8]) -> std::result::Result<Tokenizer, String> {
    // A crafted file can make the tokenizers crate panic; that is an error of the file, not of this program.
    match contain::call(|| Tokenizer::from_bytes(json)) {
        Ok(Ok(tokenizer)) => Ok(tokenizer),
        Ok(Err(reason)) => Err(format!("not a tokenizer file: {}", excerpt(&reason.to_string()))),
        Err(_) => Err("not a usable tokenizer file: the tokenizer library failed on it".into()),
    }
}

/// Without the padding and truncation that a file can ask for.
fn tokenizer_alone(mut tokenizer: Tokenizer) -> std::result::Result<Tokenizer, String> {
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
    Ok(tokenizer)
}

pub(crate) fn broken(path: &Path, reason: &str) -> Error {
    Error::Tokenizer { path: path.to_owned(), reason: reason.to_owned() }
}

pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut bytes = Vec::new();
    file.take(MAX_TOKENIZER_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    if bytes.len() as u64 > MAX_TOKENIZER_BYTES {
        return Err(broken(path, &format!("larger than {MAX_TOKENIZER_BYTES} bytes; a tokenizer is not that large")));
    }
    Ok(bytes)
}
