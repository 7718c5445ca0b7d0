//! What the tests of several crates share. Only tests depend on it.
//!
//! A test that needs something that a machine may lack (real data, a second device, the rights of the superuser) calls [`skipped`] and
//! returns. A test that needs real data calls [`shared`], which calls it. So every test that did not run says so on standard error, also where the test
//! harness captures what tests print; and where `EFFICIENTBERT_SHARED` names a folder that is there, as in CI, a missing file fails the test.

#![allow(clippy::disallowed_methods, reason = "where real data is depends on the machine")]

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The variable that names the folder of real data and models.
pub const SHARED: &str = "EFFICIENTBERT_SHARED";

/// The path `relative` in the folder of real data: `EFFICIENTBERT_SHARED`, else `shared` beside the workspace. `None`, and said, where
/// the path is not there and the variable is not set, or names a folder that is not there.
///
/// # Panics
/// The variable names a folder that has no such path: whoever has the data wants the test.
#[track_caller]
pub fn shared(relative: &str) -> Option<PathBuf> {
    match find(std::env::var_os(SHARED), relative) {
        Ok(path) => Some(path),
        Err(Missing { path, wanted: true }) => panic!("{SHARED} names a folder without {}", path.display()),
        Err(Missing { path, wanted: false }) => {
            skipped(&format!("{} is not there; set {SHARED} to the folder with real data", path.display()));
            None
        }
    }
}

/// Says on standard error that the running test did not run, and why.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    // The macros print into the harness's buffer, which a passing test does not show.
    let _ = writeln!(std::io::stderr().lock(), "skipped: {}: {reason}", thread.name().unwrap_or("a test"));
}

/// A path that is not there.
#[derive(Debug, PartialEq)]
struct Missing {
    path: PathBuf,
    /// Whether somebody named a folder that is there.
    wanted: bool,
}

fn find(named: Option<OsString>, relative: &str) -> Result<PathBuf, Missing> {
    // A relative path means the same in the tests of every crate, although cargo runs them in the crate's own folder.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let is_named = named.is_some();
    let folder = root.join(named.map_or_else(|| PathBuf::from("../shared"), PathBuf::from));
    let (wanted, path) = (is_named && folder.is_dir(), folder.join(relative));
    if path.exists() { Ok(path) } else { Err(Missing { path, wanted }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_in_a_named_folder_is_not_a_reason_to_skip() {
        let here = OsString::from(env!("CARGO_MANIFEST_DIR"));
        assert!(find(Some(here.clone()), "Cargo.toml").is_ok());
        assert!(find(Some(here), "no-such-file").is_err_and(|missing| missing.wanted));
        assert!(find(None, "no-such-file").is_err_and(|missing| !missing.wanted));
        let nowhere = Some("no-such-folder".into());
        assert!(find(nowhere, "no-such-file").is_err_and(|missing| !missing.wanted), "there is no real data at all");
        // Relative to the workspace.
        assert!(find(Some("crates/test-support".into()), "Cargo.toml").is_ok());
    }
}
