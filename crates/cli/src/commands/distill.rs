//! `distill`: a student learns from a teacher, on text or on tasks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bert_core::{BertConfig, ModelDir, Package, Parts, TaskModel};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use glue_squad::task::Task;
use kd::cache::{ByteSize, CacheReport, Format, TeacherCache};
use kd::from_teacher::{self, Part};
use kd::inherit::{embedded, inherited};
use kd::objective::{Mlm, Objective, Preset, Shape, Source};
use mlp_space::StudentShape;
use model_dir::Origin;
use pipeline::check_teacher::Unfit;
use pipeline::corpus::Corpus;
use pipeline::input_files::{Files, model_files};
use pipeline::jobs::with_distillation;
use pipeline::teachers::{TeacherSource, Teachers};
use pipeline::training_data::{TextData, TrainingData};
use pipeline::vocabulary::{Texts, Trim};
use predict::card::scored_card;
use predict::heads::AnsweringHead;
use predict::majority::card_lines;
use serde::Serialize;
use tokenizer::TextEncoder;

use super::teacher::labeled_data;
use crate::arch_spec::{ShapeArgs, resolve_with};
use crate::beginning::{Inheritance, as_teacher, check_beginning};
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::inputs::must_all_exist;
use crate::interrupt;
use crate::models::{capped_length, check_segments, check_tables, explained_transfer, load, warn_of};
use crate::objective_spec::{project, read_objective, with_words};
use crate::own_task::{ChosenData, OwnTaskArgs};
use crate::squad::{SpanSettings, SpanTrainingArgs};
use crate::tasks::{self, TrainingTasks};
use crate::teachers;
use crate::training::{Training, TrainingArgs, shown, taken_apart};
use crate::training_summary::TrainingResult;
use crate::trim_vocab::{self, TrimVocabArgs};
use crate::words::{WordArgs, Words};

/// What `--init` says where the student starts from random weights.
const RANDOM: &str = "random";

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert distill --arch efficientbert --teacher models/bert-base --corpus text/ --out general --steps 10000
  efficientbert distill --arch efficientbert --teacher models/bert-base --corpus packed/wiki --out general --epochs 10
  efficientbert distill --init general --teacher teachers/sst-2 --task sst-2 --data glue --out student
  efficientbert distill --arch efficientbert --teacher teachers/reviews --inherit teacher --train reviews.csv --text review --label stars --out small
  efficientbert distill --init general --teacher teachers/squad --task squad-v1 --data squad --out reader
  efficientbert distill --init general --task mrpc --teacher mrpc=teachers/mrpc --task rte --teacher rte=teachers/rte --data glue --out two
  efficientbert distill --arch efficientbert++ --init student --inherit doubled --teacher models/bert-base --corpus text/ --out plus
  efficientbert distill --arch efficientbert --teacher teachers/sst-2 --inherit teacher --task sst-2 --data glue --out student
  efficientbert distill --arch mobilebert --teacher models/ib-bert --corpus packed/wiki --method mobilebert-progressive --out mobile
  efficientbert distill --init general --teacher models/bert-base --corpus text/ --eval-corpus held-out.txt --mlm --out words

