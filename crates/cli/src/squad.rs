//! SQuAD on the command line: options, data of a training, answers of a model.

use std::path::{Path, PathBuf};

use clap::Args;
use glue_squad::squad::{DecodeConfig, Decoded, SquadVersion, WindowConfig};
use serde::Serialize;

use crate::error::{CliError, ResultExt};
use crate::output::check_targets;
use crate::tasks::TrainingTasks;

const HEADING: &str = "SQuAD options";

/// How questions become windows and scores become answers.
#[derive(Args, Clone, Copy, Debug)]
pub struct SpanArgs {
    /// Longest question in tokens; longer ones lose their end [default: 64].
    #[arg(long, value_name = "N", help_heading = HEADING, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_query_length: Option<u32>,
    /// By how many tokens of the text a window starts after the one before [default: 128].
    #[arg(long, value_name = "N", help_heading = HEADING, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    doc_stride: Option<u32>,
    /// Longest answer in tokens [default: 30].
    #[arg(long, value_name = "N", help_heading = HEADING, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_answer_length: Option<u32>,
    /// How many starts and ends of a window are tried, and how many answers are kept [default: 20].
    #[arg(long, value_name = "N", help_heading = HEADING, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    n_best: Option<u32>,
    /// squad-v2: no answer where the null score is more than this above the best answer's [default: 0].
    #[arg(long, value_name = "X", help_heading = HEADING, allow_negative_numbers = true)]
    null_threshold: Option<f64>,
}

impl SpanArgs {
    pub fn first_given(&self) -> Option<&'static str> {
        let given = [
            (self.max_query_length.is_some(), "--max-query-length"),
            (self.doc_stride.is_some(), "--doc-stride"),
            (self.max_answer_length.is_some(), "--max-answer-length"),
            (self.n_best.is_some(), "--n-best"),
            (self.null_threshold.is_some(), "--null-threshold"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
    }

    /// The windows, of `max_len` tokens at most.
    ///
    /// # Errors
    /// There is no room for text beside the longest question.
    pub fn windows(&self, max_len: usize) -> Result<WindowConfig, CliError> {
        let bert = WindowConfig::bert();
        let config = WindowConfig {
            max_len,
            stride: self.doc_stride.map_or(bert.stride, |n| n as usize),
            max_query: self.max_query_length.map_or(bert.max_query, |n| n as usize),
            ..bert
        };
        let checked = config.check().context("windows of questions and text").or_usage();
        checked.hint("a larger --max-len or a smaller --max-query-length leaves room for the text")?;
        Ok(config)
    }

    pub fn decoding(&self) -> DecodeConfig {
        let bert = DecodeConfig::default();
        DecodeConfig {
            n_best: self.n_best.map_or(bert.n_best, |n| n as usize),
            max_answer_length: self.max_answer_length.map_or(bert.max_answer_length, |n| n as usize),
        }
    }

    /// All of it for a model that answers questions of `version` in windows of `max_len` tokens at most.
    pub fn settings(
        &self,
        version: SquadVersion,
        max_len: usize,
        batch_size: usize,
    ) -> Result<predict::span::SpanSettings, CliError> {
        Ok(predict::span::SpanSettings {
            threshold: self.threshold(version)?,
            windows: self.windows(max_len)?,
            decoding: self.decoding(),
            batch_size,
        })
    }

    /// The null threshold of `version`.
    ///
    /// # Errors
    /// One is given for SQuAD v1.1, or it is no number.
    pub fn threshold(&self, version: SquadVersion) -> Result<f64, CliError> {
        match self.null_threshold {
            Some(_) if !version.has_unanswerable() => {
                Err(CliError::usage("--null-threshold: only squad-v2 has questions without an answer"))
            }
            Some(value) if value.is_nan() => Err(CliError::usage("--null-threshold: must be a number")),
            value => Ok(value.unwrap_or(0.0)),
        }
    }
}

/// Refuses an option of SQuAD for a task of GLUE.
pub fn refuse_for_glue(option: Option<&'static str>) -> Result<(), CliError> {
    match option {
        Some(option) => Err(CliError::usage(format!("{option}: goes with squad-v1 and squad-v2 only"))),
        None => Ok(()),
    }
}

/// Options of a training on SQuAD.
#[derive(Args, Clone, Debug)]
pub struct SpanTrainingArgs {
    /// The file to evaluate on, where --data is a training file.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    dev_data: Option<PathBuf>,
    #[command(flatten)]
    pub span: SpanArgs,
}

/// What a resumed training must have as before.
#[derive(Serialize)]
pub struct SpanSettings {
    null_threshold: f64,
    windows: WindowConfig,
    decoding: DecodeConfig,
}

impl SpanTrainingArgs {
    /// Checks that the options go with the chosen task.
    pub fn check(&self, chosen: &TrainingTasks) -> Result<(), CliError> {
        match chosen {
            TrainingTasks::Squad(version) => self.span.threshold(*version).map(drop),
            TrainingTasks::Glue(_) => {
                refuse_for_glue(self.span.first_given().or(self.dev_data.as_ref().map(|_| "--dev-data")))
            }
        }
    }

