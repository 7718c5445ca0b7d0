//! The text of general distillation: plain files, or a folder of packed shards.

mod packed;
mod plain_text;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use corpus::{
    DEFAULT_FIELD, Input, LearnSettings, MANIFEST, Manifest, PackConfig, PackedCorpus, Packing, Vocabulary,
    corpus_files, is_packed,
};
use glue_squad::features::Features;
use tokenizer::TextEncoder;
use train::data::BatchSettings;
use train::text::{TextSet, TextSource};

pub use packed::PackedText;

use crate::input_files::Files;
use crate::{Error, Problem, Result};

/// Sequences packed between two looks at whether to stop.
const LOOK_EVERY: usize = 1024;

/// Text as `--corpus` and `data.corpus` name it: found, not yet read.
#[derive(Debug, Clone, PartialEq)]
pub enum Corpus {
    /// Text files, tokenized and packed when a training begins and held in memory.
    Text(Vec<PathBuf>),
    /// A folder that `data pack` made; its shards are mapped into memory and read as they are needed.
    Packed {
        /// The folder.
        dir: PathBuf,
        /// What its manifest says.
        manifest: Box<Manifest>,
    },
}

impl Corpus {
    /// Finds what `paths` name: text files and folders of `.txt` files, or one packed folder.
    ///
    /// # Errors
    /// Nothing there, packed shards beside another path, a packing that was not finished or a damaged manifest; files that are no plain
    /// text, as far as their first bytes tell (compressed, binary, of another form), all of them.
    pub fn find(paths: &[PathBuf]) -> Result<Self> {
        if let Some(dir) = paths.iter().find(|path| is_packed(path)) {
            if paths.len() > 1 {
                return Err(Error::Mismatch(format!(
                    "{} holds packed shards, which are a whole corpus; name it alone, or pack all texts together (`data pack` \
                     takes several inputs)",
                    dir.display()
                )));
            }
            if !dir.join(MANIFEST).is_file() {
                return Err(Error::Mismatch(format!(
                    "{} holds shards without a {MANIFEST}: packing was not finished; give the same `data pack` command again to continue",
                    dir.display()
                )));
            }
            let manifest = Box::new(Manifest::read(dir)?);
            return Ok(Self::Packed { dir: dir.clone(), manifest });
        }
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for path in paths {
            if path.join(bert_core::CONFIG_FILE).is_file() {
                let message = format!("{}: is a model directory, not a corpus", path.display());
                problems.push(Problem { message, usage: true, missing: false });
                continue;
            }
            match corpus_files(path) {
                Ok(found) => files.extend(found),
                Err(e) => {
                    let hint = plain_text::other_forms(path).map_or_else(String::new, |hint| format!("; {hint}"));
                    problems.push(Problem { message: format!("{e}{hint}"), usage: false, missing: false });
                }
            }
        }
        problems.extend(files.iter().filter_map(|file| plain_text::fault(file)));
        if problems.is_empty() { Ok(Self::Text(files)) } else { Err(Error::Inputs(problems)) }
    }

    /// Tokens of the longest sequence, where that is decided already.
    pub fn max_len(&self) -> Option<usize> {
        match self {
            Self::Text(_) => None,
            Self::Packed { manifest, .. } => Some(manifest.settings.max_len),
        }
    }

