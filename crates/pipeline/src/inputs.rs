//! Tokenizer, task sets and packed text of a run.

mod trimmed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bert_core::{CONFIG_FILE, WEIGHTS_FILE};
use corpus::MaskSettings;
use glue_squad::features::Features;
use glue_squad::task::{Split, Task};
use predict::examples::Examples;
use tokenizer::TextEncoder;
use train::data::{BatchSettings, EvalSet, TaskMix, TrainSet};
use train::mlm::WordMask;
use train::text::{TextSet, TextSource};

use crate::corpus::Corpus;
use crate::input_files::{digests, task_files};
use crate::input_record::LEARNED_TOKENIZER;
use crate::phase::{Data, phases, trainings};
use crate::recipe::{Phase, Recipe};
use crate::vocabulary::Trim;
use crate::{Error, Problem, Result};

/// Everything a run reads. What a phase has encoded is kept for the next ones: they read the same splits and texts again and again.
#[derive(Debug)]
pub struct Inputs {
    /// The teacher's tokenizer, or the one that was learned, which the student shares.
    pub encoder: TextEncoder,
    /// How its vocabulary was trimmed, where it was.
    pub trim: Option<Trim>,
    glue: PathBuf,
    corpus: Corpus,
    kept: Mutex<EncodedInputs>,
}

/// What was encoded in this run so far, and what is worth saying about it.
#[derive(Debug, Default)]
struct EncodedInputs {
    /// By task, split and longest sequence.
    examples: BTreeMap<(Task, Split, usize), Arc<Vec<Features>>>,
    /// Text packed in memory, by longest sequence.
    packed: BTreeMap<usize, Arc<Vec<Features>>>,
    /// Batches of it, by longest sequence, batch size, window and seed of their order.
    texts: BTreeMap<([usize; 3], u64), Arc<dyn TextSource>>,
    notes: Vec<String>,
}

impl Inputs {
    /// Finds the data of `recipe`, and judges what shows without reading all of it; the pocket data are generated into `scratch`. The
    /// tokenizer is the teacher's, or is learned from the corpus.
    ///
    /// # Errors
    /// Folders or files that do not exist, cannot be read or are not what they should be: all of them, in [`Error::Inputs`];
    /// [`Error::Interrupted`] once `stop` is set.
    pub fn open(recipe: &Recipe, scratch: &Path, stop: &AtomicBool) -> Result<Self> {
        let Some(glue) = &recipe.data.glue else {
            write_pocket(scratch)?;
            let corpus = Corpus::Text(vec![scratch.join("corpus.txt")]);
            return Ok(Self::new(TextEncoder::from_dir(scratch)?, scratch.to_path_buf(), corpus));
        };
        let mut problems = missing(recipe);
        let there = |path: &Path| path.exists();
        let corpora = &recipe.data.corpus;
        let corpus = corpora.iter().all(|path| there(path)).then(|| Corpus::find(corpora));
        let teacher = recipe.teacher.model.as_deref();
        let encoder = match (teacher, &recipe.teacher.tokenizer, &corpus) {
            (Some(teacher), ..) => there(teacher).then(|| TextEncoder::from_dir(teacher).map_err(Error::from)),
            (None, Some(settings), Some(Ok(corpus))) => Some(corpus.learn_tokenizer(settings, stop)),
            // What is wrong with the corpus is said below; the recipe was refused where it names no tokenizer.
            (None, ..) => None,
        };
        if let Some(Err(Error::Interrupted)) = encoder {
            return Err(Error::Interrupted);
        }
        if there(glue) {
            let splits = recipe.tasks.iter().flat_map(|task| [Split::Train, Split::Dev].map(|split| (task, split)));
            let found = splits.filter_map(|(task, split)| task.find_all(glue, split).err());
            add(&mut problems, found.map(Error::from));
        }
        match (encoder, corpus) {
            (Some(Ok(encoder)), Some(Ok(corpus))) => {
                let mut inputs = Self::new(encoder, glue.clone(), corpus);
                if let Some(teacher) = teacher.filter(|_| problems.is_empty()) {
                    add(&mut problems, inputs.trim_for(recipe, teacher).err());
                }
                if corpora.is_empty() && recipe.reads_text() {
                    let note =
                        "no corpus is given: general distillation learns from the texts of the training examples";
                    inputs.kept().notes.push(note.to_owned());
                }
                // Shards of another tokenizer or length must show before an hour of training.
                let phases = phases(recipe);
                let on_text = trainings(&phases).map(|(_, training)| training).filter(|t| t.data == Data::Text);
                for training in on_text.filter(|training| training.settings.train.steps > 0) {
                    let max_len = Self::settings(recipe, &training.settings).max_len;
                    let checked = inputs.corpus.check(&inputs.encoder, max_len);
                    add(&mut problems, checked.err().map(|e| of_key(training.key, e)));
                }
                if problems.is_empty() { Ok(inputs) } else { Err(Error::Inputs(problems)) }
            }
            (encoder, corpus) => {
                add(&mut problems, encoder.and_then(Result::err));
                add(&mut problems, corpus.and_then(Result::err));
                Err(Error::Inputs(problems))
            }
        }
    }

