//! `completions`: a script by which a shell completes the command line.

use clap::Args;
use clap_complete::Shell;

use crate::args;
use crate::error::CliError;
use crate::output;

/// Options of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell that will read the script.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut command = args::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
