//! `data check`.

mod own;

use std::path::PathBuf;

use clap::Args;
use data_catalog::check::{Checksum, FileReport, SetReport, check};
use glue_squad::task::Task;
use serde_json::json;

use super::selection::{CatalogArgs, select};
use crate::context::Context;
use crate::error::CliError;
use crate::hub::Named;
use crate::output::{print, print_json, table};
use crate::own_task::OwnTaskArgs;
use crate::tasks;
use crate::units::grouped;

#[derive(Args, Debug)]
#[command(after_help = "\
The files are read by the readers that a training uses. Problems (another number of rows, a line that cannot be read, a wrong \
checksum, more rows shared with the training set than officially) end the command with exit code 1; what official files have \
too, such as repeated rows, is noted.\n\
  efficientbert data check --train reviews.csv --text review --label stars --write-task reviews.toml\n\
shows the rows and labels of a file of your own, as a training would read them.")]
pub struct CheckArgs {
    /// Data sets or groups [default: all that are here].
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// Check the task that this TOML file describes.
    #[arg(long, value_name = "FILE", value_parser = tasks::parse, conflicts_with_all = ["names", "train"])]
    task: Option<Task>,
    /// Write the description of the task of --train, which other commands take as --task; an existing file is replaced.
    #[arg(long, value_name = "FILE", requires = "train")]
    write_task: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    own: OwnTaskArgs,
}

impl CheckArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        self.own.named()
    }
}

pub fn run(args: &CheckArgs, context: &Context) -> Result<(), CliError> {
    if args.own.is_given() || args.task.is_some() {
        return own::check(args, context);
    }
    let catalog = args.catalog.catalog()?;
    let sets = select(&catalog, &args.names)?;
    let folder = args.catalog.folder();
    context.progress.start("check", sets.len() as u64, "data sets");
    let mut reports = Vec::new();
    for (done, set) in sets.iter().enumerate() {
        let report = check(set, &folder)?;
        // Sets that nobody asked for by name and that are not here are no news.
        if !report.files.is_empty() || !args.names.is_empty() {
            reports.push(report);
        }
        context.progress.step(done as u64 + 1, &[]);
    }
    context.progress.finish();
    if reports.iter().all(|report| report.files.is_empty()) {
        let message = format!("{}: there is nothing to check", args.catalog.dir.display());
        return Err(CliError::failed(message)
            .with_hint("`efficientbert data fetch NAME` fetches data sets, --dir DIR names another folder"));
    }
    let problems: usize = reports.iter().map(|report| report.problems().count()).sum();
    if args.json {
        print_json(&json!({ "dir": args.catalog.dir, "problems": problems, "sets": reports }))?;
    } else {
        print(&as_text(&reports))?;
    }
    match problems {
        0 => Ok(()),
        count => Err(CliError::failed(format!("{count} problems; results with these files would not count"))
            .with_hint("`efficientbert data fetch NAME --force` fetches a set again")),
    }
}

fn as_text(reports: &[SetReport]) -> String {
    let rows: Vec<Vec<String>> = reports.iter().flat_map(|report| &report.files).map(row).collect();
    let mut text = table(&["file", "rows", "official", "rows per class", "content"], &rows, true);
    for report in reports {
        for file in &report.files {
            for finding in &file.findings {
                let word = if finding.is_problem { "problem" } else { "note" };
                text += &format!("{word}: {}: {}\n", file.path, finding.text);
            }
        }
        if !report.absent.is_empty() {
            text += &format!("absent: {}: {}\n", report.id, shortened(&report.absent));
        }
    }
    text
}

fn row(file: &FileReport) -> Vec<String> {
    let number = |value: Option<u64>| value.map_or_else(|| "n/a".to_owned(), grouped);
    let classes = file.classes.iter().map(|count| grouped(*count)).collect::<Vec<_>>().join(" / ");
    let content = match file.checksum {
        Checksum::Official => "official checksum",
        Checksum::AsFetched => "as fetched",
        Checksum::Unknown => "no checksum known",
        Checksum::Differs => "differs",
    };
    vec![file.path.clone(), number(file.rows), number(file.official_rows), classes, content.to_owned()]
}

/// The first few names and how many more there are.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