    fn new(encoder: TextEncoder, glue: PathBuf, corpus: Corpus) -> Self {
        let kept = EncodedInputs { notes: encoder.notes().collect(), ..EncodedInputs::default() };
        Self { encoder, trim: None, glue, corpus, kept: Mutex::new(kept) }
    }

    /// The same data for a model with a tokenizer of its own; nothing that was encoded is shared.
    pub(crate) fn with_tokenizer(&self, encoder: TextEncoder) -> Self {
        Self::new(encoder, self.glue.clone(), self.corpus.clone())
    }

    /// Reads everything that the phases of `recipe` will read, and keeps it for them: what is wrong in a file shows before anything
    /// is trained.
    ///
    /// # Errors
    /// [`Error::Inputs`] with all problems; [`Error::Interrupted`] once `stop` is set.
    pub fn read_all(&self, recipe: &Recipe, stop: &AtomicBool) -> Result<()> {
        let stopped = || if stop.load(Ordering::SeqCst) { Err(Error::Interrupted) } else { Ok(()) };
        let mut problems = Vec::new();
        // The largest batch first: what fills it fills the others, and one message is enough.
        let phases = phases(recipe);
        let with_steps = trainings(&phases).filter(|(_, training)| training.settings.train.steps > 0);
        let (mut on_text, on_tasks): (Vec<_>, Vec<_>) =
            with_steps.partition(|(_, training)| training.data == Data::Text);
        on_text.sort_by_key(|(_, training)| std::cmp::Reverse(training.settings.batch_size));
        for (_, training) in on_text {
            match self.text_until(recipe, &training.settings, recipe.seed, Some(stop)) {
                Ok(_) => {}
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(e) => {
                    add(&mut problems, [e]);
                    break;
                }
            }
        }
        for (phase, training) in on_tasks {
            let max_len = Self::settings(recipe, &training.settings).max_len;
            for task in phase.tasks {
                stopped()?;
                add(&mut problems, self.examples(recipe, task, Split::Train, max_len).err());
                if training.evaluated {
                    stopped()?;
                    add(&mut problems, self.examples(recipe, task, Split::Dev, max_len).err());
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Inputs(problems)) }
    }

    /// SHA-256 of every file the run reads, by what it is and its name.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn digests(&self, recipe: &Recipe) -> Result<BTreeMap<String, String>> {
        let mut files = task_files(&recipe.tasks, &self.glue)?;
        files.extend(self.corpus.files("corpus"));
        if let Some(teacher) = &recipe.teacher.model {
            files.extend([CONFIG_FILE, WEIGHTS_FILE].map(|name| ("teacher".into(), teacher.join(name))));
        }
        let mut digests = digests(&files)?;
        let name = if recipe.teacher.tokenizer.is_some() { LEARNED_TOKENIZER } else { "tokenizer" };
        digests.insert(name.into(), run_store::hash::bytes(&self.encoder.to_json()?));
        Ok(digests)
    }

    /// Hides words of the text, as BERT does.
    ///
    /// # Errors
    /// A tokenizer without `[MASK]`.
    pub(crate) fn word_mask(&self, seed: u64) -> Result<WordMask> {
        Ok(WordMask::new(&MaskSettings::default(), &self.encoder, seed)?)
    }

    fn settings(recipe: &Recipe, phase: &Phase) -> BatchSettings {
        let max_len = if phase.max_len == 0 { recipe.max_len } else { phase.max_len };
        let length_window = phase.length_window.unwrap_or(recipe.length_window);
        BatchSettings { length_window, ..BatchSettings::new(phase.batch_size, max_len, recipe.seed) }
    }

