//! Paths that a command reads.

use std::path::Path;

use crate::error::CliError;

/// Refuses a path that names nothing: a mistyped one should show before anything slow is done.
///
/// # Errors
/// The first of `paths`, as `option` names it, that does not exist.
pub fn must_exist<P: AsRef<Path>>(option: &str, paths: impl IntoIterator<Item = P>) -> Result<(), CliError> {
    match paths.into_iter().find(|path| !path.as_ref().exists()) {
        Some(path) => Err(CliError::usage(format!("{option} {}: no such file or folder", path.as_ref().display()))),
        None => Ok(()),
    }
}
