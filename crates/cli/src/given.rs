//! The options that a training was started with, so that `--resume` needs no others.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use run_store::rundir::RECIPE;
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::inputs::{nothing_to_resume, quoted};

/// Where they stand in the folder of a training.
const FILE: &str = "command.json";
/// Commands whose trainings go on with them.
const COMMANDS: [&str; 3] = ["teacher", "distill", "pretrain"];
/// What belongs to a call, not to the training.
const OF_THE_CALL: [&str; 2] = ["out", "resume"];
/// Values that are paths.
const PATHS: [&str; 9] = [
    "data",
    "dev-data",
    "corpus",
    "eval-corpus",
    "tensorboard",
    "teacher-cache",
    "teacher-logits",
    "tokenizer",
    "grow",
];
/// Values that are paths where something stands there, also behind `TASK=`; else names of the hub, of tasks or of what is built in.
const PERHAPS_PATHS: [&str; 10] =
    ["model", "train", "dev", "test", "teacher", "init", "arch", "method", "objective", "task"];
/// Two ways to say one thing: one that is given replaces the other.
const INSTEAD: [(&str, &str); 2] = [("steps", "epochs"), ("warmup-ratio", "warmup-steps")];

/// Options of a call of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenOptions {
    /// The command.
    pub command: String,
    /// The folder it was called in.
    directory: PathBuf,
    /// Name and value of each, in no order; no value for a switch.
    options: Vec<(String, Option<String>)>,
}

impl GivenOptions {
    /// What was given on the command line of which `matches` is the outcome; nothing where it is another command, or where a value
    /// is not Unicode.
    pub fn of(matches: &ArgMatches, command: &Command) -> Self {
        let found = COMMANDS.iter().find_map(|name| {
            let given = matches.subcommand_matches(name)?;
            Some((*name, options(given, command.find_subcommand(name)?)?))
        });
        let Some((name, options)) = found else { return Self::default() };
        let Ok(directory) = std::env::current_dir() else { return Self::default() };
        Self { command: name.to_owned(), directory, options }
    }

    /// Keeps them in the folder of a training.
    pub fn save(&self, folder: &Path) -> Result<(), CliError> {
        match self.command.is_empty() {
            true => Ok(()),
            false => Ok(run_store::atomic::write_json(folder.join(FILE), self)?),
        }
    }

    /// How the training that will make `out` goes on.
    pub fn resume(&self, out: &Path, device: &str) -> String {
        if self.command.is_empty() {
            return "the same command with --resume continues".into();
        }
        let device = if device == "cpu" { String::new() } else { format!(" --device {device}") };
        format!("continue with: efficientbert {} --resume --out {}{device}", self.command, quoted(out))
    }

    /// As words of a command line, but for those that `now` has; paths are found from anywhere.
    fn words_beside(&self, now: &Self) -> Vec<String> {
        let has = |name: &str| now.options.iter().any(|(given, _)| given == name);
        let replaced =
            |name: &str| has(name) || INSTEAD.iter().any(|&(a, b)| name == a && has(b) || name == b && has(a));
        let elsewhere = self.directory != now.directory;
        let kept = self.options.iter().filter(|(name, _)| !replaced(name));
        let word = |(name, value): &(String, Option<String>)| match value {
            Some(value) if elsewhere => format!("--{name}={}", self.seen_from_here(name, value)),
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        };
        kept.map(word).collect()
    }

    fn seen_from_here(&self, name: &str, value: &str) -> String {
        let absolute = |path: &str| self.directory.join(path).to_string_lossy().into_owned();
        if PATHS.contains(&name) {
            return absolute(value);
        }
        let is_there = |path: &str| self.directory.join(path).exists();
        match value.split_once('=') {
            _ if !PERHAPS_PATHS.contains(&name) => value.to_owned(),
            _ if is_there(value) => absolute(value),
            Some((task, path)) if is_there(path) => format!("{task}={}", absolute(path)),
            _ => value.to_owned(),
        }
    }
}

/// `None` where a value is not Unicode.
fn options(matches: &ArgMatches, command: &Command) -> Option<Vec<(String, Option<String>)>> {
    let mut found = Vec::new();
    for arg in command.get_arguments().filter(|arg| !arg.is_global_set()) {
        let id = arg.get_id().as_str();
        let Some(name) = arg.get_long().filter(|name| !OF_THE_CALL.contains(name)) else { continue };
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        match arg.get_action() {
            ArgAction::SetTrue => found.push((name.to_owned(), None)),
            _ => {
                for value in matches.get_raw(id).into_iter().flatten() {
                    found.push((name.to_owned(), Some(value.to_str()?.to_owned())));
                }
            }
        }
    }
    Some(found)
}