The objective decides what the student learns: by default attention scores and hidden states on text, and on tasks the teacher's \
answers too (SQuAD: its start and end scores of every token); layer i of the student \
learns from layer i * (teacher layers) / (student layers). `efficientbert objective list` shows the others; `--objective labels` \
trains the same student without the teacher's help. A student made on text keeps the projection to the teacher's \
width for a later --task; one made on tasks does not need it any more. \
Sizes of expressions that are not given are the teacher's where scores and tables are compared (heads, vocabulary, positions).")]
pub struct DistillArgs {
    /// The student, as in `arch show` [default: that of --init].
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Model directory of the teacher, or its name on the Hugging Face hub; with --task it needs that head. With several --task it may be repeated, once for each task:
    /// a batch of a task learns from that task's teacher. All stay in memory, and must have the same layers, width, attention heads
    /// and tokenizer.
    #[arg(long = "teacher", value_name = "[TASK=]DIR|ORG/NAME", required = true,
        value_parser = OsStringValueParser::new().map(TeacherSource::from))]
    teachers: Vec<TeacherSource>,
    /// Logits of the training examples, by any model, in place of the teacher's: JSON Lines with `row` and `logits`, a table with `row` and a column for each label, or
    /// safetensors; of tags JSON Lines with a list for each word. Of several files the mean. --teacher then gives the tokenizer and sizes alone; layers are not compared.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["corpus", "teacher_cache", "unchecked_teacher"])]
    teacher_logits: Vec<PathBuf>,
    /// How much each file of --teacher-logits counts, in their order [default: all the same].
    #[arg(long, value_name = "WEIGHT", requires = "teacher_logits")]
    teacher_weight: Vec<f64>,
    /// Width of the student's vectors, behind a dense layer [default: its hidden width, without one]. With the width of the teacher's vectors both stand in one
    /// space: what was indexed with the teacher is found by the student.
    #[arg(long, value_name = "N", conflicts_with = "corpus", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    dimensions: Option<u32>,
    /// Learn from a teacher whose labels seem to stand in another order than they are called, which is refused otherwise.
    #[arg(long, conflicts_with = "corpus")]
    unchecked_teacher: bool,
    /// Text files, folders of .txt files, or one folder that `data pack` made; of that one --max-len is the default.
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present_any = ["tasks", "train"],
        conflicts_with_all = ["tasks", "train"])]
    corpus: Vec<PathBuf>,
    /// The task: sst-2, cola, mrpc, sts-b, qqp, mnli, qnli, rte, wnli, or a TOML file that describes one, which may be repeated; or
    /// squad-v1, squad-v2.
    #[arg(long = "task", value_name = "TASK|FILE", value_parser = tasks::parse)]
    tasks: Vec<Task>,
    /// Folder of GLUE tasks, or the task's own folder; SQuAD: the folder with the official train and dev file, or a training
    /// file [default of a described task: the folder of its description].
    #[arg(long, value_name = "DIR|FILE", requires = "tasks")]
    data: Option<PathBuf>,
    /// Where weights come from: a student's model directory, its name on the Hugging Face hub, or `random`.
    #[arg(long, value_name = "DIR|ORG/NAME|random", default_value = RANDOM)]
    init: PathBuf,
    /// What the student takes over: all of --init, a part of it, or what can be computed from the teacher's weights.
    #[arg(long, value_enum, default_value_t)]
    inherit: Inheritance,
    /// Leave a part of --inherit teacher out, to measure what it brings; may be repeated.
    #[arg(long, value_enum, value_name = "PART")]
    inherit_without: Vec<Part>,
    /// Start from the teacher's embedding, which must have the student's sizes, as in MobileBERT's transfer; it replaces that of
    /// --init.
    #[arg(long)]
    teacher_embedding: bool,
    /// What is learned: a name that `objective list` shows, or a TOML file with a section `[distill]` [default: that of --method, or
    /// efficientbert].
    #[arg(long, value_name = "PRESET|FILE")]
    objective: Option<String>,
    /// Folder in which the teacher's answers are kept for the next student that is shown the same batches: same data, seed, batch
    /// size, lengths and --length-window. Damaged entries are computed again; delete the folder when it is no longer needed.
    #[arg(long, value_name = "DIR")]
    teacher_cache: Option<PathBuf>,
    /// Most bytes in that folder; what does not fit is computed again.
    #[arg(long, value_name = "SIZE", requires = "teacher_cache", default_value = "8 GiB")]
    teacher_cache_bytes: ByteSize,
    /// Number format of these answers: f32, as they are, or f16, half the bytes; the student then learns from rounded answers.
    #[arg(long, value_name = "FORMAT", requires = "teacher_cache", default_value_t)]
    teacher_cache_format: Format,
    #[command(flatten)]
    words: WordArgs,
    #[command(flatten)]
    pub(super) training: TrainingArgs,
    #[command(flatten)]
    squad: SpanTrainingArgs,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    trim: TrimVocabArgs,
    #[command(flatten)]
    own: OwnTaskArgs,
}

impl DistillArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        let mut named = self.own.named();
        named.extend(self.teachers.iter_mut().map(|teacher| Named::model("--teacher", &mut teacher.dir)));
        if self.init.as_os_str() != RANDOM {
            named.push(Named::model("--init", &mut self.init));
        }
        named
    }
}