    /// Learns a tokenizer from the text.
    ///
    /// # Errors
    /// Packed shards, which hold no text; files that cannot be read or hold no text, a vocabulary too small for its alphabet, or
    /// [`Error::Interrupted`] once `stop` is set.
    pub fn learn_tokenizer(&self, settings: &LearnSettings, stop: &AtomicBool) -> Result<TextEncoder> {
        let files = match self {
            Self::Text(files) => files,
            Self::Packed { dir, .. } => {
                return Err(Error::Mismatch(format!(
                    "{} holds packed shards, which are made with a tokenizer: one is learned from text files",
                    dir.display()
                )));
            }
        };
        let inputs = files.iter().map(|file| Input::detect(file, DEFAULT_FIELD));
        let inputs = inputs.collect::<corpus::Result<Vec<_>>>()?;
        let look = |_| if stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        match corpus::learn_tokenizer(&inputs, settings, rayon::current_num_threads(), &look) {
            Ok(learned) => Ok(learned.encoder),
            Err(corpus::Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether words were hidden when it was packed.
    pub fn is_masked(&self) -> bool {
        matches!(self, Self::Packed { manifest, .. } if manifest.settings.masking.is_some())
    }

    /// Whether its sequences are pairs of texts, of two segments.
    pub fn has_pairs(&self) -> bool {
        match self {
            Self::Text(files) => !files.is_empty(),
            Self::Packed { manifest, .. } => matches!(manifest.settings.packing, Packing::Pairs { .. }),
        }
    }

    /// The files whose bytes decide what a training reads, as `what`, numbered where their order decides too. The manifest of shards has
    /// their checksums, and a shard is compared with its own before anything of it is used.
    pub fn files(&self, what: &str) -> Files {
        match self {
            Self::Text(files) if files.len() > 1 => {
                files.iter().enumerate().map(|(i, file)| (format!("{what} {}", i + 1), file.clone())).collect()
            }
            Self::Text(files) => files.iter().map(|file| (what.to_owned(), file.clone())).collect(),
            Self::Packed { dir, .. } => vec![(what.to_owned(), dir.join(MANIFEST))],
        }
    }

    /// Whether a training with this tokenizer and sequences of `max_len` tokens can use it.
    ///
    /// # Errors
    /// Shards of another tokenizer or of another length, both of which are named.
    pub fn check(&self, encoder: &TextEncoder, max_len: usize) -> Result<()> {
        let Self::Packed { dir, manifest } = self else { return Ok(()) };
        let (theirs, packed) = (&manifest.tokenizer, manifest.settings.max_len);
        let vocabulary = Vocabulary::of(encoder)?;
        let ours = vocabulary.info();
        if theirs != ours {
            return Err(Error::Mismatch(format!(
                "{} was packed with another tokenizer than the training's: {} with {} tokens, the training's is {} with {}; pack the \
                 text again with --tokenizer and the model, or the teacher, of the training",
                dir.display(),
                short(&theirs.sha256),
                theirs.vocab_size,
                short(&ours.sha256),
                ours.vocab_size
            )));
        }
        if packed != max_len {
            return Err(Error::Mismatch(format!(
                "{} was packed to sequences of at most {packed} tokens, the training has {max_len}; pack the text again with \
                 --max-len {max_len}, or train with {packed}",
                dir.display()
            )));
        }
        Ok(())
    }

    /// Opens it for a training; `max_sequences` takes the first ones only.
    ///
    /// # Errors
    /// As [`Corpus::check`]; files that cannot be read, damaged shards, no text, fewer sequences than a batch has, or a batch size of 0.
    pub fn open(
        &self,
        encoder: &TextEncoder,
        settings: BatchSettings,
        max_sequences: Option<usize>,
    ) -> Result<Arc<dyn TextSource>> {
        match self {
            Self::Text(_) => {
                let features = self.pack(encoder, settings.max_len, settings.seed, max_sequences, None)?;
                self.enough(features.len(), settings)?;
                Ok(Arc::new(TextSet::new(features, encoder.pad_id(), settings)?))
            }
            Self::Packed { manifest, .. } => {
                let opened = self.open_any(encoder, settings, max_sequences)?;
                let most = max_sequences.map_or(u64::MAX, |most| most as u64);
                self.enough(manifest.sequences.min(most) as usize, settings)?;
                Ok(opened)
            }
        }
    }

    /// [`Corpus::open`] for text that may be less than a batch, as text to evaluate on may.
    ///
    /// # Errors
    /// As [`Corpus::open`], but for the number of sequences.
    pub fn open_any(
        &self,
        encoder: &TextEncoder,
        settings: BatchSettings,
        max_sequences: Option<usize>,
    ) -> Result<Arc<dyn TextSource>> {
        match self {
            Self::Text(_) => {
                let features = self.pack(encoder, settings.max_len, settings.seed, max_sequences, None)?;
                Ok(Arc::new(TextSet::new(features, encoder.pad_id(), settings)?))
            }
            Self::Packed { dir, .. } => {
                self.check(encoder, settings.max_len)?;
                Ok(Arc::new(PackedText::open(dir, settings, max_sequences)?))
            }
        }
    }

    /// The sequences of text files, of at most `max_len` tokens, packed as `seed` says; none of packed shards.
    ///
    /// # Errors
    /// Files that cannot be read, no text, or [`Error::Interrupted`] once `stop` is set.
    pub(crate) fn pack(
        &self,
        encoder: &TextEncoder,
        max_len: usize,
        seed: u64,
        max_sequences: Option<usize>,
        stop: Option<&AtomicBool>,
    ) -> Result<Vec<Features>> {
        let Self::Text(files) = self else { return Ok(Vec::new()) };
        let config = PackConfig { max_len, seed, max_sequences, ..PackConfig::default() };
        let mut packed = Vec::new();
        for sequence in PackedCorpus::new(encoder, files, config)? {
            packed.push(sequence?.into());
            let look = packed.len() % LOOK_EVERY == 0;
            if look && stop.is_some_and(|stop| stop.load(Ordering::SeqCst)) {
                return Err(Error::Interrupted);
            }
        }
        Ok(packed)
    }

    /// Whether `sequences` fill a batch.
    pub(crate) fn enough(&self, sequences: usize, settings: BatchSettings) -> Result<()> {
        let BatchSettings { batch_size, max_len, .. } = settings;
        if sequences >= batch_size {
            return Ok(());
        }
        let name = match self {
            Self::Text(files) if files.len() > 1 => format!("{} and the other files of the corpus", files[0].display()),
            Self::Text(files) => {
                files.first().map_or_else(|| "the training examples".to_owned(), |file| file.display().to_string())
            }
            Self::Packed { dir, .. } => dir.display().to_string(),
        };
        let are = if sequences == 1 { "only 1 sequence".into() } else { format!("only {sequences} sequences") };
        Err(Error::Mismatch(format!(
            "{name}: {are} of at most {max_len} tokens, and a batch has {batch_size}; give more text, shorter sequences or \
             smaller batches"
        )))
    }
}

/// Enough of a digest to tell two apart.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
