//! `arch`: parameters and MACs of an architecture, whether it is valid, random ones.

mod check;
mod sample;
mod show;

pub use show::sequence;

use clap::Subcommand;

use crate::error::CliError;

const ARCH_HELP: &str = "\
ARCH is one of
  a preset                efficientbert, efficientbert++, bert-base, mobilebert, ...
  a folder                a model directory
  a file                  a config.json, a JSON array of expressions, or one expression a line
  expressions             'linear1_1(gelu(linear1_1(x,wb1)),wb2); ...', one for each layer";

/// What to do with architectures.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Parameters and multiply-adds (MACs, counted once), part by part.
    #[command(after_help = ARCH_HELP)]
    Show(show::ShowArgs),
    /// Say whether an architecture is valid and runs at its widths; exit code 1 if not.
    #[command(after_help = ARCH_HELP)]
    Check(check::CheckArgs),
    /// Draw random valid architectures.
    Sample(sample::SampleArgs),
}

pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::Show(args) => show::run(args),
        Command::Check(args) => check::run(args),
        Command::Sample(args) => sample::run(args),
    }
}
