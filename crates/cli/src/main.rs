//! `efficientbert`: search, distill and prove compact BERT models.
//!
//! This binary owns the terminal, the exit codes and the choice of device; the library crates compute.
//! Results go to standard output, everything else to standard error.
//!
//! | file | concern |
//! |---|---|
//! | `args`, `global` | the command line, and the options of every command |
//! | `allocator` | memory that a training step uses again |
//! | `commands/` | one file per command |
//! | `arch_spec` | what ARCH and DIR-or-PRESET arguments mean |
//! | `inputs` | paths that commands read |
//! | `models`, `predictor` | model directories as commands take and make them; models that answer |
//! | `tasks`, `squad` | the tasks, and what SQuAD needs beside the others |
//! | `training`, `training_summary` | a training that commands run, with checkpoints and resume; what it came to |
//! | `given` | the options that a training was started with |
//! | `hub`, `downloads` | names of the Hugging Face hub in place of paths; the network and downloads |
//! | `context`, `device` | what a command is given to work with |
//! | `free` | memory and room on disks that are free |
//! | `error`, `usage`, `panics`, `interrupt` | exit codes and messages |
//! | `watch`, `plan_table`, `tensorboard` | what a person sees of a run, before it begins, and later in TensorBoard |
//! | `progress/`, `output`, `units` | terminal and numbers |

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "the program: terminal, environment and clock are its business"
)]

mod allocator;
mod arch_spec;
mod args;
mod beginning;
mod commands;
mod context;
mod device;
mod downloads;
mod environment;
mod error;
mod free;
mod given;
mod global;
mod hub;
mod inputs;
mod interrupt;
mod models;
mod objective_spec;
mod output;
mod own_task;
mod panics;
mod plan_table;
mod predictor;
mod progress;
mod scored;
mod squad;
mod tasks;
mod teachers;
mod tensorboard;
mod training;
mod training_summary;
mod trim_vocab;
mod units;
mod usage;
mod watch;
mod words;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::args::Cli;
use crate::context::Context;
use crate::error::CliError;
use crate::given::GivenOptions;
use crate::progress::ProgressMode;

fn main() -> ExitCode {
    allocator::keep_pages();
    panics::install();
    let command = args::command();
    let words: Vec<_> = std::env::args_os().collect();
    // Not read yet.
    let json = words.windows(2).any(|pair| pair[0] == "--progress" && pair[1] == "json")
        || words.iter().any(|word| word == "--progress=json");
    let words = match given::completed(words, &command) {
        Ok(words) => words,
        Err(error) => return error.report(json),
    };
    let read = command.clone().try_get_matches_from(words).and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        cli.command.remember(GivenOptions::of(&matches, &command));
        Ok(cli)
    });
    let cli = match read {
        Ok(cli) => cli,
        Err(error) => {
            let error = usage::explained(error);
            // Help and version arrive here too, with exit code 0; a closed pipe is no reason to complain.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(error::USAGE));
        }
    };
    let json = cli.global.progress == ProgressMode::Json;
    match std::panic::catch_unwind(|| run(cli)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => error.report(json),
        Err(payload) => panics::report(&*payload, json),
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    environment::limit_instructions()?;
    let context = Context::new(&cli.global)?;
    commands::run(cli.command, &context)
}
