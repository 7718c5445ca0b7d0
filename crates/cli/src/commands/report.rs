//! `report`: the report of a run folder.

use std::path::PathBuf;

use clap::Args;
use run_store::rundir::RunPaths;

use crate::context::Context;
use crate::error::CliError;
use crate::inputs::no_search;
use crate::output;

/// Options of `report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// The run folder, finished or not.
    run: PathBuf,
}

/// Writes `report.html` and prints its path.
pub fn run(args: &ReportArgs, _context: &Context) -> Result<(), CliError> {
    let paths = RunPaths::new(&args.run);
    if !paths.run_json().is_file() {
        return Err(no_search(&args.run));
    }
    pipeline::summary::write_report(&paths, pipeline::phase::stored_study(&paths)?.as_deref())?;
    output::print(&format!("{}\n", paths.report().display()))
}
