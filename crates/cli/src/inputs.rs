//! Paths that a command reads.

use std::path::{Path, PathBuf};

use pipeline::run_listing::{Kind, RunSummary, directly_in};
use run_store::rundir::RECIPE;
use run_store::similar::closest;

use crate::error::CliError;

/// Runs that an error names.
const MOST_NAMED: usize = 8;

/// Refuses a path that names nothing: a mistyped one should show before anything slow is done.
pub fn must_exist<P: AsRef<Path>>(option: &str, paths: impl IntoIterator<Item = P>) -> Result<(), CliError> {
    let paths: Vec<P> = paths.into_iter().collect();
    let first = paths.iter().find(|path| !path.as_ref().exists());
    first.map_or(Ok(()), |path| Err(CliError::usage(absent(option, path.as_ref()))))
}

/// [`must_exist`] for all that a command reads, each path with its option: whatever is missing is said at once.
pub fn must_all_exist<'a>(paths: impl IntoIterator<Item = (&'a str, &'a Path)>) -> Result<(), CliError> {
    let missing = paths.into_iter().filter(|(_, path)| !path.exists());
    let missing: Vec<String> = missing.map(|(option, path)| absent(option, path)).collect();
    match &missing[..] {
        [] => Ok(()),
        [one] => Err(CliError::usage(one.clone())),
        several => {
            let lines = several.iter().map(|line| format!("\n  {line}")).collect::<String>();
            Err(CliError::usage(format!("{} inputs are missing:{lines}", several.len())))
        }
    }
}

fn absent(option: &str, path: &Path) -> String {
    format!("{option} {}: no such file or folder", path.display())
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Refuses the folder of a run where a model is wanted, and says where its models are.
pub fn refuse_run_folder(option: &str, dir: &Path) -> Result<(), CliError> {
    if !dir.join(RECIPE).is_file() {
        return Ok(());
    }
    let is_model = |dir: &PathBuf| dir.join("config.json").is_file();
    let teacher = dir.join("teacher");
    let mut models: Vec<PathBuf> = [dir.join("student"), teacher.join("model")].into_iter().filter(is_model).collect();
    let of_tasks = std::fs::read_dir(&teacher).into_iter().flatten().flatten().map(|task| task.path().join("model"));
    let mut of_tasks: Vec<PathBuf> = of_tasks.filter(is_model).collect();
    of_tasks.sort();
    models.extend(of_tasks);
    // A teacher is wanted more often than a student there.
    if option.contains("teacher") && models.len() > 1 {
        models.rotate_left(1);
    }
    let error = CliError::usage(format!("{option} {}: is the folder of a run, not a model directory", dir.display()));
    let names: Vec<String> = models.iter().map(|model| quoted(model)).collect();
    Err(match names.is_empty() {
        true => {
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            error.with_hint(format!("it has no model yet; `efficientbert runs {}` says how far it is", quoted(parent)))
        }
        false => error.with_hint(format!("use {}", names.join(" or "))),
    })
}

/// The error where `folder` has no `what` (run or training) to go on with; it names those beside `out`.
pub fn nothing_to_resume(option: &str, folder: &Path, what: &str, out: &Path) -> CliError {
    if what == "training" && out.join("config.json").is_file() && out.join("log.jsonl").is_file() {
        let message = format!("--resume: the training of {} is finished; nothing is left to do", out.display());
        return CliError::usage(message).with_hint("to train again, name another --out");
    }
    let at = if option.is_empty() { String::new() } else { format!("{option}: ") };
    let (beside, near) = runs_beside(out, |run| (run.kind == Kind::Search) == (what == "run"));
    let hint = match near {
        Some(near) => format!("did you mean --out {}? Leave out --resume to start one", quoted(&near)),
        None => "leave out --resume to start one".into(),
    };
    CliError::usage(format!("{at}{} holds no {what} to resume{beside}", folder.display())).with_hint(hint)
}

/// The error where `folder` is none of a search; it names those beside it.
pub fn no_search(folder: &Path) -> CliError {
    let (beside, near) = runs_beside(folder, |run| run.kind == Kind::Search);
    let error = CliError::usage(format!("{} holds no run (no run.json){beside}", folder.display()));
    error.with_hints(near.map(|near| format!("did you mean {}?", quoted(&near))))
}

/// The error where the folder `run` has no study; it names the searches beside it.
pub fn no_study(run: &Path) -> CliError {
    let (beside, near) = runs_beside(run, |run| run.kind == Kind::Search);
    let error = CliError::usage(format!("{} holds no study (no study.sqlite){beside}", run.display()));
    match near {
        Some(near) => error.with_hint(format!("did you mean {}?", quoted(&near))),
        None => error.with_hint("a search keeps its study in its run folder"),
    }
}

/// What a message says of the runs in the folder in which `path` would be, and the one of them whose name is most like its.
fn runs_beside(path: &Path, is_meant: impl Fn(&RunSummary) -> bool) -> (String, Option<PathBuf>) {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = directly_in(parent).unwrap_or_default();
    let found: Vec<&RunSummary> = found.iter().filter(|run| run.problems.is_empty() && is_meant(run)).collect();
    if found.is_empty() {
        return (String::new(), None);
    }
    let each = found.iter().take(MOST_NAMED).map(|run| format!("{} ({})", run.name, run.state.name()));
    let more = if found.len() > MOST_NAMED { ", ..." } else { "" };
    let said = format!("; {}/ holds: {}{more}", parent.display(), each.collect::<Vec<_>>().join(", "));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let near = closest(&name, found.iter().map(|run| run.name.as_str()));
    // `.` in front of a name is only needed where there is nothing else.
    let near = near.map(|near| if parent == Path::new(".") { PathBuf::from(near) } else { parent.join(near) });
    (said, near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_said_at_once() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (a, b) = (here.join("no-a"), here.join("no-b"));
        assert!(must_all_exist([("--data", here)]).is_ok());
        let one = must_all_exist([("--data", here), ("--corpus", &*a)]).unwrap_err();
        assert!(one.message().starts_with("--corpus") && one.message().ends_with("no-a: no such file or folder"));
        let both = must_all_exist([("--data", &*a), ("--corpus", &*b)]).unwrap_err();
        assert!(both.message().starts_with("2 inputs are missing:\n  --data"), "{}", both.message());
        assert!(both.message().contains("\n  --corpus"), "{}", both.message());
    }
}
