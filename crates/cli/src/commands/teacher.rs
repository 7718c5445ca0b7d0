//! `teacher`: a BERT fine-tuned on gold labels.

use std::path::{Path, PathBuf};

use bert_core::{BertConfig, Package, Parts, TaskModel};
use clap::Args;
use glue_squad::task::{Split, Task};
use kd::transfer::continue_from;
use pipeline::inputs::{Files, task_files};
use predict::majority::{MajorityBaseline, card_lines};
use serde::Serialize;
use tokenizer::TextEncoder;
use train::data::{EvalSet, TaskMix, TrainSet};
use train::engine::Trained;
use train::fine_tune::FineTune;
use train::span::SpanFineTune;

use crate::context::Context;
use crate::error::CliError;
use crate::inputs::must_all_exist;
use crate::models::{capped_length, check_segments, load_with_tokenizer, model_files, warn_of};
use crate::squad::{SpanData, SpanSettings, SpanTrainingArgs};
use crate::tasks::{self, Chosen, read_examples};
use crate::training::{Training, TrainingArgs, shown, taken_apart};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert teacher --model models/bert-base --task sst-2 --data glue --out teachers/sst-2 --epochs 3
  efficientbert teacher --model models/bert-base --task squad-v1 --data squad --out teachers/squad --epochs 2

The heads are new; encoder and pooler go on from the model. Several --task make one model with a head for each; SQuAD is trained \
alone.")]
pub struct TeacherArgs {
    /// Model directory to go on from.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The task: sst-2, cola, mrpc, sts-b, qqp, mnli, qnli, rte, wnli, which may be repeated; or squad-v1, squad-v2.
    #[arg(long = "task", value_name = "TASK", value_parser = tasks::parse, required = true)]
    tasks: Vec<Task>,
    /// Folder of GLUE tasks, or the task's own folder; SQuAD: the folder with the official train and dev file, or a training
    /// file.
    #[arg(long, value_name = "DIR|FILE")]
    data: PathBuf,
    /// Dropout while training.
    #[arg(long, value_name = "P", default_value_t = 0.1)]
    dropout: f64,
    #[command(flatten)]
    pub(super) training: TrainingArgs,
    #[command(flatten)]
    squad: SpanTrainingArgs,
}

#[derive(Serialize)]
struct Settings {
    name: &'static str,
    tasks: Vec<Task>,
    dropout: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    squad: Option<SpanSettings>,
}

pub fn run(args: &TeacherArgs, context: &Context) -> Result<(), CliError> {
    if !(0.0..1.0).contains(&args.dropout) {
        return Err(CliError::usage(format!("--dropout {}: must be from 0 to below 1", args.dropout)));
    }
    args.training.check()?;
    // A model that alone is missing is left to what loads it, which knows more about it.
    let model = Some(("--model", args.model.as_path())).filter(|_| !args.data.exists());
    must_all_exist(model.into_iter().chain([("--data", args.data.as_path())]))?;
    if let Some(method) = &args.training.file
        && (method.settings.distill.is_some() || method.settings.teacher_embedding)
    {
        let message =
            format!("--method {}: says what a student learns from a teacher; here labels are learnt", method.name);
        return Err(CliError::usage(message).with_hint("leave `distill` and `teacher_embedding` out of the file"));
    }
    let chosen = Chosen::new(&args.tasks)?;
    args.squad.check(&chosen)?;
    let (loaded, encoder) = load_with_tokenizer("--model", &args.model, &context.device)?;
    check_segments("--model", &loaded.config, chosen.pairs())?;
    warn_of(&encoder, context);
    let config = BertConfig { task_heads: chosen.heads(), ..loaded.config.clone() }.with_dropout(args.dropout);
    if loaded.model.parts().mlm || !loaded.config.task_heads.is_empty() {
        context.progress.message("the heads of --model are left behind");
    }
    let fresh = TaskModel::new(&config, Parts::POOLER, &context.device)?;
    let model = continue_from(fresh.initialised(&config, args.training.seed), &loaded.model, &loaded.path)?;
    let max_len = capped_length(args.training.max_len(&chosen), config.max_position_embeddings, context);
    let data = Data::read(&chosen, &args.data, (&args.squad, &args.training), &encoder, max_len, context)?;

    let settings = Settings {
        name: "teacher",
        tasks: args.tasks.clone(),
        dropout: args.dropout,
        squad: args.squad.settings(&chosen, max_len)?,
    };
    let steps = args.training.steps(data.batches_per_epoch());
    let files = [model_files("model", &args.model), data.files().clone()].concat();
    let training = Training::open(context, &args.training, (steps, max_len), &settings, &files)?;
    let (model, mut done) = tune(&training, model, &data).map(taken_apart)?;
    done.majority = data.majority()?;
    let (steps, evaluation) = (done.steps, done.evaluation.clone().unwrap_or_default());
    let names = args.tasks.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ");
    let card = format!(
        "# Fine-tuned {names}\n\nFrom `{}`, {steps} steps on gold labels by `efficientbert teacher`; dev scores: {evaluation}\n{}",
        shown(&args.model),
        card_lines(&evaluation, &done.majority)
    );
    let files = encoder.files(config.max_position_embeddings)?;
    training.save((&config, &model), Package { card: &card, files: &files, keep_fit: true }, &done)
}