    /// The training and the dev file of `data`.
    pub fn data_files(&self, version: SquadVersion, data: &Path) -> Result<(PathBuf, PathBuf), CliError> {
        let train = version.find(data, "train")?;
        let dev = match &self.dev_data {
            Some(file) if file.is_file() => file.clone(),
            Some(file) => return Err(CliError::usage(format!("--dev-data {}: is no file", file.display()))),
            None if data.is_file() => {
                let message = format!("--dev-data is missing: --data {} is one file", data.display());
                let names = (version.file_name("train"), version.file_name("dev"));
                let hint = format!("--dev-data FILE is evaluated on; a folder has {} and {}", names.0, names.1);
                return Err(CliError::usage(message).with_hint(hint));
            }
            None => version.find(data, "dev")?,
        };
        Ok((train, dev))
    }

    /// What decides the result beside the options of every training; `None` without SQuAD.
    pub fn settings(&self, chosen: &TrainingTasks, max_len: usize) -> Result<Option<SpanSettings>, CliError> {
        let TrainingTasks::Squad(version) = chosen else { return Ok(None) };
        Ok(Some(SpanSettings {
            null_threshold: self.span.threshold(*version)?,
            windows: self.span.windows(max_len)?,
            decoding: self.span.decoding(),
        }))
    }
}

/// Files with all that was found out.
#[derive(Args, Clone, Debug)]
pub struct SpanFiles {
    /// squad-v2: write the null score differences, as `score --na-probs` takes them.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub na_probs: Option<PathBuf>,
    /// Write the best answers of every question with their probabilities.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub nbest_predictions: Option<PathBuf>,
}

impl SpanFiles {
    pub fn first_given(&self) -> Option<&'static str> {
        let na_probs = self.na_probs.as_ref().map(|_| "--na-probs");
        na_probs.or(self.nbest_predictions.as_ref().map(|_| "--nbest-predictions"))
    }

    /// Checks what is to be written, `predictions` too, by a command that reads `read`.
    ///
    /// # Errors
    /// As [`check_targets`], or `version` has nothing to write there.
    pub fn check(&self, version: SquadVersion, predictions: Option<&Path>, read: &[PathBuf]) -> Result<(), CliError> {
        if self.na_probs.is_some() && !version.has_unanswerable() {
            return Err(CliError::usage("--na-probs: only squad-v2 has questions without an answer"));
        }
        let targets = [
            ("--predictions", predictions),
            ("--na-probs", self.na_probs.as_deref()),
            ("--nbest-predictions", self.nbest_predictions.as_deref()),
        ];
        check_targets(targets, read)
    }

    /// Writes what was asked for, the official predictions into `predictions`.
    pub fn write(&self, predictions: Option<&Path>, decoded: &Decoded, threshold: f64) -> Result<(), CliError> {
        if let Some(file) = predictions {
            decoded.save_predictions(file, threshold)?;
        }
        if let Some(file) = &self.na_probs {
            decoded.save_null_odds(file)?;
        }
        if let Some(file) = &self.nbest_predictions {
            decoded.save_nbest(file)?;
        }
        Ok(())
    }
}
