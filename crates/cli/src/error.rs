//! Errors as a person sees them, and exit codes.

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

pub const FAILED: u8 = 1;
pub const USAGE: u8 = 2;
/// Exit code: interrupted by the person at the keyboard (128 + SIGINT).
pub const INTERRUPTED: u8 = 130;

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line or the recipe is wrong; exit code 2.
    Usage,
    /// Bad data, a full disk, a training that diverged; exit code 1.
    Failed,
    /// Stopped on request, after what was to be saved was saved; exit code 130.
    Interrupted,
    /// The reader of standard output closed it; the program ends quietly and with success.
    Closed,
}

/// What went wrong, the chain of causes, and what to do about it.
///
/// Every error type converts into it with `?` as [`Kind::Failed`], so it is no [`Error`] itself.
#[derive(Debug)]
pub struct CliError {
    /// Decides the exit code.
    pub kind: Kind,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl CliError {
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Kind::Interrupted, message)
    }

    pub fn closed() -> Self {
        Self::new(Kind::Closed, "")
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// Says what to do about it; the first hint, nearest to the cause, wins.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// Takes `hint` in place of one that names `command`.
    #[must_use]
    pub fn with_hint_of(mut self, command: &str, hint: impl Into<String>) -> Self {
        if self.hint.as_ref().is_some_and(|there| there.contains(command)) || self.kind == Kind::Interrupted {
            self.hint = Some(hint.into());
        }
        self
    }

    #[must_use]
    pub fn with_hints(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.with_hint(hint),
            None => self,
        }
    }

    /// Puts `message` in front; what was the message becomes its cause.
    #[must_use]
    pub fn with_context(mut self, message: impl Into<String>) -> Self {
        self.causes.insert(0, std::mem::replace(&mut self.message, message.into()));
        self
    }

    /// The value that led to it came from the command line.
    #[must_use]
    pub fn into_usage(self) -> Self {
        Self { kind: Kind::Usage, ..self }
    }

    /// The message without causes and hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Prints the error to standard error, as the line of an object where the reader is a program (`--progress json`), and says with
    /// which code to exit.
    pub fn report(&self, json: bool) -> ExitCode {
        let code = match self.kind {
            Kind::Closed => return ExitCode::SUCCESS,
            Kind::Usage => USAGE,
            Kind::Failed => FAILED,
            Kind::Interrupted => INTERRUPTED,
        };
        let word = if self.kind == Kind::Interrupted { "interrupted" } else { "error" };
        let text = if json { self.object(word, code).to_string() + "\n" } else { self.text(word) };
        // Where standard error is closed nothing can be said; the exit code is still right.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(code)
    }

    fn text(&self, word: &str) -> String {
        let mut text = format!("{word}: {}\n", self.message);
        for cause in &self.causes {
            text += &format!("  caused by: {cause}\n");
        }
        if let Some(hint) = &self.hint {
            text += &format!("hint: {hint}\n");
        }
        text
    }

    fn object(&self, word: &str, code: u8) -> serde_json::Value {
        let Self { message, causes, hint, .. } = self;
        serde_json::json!({ "event": word, "text": message, "causes": causes, "hint": hint, "exit_code": code })
    }
}

impl<E: Error + 'static> From<E> for CliError {
    fn from(error: E) -> Self {
        let mut this = Self::failed(error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many messages already end with their cause.
            let last = this.causes.last().unwrap_or(&this.message);
            if !last.contains(&text) {
                this.causes.push(text);
            }
            source = cause.source();
        }
        this
    }
}

/// Adds context and hints on the way up.
pub trait ResultExt<T> {
    fn hint(self, hint: impl Into<String>) -> Result<T, CliError>;
    fn context(self, message: impl Into<String>) -> Result<T, CliError>;
    /// Turns a failure into wrong usage: the value came from the command line.
    fn or_usage(self) -> Result<T, CliError>;
}

impl<T, E: Into<CliError>> ResultExt<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> Result<T, CliError> {
        self.map_err(|e| e.into().with_hint(hint))
    }

    fn context(self, message: impl Into<String>) -> Result<T, CliError> {
        self.map_err(|e| e.into().with_context(message))
    }

    fn or_usage(self) -> Result<T, CliError> {
        self.map_err(|e| e.into().into_usage())
    }
}

/// Whether an error of standard output means that its reader has left.
pub fn is_closed_pipe(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl std::fmt::Display for Link {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|e| e as _)
        }
    }

    #[test]
    fn a_cause_that_the_message_already_names_is_not_repeated() {
        let link = |text, cause: Option<Link>| Link(text, cause.map(Box::new));
        let error = link("cannot read a: no such file", Some(link("no such file", Some(link("os error 2", None)))));
        let error = CliError::from(error);
        assert_eq!(error.message(), "cannot read a: no such file");
        assert_eq!(error.causes, ["os error 2"]);
    }

    #[test]
    fn context_moves_the_message_down_and_the_first_hint_wins() {
        let error = CliError::failed("inner").with_hint("first").with_context("outer").with_hint("second");
        assert_eq!((error.message(), &error.causes[..]), ("outer", &["inner".to_owned()][..]));
        assert_eq!(error.hint.as_deref(), Some("first"));
    }
}
