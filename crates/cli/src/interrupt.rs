//! Ctrl-C for work that has something to save first.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{CliError, INTERRUPTED};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Lets the process finish its step on the first Ctrl-C; a second one ends it at once.
///
/// Commands that do not call this die of Ctrl-C as every program does.
///
/// # Errors
/// The handler cannot be installed.
pub fn install() -> Result<(), CliError> {
    if INSTALLED.set(()).is_err() {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        let _ = writeln!(std::io::stderr(), "stopping after this step; press Ctrl-C again to stop at once");
    })
    .map_err(|e| CliError::failed(format!("cannot install the Ctrl-C handler: {e}")))
}

/// The flag itself, for libraries that look at it between steps.
pub fn flag() -> &'static AtomicBool {
    &REQUESTED
}

/// Whether Ctrl-C was pressed.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// An [`CliError::interrupted`] if Ctrl-C was pressed.
///
/// # Errors
/// It was; `what` says what is left behind.
pub fn check(what: &str) -> Result<(), CliError> {
    if requested() { Err(CliError::interrupted(what)) } else { Ok(()) }
}
