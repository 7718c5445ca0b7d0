//! `data fetch`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use data_catalog::download::Event;
use data_catalog::fetch::{Fetcher, How, Options, SetOutcome};
use data_catalog::layout::DataFolder;
use data_catalog::list::{Presence, list};
use data_catalog::manifest::{Catalog, DataSet};
use data_catalog::net::{Client, Network};
use data_catalog::{Error, readable_bytes};
use serde_json::{Value, json};

use super::selection::{CatalogArgs, select};
use crate::context::Context;
use crate::downloads;
use crate::error::{CliError, ResultExt};
use crate::interrupt;
use crate::output::{print, print_json, table};

#[derive(Args, Debug)]
#[command(after_help = "\
A download that is interrupted goes on where it stopped when the same command is given again. Files appear under their names \
only when they are whole and their size and SHA-256 are right.\n\n\
Proxies are taken from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (or their lower-case names), certificates to trust \
instead of the compiled-in ones from the PEM file that SSL_CERT_FILE names.\n\n\
Read the license first: `efficientbert data list NAME` names it.")]
pub struct FetchArgs {
    /// Data sets or groups: cola, sst-2, squad-v1, ..., glue, squad, corpus, model, extra, all.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// Folder with files fetched elsewhere, under the names that they have at their addresses; the rest is downloaded.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Replace files of another content, and accept that a file without a known checksum has changed.
    #[arg(long)]
    force: bool,
    /// Keep archives after unpacking.
    #[arg(long)]
    keep_archives: bool,
    /// Failures in a row after which an address is given up.
    #[arg(long, value_name = "N", default_value = "5")]
    attempts: NonZeroU32,
    /// Say what would be downloaded, and download nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &FetchArgs, context: &Context) -> Result<(), CliError> {
    let catalog = args.catalog.catalog()?;
    let sets = without_unavailable(&catalog, args, context)?;
    if let Some(from) = args.from.as_ref().filter(|from| !from.is_dir()) {
        return Err(CliError::usage(format!("--from {}: there is no such folder", from.display())));
    }
    let folder = args.catalog.folder();
    if args.dry_run {
        return plan(&catalog, &sets, &folder, args);
    }
    let network = Network { attempts: args.attempts.get(), ..downloads::network() };
    let client = Client::new(&network).or_usage()?;
    let options = Options { from: args.from.clone(), force: args.force, keep_archives: args.keep_archives };
    interrupt::install(&context.progress)?;
    let fetcher = Fetcher { folder: &folder, client: &client, options: &options, stop: interrupt::flag() };
    let outcomes = fetcher.fetch_all(&sets, &mut |event: &Event<'_>| downloads::show(event, &context.progress));
    context.progress.finish();
    report(args, sets.len(), outcomes, context)
}

/// The sets asked for. One that nobody distributes is an error where it was named itself, and passed over in a group.
fn without_unavailable<'c>(
    catalog: &'c Catalog,
    args: &FetchArgs,
    context: &Context,
) -> Result<Vec<&'c DataSet>, CliError> {
    for name in &args.names {
        if let [set] = select(catalog, std::slice::from_ref(name))?[..]
            && let Some(reason) = &set.unavailable
        {
            return Err(CliError::failed(format!("`{}` cannot be fetched: {reason}", set.id)));
        }
    }
    let (available, others): (Vec<_>, Vec<_>) =
        select(catalog, &args.names)?.into_iter().partition(|set| set.unavailable.is_none());
    for set in others {
        context.progress.message(&format!("skipped: {}: {}", set.id, set.unavailable.as_deref().unwrap_or("")));
    }
    Ok(available)
}

type Outcomes<'c> = Vec<(&'c DataSet, Result<SetOutcome, Error>)>;

fn report(args: &FetchArgs, asked: usize, outcomes: Outcomes<'_>, context: &Context) -> Result<(), CliError> {
    let stopped = outcomes.iter().any(|(_, outcome)| matches!(outcome, Err(Error::Stopped { .. })));
    let as_json = |(set, outcome): &(&DataSet, Result<SetOutcome, Error>)| match outcome {
        Ok(outcome) => json!({ "id": outcome.id, "files": outcome.files }),
        Err(error) => json!({ "id": set.id, "error": error.to_string() }),
    };
    if args.json {
        let sets: Vec<Value> = outcomes.iter().map(as_json).collect();
        print_json(&json!({ "dir": args.catalog.dir, "sets": sets }))?;
    } else {
        print(&as_text(&outcomes))?;
    }
    let tried = outcomes.len();
    let mut failed: Vec<(&str, Error)> =
        outcomes.into_iter().filter_map(|(set, outcome)| Some((set.id.as_str(), outcome.err()?))).collect();
    match failed.len() {
        0 => Ok(()),
        _ if stopped => Err(CliError::interrupted(failed.remove(failed.len() - 1).1.to_string())
            .with_hint("the same command continues from there")),
        1 if tried == asked => Err(CliError::from(failed.remove(0).1)),
        count => {
            for (id, error) in &failed {
                context.progress.warn(&format!("{id}: {error}"));
            }
            Err(CliError::failed(format!("{count} of {asked} sets could not be fetched; {tried} were tried")))
        }
    }
}

fn as_text(outcomes: &Outcomes<'_>) -> String {
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .filter_map(|(_, outcome)| outcome.as_ref().ok())
        .flat_map(|outcome| &outcome.files)
        .map(|file| {
            let how = match file.how {
                How::Present => "was here",
                How::Fetched => "fetched",
                How::Unpacked => "unpacked",
                How::Built => "built",
            };
            let trust = match (file.verified, &file.sha256) {
                (true, _) => "checksum right".to_owned(),
                (false, Some(sha256)) => format!("SHA-256 {sha256}, unverified"),
                (false, None) => "no checksum known".to_owned(),
            };
            vec![file.path.clone(), readable_bytes(file.bytes), how.to_owned(), trust]
        })
        .collect();
    if rows.is_empty() { String::new() } else { table(&["file", "size", "done", "content"], &rows, true) }
}

/// What a fetch would do.
fn plan(catalog: &Catalog, sets: &[&DataSet], folder: &DataFolder, args: &FetchArgs) -> Result<(), CliError> {
    let mut states = list(catalog, folder)?;
    states.retain(|state| sets.iter().any(|set| set.id == state.id) && state.presence != Presence::Complete);
    if args.json {
        return print_json(&json!({ "dir": args.catalog.dir, "to_fetch": states }));
    }
    let rows: Vec<Vec<String>> = sets
        .iter()
        .filter(|set| states.iter().any(|state| state.id == set.id))
        .flat_map(|set| set.sources.iter().map(move |source| (set, source)))
        .map(|(set, source)| {
            let size = source.bytes.map_or_else(|| "not known".to_owned(), readable_bytes);
            vec![set.id.clone(), size, source.urls[0].clone()]
        })
        .collect();
    if rows.is_empty() {
        return print("everything is here\n");
    }
    print(&table(&["set", "size", "address"], &rows, true))
}
