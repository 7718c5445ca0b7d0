//! What one training learns from: text, examples of tasks, or questions; read, encoded and in batches.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use glue_squad::squad::{Dataset, SquadVersion};
use glue_squad::task::{Split, Task};
use kd::from_teacher::Sample;
use kd::job::{GivenLogits, MlmTask};
use predict::examples::Examples;
use predict::majority::MajorityBaseline;
use predict::span::{SpanEval, SpanEvalSet, SpanSettings};
use tokenizer::TextEncoder;
use train::data::{BatchSettings, EvalSet, TaskMix, TrainSet};
use train::mlm::{HeldOutWords, WordMask};
use train::span::SpanTrainSet;
use train::text::TextSource;

use crate::corpus::Corpus;
use crate::input_files::{Files, task_files};
use crate::note::Note;
use crate::{Error, Problem, Result};

/// Sequences of held-out text that are looked at.
const HELD_OUT_SEQUENCES: usize = 1000;

/// What a model is trained on.
pub enum TrainingData {
    /// Text.
    Text(TextData),
    /// Examples with labels.
    Tasks(TaskData),
    /// Questions with the spans that answer them.
    Spans(Box<SpanData>),
}

impl TrainingData {
    /// Batches until everything was seen once.
    pub fn batches_per_epoch(&self) -> u64 {
        match self {
            Self::Text(data) => data.text.batches_per_epoch(),
            Self::Tasks(data) => data.mix.batches_per_epoch(),
            Self::Spans(data) => data.train.batches_per_epoch(),
        }
    }

    /// The first texts, on which a student is fitted to its teacher.
    ///
    /// # Errors
    /// Texts that cannot be read.
    pub fn sample(&self, device: &Device) -> Result<Sample> {
        let batch = |step| match self {
            Self::Text(data) => Ok(data.text.batch(step)?),
            Self::Tasks(data) => Ok(data.mix.batch(step)?.1),
            Self::Spans(data) => Ok(data.train.batch(step)?.tokens),
        };
        Ok(Sample::of_training(self.batches_per_epoch(), batch, device)?)
    }

    /// What one answer to every example scores where the training is evaluated; nothing on text.
    ///
    /// # Errors
    /// Answers that cannot be scored against.
    pub fn majority(&self) -> Result<Vec<MajorityBaseline>> {
        Ok(match self {
            Self::Text(_) => Vec::new(),
            Self::Tasks(data) => MajorityBaseline::of_sets(|task| data.mix.labels(task), &data.eval)?,
            Self::Spans(data) => MajorityBaseline::of_questions(&data.eval.set)?.into_iter().collect(),
        })
    }

    /// Where it comes from.
    pub fn files(&self) -> &Files {
        match self {
            Self::Text(data) => &data.files,
            Self::Tasks(data) => &data.files,
            Self::Spans(data) => &data.files,
        }
    }
}

/// Training and dev sets of tasks; head i belongs to task i.
pub struct TaskData {
    /// To train on.
    pub mix: TaskMix,
    /// Rows of the training examples of each task in its files.
    pub rows: Vec<Vec<usize>>,
    /// Logits of the training examples of each task, where they take the place of a teacher's; else nothing.
    pub given: Vec<GivenLogits>,
    /// To evaluate on, each with its head.
    pub eval: Vec<(usize, EvalSet)>,
    /// Where both come from.
    pub files: Files,
}

impl TaskData {
    /// Reads and encodes both splits of every task; `notes` gets what their files have that no reader can use.
    ///
    /// # Errors
    /// Files that are missing or damaged: all of them.
    pub fn read(
        tasks: &[Task],
        data: &Path,
        encoder: &TextEncoder,
        batches: BatchSettings,
        notes: &mut Vec<Note>,
    ) -> Result<Self> {
        let pad = encoder.pad_id();
        let (mut train, mut eval, mut rows, mut wrong) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (head, task) in tasks.iter().enumerate() {
            let mut read = |split| match Examples::read(task, (data, split), encoder, batches.max_len, None) {
                Ok(examples) => {
                    notes.extend(examples.note.clone().map(Note::Message));
                    Some(examples)
                }
                Err(error) => {
                    wrong.push(error);
                    None
                }
            };
            if let (Some(dev), Some(examples)) = (read(Split::Dev), read(Split::Train)) {
                eval.push((head, EvalSet::new(task, dev.features, pad, batches)?));
                rows.push(examples.rows);
                train.push(TrainSet::new(task, examples.features, pad, batches)?);
            }
        }
        match together(wrong) {
            Some(error) => Err(error),
            None => {
                let (mix, files) = (TaskMix::new(train, batches.seed)?, task_files(tasks, data)?);
                Ok(Self { mix, rows, given: Vec::new(), eval, files })
            }
        }
    }
}

