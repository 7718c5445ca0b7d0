//! The tokenizer of a folder with `vocab.json` and `merges.txt`: RoBERTa's byte-level BPE, as `transformers` builds it from these files.

use std::path::{Path, PathBuf};

use run_store::contain;
use run_store::shown::excerpt;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::Result;
use crate::load::{broken, read_bounded};
use crate::stated::Stated;

/// Names of the two files.
pub(crate) const VOCAB: &str = "vocab.json";
pub(crate) const MERGES: &str = "merges.txt";
/// What the files of other programs begin with; says nothing about the pieces.
const VERSION: &str = "#version";
/// What BPE puts behind a word where a word is not marked by the space before it.
const END_OF_WORD: &str = "</w>";

/// The files, where both are there.
pub(crate) fn files(dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let (vocab, merges) = (dir.join(VOCAB), dir.join(MERGES));
    (vocab.is_file() && merges.is_file()).then_some((vocab, merges))
}

/// Builds the tokenizer.
///
/// # Errors
/// A file is damaged or not of byte-level BPE, the configuration names a class that splits otherwise, or a special token is missing.
pub(crate) fn build(
    (vocab_path, merges_path): (&Path, &Path),
    stated: &mut Stated,
    notes: &mut Vec<String>,
) -> Result<Tokenizer> {
    let fail = |reason: String| broken(vocab_path, &reason);
    if let Some(class) = stated.class_of_other_bpe() {
        let class = excerpt(class);
        return Err(fail(format!(
            "belongs to a `{class}`, which does not split text as RoBERTa does; only its tokenizer.json could be used"
        )));
    }
    let vocab: Vocab = serde_json::from_slice(&read_bounded(vocab_path)?)
        .map_err(|e| fail(format!("not a vocabulary, which is one JSON object of ids by piece: {e}")))?;
    if let Some(piece) = vocab.keys().find(|piece| piece.ends_with(END_OF_WORD)) {
        let piece = excerpt(piece);
        return Err(fail(format!("has the piece `{piece}`: its BPE marks ends of words and is not byte-level")));
    }
    stated.settle(|name| vocab.contains_key(name));
    let tokens = stated.tokens(&[], |token| vocab.get(token).copied(), vocab.len(), notes);
    let special = |key: &str| {
        let name = stated.name(key);
        let id = vocab.get(name).copied();
        id.map(|id| (name.to_owned(), id)).ok_or_else(|| {
            fail(format!(
                "the special token `{}`, the `{key}`, is missing; a RoBERTa vocabulary is needed",
                excerpt(name)
            ))
        })
    };
    let frame = RobertaProcessing::new(special("sep_token")?, special("cls_token")?);
    let merges = read_merges(merges_path, &vocab)?;
    let model = contain::call(|| BPE::builder().vocab_and_merges(vocab, merges).build());
    let model = model
        .map_err(|_| fail("the tokenizer library failed on it".into()))?
        .map_err(|e| fail(excerpt(&e.to_string())))?;
    let (prefix, trim) = (stated.add_prefix_space, stated.trim_offsets);
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(prefix)))
        .with_decoder(Some(ByteLevel::default()))
        .with_post_processor(Some(frame.trim_offsets(trim).add_prefix_space(prefix)));
    let tokens: Vec<AddedToken> = tokens.into_iter().map(|(_, token)| token).collect();
    tokenizer.add_tokens(tokens).map_err(|e| fail(e.to_string()))?;
    Ok(tokenizer)
}

/// The pairs of pieces that are joined, in the order in which they are.
fn read_merges(path: &Path, vocab: &Vocab) -> Result<Merges> {
    let bytes = read_bounded(path)?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| broken(path, "is not valid UTF-8; convert the file to UTF-8"))?;
    let mut merges = Merges::new();
    for (at, line) in text.lines().enumerate() {
        if line.starts_with(VERSION) || line.is_empty() {
            continue;
        }
        let wrong = |reason: String| Err(broken(path, &format!("line {}: {reason}", at + 1)));
        let Some((left, right)) = line.split_once(' ').filter(|(_, right)| !right.contains(' ')) else {
            return wrong(format!("`{}` is not two pieces with a space between them", excerpt(line)));
        };
        let joined = format!("{left}{right}");
        if let Some(missing) = [left, right, &joined].into_iter().find(|piece| !vocab.contains_key(*piece)) {
            return wrong(format!("the piece `{}` is not in {VOCAB}", excerpt(missing)));
        }
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(merges)
}