#[derive(Serialize)]
struct RecordedOptions {
    name: &'static str,
    student: String,
    /// Which of the teachers teaches each task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    teachers: Vec<usize>,
    tasks: Vec<Task>,
    inherit: Inheritance,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inherit_without: Vec<Part>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    teacher_embedding: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    squad: Option<SpanSettings>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    teacher_weights: Vec<f64>,
    /// How often a piece that is kept stands in the training texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    trim_vocab: Option<u32>,
    /// Number format of the teacher's answers, where it is not exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<Format>,
    /// As it was read: a file may have changed since.
    objective: Objective,
}

pub fn run(mut args: DistillArgs, context: &Context) -> Result<(), CliError> {
    let ChosenData { tasks, data } = args.own.or_of(&args.tasks, args.data.as_deref(), context)?;
    (args.tasks, args.data) = (tasks, data);
    let args = &args;
    let chosen = args.check()?;
    let objective = args.learned()?;
    let corpus = Corpus::find(&args.corpus)?;
    let teachers = teachers::load(&args.teachers, &args.tasks, context)?;
    let init = args.initial().map(|dir| load("--init", dir, context)).transpose()?;
    let trim = args.trimmed(&teachers, &corpus, context)?;
    let (teachers, init) = match &trim {
        Some(trim) => {
            let init = init.map(|dir| trim_vocab::init(trim, &dir, context)).transpose()?;
            let on = (&args.tasks[..], args.data.as_deref());
            // A run that goes on has said it.
            let is_asked = args.teacher_logits.is_empty() && !args.training.resume;
            let max_len = args.training.max_len(&chosen) as usize;
            (trim_vocab::teachers(trim, &teachers, on, (is_asked, max_len), context)?, init)
        }
        None => (teachers, init),
    };
    let encoder = &teachers.encoder;
    let config = student_config(args, &chosen, init.as_ref(), teachers.config())?;
    check_tables("--arch", &config, encoder)?;
    let pairs = chosen.pairs().map(ToString::to_string).or(corpus.has_pairs().then(|| "--corpus".to_owned()));
    check_segments("--teacher", teachers.config(), encoder, pairs.as_ref())?;
    check_segments("--arch", &config, encoder, pairs.as_ref())?;
    warn_of(encoder, context);
    let source = if args.tasks.is_empty() { Source::Text } else { Source::Tasks };
    let shapes = (
        Shape::with_words(&config, objective.mlm.is_some()),
        Shape::with_words(teachers.config(), teachers.score_words()),
    );
    let plan = |steps| {
        let plan = objective.plan(shapes.0, shapes.1, source, steps);
        plan.context(format!("--teacher {} cannot teach this student", teachers.assignment.said)).or_usage()
    };
    // The number of steps may follow from the data; all else is checked before they are read.
    let unbound = plan(0)?;
    if !args.teacher_logits.is_empty() && !unbound.asks_logits() {
        return Err(
            CliError::usage("--objective: learns nothing from --teacher-logits").with_hint("use --objective logits")
        );
    }
    if !args.teacher_logits.is_empty() && !unbound.layers().is_empty() {
        let message =
            "--objective: compares layers, and of the model behind --teacher-logits only its logits are known";
        return Err(CliError::usage(message).with_hint("use --objective logits, or leave it out"));
    }
    if source == Source::Tasks && !unbound.has_prediction() && args.training.evaluates_often() {
        return Err(CliError::usage("--eval-every: the objective has no prediction term, so the heads learn nothing"));
    }
    let asks_teacher = unbound.asks_logits() && args.teacher_logits.is_empty();
    let heads = match asks_teacher {
        true => answering(&teachers, context)?,
        false => {
            config.task_heads.iter().map(|head| AnsweringHead::in_order(0, head.outputs(config.hidden_size))).collect()
        }
    };
    let words = args.words.words(unbound.mlm(), &corpus, encoder, args.training.seed)?;
    let parts = Parts::POOLER;
    let parts = if words.is_some() { parts.with_words(&config) } else { parts };
    let student = student(args, (&config, parts), init.as_ref(), &teachers, context)?;
    if args.inherit == Inheritance::Teacher {
        check_beginning((&config, parts), &unbound, &teachers)?;
    }

    let positions = config.max_position_embeddings.min(teachers.positions());
    let max_len = match corpus.max_len() {
        // Shards are not cut: what does not fit the positions is refused with both numbers.
        Some(packed) => args.training.given_max_len().unwrap_or(packed).min(positions),
        None => capped_length(args.training.max_len(&chosen), positions, context),
    };
    let mut taught = match &args.data {
        Some(data) => labeled_data(&chosen, data, (&args.squad, &args.training), encoder, max_len, context)?,
        None => TrainingData::Text(text(args, &corpus, words, encoder, max_len)?),
    };
    args.take_logits(&mut taught)?;
    if asks_teacher && !args.training.resume {
        judge(args, (&teachers, &heads), &taught, context)?;
    }
    let steps = args.training.steps(taught.batches_per_epoch());
    let plan = plan(steps)?;
    let settings = settings(args, (&chosen, &teachers), max_len, &config, &objective)?;
    let init_files = init.as_ref().map_or_else(Files::new, |dir| model_files("init", &dir.path));
    let given = args.teacher_logits.iter().map(|path| ("teacher-logits".to_owned(), path.clone()));
    let files = [teachers.files(), init_files, taught.files().clone(), given.collect()].concat();
    let training = Training::open(context, &args.training, (steps, max_len), &settings, &files)?;
    let student = match args.inherit {
        Inheritance::Teacher => {
            let settings = from_teacher::Settings {
                without: args.inherit_without.clone(),
                ..from_teacher::Settings::new(args.training.seed)
            };
            as_teacher((student, &config, parts), (&plan, &heads), (&teachers, &taught), &settings, context)?
        }
        _ => student,
    };
    if args.teacher_cache.is_some() && plan.mlm().is_some_and(Mlm::asks_teacher) {
        context
            .progress
            .warn("--teacher-cache: what the teacher says of hidden words is not kept; they are others in every epoch");
    }
    let cache = args.teacher_cache.as_ref();
    let cache = cache.map(|dir| TeacherCache::in_folder(dir, args.teacher_cache_bytes, args.teacher_cache_format));
    let cache = cache.transpose()?.map(Arc::new);
    let (teacher, heads) = teachers.as_one(heads, cache.as_ref(), &plan, &context.devices)?;
    let trained = with_distillation(&*teacher, heads, &plan, &taught, |job| training.run("distill", student, job));
    let (student, mut done) = trained.map(taken_apart)?;
    if done.evaluation.is_some() {
        done.majority = taught.majority()?;
    }
    if let Some(cache) = &cache {
        tell(cache, context);
    }
    let evaluation = done.evaluation.clone().unwrap_or_default();
    let card = card(args, (&teachers, trim.as_ref()), &done);
    let card = scored_card(&card, &Origin::default(), &config, &evaluation, &done.majority);
    let files = encoder.files(config.max_position_embeddings)?;
    let keep_fit = args.tasks.is_empty();
    training.save((&config, &student), Package { card: &card, files: &files, keep_fit }, &done)
}

