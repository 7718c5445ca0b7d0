//! Normalizer and splitter of each kind, and the tokenizer around a vocabulary.

use tokenizers::models::bpe::{BPE, Merges};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{BertNormalizer, Lowercase, NFC, NFD, NFKC, Nmt, Replace, Sequence, Strip, StripAccents};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential,
    OffsetType, PostProcessorWrapper, PreTokenizedString, PreTokenizer, PreTokenizerWrapper, Tokenizer,
};

use super::chunks::LONGEST_WORD_PIECE;
use super::failed;
use super::settings::{LearnSettings, TokenizerKind};
use crate::error::Result;

/// What marks a token that goes on with a word.
pub(super) const CONTINUES: &str = "##";

/// Pieces in the order of their ids, special tokens first.
#[derive(Debug)]
pub(super) enum Pieces {
    WordPiece(Vec<String>),
    Bpe { pieces: Vec<String>, merges: Vec<(String, String)> },
    Unigram(Vec<(String, f64)>),
}

/// Divides text into words as the tokenizer will.
pub(super) struct Splitter {
    kind: TokenizerKind,
    normalizer: Option<NormalizerWrapper>,
    splitter: PreTokenizerWrapper,
    special: [&'static str; 5],
}

impl Splitter {
    pub fn new(settings: &LearnSettings) -> Result<Self> {
        let kind = settings.kind;
        Ok(Self { kind, normalizer: normalizer(settings)?, splitter: splitter(kind), special: kind.special() })
    }

    pub fn kind(&self) -> TokenizerKind {
        self.kind
    }

    /// The words of a chunk that holds no white space; `spaced` where a space stands before it. Special tokens in a text are no words.
    pub fn words(&self, chunk: &str, spaced: bool) -> Result<Vec<String>> {
        let mut words = Vec::new();
        let special = self.special.iter().find(|name| chunk.contains(**name));
        if let Some(name) = special {
            for (at, part) in chunk.split(name).enumerate().filter(|(_, part)| !part.is_empty()) {
                words.extend(self.words(part, spaced && at == 0)?);
            }
            return Ok(words);
        }
        let text = if spaced { format!(" {chunk}") } else { chunk.to_owned() };
        let mut text = NormalizedString::from(text);
        if let Some(normalizer) = &self.normalizer {
            normalizer.normalize(&mut text).map_err(failed)?;
        }
        let mut split = PreTokenizedString::from(text);
        self.splitter.pre_tokenize(&mut split).map_err(failed)?;
        let parts = split.get_splits(OffsetReferential::Normalized, OffsetType::None);
        words.extend(parts.into_iter().map(|(word, _, _)| word.to_owned()).filter(|word| !word.is_empty()));
        Ok(words)
    }
}

fn normalizer(settings: &LearnSettings) -> Result<Option<NormalizerWrapper>> {
    if settings.kind == TokenizerKind::WordPiece {
        let bert = BertNormalizer::new(true, true, settings.strip_accents, settings.lowercase);
        return Ok(Some(bert.into()));
    }
    let is_unigram = settings.kind == TokenizerKind::Unigram;
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if is_unigram {
        steps.extend([NormalizerWrapper::from(Nmt), NFKC.into()]);
    }
    if settings.lowercase {
        steps.push(Lowercase.into());
    }
    if settings.strips_accents() {
        steps.extend([NormalizerWrapper::from(NFD), StripAccents.into(), NFC.into()]);
    }
    if is_unigram {
        let spaces = Replace::new(ReplacePattern::Regex(" {2,}".to_owned()), " ").map_err(failed)?;
        steps.extend([NormalizerWrapper::from(spaces), Strip::new(true, true).into()]);
    }
    Ok((!steps.is_empty()).then(|| Sequence::new(steps).into()))
}

fn splitter(kind: TokenizerKind) -> PreTokenizerWrapper {
    match kind {
        TokenizerKind::WordPiece => BertPreTokenizer.into(),
        TokenizerKind::Unigram => metaspace().into(),
        TokenizerKind::Bpe => byte_level().into(),
    }
}

fn metaspace() -> Metaspace {
    Metaspace::new('▁', PrependScheme::Always, true)
}

fn byte_level() -> ByteLevel {
    ByteLevel::default().add_prefix_space(false)
}

/// The characters that stand for the 256 bytes, in the order of their numbers.
pub(super) fn byte_alphabet() -> Vec<char> {
    let mut all: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    all.sort_unstable();
    all
}

/// The `tokenizer.json` of a vocabulary.
pub(super) fn tokenizer_json(settings: &LearnSettings, vocabulary: Pieces) -> Result<Vec<u8>> {
    let kind = settings.kind;
    let special = kind.special();
    let ids = |pieces: Vec<String>| pieces.into_iter().zip(0_u32..);
    let token = |id: u32| (special[id as usize].to_owned(), id);
    let bert: PostProcessorWrapper = BertProcessing::new(token(3), token(2)).into();
    let (model, decoder, frame): (ModelWrapper, DecoderWrapper, PostProcessorWrapper) = match vocabulary {
        Pieces::WordPiece(pieces) => {
            let model = WordPiece::builder().vocab(ids(pieces).collect::<tokenizers::models::bpe::Vocab>());
            let model = model.unk_token(special[1].to_owned()).continuing_subword_prefix(CONTINUES.to_owned());
            let model = model.max_input_chars_per_word(LONGEST_WORD_PIECE).build().map_err(failed)?;
            (model.into(), tokenizers::decoders::wordpiece::WordPiece::default().into(), bert)
        }
        Pieces::Unigram(pieces) => {
            let model = Unigram::from(pieces, Some(1), false).map_err(failed)?;
            (model.into(), metaspace().into(), bert)
        }
        Pieces::Bpe { pieces, merges } => {
            let vocab = ids(pieces).collect::<tokenizers::models::bpe::Vocab>();
            let model = BPE::builder().vocab_and_merges(vocab, Merges::from(merges)).build().map_err(failed)?;
            let frame = RobertaProcessing::new(token(2), token(0)).trim_offsets(true).add_prefix_space(false);
            (model.into(), byte_level().into(), frame.into())
        }
    };
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(normalizer(settings)?).map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(splitter(kind))).with_decoder(Some(decoder)).with_post_processor(Some(frame));
    let mark = special[4];
    // Where words are marked by the space before them, that space belongs to the token that stands for the word.
    let takes_space = kind != TokenizerKind::WordPiece;
    let tokens = special.map(|name| AddedToken::from(name, true).lstrip(takes_space && name == mark));
    tokenizer.add_special_tokens(tokens).map_err(failed)?;
    Ok(tokenizer.to_string(false).map_err(failed)?.into_bytes())
}
