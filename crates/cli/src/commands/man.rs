//! `man`: the help of every command as manual pages.

use std::path::PathBuf;

use clap::Args;

use crate::args;
use crate::error::CliError;
use crate::output;

/// Options of `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Folder for the pages, one for each command, such as `efficientbert-search.1`; made where it is not there. Pages of the same
    /// names are replaced.
    #[arg(value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: &ManArgs) -> Result<(), CliError> {
    let cannot = |e| CliError::failed(format!("{}: cannot write manual pages: {e}", args.out.display()));
    std::fs::create_dir_all(&args.out).map_err(cannot)?;
    let mut pages = Vec::new();
    let mut command = args::command().disable_help_subcommand(true);
    command.build();
    collect(&command, &mut pages).map_err(cannot)?;
    let mut printed = String::new();
    for (name, page) in pages {
        let path = args.out.join(format!("{name}.1"));
        run_store::output::write(&path, &page)?;
        printed += &format!("{}\n", path.display());
    }
    output::print(&printed)
}

/// The page of `command` and of every command below it, by its file's name without the section.
fn collect(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut page)?;
    pages.push((name, page));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        collect(below, pages)?;
    }
    Ok(())
}
