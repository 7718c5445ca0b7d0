//! Panics as a person sees them: one line that asks for a report.
//!
//! Readers of foreign formats contain the panics of the libraries below them ([`run_store::contain`]) and turn them into ordinary
//! errors: of those nothing is said here. Any other is noted when it happens, on whatever thread, and reported when it
//! reaches `main`.

use std::any::Any;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use crate::error::{CliError, FAILED};

/// What [`std::thread::scope`] says of a panic in one of its threads.
const OF_A_THREAD: &str = "a scoped thread panicked";
/// So many of the latest panics are remembered.
const REMEMBERED: usize = 16;

struct Note {
    text: String,
    place: String,
}

static NOTES: Mutex<Vec<Note>> = Mutex::new(Vec::new());

/// Replaces the panic hook; with `RUST_BACKTRACE` set the usual output stays, except for panics that are contained.
pub fn install() {
    let usual = std::panic::take_hook();
    let wordy = std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0");
    std::panic::set_hook(Box::new(move |info| {
        if run_store::contain::is_active() {
            return;
        }
        if wordy {
            usual(info);
        }
        let text = info.payload_as_str().unwrap_or("no message").to_owned();
        let place = info.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
        let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() == REMEMBERED {
            notes.remove(0);
        }
        notes.push(Note { text, place });
    }));
}

/// Prints what the panic that reached `main` with `payload` said, as an object where the reader is a program.
pub fn report(payload: &(dyn Any + Send), json: bool) -> ExitCode {
    let said = message(payload, &NOTES.lock().unwrap_or_else(PoisonError::into_inner));
    let text = format!(
        "internal error: {said}; please report it with the command line and the files that led here \
         (RUST_BACKTRACE=1 prints more)"
    );
    if json {
        return CliError::failed(text).report(json);
    }
    let _ = writeln!(std::io::stderr().lock(), "{text}");
    ExitCode::from(FAILED)
}

/// The words and the place of the panic with `payload`: others may have been caught, and one on another thread of a scope comes
/// here under another name.
fn message(payload: &(dyn Any + Send), notes: &[Note]) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let own = notes.iter().rposition(|note| note.text == text);
    let found = match text {
        // That of the thread came just before.
        OF_A_THREAD => notes[..own.unwrap_or(notes.len())].iter().rfind(|note| note.text != OF_A_THREAD),
        _ => own.map(|at| &notes[at]),
    };
    let (text, place) = found.map_or((text, ""), |note| (&note.text, &note.place));
    format!("{}{place}", text.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::process::{Command, Stdio};

    use super::*;

    /// Tells a child process of the test below what to do.
    const CHILD: &str = "EFFICIENTBERT_TEST_PANICS";

    fn scoped() {
        std::thread::scope(|scope| {
            scope.spawn(|| panic!("on a thread"));
        });
    }

    /// In the child: panics of all kinds, then the report of the one that reached `main`.
    fn panic_and_report(kind: &str) {
        install();
        let contained: Result<(), _> = run_store::contain::call(|| panic!("in a library"));
        assert_eq!(contained.unwrap_err().said, "in a library");
        let reached = catch_unwind(|| match kind {
            "scope" => scoped(),
            _ => panic!("of our own"),
        });
        // A panic after it that was contained or caught is not the one to report.
        let _ = run_store::contain::call(|| panic!("in a library again"));
        let _ = catch_unwind(|| panic!("caught by somebody"));
        let _ = report(&*reached.unwrap_err(), false);
    }

    fn said_by_child(kind: &str, backtrace: &str) -> String {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "panics::tests::contained_panics_are_silent_and_real_ones_are_not", "--nocapture"])
            .envs([(CHILD, kind), ("RUST_BACKTRACE", backtrace)])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    fn contained_panics_are_silent_and_real_ones_are_not() {
        if let Ok(kind) = std::env::var(CHILD) {
            return panic_and_report(&kind);
        }
        for (kind, words) in [("own", "of our own"), ("scope", "on a thread")] {
            for backtrace in ["0", "1"] {
                let said = said_by_child(kind, backtrace);
                assert!(said.contains(&format!("internal error: {words} at ")), "{said}");
                assert!(!said.contains("in a library"), "{said}");
                // The usual text of the real panic comes too, where it was asked for.
                assert_eq!(said.matches(words).count(), if backtrace == "1" { 2 } else { 1 }, "{said}");
                assert_eq!(said.contains("caught by somebody"), backtrace == "1", "{said}");
            }
        }
    }
}
