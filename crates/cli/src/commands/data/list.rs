//! `data list`.

use clap::Args;
use data_catalog::list::{Presence, SetState, list};
use data_catalog::readable_bytes;
use serde_json::json;

use super::selection::{CatalogArgs, select};
use crate::error::CliError;
use crate::output::{print, print_json, table};
use crate::units::grouped;

#[derive(Args, Debug)]
#[command(after_help = "\
Without NAMEs, one line per set. With NAMEs, every file of those sets with its official rows. Sizes are compared; \
`efficientbert data check` reads the files.")]
pub struct ListArgs {
    /// Data sets or groups: cola, sst-2, squad-v1, ..., glue, squad, corpus, model, extra, all.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ListArgs) -> Result<(), CliError> {
    let catalog = args.catalog.catalog()?;
    let wanted: Vec<&str> = select(&catalog, &args.names)?.iter().map(|set| set.id.as_str()).collect();
    let mut states = list(&catalog, &args.catalog.folder())?;
    states.retain(|state| wanted.contains(&state.id.as_str()));
    if args.json {
        return print_json(&json!({ "dir": args.catalog.dir, "sets": states }));
    }
    if args.names.is_empty() {
        return print(&overview(&states));
    }
    print(&states.iter().map(details).collect::<Vec<_>>().join("\n"))
}

fn overview(states: &[SetState]) -> String {
    let rows: Vec<Vec<String>> = states
        .iter()
        .map(|state| {
            let here = state.files.iter().filter(|file| file.here).count();
            let presence = match state.presence {
                Presence::Unavailable => "none".to_owned(),
                _ => format!("{here} of {}", state.files.len()),
            };
            vec![state.id.clone(), state.group.clone(), presence, download(state), state.license.clone()]
        })
        .collect();
    table(&["set", "group", "files here", "download", "license"], &rows, true)
}

/// The size of the download; archives are smaller than what is in them.
fn download(state: &SetState) -> String {
    match (state.presence, state.download_bytes) {
        (Presence::Unavailable, _) => "not distributed".to_owned(),
        (_, Some(bytes)) => readable_bytes(bytes),
        (_, None) => "not known".to_owned(),
    }
}

fn details(state: &SetState) -> String {
    let mut text = format!("{}: {}\n  license  {}\n  home     {}\n", state.id, state.title, state.license, state.home);
    text += &format!("  folder   {}\n  download {}\n", state.folder, download(state));
    if let Some(note) = &state.note {
        text += &format!("  note     {note}\n");
    }
    let rows: Vec<Vec<String>> = state
        .files
        .iter()
        .map(|file| {
            let here = match (&file.differs, file.here) {
                (Some(how), _) => how.clone(),
                (None, true) => "here".to_owned(),
                (None, false) => "absent".to_owned(),
            };
            let number = |value: Option<u64>| value.map_or_else(String::new, grouped);
            vec![file.path.clone(), number(file.rows), number(file.bytes), here]
        })
        .collect();
    if !rows.is_empty() {
        let files = table(&["file", "rows", "bytes", "state"], &rows, true);
        text.extend(files.lines().map(|line| format!("  {line}\n")));
    }
    if !state.others.is_empty() {
        text += &format!("  also there: {}\n", state.others.join(", "));
    }
    text
}
