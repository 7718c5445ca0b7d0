//! What a student of `distill` begins with.

use bert_core::{BertConfig, Parts, TaskModel};
use clap::ValueEnum;
use encoder_spec::Encoder;
use kd::from_teacher::{self, Part, Settings, Start, layer_map};
use kd::inherit::Inherit;
use kd::objective::Plan;
use pipeline::teachers::Teachers;
use pipeline::training_data::TrainingData;
use predict::heads::AnsweringHead;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::teachers;

/// What a student begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Inheritance {
    /// --init as it is; all sizes are equal. With random weights, nothing.
    #[default]
    Same,
    /// The first channels of every tensor of --init, as EfficientBERT-TINY has them from EfficientBERT.
    Cut,
    /// The same, and every layer twice in a row, as EfficientBERT++ has them from EfficientBERT+.
    Doubled,
    /// The teacher: of each of its parts the best smaller form, fitted on the first texts of the training.
    Teacher,
}

impl Inheritance {
    /// Refuses options that do not go together: `--init` and `--teacher-embedding` where they are given, and the parts that are left out.
    ///
    /// # Errors
    /// Wrong usage.
    pub fn check(self, init: bool, embedding: bool, without: &[Part]) -> Result<(), CliError> {
        let refuse = |message: &str, hint: &str| Err(CliError::usage(message).with_hint(hint));
        match self {
            Self::Teacher if init => refuse(
                "--inherit teacher: the student begins as its teacher, and --init names another beginning",
                "name the student with --arch, and give one of both",
            ),
            Self::Teacher if embedding => refuse(
                "--teacher-embedding has no effect with --inherit teacher",
                "all of the teacher is taken over already",
            ),
            Self::Teacher => Ok(()),
            _ if !without.is_empty() => {
                refuse("--inherit-without has no effect without --inherit teacher", "it leaves parts of that out")
            }
            Self::Cut | Self::Doubled if !init => {
                Err(CliError::usage("--inherit: random weights have nothing to take over; name a student with --init"))
            }
            _ => Ok(()),
        }
    }

    /// What of another student is taken over.
    pub fn of_init(self) -> Option<Inherit> {
        match self {
            Self::Same => Some(Inherit::Same),
            Self::Cut => Some(Inherit::Cut),
            Self::Doubled => Some(Inherit::Doubled),
            Self::Teacher => None,
        }
    }
}

/// Refuses a student that cannot begin as its teacher, before the data are read.
///
/// # Errors
/// Several teachers, or models that do not go together.
pub fn check_beginning(student: (&BertConfig, Parts), plan: &Plan, teachers: &Teachers) -> Result<(), CliError> {
    let teacher = teachers.only().map_err(teachers::explained)?;
    let described = |config: &BertConfig, parts| Encoder::describe(config, parts);
    let layers = layer_map(Some(plan), student.0.num_hidden_layers, teacher.config.num_hidden_layers);
    let checked = layers.and_then(|layers| {
        let spec = described(&teacher.config, teacher.model.parts())?;
        from_teacher::check(&described(student.0, student.1)?, &spec, &layers)
    });
    checked.context("--inherit teacher").or_usage()
}

/// The student with weights that are computed of its teacher's, fitted on the first texts of `taught`; `plan` says which layers are
/// compared, and `heads` are the teacher's for the tasks.
///
/// # Errors
/// As [`check_beginning`]; texts that cannot be read.
pub fn as_teacher(
    (student, config, parts): (TaskModel, &BertConfig, Parts),
    (plan, heads): (&Plan, &[AnsweringHead]),
    (teachers, taught): (&Teachers, &TrainingData),
    settings: &Settings,
    context: &Context,
) -> Result<TaskModel, CliError> {
    let teacher = teachers.only().map_err(teachers::explained)?;
    let sample = taught.sample(&context.device)?;
    let (tokens, texts) = (sample.len(), sample.texts());
    context.progress.message(&format!("the student begins as its teacher, by {tokens} tokens of {texts} texts"));
    let layers = layer_map(Some(plan), config.num_hidden_layers, teacher.config.num_hidden_layers)?;
    // A teacher that is not asked for answers may have no such heads.
    let heads: Vec<_> = heads.iter().map(|head| plan.asks_logits().then(|| head.clone())).collect();
    let start = Start {
        teacher: &teacher.model,
        config: &teacher.config,
        layers: &layers,
        heads: &heads,
        sample: &sample,
        settings,
        slices: false,
    };
    Ok(from_teacher::begin(student, &Encoder::describe(config, parts)?, &start)?)
}