/// The words of a command line; those of a training that is to go on, with the options that it was started with and that are not given
/// again.
///
/// # Errors
/// There is no such training, or it is one of another command.
pub fn completed(words: Vec<OsString>, command: &Command) -> Result<Vec<OsString>, CliError> {
    // What is wrong with them is said when they are read in earnest.
    let lenient = command.clone().ignore_errors(true).try_get_matches_from(&words);
    let Ok(matches) = lenient else { return Ok(words) };
    let now = GivenOptions::of(&matches, command);
    let Some(of_command) = matches.subcommand_matches(&now.command) else { return Ok(words) };
    let out = of_command.get_raw("out").and_then(|mut values| values.next());
    let resumes = of_command.value_source("resume") == Some(ValueSource::CommandLine);
    let Some(out) = out.filter(|_| resumes).map(Path::new) else { return Ok(words) };
    let Some(folder) = training_folder(out) else { return Ok(words) };
    if !folder.join(RECIPE).is_file() {
        return Err(nothing_to_resume("--resume", &folder, "training", out));
    }
    let text = std::fs::read(folder.join(FILE)).ok();
    let Some(before) = text.and_then(|text| serde_json::from_slice::<GivenOptions>(&text).ok()) else {
        return Ok(words);
    };
    if before.command != now.command {
        let message = format!("{} is a training of `{}`, not of `{}`", folder.display(), before.command, now.command);
        return Err(CliError::usage(message).with_hint(before.resume(out, "cpu")));
    }
    let more = before.words_beside(&now).into_iter().map(OsString::from);
    Ok(words.into_iter().chain(more).collect())
}

/// Where checkpoints stand while the model directory `out` is made: beside it, so that both are on one disk. `None` where the path ends in
/// no name.
pub fn training_folder(out: &Path) -> Option<PathBuf> {
    let mut name = out.file_name().map(OsStr::to_owned)?;
    name.push(".training");
    Some(out.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn given(words: &[&str]) -> GivenOptions {
        let command = args::command();
        let matches = command.clone().ignore_errors(true).try_get_matches_from([&["efficientbert"], words].concat());
        GivenOptions::of(&matches.unwrap(), &command)
    }

    #[test]
    fn options_of_the_command_line_are_kept_and_those_of_the_call_are_not() {
        let words = ["distill", "--teacher", "a", "--corpus", "x", "y", "--mlm", "--out", "o", "--null-threshold=-1"];
        let mut found = given(&[&words[..], &["--steps", "5", "--threads", "2", "--resume"]].concat()).options;
        found.sort();
        let value = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let wanted = [
            value("corpus", "x"),
            value("corpus", "y"),
            ("mlm".to_owned(), None),
            value("null-threshold", "-1"),
            value("steps", "5"),
            value("teacher", "a"),
        ];
        assert_eq!(found, wanted);
        assert_eq!(given(&["eval", "--model", "a"]), GivenOptions::default());
    }

    #[test]
    fn what_is_given_again_replaces_what_was_given_before() {
        let before = given(&["teacher", "--model", "m", "--task", "mrpc", "--data", "d", "--steps", "9"]);
        let more = |words: &[&str]| before.words_beside(&given(words));
        assert_eq!(more(&["teacher", "--resume"]), ["--model=m", "--task=mrpc", "--data=d", "--steps=9"]);
        assert_eq!(more(&["teacher", "--epochs", "2", "--data", "e"]), ["--model=m", "--task=mrpc"]);
    }

    #[test]
    fn paths_are_found_from_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bert")).unwrap();
        let option = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let options = vec![
            option("data", "d"),
            option("teacher", "mrpc=bert"),
            option("arch", "efficientbert"),
            option("init", "bert"),
        ];
        let before = GivenOptions { command: "distill".into(), directory: folder.path().to_owned(), options };
        let at = |name: &str| folder.path().join(name).display().to_string();
        let wanted = [
            format!("--data={}", at("d")),
            format!("--teacher=mrpc={}", at("bert")),
            "--arch=efficientbert".into(),
            format!("--init={}", at("bert")),
        ];
        assert_eq!(before.words_beside(&given(&["distill", "--resume"])), wanted);
    }
}
