//! The examples that a model in integers is scored on.

use std::path::{Path, PathBuf};

use bert_core::BertConfig;
use clap::Args;
use glue_squad::task::{Split, Task};
use pipeline::quantize::Limits;
use predict::data::{BatchSettings, EvalSet};
use predict::heads::{AnsweringHead, answering_head, head_for};
use tokenizer::TextEncoder;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::inputs::must_exist;
use crate::models::{capped_length, check_segments, tokenizer};
use crate::own_task::OwnTaskArgs;
use crate::tasks::{self, default_length, read_examples};

/// Texts to calibrate with.
const CALIBRATION: usize = 256;
const BATCH: usize = 16;
/// Points that may be lost where a person doesn't say.
const MAX_DROP: f64 = 0.5;

#[derive(Args, Debug)]
pub struct ScoredArgs {
    /// The task that the model is scored on: a name, or a TOML file that describes one.
    #[arg(long, value_name = "TASK|FILE", value_parser = tasks::parse)]
    task: Option<Task>,
    /// Folder of GLUE tasks, or of the files of a described task.
    #[arg(long, value_name = "DIR", requires = "task")]
    data: Option<PathBuf>,
    /// Points of the dev score that int8 may lose [default: 0.5].
    #[arg(long, value_name = "POINTS", value_parser = points)]
    max_drop: Option<f64>,
    /// Where int8 loses more: keep the parts that cost most in floating point, one after another, until it doesn't.
    #[arg(long)]
    mend: bool,
    /// Longest text in tokens; longer ones are cut [default: 128].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=65_536))]
    max_len: Option<u32>,
    #[command(flatten)]
    own: OwnTaskArgs,
}

fn points(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    if (0.0..=100.0).contains(&number) { Ok(number) } else { Err("must be from 0 to 100".into()) }
}

/// Examples, and the head that answers them.
pub struct ScoredOn {
    /// The task.
    pub task: Task,
    /// Examples with labels.
    pub dev: EvalSet,
    /// Some texts of the training data, or of the same examples where there are none.
    pub texts: EvalSet,
    /// Whether these are of the training data.
    pub texts_are_others: bool,
    /// The head.
    pub head: AnsweringHead,
}

impl ScoredOn {
    /// Says which of the model's heads in integers nothing scores.
    pub fn warn_of_others<'h>(
        &self,
        config: &BertConfig,
        heads: impl IntoIterator<Item = &'h usize>,
        context: &Context,
    ) {
        let others = heads.into_iter().filter(|head| **head != self.head.index);
        let others: Vec<&str> = others.filter_map(|head| Some(config.task_heads.get(*head)?.task.as_str())).collect();
        if !others.is_empty() {
            let names = others.join(", ");
            context
                .progress
                .warn(&format!("{} alone is scored; what int8 costs {names} is not known", self.task.name()));
        }
    }
}

impl ScoredArgs {
    /// The values that may name something on the Hugging Face hub.
    pub fn named(&mut self) -> Vec<Named<'_>> {
        self.own.named()
    }

    pub fn limits(&self) -> Limits {
        Limits { allowed: self.max_drop.unwrap_or(MAX_DROP), mend: self.mend }
    }

    /// Whether data are named.
    pub fn is_given(&self) -> bool {
        self.task.is_some() || self.own.train.is_some() || self.own.dev.is_some()
    }

    /// One of these options that is given, for a command that scores nothing.
    pub fn first_given(&self) -> Option<&'static str> {
        let own = &self.own;
        let given = [
            ("--task", self.task.is_some()),
            ("--train", own.train.is_some()),
            ("--dev", own.dev.is_some()),
            ("--test", own.test.is_some()),
            ("--text", !own.text.is_empty()),
            ("--label", !own.label.is_empty()),
            ("--kind", own.kind.is_some()),
            ("--task-name", own.task_name.is_some()),
            ("--max-drop", self.max_drop.is_some()),
            ("--mend", self.mend),
            ("--max-len", self.max_len.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }

    /// Reads the examples for the model `dir`.
    ///
    /// # Errors
    /// No data are named, or they don't fit the model.
    pub fn read(&self, dir: &Path, config: &BertConfig, context: &Context) -> Result<ScoredOn, CliError> {
        let described = if self.task.is_none() { self.own.for_model(dir)? } else { None };
        let (task, data, index) = match described {
            Some((task, data, index)) => (task, data, Some(index)),
            None => {
                let chosen = self.own.or_of(self.task.as_slice(), self.data.as_deref(), context)?;
                let none = "no task: name one that the model answers by --task and --data, or by --dev FILE";
                let task = chosen.tasks.into_iter().next().ok_or_else(|| CliError::usage(none))?;
                (task, chosen.data.unwrap_or_default(), None)
            }
        };
        if task.squad().is_some() {
            return Err(CliError::usage(
                "answers to questions are not scored here; `eval` scores them in every --precision",
            ));
        }
        must_exist("--data", [&data])?;
        let head = match index {
            Some(index) => head_for(config, index, &task),
            None => answering_head(config, &task),
        };
        let head = head.context(format!("--model {}", dir.display())).or_usage()?;
        let encoder = tokenizer("--model", dir, config)?;
        check_segments("--model", config, &encoder, task.is_pair().then_some(&task))?;
        let wanted = self.max_len.unwrap_or_else(|| default_length(&task));
        let max_len = capped_length(wanted, config.max_position_embeddings, context);
        let settings = BatchSettings::new(BATCH, max_len, 0);
        let read = |task: &Task, split, encoder: &TextEncoder| -> Result<EvalSet, CliError> {
            let examples = read_examples(task, (&data, split), encoder, max_len, context)?;
            Ok(EvalSet::of_split(split, task, examples.features, encoder.pad_id(), settings)?)
        };
        let dev = read(&task, Split::Dev, &encoder)?;
        let learned = task.trained_as();
        let has_train = learned.find_all(&data, Split::Train).is_ok_and(|files| files.iter().all(|file| file.exists()));
        let texts = if has_train { read(learned, Split::Train, &encoder)? } else { dev.clone() };
        Ok(ScoredOn { task, dev, texts: texts.sample(CALIBRATION, BATCH)?, texts_are_others: has_train, head })
    }
}
