//! Plain text as a stream of packed sequence pairs, in bounded memory.
//!
//! Documents are split into sentences, sentences into tokens, and tokens are packed as BERT's `create_pretraining_data` does, without
//! masking, as EfficientBERT does (Dong et al. 2021). Distillation has no next-sentence label, but the teacher was trained on pairs of
//! which half came from different documents; the same mixture is the default here ([`PackConfig::random_next`]).

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use run_store::rng::{keyed, shuffle};
use tokenizer::{Encoded, TextEncoder, WordCache, WordEncoder};

use crate::error::{Error, Result};
use crate::pack::{PairRules, TokenDocument, pack_pairs};
use crate::settings::check_chances;
use crate::text::Documents;

/// Text held at a time, in bytes: random pairs and the shuffle of sequences reach this far.
const BLOCK_BYTES: usize = 4 << 20;
/// Counted on top of every sentence's bytes: what its string costs, so that a file of tiny lines is bounded too.
const SENTENCE_BYTES: usize = 64;
/// Files read side by side; more wait for one of these to end.
const OPEN_FILES: usize = 16;

/// The number of the packing among the streams of random numbers; others would be other packings of the same text.
const PACKING: u64 = 0;

/// How a corpus is packed.
#[derive(Debug, Clone, PartialEq)]
pub struct PackConfig {
    /// Tokens of a sequence with its special tokens. Default 128.
    pub max_len: usize,
    /// Chance that a document is packed to a random shorter length. Default 0.1, as BERT and EfficientBERT.
    pub short_seq_prob: f64,
    /// Chance that the second segment comes from another document. Default 0.5, as BERT; 0 keeps all pairs within a document.
    pub random_next: f64,
    /// Seed of every random choice. Default 42.
    pub seed: u64,
    /// Stop after this many sequences. Default: none.
    pub max_sequences: Option<usize>,
}

impl Default for PackConfig {
    fn default() -> Self {
        Self { max_len: 128, short_seq_prob: 0.1, random_next: 0.5, seed: 42, max_sequences: None }
    }
}

impl PackConfig {
    fn check(&self) -> Result<()> {
        const LEAST: usize = 8;
        if self.max_len < LEAST {
            return Err(tokenizer::Error::MaxLenTooSmall { given: self.max_len, needed: LEAST }.into());
        }
        check_chances(self.short_seq_prob, self.random_next)
    }
}

/// The sequences of text files. Documents are taken from the files in turn, so a limit cuts a mixture and not the first file.
///
/// Memory is bounded by one block of about 4 MB of text; within a block, sequences are shuffled. The result depends on the files' bytes
/// and order, the tokenizer and the configuration, not on the number of threads. The iterator ends after an error.
pub struct PackedCorpus<'a> {
    encoder: &'a TextEncoder,
    words: WordEncoder<'a>,
    /// Caches that no thread uses at the moment.
    caches: Mutex<Vec<WordCache>>,
    config: PackConfig,
    first: PathBuf,
    waiting: VecDeque<PathBuf>,
    open: VecDeque<Documents>,
    block: u64,
    ready: std::vec::IntoIter<Encoded>,
    sequences: usize,
    finished: bool,
}

impl<'a> PackedCorpus<'a> {
    /// Packs these files; see [`crate::corpus_files`] for those of a folder.
    ///
    /// # Errors
    /// No files, or a setting out of range. What is wrong in a file comes out of the iterator, with file and line.
    pub fn new(encoder: &'a TextEncoder, files: &[PathBuf], config: PackConfig) -> Result<Self> {
        config.check()?;
        let Some(first) = files.first().cloned() else {
            return Err(Error::Settings("a corpus needs at least one text file".to_owned()));
        };
        Ok(Self {
            encoder,
            words: WordEncoder::new(encoder)?,
            caches: Mutex::default(),
            config,
            first,
            waiting: files.iter().cloned().collect(),
            open: VecDeque::new(),
            block: 0,
            ready: Vec::new().into_iter(),
            sequences: 0,
            finished: false,
        })
    }

    /// Reads documents, one from each open file in turn, until the block is full; empty at the end of the corpus.
    fn read_block(&mut self) -> Result<Vec<Vec<String>>> {
        let (mut documents, mut bytes) = (Vec::new(), 0);
        while bytes < BLOCK_BYTES {
            while self.open.len() < OPEN_FILES
                && let Some(path) = self.waiting.pop_front()
            {
                self.open.push_back(Documents::open(&path)?);
            }
            let Some(mut file) = self.open.pop_front() else { break };
            if let Some(sentences) = file.next_document()? {
                bytes += sentences.iter().map(|s| s.len() + SENTENCE_BYTES).sum::<usize>();
                documents.push(sentences);
                self.open.push_back(file);
            }
        }
        Ok(documents)
    }

    /// Packs the next block; false at the end of the corpus.
    fn refill(&mut self) -> Result<bool> {
        let texts = self.read_block()?;
        if texts.is_empty() {
            return Ok(false);
        }
        let documents = texts.par_iter().map(|d| self.tokenize(d)).collect::<Result<Vec<TokenDocument>>>()?;
        let documents: Vec<TokenDocument> = documents.into_iter().filter(|d| !d.is_empty()).collect();
        let PackConfig { seed, max_len, short_seq_prob, random_next, .. } = self.config;
        let (block, encoder) = (self.block, self.encoder);
        let rules = PairRules { max_len, special: encoder.frame().special(), short: short_seq_prob, random_next };
        let pack = |at: usize| {
            let mut rng = keyed(seed, "glue-squad/pack", &[PACKING, block, at as u64]);
            let mut packed = Vec::new();
            pack_pairs(&documents, at, rules, &mut rng, |pair| {
                packed.push(encoder.assemble(pair.a, Some(pair.b).filter(|b| !b.is_empty())));
            });
            packed
        };
        let packed: Vec<Vec<Encoded>> = (0..documents.len()).into_par_iter().map(pack).collect();
        let mut ready: Vec<Encoded> = packed.into_iter().flatten().collect();
        shuffle(&mut keyed(seed, "glue-squad/pack-order", &[PACKING, block]), &mut ready);
        self.block += 1;
        self.ready = ready.into_iter();
        Ok(true)
    }

    fn tokenize(&self, sentences: &Vec<String>) -> Result<TokenDocument> {
        let lock = || self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cache = lock().pop().unwrap_or_default();
        let (mut document, mut ids) = (TokenDocument::default(), Vec::new());
        for sentence in sentences {
            ids.clear();
            self.words.encode(sentence, &mut cache, &mut ids)?;
            document.push_sentence(&ids);
        }
        lock().push(cache);
        Ok(document)
    }

    fn advance(&mut self) -> Result<Option<Encoded>> {
        if self.config.max_sequences.is_some_and(|max| self.sequences >= max) {
            return Ok(None);
        }
        loop {
            if let Some(sequence) = self.ready.next() {
                self.sequences += 1;
                return Ok(Some(sequence));
            }
            if !self.refill()? {
                if self.sequences > 0 {
                    return Ok(None);
                }
                return Err(Error::Empty { path: self.first.clone() });
            }
        }
    }
}

impl Iterator for PackedCorpus<'_> {
    type Item = Result<Encoded>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let item = self.advance().transpose();
        self.finished = !matches!(item, Some(Ok(_)));
        item
    }
}