    fn kept(&self) -> MutexGuard<'_, EncodedInputs> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found while reading since this was last asked, for people.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.kept().notes)
    }

    /// The examples of a split; encoded once.
    fn examples(&self, recipe: &Recipe, task: &Task, split: Split, max_len: usize) -> Result<Arc<Vec<Features>>> {
        let mut kept = self.kept();
        let key = (task.clone(), split, max_len);
        if let Some(features) = kept.examples.get(&key) {
            return Ok(Arc::clone(features));
        }
        let limit = (split == Split::Train && recipe.data.train_examples > 0).then_some(recipe.data.train_examples);
        let read = Examples::read(task, (&self.glue, split), &self.encoder, max_len, limit)?;
        kept.notes.extend(read.note);
        kept.examples.insert(key, Arc::clone(&read.features));
        Ok(read.features)
    }

    /// The training examples of all tasks as text to learn from, where no corpus is given for tasks of one's own.
    fn training_texts(&self, recipe: &Recipe, max_len: usize) -> Result<Option<Vec<Features>>> {
        if !matches!(&self.corpus, Corpus::Text(files) if files.is_empty()) {
            return Ok(None);
        }
        let mut texts = Vec::new();
        for task in &recipe.tasks {
            let examples = self.examples(recipe, task, Split::Train, max_len)?;
            for example in examples.iter() {
                texts.push(Features { label: None, second: None, ..example.clone() });
                // A text that is read alone is a text by itself.
                texts.extend(example.second.as_ref().map(|ids| Features {
                    ids: ids.clone(),
                    type_ids: vec![0; ids.len()],
                    label: None,
                    words: None,
                    second: None,
                }));
            }
        }
        Ok(Some(texts))
    }

    fn train_set(&self, recipe: &Recipe, task: &Task, phase: &Phase) -> Result<TrainSet> {
        let settings = Self::settings(recipe, phase);
        let features = self.examples(recipe, task, Split::Train, settings.max_len)?;
        Ok(TrainSet::new(task, features, self.encoder.pad_id(), settings)?)
    }

    /// The training examples of all tasks less the held-out part, and that part: to score candidates, and to choose the best weights of
    /// a training.
    ///
    /// # Errors
    /// Files that cannot be read, or one of the two parts would be empty.
    pub fn tasks(&self, recipe: &Recipe, phase: &Phase) -> Result<(TaskMix, Vec<(usize, EvalSet)>)> {
        self.tasks_of(recipe, &recipe.tasks, phase, recipe.seed)
    }

    /// The same of `tasks` for a model with a head for each of them, in their order; `seed` decides the order of the examples, and not
    /// which of them are held out.
    ///
    /// # Errors
    /// As [`Inputs::tasks`].
    pub fn tasks_of(
        &self,
        recipe: &Recipe,
        tasks: &[Task],
        phase: &Phase,
        seed: u64,
    ) -> Result<(TaskMix, Vec<(usize, EvalSet)>)> {
        let settings = BatchSettings { seed, ..Self::settings(recipe, phase) };
        let (mut train, mut eval) = (Vec::new(), Vec::new());
        for (head, task) in tasks.iter().enumerate() {
            let set = self.train_set(recipe, task, phase)?;
            let wanted = recipe.search.score_examples as f64 / set.len() as f64;
            let fraction = match recipe.search.score_examples {
                0 => recipe.data.hold_out,
                _ => recipe.data.hold_out.min(wanted),
            };
            let (kept, held) = set.hold_out(fraction, recipe.seed, settings)?;
            train.push(kept);
            eval.push((head, held));
        }
        Ok((TaskMix::new(train, seed)?, eval))
    }

    /// The dev sets of `tasks` for a model with a head for each of them, in their order.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn dev(&self, recipe: &Recipe, tasks: &[Task], phase: &Phase) -> Result<Vec<(usize, EvalSet)>> {
        let settings = Self::settings(recipe, phase);
        let read = |(head, task): (usize, &Task)| {
            let features = self.examples(recipe, task, Split::Dev, settings.max_len)?;
            Ok((head, EvalSet::new(task, features, self.encoder.pad_id(), settings)?))
        };
        tasks.iter().enumerate().map(read).collect()
    }

    /// At most `most` dev examples of a task, from everywhere in the file, at the recipe's length.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(crate) fn dev_sample(&self, recipe: &Recipe, task: &Task, most: usize) -> Result<Vec<Features>> {
        let features = self.examples(recipe, task, Split::Dev, recipe.max_len)?;
        let count = features.len().min(most);
        Ok((0..count).map(|i| features[i * features.len() / count].clone()).collect())
    }

    /// [`Self::dev_sample`] in batches of `batch_size`, to be scored on.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(crate) fn dev_sample_set(
        &self,
        recipe: &Recipe,
        task: &Task,
        most: usize,
        batch_size: usize,
    ) -> Result<EvalSet> {
        let settings = BatchSettings::new(batch_size, recipe.max_len, recipe.seed);
        let features = self.examples(recipe, task, Split::Dev, recipe.max_len)?;
        Ok(EvalSet::new(task, features, self.encoder.pad_id(), settings)?.sample(most, batch_size)?)
    }

    /// Text for general distillation: packed once, or the shards that `data.corpus` names.
    ///
    /// # Errors
    /// Files that cannot be read, no text in them or less than a batch, or shards that do not fit the phase.
    pub fn text(&self, recipe: &Recipe, phase: &Phase) -> Result<Arc<dyn TextSource>> {
        self.text_until(recipe, phase, recipe.seed, None)
    }

    /// The same in another order, which `seed` decides.
    ///
    /// # Errors
    /// As [`Inputs::text`].
    pub fn text_in_order(&self, recipe: &Recipe, phase: &Phase, seed: u64) -> Result<Arc<dyn TextSource>> {
        self.text_until(recipe, phase, seed, None)
    }

    fn text_until(
        &self,
        recipe: &Recipe,
        phase: &Phase,
        seed: u64,
        stop: Option<&AtomicBool>,
    ) -> Result<Arc<dyn TextSource>> {
        let settings = BatchSettings { seed, ..Self::settings(recipe, phase) };
        let key = ([settings.max_len, settings.batch_size, settings.length_window], seed);
        if let Some(text) = self.kept().texts.get(&key) {
            return Ok(Arc::clone(text));
        }
        let is_packed = self.kept().packed.contains_key(&settings.max_len);
        let texts = match recipe.data.corpus.is_empty() && !is_packed {
            true => self.training_texts(recipe, settings.max_len)?,
            false => None,
        };
        let mut kept = self.kept();
        let most = (recipe.data.corpus_sequences > 0).then_some(recipe.data.corpus_sequences);
        let text: Arc<dyn TextSource> = match &self.corpus {
            Corpus::Packed { .. } => self.corpus.open(&self.encoder, settings, most)?,
            Corpus::Text(_) => {
                let packed = match kept.packed.get(&settings.max_len) {
                    Some(packed) => Arc::clone(packed),
                    None => {
                        let packed = match texts {
                            Some(texts) => texts,
                            None => self.corpus.pack(&self.encoder, settings.max_len, recipe.seed, most, stop)?,
                        };
                        let packed = Arc::new(packed);
                        kept.packed.insert(settings.max_len, Arc::clone(&packed));
                        packed
                    }
                };
                self.corpus.enough(packed.len(), settings)?;
                Arc::new(TextSet::new(packed, self.encoder.pad_id(), settings)?)
            }
        };
        kept.texts.insert(key, Arc::clone(&text));
        Ok(text)
    }
}