/// Errors of several inputs as one.
fn together(mut errors: Vec<predict::Error>) -> Option<Error> {
    let mut messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
    // Both splits of a task may lack the same folder.
    messages.dedup();
    if messages.len() < 2 {
        return errors.pop().map(Error::from);
    }
    let problem = |message| Problem { message, usage: false, missing: false };
    Some(Error::Inputs(messages.into_iter().map(problem).collect()))
}

/// Training windows and dev questions.
pub struct SpanData {
    /// To train on.
    pub train: SpanTrainSet,
    /// To evaluate on.
    pub eval: SpanEval,
    /// Where both come from.
    pub files: Files,
}

impl SpanData {
    /// Reads and encodes a training and a dev file; `notes` gets what of the former teaches less than it could.
    ///
    /// # Errors
    /// Files that are missing or damaged, or a dev file without answers.
    pub fn read(
        version: SquadVersion,
        (train, dev): (PathBuf, PathBuf),
        encoder: &TextEncoder,
        settings: &SpanSettings,
        batches: BatchSettings,
        notes: &mut Vec<Note>,
    ) -> Result<Self> {
        let (questions, dev_questions) = (Dataset::read(&train)?, Dataset::read(&dev)?);
        let set = SpanEvalSet::new(dev_questions, encoder, version, settings.windows, settings.batch_size)?;
        if set.gold().is_none() {
            return Err(predict::Error::Mismatch(format!("{}: has no answers to evaluate on", dev.display())).into());
        }
        let eval = SpanEval { set, decode: settings.decoding, threshold: settings.threshold };
        let train_set = SpanTrainSet::new(&questions, encoder, version, settings.windows, batches)?;
        if let Some(first) = train_set.issues().first() {
            let (count, id) = (train_set.issues().len(), &questions.questions[first.question].id);
            let trouble = first.trouble;
            notes.push(Note::Warning(format!(
                "{}: {count} questions teach less than they could, the first is {id}: {trouble}",
                train.display()
            )));
        }
        let files = vec![("squad train".to_owned(), train), ("squad dev".to_owned(), dev)];
        Ok(Self { train: train_set, eval, files })
    }
}

/// Text to learn from.
pub struct TextData {
    /// The batches.
    pub text: Arc<dyn TextSource>,
    words: Option<(WordMask, Option<HeldOutWords>)>,
    /// Where all of it comes from.
    pub files: Files,
}

impl TextData {
    /// Opens a corpus, of which `sequences` are needed at most, whose words `mask` hides.
    ///
    /// # Errors
    /// As [`Corpus::open`].
    pub fn open(
        corpus: &Corpus,
        mask: Option<WordMask>,
        encoder: &TextEncoder,
        batches: BatchSettings,
        sequences: Option<usize>,
    ) -> Result<Self> {
        // Text is packed as far as the steps need it; shards are there already.
        let most = corpus.max_len().map_or(sequences, |_| None);
        let text = corpus.open(encoder, batches, most)?;
        Ok(Self { text, words: mask.map(|mask| (mask, None)), files: corpus.files("corpus") })
    }

    /// Holds out text, the first 1,000 sequences of `corpus`, of whose hidden words the student is asked; nothing where no words are
    /// hidden.
    ///
    /// # Errors
    /// As [`Corpus::open_any`]; text without a word to hide.
    pub fn hold_out(&mut self, corpus: &Corpus, encoder: &TextEncoder, batches: BatchSettings) -> Result<()> {
        if let Some((mask, held_out)) = &mut self.words {
            self.files.extend(corpus.files("eval-corpus"));
            let text = corpus.open_any(encoder, batches, Some(HELD_OUT_SEQUENCES))?;
            *held_out = Some(HeldOutWords::new(text.as_ref(), mask)?);
        }
        Ok(())
    }

    /// How its words are hidden and asked for, where they are.
    pub fn words(&self) -> Option<MlmTask<'_>> {
        self.words.as_ref().map(|(mask, held_out)| MlmTask { mask, held_out: held_out.as_ref() })
    }
}