impl DistillArgs {
    /// Refuses what the options alone say cannot be.
    fn check(&self) -> Result<TrainingTasks, CliError> {
        self.training.check()?;
        self.inputs_exist()?;
        let chosen = TrainingTasks::new(&self.tasks)?;
        self.squad.check(&chosen)?;
        if self.tasks.is_empty() && self.words.eval_corpus.is_empty() && self.training.evaluates_often() {
            let message =
                "--eval-every: there is nothing to evaluate on text; it goes with --task, or with --eval-corpus";
            return Err(CliError::usage(message));
        }
        self.inherit.check(self.initial().is_some(), self.takes_embedding(), &self.inherit_without)?;
        Ok(chosen)
    }

    /// Refuses paths that name nothing, all at once. A single model that is missing is left to what loads it, which knows more about it.
    fn inputs_exist(&self) -> Result<(), CliError> {
        fn of<'a>(option: &'static str, paths: &'a [PathBuf]) -> impl Iterator<Item = (&'static str, &'a Path)> {
            paths.iter().map(move |path| (option, path.as_path()))
        }
        let models: Vec<(&str, &Path)> = self
            .teachers
            .iter()
            .map(|teacher| ("--teacher", teacher.dir.as_path()))
            .chain(self.initial().map(|dir| ("--init", dir)))
            .collect();
        let data = of("--data", self.data.as_slice());
        let others = data.chain(of("--corpus", &self.corpus)).chain(of("--eval-corpus", &self.words.eval_corpus));
        let others: Vec<(&str, &Path)> = others.collect();
        let alone =
            others.iter().all(|(_, path)| path.exists()) && models.iter().filter(|(_, dir)| !dir.exists()).count() == 1;
        if alone { Ok(()) } else { must_all_exist(models.into_iter().chain(others)) }
    }

    /// Reads the logits that take the place of the teacher's.
    fn take_logits(&self, taught: &mut TrainingData) -> Result<(), CliError> {
        if self.teacher_logits.is_empty() {
            return Ok(());
        }
        let refused = |why: &str| Err(CliError::usage(format!("--teacher-logits: {why}")));
        let (TrainingData::Tasks(data), [task]) = (taught, self.tasks.as_slice()) else {
            return refused("goes with one task of classes, labels, numbers or tags");
        };
        let (files, weights) = (self.teacher_logits.len(), &self.teacher_weight);
        if !weights.is_empty() && weights.len() != files {
            let message = format!("--teacher-weight: {} weights for {files} files of logits", weights.len());
            return Err(CliError::usage(message));
        }
        if let Some(wrong) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
            return Err(CliError::usage(format!("--teacher-weight {wrong}: no number above 0")));
        }
        let weighed = self.teacher_logits.iter().enumerate().map(|(at, path)| {
            let weight = weights.get(at).copied().unwrap_or(1.0);
            pipeline::given_logits::Weighed { path: path.clone(), weight }
        });
        let weighed: Vec<_> = weighed.collect();
        let (rows, examples) = (&data.rows[0], data.mix.sets()[0].features());
        let read = pipeline::given_logits::read(&weighed, task, rows, examples);
        data.given = vec![read.context("--teacher-logits")?];
        Ok(())
    }

    /// The vocabulary that the texts of this training need, where it is to be trimmed.
    fn trimmed(&self, teachers: &Teachers, corpus: &Corpus, context: &Context) -> Result<Option<Trim>, CliError> {
        let texts = match &self.data {
            Some(data) => Texts::Tasks { tasks: &self.tasks, data, most: None },
            None => Texts::Corpus(corpus),
        };
        self.trim.trim(&teachers.encoder, texts, teachers.positions(), context)
    }

    /// Where weights come from; `None` for random ones.
    fn initial(&self) -> Option<&Path> {
        Some(self.init.as_path()).filter(|dir| dir.as_os_str() != RANDOM)
    }

    fn takes_embedding(&self) -> bool {
        self.teacher_embedding || self.training.file.as_ref().is_some_and(|m| m.settings.teacher_embedding)
    }

    /// The method file, if it says what is learned and --objective does not.
    fn method(&self) -> Option<(&str, &Objective)> {
        let method = self.training.file.as_ref().filter(|_| self.objective.is_none())?;
        Some((&method.name, method.settings.distill.as_ref()?))
    }

    fn learned(&self) -> Result<Objective, CliError> {
        let objective = match (self.method(), &self.objective) {
            (Some((_, objective)), _) => objective.clone(),
            (None, Some(text)) => read_objective(text)?,
            (None, None) if !self.teacher_logits.is_empty() => {
                Objective { preset: Some(Preset::Logits), ..Objective::default() }
            }
            (None, None) => Objective::default(),
        };
        Ok(with_words(objective, self.words.mlm))
    }

    fn objective_name(&self) -> String {
        let given = self.method().map(|(name, _)| name).or(self.objective.as_deref());
        let usual = if self.teacher_logits.is_empty() { Preset::default() } else { Preset::Logits };
        given.map_or_else(|| usual.to_string(), str::to_owned)
    }
}