fn tune(training: &Training<'_>, model: TaskModel, data: &Data) -> Result<Trained<TaskModel>, CliError> {
    match data {
        Data::Tasks(TaskData { mix, eval, .. }) => {
            let heads = (0..eval.len()).collect();
            training.run("teacher", model, &FineTune { data: mix, heads, eval })
        }
        Data::Spans(data) => {
            let job = SpanFineTune { data: &data.train, head: 0, eval: Some(&data.eval) };
            training.run("teacher", model, &job)
        }
    }
}

/// Labelled data: what a teacher learns from, and a student beside its teacher.
pub(super) enum Data {
    Tasks(TaskData),
    Spans(Box<SpanData>),
}

impl Data {
    /// Reads and encodes what is there of the tasks.
    ///
    /// # Errors
    /// As [`TaskData::read`] or [`SpanData::read`].
    pub fn read(
        chosen: &Chosen,
        data: &Path,
        (squad, training): (&SpanTrainingArgs, &TrainingArgs),
        encoder: &TextEncoder,
        max_len: usize,
        context: &Context,
    ) -> Result<Self, CliError> {
        Ok(match chosen {
            Chosen::Labelled(tasks) => Self::Tasks(TaskData::read(tasks, data, encoder, training, max_len, context)?),
            Chosen::Squad(version) => {
                let read = SpanData::read(*version, data, (squad, training), encoder, max_len, context)?;
                Self::Spans(Box::new(read))
            }
        })
    }

    pub fn batches_per_epoch(&self) -> u64 {
        match self {
            Self::Tasks(data) => data.mix.batches_per_epoch(),
            Self::Spans(data) => data.train.batches_per_epoch(),
        }
    }

    /// What one answer to every example scores where the training is evaluated.
    ///
    /// # Errors
    /// Answers that cannot be scored against.
    pub fn majority(&self) -> Result<Vec<MajorityBaseline>, CliError> {
        Ok(match self {
            Self::Tasks(data) => MajorityBaseline::of_sets(|task| data.mix.labels(task), &data.eval)?,
            Self::Spans(data) => MajorityBaseline::of_questions(&data.eval.set)?.into_iter().collect(),
        })
    }

    /// Where it comes from.
    pub fn files(&self) -> &Files {
        match self {
            Self::Tasks(data) => &data.files,
            Self::Spans(data) => &data.files,
        }
    }
}

/// Training and dev sets of tasks; head i belongs to task i.
pub(super) struct TaskData {
    pub mix: TaskMix,
    pub eval: Vec<(usize, EvalSet)>,
    pub files: Files,
}

impl TaskData {
    /// Reads and encodes both splits of every task.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    fn read(
        tasks: &[Task],
        data: &Path,
        encoder: &TextEncoder,
        args: &TrainingArgs,
        max_len: usize,
        context: &Context,
    ) -> Result<Self, CliError> {
        let (settings, pad) = (args.batches(max_len), encoder.pad_id());
        let (mut train, mut eval, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (head, task) in tasks.iter().enumerate() {
            let mut read =
                |split| read_examples(task, (data, split), encoder, max_len, context).map_err(|e| wrong.push(e));
            let (dev, examples) = (read(Split::Dev), read(Split::Train));
            if let (Ok(dev), Ok(examples)) = (dev, examples) {
                eval.push((head, EvalSet::new(task, dev.features, pad, settings)?));
                train.push(TrainSet::new(task, examples.features, pad, settings)?);
            }
        }
        if let Some(error) = together(wrong) {
            return Err(error);
        }
        Ok(Self { mix: TaskMix::new(train, args.seed)?, eval, files: task_files(tasks, data)? })
    }
}

/// Errors of several inputs as one.
fn together(mut errors: Vec<CliError>) -> Option<CliError> {
    if errors.len() < 2 {
        return errors.pop();
    }
    let mut lines: Vec<String> = errors.iter().map(|error| format!("\n  {}", error.message())).collect();
    // Both splits of a task may lack the same folder.
    lines.dedup();
    match &lines[..] {
        [_] => errors.pop(),
        several => Some(CliError::failed(format!("{} inputs cannot be used:{}", several.len(), several.concat()))),
    }
}
