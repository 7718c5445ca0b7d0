//! Trimming the vocabulary of teachers, and with it that of their student.

use std::path::Path;

use bert_core::ModelDir;
use clap::Args;
use glue_squad::task::Task;
use pipeline::teachers::Teachers;
use pipeline::vocabulary::{Asked, OnDev, Sizes, Texts, Trim};

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::interrupt;
use crate::models;

/// Dev examples that a teacher is scored on, at most.
const SCORED: usize = 1000;

/// The option of commands that make students.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct TrimVocabArgs {
    /// Trim the vocabulary of teacher and student to the word pieces that stand in the training texts, TIMES times at least [default: 1],
    /// and to what other texts need: single characters, or all bytes. `efficientbert trim` says what that saves and loses.
    #[arg(long, value_name = "TIMES", num_args = 0..=1, require_equals = true, default_missing_value = "1",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub trim_vocab: Option<u32>,
}

impl TrimVocabArgs {
    /// Trims the vocabulary of `whole` where that is asked for; an error of it names the option.
    pub fn trim(
        self,
        whole: &tokenizer::TextEncoder,
        texts: Texts<'_>,
        positions: usize,
        context: &Context,
    ) -> Result<Option<Trim>, CliError> {
        let Some(least) = self.trim_vocab else { return Ok(None) };
        interrupt::install(&context.progress)?;
        let trim = Trim::of(whole, texts, positions, least, interrupt::flag()).map_err(stopped);
        let trim = trim.context("--trim-vocab")?;
        context.progress.message(&trim.said());
        Ok(Some(trim))
    }
}

/// The teachers with a trimmed vocabulary; what that saves is said, and what is lost on the dev sets in `data`, whose texts have at most `max_len` tokens. A teacher
/// whose head teaches is scored there.
pub fn teachers(
    trim: &Trim,
    whole: &Teachers,
    (tasks, data): (&[Task], Option<&Path>),
    (is_asked, max_len): (bool, usize),
    context: &Context,
) -> Result<Teachers, CliError> {
    let trimmed = whole.trimmed(trim, &context.device)?;
    let sizes = Sizes::of(whole.of_task(0), trimmed.of_task(0));
    context.progress.message(&format!("of the teacher, {}", sizes.said()));
    for (place, task) in tasks.iter().enumerate() {
        let Some(data) = data.filter(|data| task.squad().is_none() || data.is_dir()) else { continue };
        let models = is_asked.then(|| ([whole.of_task(place), trimmed.of_task(place)], SCORED));
        let asked = Asked { task, data, positions: max_len.min(whole.positions()), models };
        let lost = OnDev::of(trim, &asked, &context.device, interrupt::flag()).map_err(stopped)?;
        context.progress.message(&lost.to_string());
    }
    Ok(trimmed)
}

/// The model of `--init` with the same pieces.
///
/// # Errors
/// It has another tokenizer than the teacher.
pub fn init(trim: &Trim, dir: &ModelDir, context: &Context) -> Result<ModelDir, CliError> {
    let own = models::tokenizer("--init", &dir.path, &dir.config)?;
    if own.to_json()? != trim.whole.to_json()? {
        let message = format!("--trim-vocab: --init {} has another tokenizer than the teacher", dir.path.display());
        return Err(CliError::usage(message).with_hint(
            "begin with a student that has the teacher's whole vocabulary; or trim the teacher with `efficientbert trim`, and all students \
             from it",
        ));
    }
    Ok(trim.model(dir, &context.device)?)
}

/// What stopped it, in the words of commands.
pub fn stopped(error: pipeline::Error) -> CliError {
    match error {
        pipeline::Error::Mismatch(message) => CliError::usage(message),
        error if error.is_interruption() => {
            CliError::interrupted("stopped while the texts were read; nothing was written")
        }
        error => error.into(),
    }
}