/// The teachers' heads for their tasks. What a person should know of them is said once.
fn answering(teachers: &Teachers, context: &Context) -> Result<Vec<AnsweringHead>, CliError> {
    let said = |(dir, head): (&Path, AnsweringHead)| {
        if let Some(note) = &head.note {
            context.progress.warn(&format!("--teacher {}: {note}", dir.display()));
        }
        head
    };
    Ok(teachers.heads().map_err(teachers::explained)?.into_iter().map(said).collect())
}

/// Asks the teachers about some dev examples. Labels in another order are refused; that a teacher knows no more than one answer to
/// everything is said.
fn judge(
    args: &DistillArgs,
    (teachers, heads): (&Teachers, &[AnsweringHead]),
    data: &TrainingData,
    context: &Context,
) -> Result<(), CliError> {
    let TrainingData::Tasks(data) = data else { return Ok(()) };
    interrupt::install(&context.progress)?;
    let found = teachers.unfit(heads, &data.eval, &context.device, interrupt::flag());
    let found = found.map_err(|error| match error.is_interruption() {
        true => CliError::interrupted("stopped before the training; nothing was written"),
        false => error.into(),
    })?;
    for (dir, why) in &found {
        let said = format!("--teacher {}: {}", dir.display(), why.said());
        if matches!(why, Unfit::Exchanged(_)) && !args.unchecked_teacher {
            return Err(CliError::usage(said).with_hint("--unchecked-teacher learns from it as it is"));
        }
        context.progress.warn(&said);
    }
    Ok(())
}

