//! `efficientbert`: search, distil and prove compact BERT models.
//!
//! This binary owns the terminal, the exit codes and the choice of device; the library crates compute.
//! Results go to standard output, everything else to standard error.
//!
//! | file | concern |
//! |---|---|
//! | `args` | the command line |
//! | `allocator` | memory that a training step uses again |
//! | `commands/` | one file per command |
//! | `arch_spec` | what ARCH and DIR-or-PRESET arguments mean |
//! | `inference` | models that only answer |
//! | `inputs` | paths that commands read |
//! | `training_keys` | the settings of a training, as options and as keys of a file |
//! | `method_file` | a whole training's settings by name or from a file |
//! | `models` | model directories as commands take and make them |
//! | `tasks`, `squad` | the tasks, and what SQuAD needs beside the others |
//! | `training`, `training_end` | a training that commands run, with checkpoints and resume; what it came to |
//! | `context`, `device` | what a command is given to work with |
//! | `error`, `panics`, `interrupt` | exit codes and messages |
//! | `watch`, `tensorboard` | what a person sees of a run, and later in TensorBoard |
//! | `progress/`, `output`, `units` | terminal and numbers |

mod allocator;
mod arch_spec;
mod args;
mod commands;
mod context;
mod device;
mod environment;
mod error;
mod inference;
mod inputs;
mod interrupt;
mod method_file;
mod models;
mod objective_spec;
mod output;
mod panics;
mod progress;
mod squad;
mod tasks;
mod teachers;
mod tensorboard;
mod text_lesson;
mod training;
mod training_end;
mod training_keys;
mod units;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::context::Context;
use crate::error::CliError;
use crate::progress::ProgressMode;

fn main() -> ExitCode {
    allocator::keep_pages();
    panics::install();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
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
