//! Panics as a person sees them: one line that asks for a report.
//!
//! The readers of foreign formats catch panics of the libraries below them and turn them into errors. So a panic is only
//! noted when it happens, and reported when it reaches `main`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;

use crate::error::{CliError, FAILED};

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Replaces the panic hook; with `RUST_BACKTRACE` set the usual output stays.
pub fn install() {
    let usual = std::panic::take_hook();
    let wordy = std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0");
    std::panic::set_hook(Box::new(move |info| {
        if wordy {
            usual(info);
        }
        let text = info.payload_as_str().unwrap_or("no message").replace('\n', " ");
        let place = info.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
        if let Ok(mut last) = LAST.lock() {
            *last = Some(format!("{text}{place}"));
        }
    }));
}

/// Prints what the panic that reached `main` said, as an object where the reader is a program.
pub fn report(json: bool) -> ExitCode {
    let last = LAST.lock().ok().and_then(|mut last| last.take()).unwrap_or_else(|| "no message".into());
    let text = format!(
        "internal error: {last}; please report it with the command line and the files that led here \
         (RUST_BACKTRACE=1 prints more)"
    );
    if json {
        return CliError::failed(text).report(json);
    }
    let _ = writeln!(std::io::stderr().lock(), "{text}");
    ExitCode::from(FAILED)
}