/// Opens the corpora of a training on text.
fn text(
    args: &DistillArgs,
    corpus: &Corpus,
    words: Option<Words>,
    encoder: &TextEncoder,
    max_len: usize,
) -> Result<TextData, CliError> {
    let (batches, sequences) = (args.training.batches(max_len), args.training.sequences());
    let Some(Words { mask, held_out }) = words else {
        return Ok(TextData::open(corpus, None, encoder, batches, sequences)?);
    };
    let mut data = TextData::open(corpus, Some(mask), encoder, batches, sequences)?;
    if let Some(held_out) = held_out {
        data.hold_out(&held_out, encoder, batches).context("--eval-corpus")?;
    }
    Ok(data)
}

/// Reports how many answers came from the cache.
fn tell(cache: &TeacherCache, context: &Context) {
    for note in cache.take_notes() {
        context.progress.warn(&note);
    }
    let CacheReport { hits, misses, refused, entries, bytes, .. } = cache.report();
    let mib = bytes as f64 / (1u64 << 20) as f64;
    let full = if refused > 0 { format!("; {refused} did not fit") } else { String::new() };
    context.progress.message(&format!(
        "the teacher's answers: {hits} of {} came from the cache; it now holds {entries}, {mib:.1} MiB{full}",
        hits + misses
    ));
}

/// The student as it begins: random weights, over them those of `init`, over them the teacher's embedding, as far as they are asked for.
fn student(
    args: &DistillArgs,
    (config, parts): (&BertConfig, Parts),
    init: Option<&ModelDir>,
    teachers: &Teachers,
    context: &Context,
) -> Result<TaskModel, CliError> {
    let fresh = TaskModel::new(config, parts, &context.device)?;
    let mut student = fresh.initialized(config, args.training.seed);
    if let Some(dir) = init {
        if !dir.config.task_heads.is_empty() || dir.model.parts().mlm && !parts.mlm {
            context.progress.message("the heads of --init are left behind");
        }
        if dir.model.has_fit() && dir.config.fit_size != config.fit_size {
            context.progress.warn("the projection in --init leads to another width; a new one is made");
        }
        let how = args.inherit.of_init().unwrap_or_default();
        let taken = inherited(student, config, dir, how).map_err(explained_transfer);
        student = taken.context("--init does not fit the student")?;
    }
    match args.takes_embedding() {
        true => Ok(embedded(student, config, teachers.only().map_err(teachers::explained)?)?),
        false => Ok(student),
    }
}

