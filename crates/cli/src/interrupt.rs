//! Ctrl-C, and the request to end that a system sends, for work that has something to save first.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{CliError, INTERRUPTED};
use crate::progress::Progress;

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// Whether there is work that has something to save.
static SAVES: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Lets the process finish its step on the first Ctrl-C, SIGTERM or SIGHUP; a second one ends it at once.
///
/// Commands that do not call this die of Ctrl-C as every program does.
pub fn install(progress: &Progress) -> Result<(), CliError> {
    SAVES.store(true, Ordering::SeqCst);
    if INSTALLED.set(()).is_err() {
        return Ok(());
    }
    let say = progress.voice();
    ctrlc::set_handler(move || {
        if !SAVES.load(Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        if REQUESTED.swap(true, Ordering::SeqCst) {
            say("stopped at once; what was saved before is kept");
            std::process::exit(i32::from(INTERRUPTED));
        }
        say("stopping, and saving what is done; press Ctrl-C again to stop at once");
    })
    .map_err(|e| CliError::failed(format!("cannot install the Ctrl-C handler: {e}")))?;
    #[cfg(unix)]
    termination::install();
    Ok(())
}

/// SIGTERM, which batch systems and `kill` send, and SIGHUP of a terminal that is closed are passed on as the SIGINT of Ctrl-C.
#[cfg(unix)]
mod termination {
    /// Numbers that POSIX fixes for `kill -1`, `kill -2` and `kill -15`.
    const SIGHUP: i32 = 1;
    const SIGINT: i32 = 2;
    const SIGTERM: i32 = 15;

    unsafe extern "C" {
        fn signal(number: i32, handler: usize) -> usize;
        fn raise(number: i32) -> i32;
    }

    extern "C" fn pass_on(_: i32) {
        // SAFETY: `raise` may be called in a signal handler (POSIX); its own handler is installed before this one.
        unsafe { raise(SIGINT) };
    }

    pub fn install() {
        /// How `signal` says that a signal is ignored (POSIX's SIG_IGN), as `nohup` has it.
        const IGNORED: usize = 1;
        let pass_on = pass_on as extern "C" fn(i32) as usize;
        // SAFETY: the address of a handler that does nothing but raise another signal.
        let before = unsafe {
            signal(SIGTERM, pass_on);
            signal(SIGHUP, pass_on)
        };
        if before == IGNORED {
            // SAFETY: what stood there a moment ago, which POSIX defines as this number.
            unsafe { signal(SIGHUP, IGNORED) };
        }
    }
}

/// What had something to save is done: until the next [`install`] the process dies of Ctrl-C as every program does.
pub fn nothing_to_save() {
    SAVES.store(false, Ordering::SeqCst);
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
pub fn check(what: &str) -> Result<(), CliError> {
    if requested() { Err(CliError::interrupted(what)) } else { Ok(()) }
}
