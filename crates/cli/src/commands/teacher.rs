//! `teacher`: a BERT fine-tuned on gold labels.

use std::path::{Path, PathBuf};

use bert_core::{BertConfig, Package, Parts, TaskModel};
use clap::Args;
use glue_squad::task::Task;
use kd::inherit::{continue_from, with_heads_of};
use pipeline::input_files::model_files;
use pipeline::jobs::with_fine_tuning;
use pipeline::training_data::{SpanData, TaskData, TrainingData};
use predict::card::scored_card;
use predict::heads::answering_head;
use predict::majority::card_lines;
use serde::Serialize;
use tokenizer::TextEncoder;

use crate::context::Context;
use crate::error::CliError;
use crate::hub::Named;
use crate::inputs::must_all_exist;
use crate::models::{capped_length, check_segments, load_for_new_heads, origin, warn_of};
use crate::own_task::{ChosenData, OwnTaskArgs};
use crate::squad::{SpanSettings, SpanTrainingArgs};
use crate::tasks::{self, TrainingTasks};
use crate::training::{Training, TrainingArgs, shown, taken_apart};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert teacher --model models/bert-base --task sst-2 --data glue --out teachers/sst-2 --epochs 3
  efficientbert teacher --model google-bert/bert-base-uncased --task sst-2 --data glue --out teachers/sst-2
  efficientbert teacher --model models/bert-base --task squad-v1 --data squad --out teachers/squad --epochs 2
  efficientbert teacher --model models/bert-base --train reviews.csv --text review --label stars --out teachers/reviews

The heads are new; encoder and pooler go on from the model. Several --task make one model with a head for each; SQuAD is trained \
alone.")]
pub struct TeacherArgs {
    /// Model directory to go on from; or a checkpoint of transformers, as a folder or by its name on the Hugging Face hub.
    #[arg(long, value_name = "DIR|ORG/NAME")]
    model: PathBuf,
    /// The task: sst-2, cola, mrpc, sts-b, qqp, mnli, qnli, rte, wnli, or a TOML file that describes one, which may be repeated; or
    /// squad-v1, squad-v2.
    #[arg(long = "task", value_name = "TASK|FILE", value_parser = tasks::parse, required_unless_present = "train")]
    tasks: Vec<Task>,
    /// Folder of GLUE tasks, or the task's own folder; SQuAD: the folder with the official train and dev file, or a training
    /// file [default of a described task: the folder of its description].
    #[arg(long, value_name = "DIR|FILE")]
    data: Option<PathBuf>,
    /// Dropout while training.
    #[arg(long, value_name = "P", default_value_t = 0.1)]
    dropout: f64,
    #[command(flatten)]
    pub(super) training: TrainingArgs,
    #[command(flatten)]
    squad: SpanTrainingArgs,
    #[command(flatten)]
    own: OwnTaskArgs,
}

impl TeacherArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        let mut named = self.own.named();
        named.push(Named::model("--model", &mut self.model));
        named
    }
}

#[derive(Serialize)]
struct RecordedOptions {
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
    let ChosenData { tasks, data } = args.own.or_of(&args.tasks, args.data.as_deref(), context)?;
    let data = data.unwrap_or_default();
    let model = Some(("--model", args.model.as_path())).filter(|_| !data.exists());
    must_all_exist(model.into_iter().chain([("--data", data.as_path())]))?;
    if let Some(method) = &args.training.file
        && (method.settings.distill.is_some() || method.settings.teacher_embedding)
    {
        let message =
            format!("--method {}: says what a student learns from a teacher; here labels are learned", method.name);
        return Err(CliError::usage(message).with_hint("leave `distill` and `teacher_embedding` out of the file"));
    }
    let chosen = TrainingTasks::new(&tasks)?;
    args.squad.check(&chosen)?;
    let (loaded, encoder) = load_for_new_heads("--model", &args.model, context)?;
    check_segments("--model", &loaded.config, &encoder, chosen.pairs())?;
    warn_of(&encoder, context);
    let task_heads = chosen.heads(&loaded.config);
    let config = BertConfig { task_heads, ..loaded.config.clone() }.with_dropout(args.dropout);
    let vectors = chosen.tasks().iter().map(|task| answering_head(&loaded.config, task).ok());
    let vectors: Option<Vec<_>> = vectors.collect();
    // A model that makes vectors goes on from its own.
    let vectors = vectors.filter(|_| config.task_heads.iter().all(|head| head.vector.is_some()));
    if loaded.model.parts().mlm || !loaded.config.task_heads.is_empty() && vectors.is_none() {
        context.progress.message("the heads of --model are left behind");
    }
    let fresh = TaskModel::new(&config, Parts::POOLER, &context.device)?;
    let model = continue_from(fresh.initialized(&config, args.training.seed), &loaded.model, &loaded.path)?;
    let model = match vectors {
        Some(heads) => with_heads_of(model, &loaded.model, &heads, &loaded.path)?,
        None => model,
    };
    let max_len = capped_length(args.training.max_len(&chosen), config.max_position_embeddings, context);
    let data = labeled_data(&chosen, &data, (&args.squad, &args.training), &encoder, max_len, context)?;

    let settings = RecordedOptions {
        name: "teacher",
        tasks: tasks.iter().map(Task::without_files).collect(),
        dropout: args.dropout,
        squad: args.squad.settings(&chosen, max_len)?,
    };
    let steps = args.training.steps(data.batches_per_epoch());
    let files = [model_files("model", &args.model), data.files().clone()].concat();
    let training = Training::open(context, &args.training, (steps, max_len), &settings, &files)?;
    let trained = with_fine_tuning(&data, |job| training.run("teacher", model, job));
    let (model, mut done) = trained.map(taken_apart)?;
    done.majority = data.majority()?;
    let (steps, evaluation) = (done.steps, done.evaluation.clone().unwrap_or_default());
    let names = tasks.iter().map(Task::name).collect::<Vec<_>>().join(", ");
    let card = format!(
        "# Fine-tuned {names}\n\nFrom `{}`, {steps} steps on gold labels by `efficientbert teacher`; dev scores: {evaluation}\n{}",
        shown(&args.model),
        card_lines(&evaluation, &done.majority)
    );
    let card = scored_card(&card, &origin(&args.model), &config, &evaluation, &done.majority);
    let files = encoder.files(config.max_position_embeddings)?;
    training.save((&config, &model), Package { card: &card, files: &files, keep_fit: true }, &done)
}

/// Reads and encodes what is there of the tasks.
pub(super) fn labeled_data(
    chosen: &TrainingTasks,
    data: &Path,
    (squad, training): (&SpanTrainingArgs, &TrainingArgs),
    encoder: &TextEncoder,
    max_len: usize,
    context: &Context,
) -> Result<TrainingData, CliError> {
    let (batches, mut notes) = (training.batches(max_len), Vec::new());
    let read = match chosen {
        TrainingTasks::Glue(tasks) => {
            TaskData::read(tasks, data, encoder, batches, &mut notes).map(TrainingData::Tasks)
        }
        TrainingTasks::Squad(version) => {
            let files = squad.data_files(*version, data)?;
            let settings = squad.span.settings(*version, max_len, batches.batch_size)?;
            let read = SpanData::read(*version, files, encoder, &settings, batches, &mut notes);
            read.map(|data| TrainingData::Spans(Box::new(data)))
        }
    };
    context.progress.tell(&notes);
    Ok(read?)
}
