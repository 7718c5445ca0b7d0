//! `teacher`: a BERT fine-tuned on gold labels.

use std::path::PathBuf;

use bert_core::{BertConfig, FeedForward, TaskModel};
use clap::Args;
use glue_squad::task::TaskKind;
use glue_squad::tokenizer::TextEncoder;
use kd::data::{EvalSet, TaskMix, TrainSet, task_head};
use kd::engine::Evaluation;
use kd::job::FineTune;
use searched_ffn::{AnyModel, Package, Parts};
use serde::Serialize;
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::models::{capped_length, continued, load_with_tokenizer, tokenizer_files};
use crate::output::print_json;
use crate::training::{Training, TrainingArgs, shown};

#[derive(Args, Debug)]
#[command(after_help = "\
Example
  efficientbert teacher --model models/bert-base --task sst-2 --data glue --out teachers/sst-2 --epochs 3

The heads are new; encoder and pooler go on from the model. Several --task make one model with a head for each.")]
pub struct TeacherArgs {
    /// Model directory to go on from.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The task: sst-2, cola, mrpc, sts-b, qqp, mnli, qnli, rte, wnli; may be repeated.
    #[arg(long = "task", value_name = "TASK", required = true)]
    tasks: Vec<TaskKind>,
    /// Folder of GLUE tasks, or the task's own folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Dropout while training.
    #[arg(long, value_name = "P", default_value_t = 0.1)]
    dropout: f64,
    #[command(flatten)]
    training: TrainingArgs,
}

#[derive(Serialize)]
struct Settings {
    name: &'static str,
    model: String,
    tasks: Vec<TaskKind>,
    data: String,
    dropout: f64,
}

pub fn run(args: &TeacherArgs, context: &Context) -> Result<(), CliError> {
    if !(0.0..1.0).contains(&args.dropout) {
        return Err(CliError::usage(format!("--dropout {}: must be from 0 to below 1", args.dropout)));
    }
    args.training.check()?;
    refuse_repeated(&args.tasks)?;
    let (loaded, encoder) = load_with_tokenizer("--model", &args.model, &context.device)?;
    let config = BertConfig {
        task_heads: args.tasks.iter().map(|&t| task_head(t)).collect(),
        hidden_dropout_prob: args.dropout,
        attention_probs_dropout_prob: args.dropout,
        ..loaded.config.clone()
    };
    if loaded.model.parts().mlm || !loaded.config.task_heads.is_empty() {
        context.progress.message("the heads of --model are left behind");
    }
    let fresh = AnyModel::build(&config, Parts { pooler: true, mlm: false }, &context.device)?;
    let model = continued(fresh.initialised(&config, args.training.seed), &loaded)?;
    let max_len = capped_length(args.training.max_len, config.max_position_embeddings, context);
    let data = TaskData::read(&args.tasks, &args.data, &encoder, &args.training, max_len)?;

    let settings = Settings {
        name: "teacher",
        model: shown(&args.model),
        tasks: args.tasks.clone(),
        data: shown(&args.data),
        dropout: args.dropout,
    };
    let steps = args.training.steps(data.mix.batches_per_epoch());
    let training = Training::open(context, &args.training, (steps, max_len), &settings)?;
    let (model, evaluation) = match model {
        AnyModel::Plain(m) => tune(&training, m, &data, context).map(|(m, e)| (AnyModel::Plain(m), e)),
        AnyModel::Searched(m) => tune(&training, m, &data, context).map(|(m, e)| (AnyModel::Searched(m), e)),
    }?;
    let names = args.tasks.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ");
    let card = format!(
        "# Fine-tuned {names}\n\nFrom `{}`, {steps} steps on gold labels by `efficientbert teacher`; dev scores: {evaluation}\n",
        shown(&args.model)
    );
    let files = tokenizer_files(&args.model, &encoder)?;
    training.save(&config, &model, Package { card: &card, files: &files, keep_fit: true })?;
    print_json(&json!({
        "out": args.training.out, "steps": steps, "score": evaluation.score, "metrics": evaluation.metrics,
    }))
}

fn tune<F: FeedForward>(
    training: &Training<'_>,
    model: TaskModel<F>,
    data: &TaskData,
    context: &Context,
) -> Result<(TaskModel<F>, Evaluation), CliError> {
    let heads = (0..data.eval.len()).collect();
    let mut job = FineTune { data: &data.mix, heads, eval: &data.eval, device: context.device.clone() };
    let trained = training.run("teacher", model, &mut job)?;
    Ok((trained.model, trained.evaluation.unwrap_or_default()))
}

/// # Errors
/// A task is named twice.
pub(super) fn refuse_repeated(tasks: &[TaskKind]) -> Result<(), CliError> {
    match tasks.iter().enumerate().find(|(i, task)| tasks[..*i].contains(task)) {
        Some((_, task)) => Err(CliError::usage(format!("--task {task}: is given twice"))),
        None => Ok(()),
    }
}

/// Training and dev sets of tasks; head i belongs to task i.
pub(super) struct TaskData {
    pub mix: TaskMix,
    pub eval: Vec<(usize, EvalSet)>,
}

impl TaskData {
    /// Reads and encodes both splits of every task.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn read(
        tasks: &[TaskKind],
        data: &std::path::Path,
        encoder: &TextEncoder,
        args: &TrainingArgs,
        max_len: usize,
    ) -> Result<Self, CliError> {
        let settings = args.batches(max_len);
        let (mut train, mut eval) = (Vec::new(), Vec::new());
        for (head, &task) in tasks.iter().enumerate() {
            eval.push((head, EvalSet::read(task, data, encoder, settings)?));
            train.push(TrainSet::read(task, data, encoder, settings, None)?);
        }
        Ok(Self { mix: TaskMix::new(train, args.seed)?, eval })
    }
}
