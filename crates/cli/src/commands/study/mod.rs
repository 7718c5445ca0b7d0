//! `study`: what a search has tried, read from its study and never written to.

mod best;
mod export;
mod list;
mod show;
mod source;
mod views;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CliError;

const RUN_HELP: &str = "\
RUN is the folder of a search, or a study.sqlite. It may be read while the search goes on; nothing is written to it.";

/// What to do with a study.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// The stages of a search: trials, failures, rejected draws, the best so far.
    #[command(after_help = RUN_HELP)]
    List(list::ListArgs),
    /// The trials of a stage, or one of them in full.
    #[command(after_help = RUN_HELP)]
    Show(show::ShowArgs),
    /// The best trials of each stage.
    #[command(after_help = RUN_HELP)]
    Best(best::BestArgs),
    /// Every trial as CSV, JSON or Parquet, or as a database that Optuna's dashboard shows.
    #[command(after_help = export::HELP)]
    Export(export::ExportArgs),
}

/// Runs the command.
///
/// # Errors
/// There is no such study, stage or trial, it cannot be read, or the output cannot be written.
pub fn run(command: &Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Best(args) => best::run(args),
        Command::Export(args) => export::run(args, context),
    }
}