/// The inputs of a recipe that are not there.
fn missing(recipe: &Recipe) -> Vec<Problem> {
    let named = |what: &'static str, path: &PathBuf| (!path.exists()).then(|| Problem::missing(what, path));
    let teacher = recipe.teacher.model.iter().filter_map(|path| named("`teacher.model` (--teacher)", path));
    let glue = recipe.data.glue.iter().filter_map(|path| named("`data.glue` (--data)", path));
    let corpus = recipe.data.corpus.iter().filter_map(|path| named("`data.corpus` (--corpus)", path));
    let checkpoints = recipe.compare.checkpoints.iter().filter_map(|path| named("`compare.checkpoints`", path));
    teacher.chain(glue).chain(corpus).chain(checkpoints).collect()
}

/// Adds what `errors` say and no earlier one has said.
pub(crate) fn add(problems: &mut Vec<Problem>, errors: impl IntoIterator<Item = Error>) {
    for problem in errors.into_iter().flat_map(Problem::of) {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

/// Puts the key of a training before what does not fit it.
fn of_key(key: &str, error: Error) -> Error {
    match error {
        Error::Mismatch(message) => Error::Mismatch(format!("`{key}`: {message}")),
        other => other,
    }
}

/// Writes the pocket data; files that are there already with the same bytes are left alone.
fn write_pocket(dir: &Path) -> Result<()> {
    for file in synthetic_tasks::generate(synthetic_tasks::DEFAULT_SEED) {
        let path = dir.join(&file.relative_path);
        if std::fs::read(&path).is_ok_and(|bytes| bytes == file.bytes) {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        run_store::atomic::write_file(&path, &file.bytes)?;
    }
    Ok(())
}
