//! `data check` of a task of one's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use glue_squad::task::{Example, Label, Split, Task};
use serde_json::{Value, json};

use super::CheckArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::output::{check_targets, print, print_json, table};
use crate::units::grouped;

/// Labels whose counts are shown.
const SHOWN: usize = 12;

/// Reads every split as a training does, and shows rows, labels and repeated texts.
pub fn check(args: &CheckArgs, context: &Context) -> Result<(), CliError> {
    let chosen = args.own.or_of(args.task.as_slice(), None, context)?;
    let Some(task) = chosen.tasks.first() else {
        return Err(CliError::usage("name a task: --train FILE, or --task FILE"));
    };
    let (task, folder) = (task, chosen.data.unwrap_or_default());
    let Some((own, _)) = task.described_by() else {
        return Err(CliError::usage(format!("--task {task}: is built in"))
            .with_hint(format!("efficientbert data check {task}")));
    };
    if let Some(file) = &args.write_task {
        let read: Vec<_> = own.files().map(|path| folder.join(path)).collect();
        check_targets([("--write-task", Some(file.as_path()))], &read)?;
        let own = own.seen_from(&folder, &absolute_folder(file)?);
        run_store::output::write(file, own.to_toml()?.as_bytes())?;
    }
    let mut rows = Vec::new();
    let mut splits: BTreeMap<&str, Value> = BTreeMap::new();
    let mut texts: Vec<(Split, BTreeSet<String>)> = Vec::new();
    let mut notes = Vec::new();
    for split in [Split::Train, Split::Dev, Split::Test] {
        if split == Split::Test && own.test.is_none() {
            continue;
        }
        let data = task.read_split(&folder, split)?;
        notes.extend(data.passed_over());
        let counts = counts(task, &data.examples);
        let all: BTreeSet<String> = data.examples.iter().map(text_of).collect();
        let repeated = data.examples.len() - all.len();
        let shared: Vec<(Split, usize)> =
            texts.iter().map(|(of, other)| (*of, all.intersection(other).count())).collect();
        for (other, count) in shared.iter().filter(|(_, count)| *count > 0) {
            notes.push(format!("{split} has {} texts that {other} has too", grouped(*count as u64)));
        }
        splits.insert(
            split.name(),
            json!({ "file": data.path, "rows": data.examples.len(), "repeated": repeated, "labels": counts }),
        );
        let shown = counts.iter().take(SHOWN).map(|(name, count)| format!("{name} {}", grouped(*count)));
        let more = if counts.len() > SHOWN { format!(" and {} more", counts.len() - SHOWN) } else { String::new() };
        rows.push(vec![
            split.name().to_owned(),
            grouped(data.examples.len() as u64),
            grouped(repeated as u64),
            shown.collect::<Vec<_>>().join(", ") + &more,
            data.path.display().to_string(),
        ]);
        texts.push((split, all));
    }
    if args.json {
        return print_json(&json!({ "task": task.name(), "description": own, "splits": splits, "notes": notes }));
    }
    let mut text = table(&["split", "rows", "repeated", "labels", "file"], &rows, true);
    for note in notes {
        text += &format!("note: {note}\n");
    }
    print(&text)
}

fn absolute_folder(file: &Path) -> Result<std::path::PathBuf, CliError> {
    Ok(std::path::absolute(file)?.parent().map_or_else(Default::default, Path::to_owned))
}

fn text_of(example: &Example) -> String {
    match &example.text_b {
        Some(b) => format!("{}\u{0}{b}", example.text_a),
        None => example.text_a.clone(),
    }
}

/// How many examples have each label, and how many words each tag, in the order of the task; nothing of numbers.
fn counts(task: &Task, examples: &[Example]) -> Vec<(String, u64)> {
    let names = task.labels();
    let mut counts: Vec<(String, u64)> = names.iter().map(|name| ((*name).to_owned(), 0)).collect();
    let mut unlabeled = 0;
    for example in examples {
        match &example.label {
            Some(Label::Class(class)) => counts[*class].1 += 1,
            Some(Label::Set(set)) => set.iter().for_each(|label| counts[label].1 += 1),
            Some(Label::Tags(of)) => of.tags.iter().for_each(|tag| counts[usize::from(*tag)].1 += 1),
            Some(Label::Score(_) | Label::Match(_)) => {}
            None => unlabeled += 1,
        }
    }
    if unlabeled > 0 {
        counts.push(("no label".to_owned(), unlabeled));
    }
    counts
}
