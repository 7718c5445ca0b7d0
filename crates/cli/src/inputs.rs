//! Paths that a command reads.

use std::path::Path;

use crate::error::CliError;

/// Refuses a path that names nothing: a mistyped one should show before anything slow is done.
///
/// # Errors
/// The first of `paths`, as `option` names it, that does not exist.
pub fn must_exist<P: AsRef<Path>>(option: &str, paths: impl IntoIterator<Item = P>) -> Result<(), CliError> {
    let paths: Vec<P> = paths.into_iter().collect();
    let first = paths.iter().find(|path| !path.as_ref().exists());
    first.map_or(Ok(()), |path| Err(CliError::usage(absent(option, path.as_ref()))))
}

/// [`must_exist`] for all that a command reads, each path with its option: whatever is missing is said at once.
///
/// # Errors
/// All paths that do not exist.
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
