//! One file per command. A new command is a file here, a variant of [`Command`] and its arm in [`run`].

mod arch;
mod bench;
mod data;
mod encode;
mod import;
mod report;
mod search;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CliError;

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Search a compact student, distil it and prove it: the main job.
    Search(search::SearchArgs),
    /// Write the report of a run folder again.
    Report(report::ReportArgs),
    /// Look at architectures: parameters and MACs, validity, random draws.
    #[command(subcommand)]
    Arch(arch::Command),
    /// Turn foreign weights into a model directory.
    Import(import::ImportArgs),
    /// Write hidden states and attention scores of given token ids, for comparisons.
    Encode(encode::EncodeArgs),
    /// Measure how long one forward pass takes.
    Bench(bench::BenchArgs),
    /// Data sets.
    #[command(subcommand)]
    Data(data::Command),
}

/// Runs a command.
///
/// # Errors
/// The command's own.
pub fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::Search(args) => search::run(&args, context),
        Command::Report(args) => report::run(&args, context),
        Command::Arch(command) => arch::run(&command, context),
        Command::Import(args) => import::run(&args, context),
        Command::Encode(args) => encode::run(&args, context),
        Command::Bench(args) => bench::run(&args, context),
        Command::Data(command) => data::run(&command, context),
    }
}
