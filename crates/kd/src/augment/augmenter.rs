//! From a training set to a larger one.

use std::collections::HashSet;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use cpu_runtime::Precision;
use glue_squad::augment::{Slot, replaceable, replaced};
use glue_squad::task::{Example, Split, TaskKind, TrainWriter};
use rayon::prelude::*;
use run_store::rng::keyed;
use tokenizer::{Sentence, TextEncoder, WordPieces};

use super::masked::{MaskTarget, MaskedWords};
use super::nearest::NearestWords;
use super::settings::{AugmentProgress, AugmentSettings, Augmented, Pairs, WordSource};
use super::word_model::WordModel;
use crate::{Error, Result};

/// Rows whose words are looked up together: memory is that of so many rows and their copies.
const ROWS: usize = 64;

/// A teacher that proposes words, and how they are used.
pub struct Augmenter {
    settings: AugmentSettings,
    pieces: WordPieces,
    nearest: Option<NearestWords>,
    masked: Option<MaskedWords>,
}

/// A row with its words.
struct Row {
    example: Example,
    /// Of the text, or of both.
    sentences: Vec<Sentence>,
    slots: Vec<Vec<Slot>>,
}

/// Why writing stopped.
enum Stop {
    Io(io::Error),
    Error(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Augmenter {
    /// Reads what the settings need of the model directory `dir`: the word table, and for the masked-language-model head the encoder,
    /// compiled for `threads` threads in `precision`.
    ///
    /// # Errors
    /// Settings out of range; a directory that cannot be read as a model; no head where the settings ask for it; a tokenizer that is
    /// no WordPiece, or has more tokens than the model.
    pub fn load(
        dir: &Path,
        encoder: TextEncoder,
        settings: AugmentSettings,
        precision: Precision,
        threads: usize,
    ) -> Result<Self> {
        settings.check()?;
        let pieces = WordPieces::new(encoder)?;
        let wanted = (settings.source != WordSource::Embeddings).then_some(precision);
        let WordModel { config, table, mlm, encoder } = WordModel::load(dir, wanted)?;
        let width = config.embed_width();
        if pieces.encoder().vocab_size() > config.vocab_size {
            let (found, rows) = (pieces.encoder().vocab_size(), config.vocab_size);
            let message =
                format!("{}: the tokenizer has {found} word pieces, the model's `vocab_size` is {rows}", dir.display());
            return Err(Error::Mismatch(message));
        }
        if mlm.is_some() && settings.sees_original && config.type_vocab_size < 2 {
            let message = format!(
                "{}: `type_vocab_size` is {}; a head that sees the original behind the masked text needs 2",
                dir.display(),
                config.type_vocab_size
            );
            return Err(Error::Mismatch(message));
        }
        let masked = match (mlm, encoder) {
            (Some(head), Some(encoder)) => {
                Some(MaskedWords::new(encoder, head, &table, &pieces, threads, settings.sees_original)?)
            }
            _ if settings.source == WordSource::Mlm => {
                let message = format!(
                    "{}: has no masked-language-model head (no tensors `cls.predictions.*`); pre-trained models may have one, \
                     fine-tuned ones have none",
                    dir.display()
                );
                return Err(Error::Mismatch(message));
            }
            _ => None,
        };
        let nearest =
            (settings.source != WordSource::Mlm).then(|| NearestWords::new(table, width, &pieces, settings.candidates));
        Ok(Self { settings, pieces, nearest, masked })
    }

    /// Whether candidates come from a masked-language-model head, all or some.
    pub fn uses_mlm(&self) -> bool {
        self.masked.is_some()
    }

    /// The candidates of the words of `text` that may be replaced, each with the word's bytes.
    ///
    /// # Errors
    /// A text that cannot be tokenized, or a model that has diverged.
    pub fn candidates(&mut self, text: &str) -> Result<Vec<Slot>> {
        let sentence = replaceable(&self.pieces, text)?;
        Ok(self.slots(&[(text, &sentence)])?.swap_remove(0))
    }

    /// Writes the training set in `paths` (those of [`TaskKind::find_all`]) and, behind its rows, their copies to `out`: in the task's
    /// own layout, as a whole or not at all. Files are read twice and memory is that of a few rows. Draws are keyed by seed, row, text
    /// and copy, so the result depends on neither threads nor other rows.
    ///
    /// # Errors
    /// What is wrong with the files; [`train::Error::Interrupted`] where `watch` breaks; a file that cannot be written.
    pub fn write(
        &mut self,
        task: TaskKind,
        paths: &[PathBuf],
        out: &Path,
        watch: &mut dyn FnMut(AugmentProgress) -> ControlFlow<()>,
    ) -> Result<Augmented> {
        let (mut done, mut failure) = (Augmented::default(), None);
        let written = run_store::atomic::write_with(out, |file| match self.fill(task, paths, file, watch) {
            Ok(augmented) => {
                done = augmented;
                Ok(())
            }
            Err(Stop::Io(error)) => Err(error),
            Err(Stop::Error(error)) => {
                failure = Some(error);
                Err(io::Error::other("stopped"))
            }
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(written.map(|()| done)?),
        }
    }

    fn fill(
        &mut self,
        task: TaskKind,
        paths: &[PathBuf],
        out: &mut impl Write,
        watch: &mut dyn FnMut(AugmentProgress) -> ControlFlow<()>,
    ) -> Result<Augmented, Stop> {
        let limit = self.settings.limit.unwrap_or(usize::MAX);
        let mut writer = TrainWriter::new(out, task).map_err(Stop::Io)?;
        for example in task.stream(paths, Split::Train).take(limit) {
            writer.write(&example?).map_err(Stop::Io)?;
        }
        let mut done = Augmented { rows: writer.rows(), ..Augmented::default() };
        let mut examples = task.stream(paths, Split::Train).take(limit);
        let mut rows = 0;
        loop {
            if watch(AugmentProgress { rows, total: done.rows, added: done.added }).is_break() {
                return Err(Error::Train(train::Error::Interrupted { step: rows }).into());
            }
            let some: Vec<Example> = examples.by_ref().take(ROWS).collect::<Result<_, _>>()?;
            if some.is_empty() {
                return Ok(done);
            }
            rows += some.len() as u64;
            let some = self.find(some, &mut done)?;
            let copies: Vec<Vec<Example>> = some.par_iter().map(|row| self.copies(row)).collect();
            for (row, copies) in some.iter().zip(copies) {
                done.added += copies.len() as u64;
                done.dropped += (self.draws(row) - copies.len()) as u64;
                for copy in copies {
                    writer.write(&copy).map_err(Stop::Io)?;
                }
            }
        }
    }

    /// Words and candidates of some rows.
    fn find(&mut self, examples: Vec<Example>, done: &mut Augmented) -> Result<Vec<Row>> {
        let read = |example: Example| {
            let sentences = texts(&example).map(|text| replaceable(&self.pieces, text)).collect::<Result<_, _>>()?;
            Ok(Row { example, sentences, slots: Vec::new() })
        };
        let mut rows: Vec<Row> = examples.into_par_iter().map(read).collect::<Result<_>>()?;
        let all: Vec<(&str, &Sentence)> = rows.iter().flat_map(|row| texts(&row.example).zip(&row.sentences)).collect();
        let slots = self.slots(&all)?;
        for ((_, sentence), slots) in all.iter().zip(&slots) {
            for (word, slot) in sentence.words.iter().zip(slots).filter(|(_, slot)| !slot.candidates.is_empty()) {
                debug_assert_eq!(word.bytes, slot.bytes);
                done.words += 1;
                done.words_by_mlm += u64::from(self.is_masked(word.pieces.len()));
            }
        }
        let mut slots = slots.into_iter();
        rows.iter_mut().for_each(|row| row.slots = slots.by_ref().take(row.sentences.len()).collect());
        Ok(rows)
    }

    /// Whether the head gives the candidates of a word of so many pieces.
    fn is_masked(&self, pieces: usize) -> bool {
        self.masked.is_some() && (pieces == 1 || self.nearest.is_none())
    }

    /// Candidates for all words of some sentences.
    fn slots(&mut self, sentences: &[(&str, &Sentence)]) -> Result<Vec<Vec<Slot>>> {
        let (mut places, mut words) = (Vec::new(), Vec::new());
        for (text, sentence) in sentences {
            for word in &sentence.words {
                let text = &text[word.bytes.clone()];
                if self.is_masked(word.pieces.len()) {
                    places.push(MaskTarget { sentence, pieces: word.pieces.clone(), text });
                } else {
                    words.push((&sentence.ids[word.pieces.clone()], text));
                }
            }
        }
        let by_mlm = match &mut self.masked {
            Some(masked) => masked.candidates(&places, self.settings.candidates, &self.pieces)?,
            None => Vec::new(),
        };
        let by_embedding = match &mut self.nearest {
            Some(nearest) => nearest.candidates(&words, &self.pieces),
            None => Vec::new(),
        };
        let (mut by_mlm, mut by_embedding) = (by_mlm.into_iter(), by_embedding.into_iter());
        let mut slots = Vec::with_capacity(sentences.len());
        for (_, sentence) in sentences {
            let slot = |word: &tokenizer::Word| {
                let next = if self.is_masked(word.pieces.len()) { by_mlm.next() } else { by_embedding.next() };
                Slot { bytes: word.bytes.clone(), candidates: next.unwrap_or_default() }
            };
            slots.push(sentence.words.iter().map(slot).collect());
        }
        Ok(slots)
    }

    /// How many copies are drawn of a row.
    fn draws(&self, row: &Row) -> usize {
        match self.settings.pairs {
            Pairs::Each => self.settings.copies * row.slots.len(),
            Pairs::Both => self.settings.copies,
        }
    }

    /// The copies of a row, without repetitions.
    fn copies(&self, row: &Row) -> Vec<Example> {
        let AugmentSettings { copies, probability, pairs, seed, .. } = self.settings;
        let texts: Vec<&str> = texts(&row.example).collect();
        let draw = |side: usize, copy: usize| {
            let key = [row.example.id as u64, side as u64, copy as u64];
            let mut rng = keyed(seed, "kd/augment", &key);
            replaced(texts[side], &row.slots[side], probability, &self.pieces, &mut rng)
        };
        let changed: Vec<Vec<String>> = match pairs {
            Pairs::Both => (0..copies).map(|copy| (0..texts.len()).map(|side| draw(side, copy)).collect()).collect(),
            Pairs::Each => {
                let one = |side: usize, copy: usize| {
                    let text = |i: usize| if i == side { draw(side, copy) } else { texts[i].to_owned() };
                    (0..texts.len()).map(text).collect()
                };
                (0..texts.len())
                    .flat_map(|side| (0..copies).map(move |copy| (side, copy)))
                    .map(|(s, c)| one(s, c))
                    .collect()
            }
        };
        let original: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let mut seen = HashSet::from([original]);
        let fresh = changed.into_iter().filter(|texts| seen.insert(texts.clone()));
        let example = |texts: Vec<String>| {
            let mut texts = texts.into_iter();
            Example { text_a: texts.next().unwrap_or_default(), text_b: texts.next(), ..row.example.clone() }
        };
        fresh.map(example).collect()
    }
}

/// The text, or both, of an example.
fn texts(example: &Example) -> impl Iterator<Item = &str> {
    std::iter::once(example.text_a.as_str()).chain(example.text_b.as_deref())
}