/// The student's configuration with the heads of this training and a projection to the teacher's width.
fn student_config(
    args: &DistillArgs,
    chosen: &TrainingTasks,
    init: Option<&ModelDir>,
    teacher: &BertConfig,
) -> Result<BertConfig, CliError> {
    let width = teacher.state_width();
    let defaults = StudentShape {
        vocab: teacher.vocab_size,
        heads: teacher.num_attention_heads,
        max_positions: teacher.student_positions(),
        segments: teacher.type_vocab_size,
        fit: Some(width),
        ..StudentShape::efficientbert()
    };
    let mut config = match (&args.arch, init) {
        (Some(arch), _) => resolve_with(arch, &args.shape, &defaults)?.config,
        (None, Some(dir)) => {
            if let Some(option) = args.shape.first_given().or(args.shape.is_transfer().then_some("--into")) {
                return Err(CliError::usage(format!("{option} has no effect without --arch"))
                    .with_hint("the sizes are those of --init"));
            }
            dir.config.clone()
        }
        (None, None) => {
            let message = "the student's architecture is missing: neither --arch nor --init is given";
            return Err(CliError::usage(message).with_hint("give --arch efficientbert or --init DIR"));
        }
    };
    project(&mut config, &args.shape, teacher);
    // A student that goes on keeps the width of its vectors.
    let goes_on = args.arch.is_none() && config.task_heads.iter().any(|head| head.vector.is_some());
    config.task_heads = if goes_on { chosen.heads(&config) } else { chosen.student_heads(teacher) };
    if let Some(size) = args.dimensions {
        let vectors: Vec<_> = config.task_heads.iter_mut().filter_map(|head| head.vector.as_mut()).collect();
        if vectors.is_empty() {
            return Err(CliError::usage("--dimensions: no task is learned by vectors")
                .with_hint("--kind similarity and --kind retrieval are"));
        }
        vectors.into_iter().for_each(|vector| vector.size = Some(size as usize));
    }
    config.pad_token_id = teacher.pad_token_id;
    Ok(config.with_dropout(0.0))
}

fn settings(
    args: &DistillArgs,
    (chosen, teachers): (&TrainingTasks, &Teachers),
    max_len: usize,
    config: &BertConfig,
    objective: &Objective,
) -> Result<RecordedOptions, CliError> {
    Ok(RecordedOptions {
        name: "distill",
        // The architecture itself: a file that --arch names may have changed since.
        student: serde_json::to_string(config)?,
        teachers: teachers.assignment.of.clone(),
        tasks: args.tasks.iter().map(Task::without_files).collect(),
        inherit: args.inherit,
        inherit_without: args.inherit_without.clone(),
        teacher_embedding: args.takes_embedding(),
        squad: args.squad.settings(chosen, max_len)?,
        teacher_weights: args.teacher_weight.clone(),
        trim_vocab: args.trim.trim_vocab,
        answers: Some(args.teacher_cache_format).filter(|format| *format != Format::F32),
        objective: objective.clone(),
    })
}

fn card(args: &DistillArgs, (teachers, trim): (&Teachers, Option<&Trim>), done: &TrainingResult) -> String {
    let TrainingResult { steps, evaluation, majority, .. } = done;
    let name = args.training.out.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let list = |items: Vec<String>| items.join(", ");
    let on = match args.tasks.is_empty() {
        true => format!("on text ({})", list(args.corpus.iter().map(|p| shown(p)).collect())),
        false => format!("on {}", list(args.tasks.iter().map(ToString::to_string).collect())),
    };
    let from = match (args.inherit, args.initial()) {
        (Inheritance::Teacher, _) => "weights computed of the teacher's".into(),
        (_, Some(dir)) => format!("`{}`", shown(dir)),
        (_, None) => "random weights".into(),
    };
    let held_out = if args.tasks.is_empty() { "held-out text" } else { "dev scores" };
    let scores = evaluation.as_ref().map_or_else(String::new, |e| format!("; {held_out}: {e}"));
    let lines = evaluation.as_ref().map_or_else(String::new, |e| card_lines(e, majority));
    let logits = list(args.teacher_logits.iter().map(|p| format!("`{}`", shown(p))).collect());
    let teacher = if logits.is_empty() { teachers.described.clone() } else { format!("the logits in {logits}") };
    let objective = args.objective_name();
    let vocabulary = trim.map_or_else(String::new, |trim| format!("\nOf the teacher, {}.\n", trim.said()));
    format!(
        "# {name}\n\nDistilled from {teacher} {on} in {steps} steps (objective `{objective}`), starting from {from}{scores}\n{vocabulary}{lines}"
    )
}
