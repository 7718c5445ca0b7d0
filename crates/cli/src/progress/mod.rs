//! Progress of long work, on standard error.
//!
//! | file | concern |
//! |---|---|
//! | `phase` | one phase: how far it is, what it measures, and that as a line or an object |
//! | `display` | what is shown of a phase: bar, dashboard, lines, objects |
//! | `dashboard` | several lines about a training, drawn in place |
//! | `format` | numbers, times and curves as text |

mod dashboard;
mod display;
mod format;
mod phase;

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipeline::events::RunEvent;
use pipeline::note::Note;
use serde_json::json;

use display::{DisplayMode, line};
pub use format::duration;
use phase::{Phase, Value};

/// How progress is shown.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar on a terminal, an occasional line elsewhere.
    Auto,
    /// A bar.
    Bar,
    /// Several lines on a terminal, drawn in place: loss curve, terms, speed, memory, evaluations.
    Dashboard,
    /// One JSON object a line.
    Json,
    /// Nothing but errors and warnings.
    None,
}

/// Time between two plain lines: a log of an hour stays readable.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// Time between two JSON lines.
const JSON_INTERVAL: Duration = Duration::from_millis(500);

/// Reports phases of a known number of steps. Shared by reference; every method may be called from any thread.
pub struct Progress {
    display: DisplayMode,
    phase: Mutex<Option<Phase>>,
}

/// How progress is displayed in `mode`, on a `terminal` or elsewhere.
fn display_of(mode: ProgressMode, terminal: bool) -> DisplayMode {
    match mode {
        ProgressMode::Bar => DisplayMode::Bar,
        ProgressMode::Json => DisplayMode::Json,
        ProgressMode::None => DisplayMode::Silent,
        ProgressMode::Dashboard if terminal => DisplayMode::Dashboard,
        ProgressMode::Auto if terminal => DisplayMode::Bar,
        ProgressMode::Dashboard | ProgressMode::Auto => DisplayMode::Plain,
    }
}

impl Progress {
    /// Decides the display; `auto` and `dashboard` ask whether standard error is a terminal.
    pub fn new(mode: ProgressMode) -> Self {
        let display = display_of(mode, std::io::stderr().is_terminal());
        let this = Self { display, phase: Mutex::new(None) };
        if mode == ProgressMode::Dashboard && display == DisplayMode::Plain {
            this.message("standard error is no terminal: lines in place of the dashboard");
        }
        this
    }

    /// Begins a phase of `total` of `unit` (examples, steps) and ends the one before.
    pub fn start(&self, phase: &str, total: u64, unit: &str) {
        self.start_at(phase, (total, 0), unit);
    }

    /// Begins a phase, of whose `total` of `unit` `done` were done by an earlier process.
    pub fn start_at(&self, phase: &str, (total, done): (u64, u64), unit: &str) {
        self.finish();
        let template = match self.display {
            DisplayMode::Bar => Some("{prefix} [{bar:12}] {pos}/{len} {wide_msg}"),
            DisplayMode::Dashboard => Some("{prefix} [{bar:30}] {pos}/{len} {msg}"),
            _ => None,
        };
        let bar = template.map(|template| {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.with_style(style).with_prefix(phase.to_owned())
        });
        let mut slot = self.lock();
        *slot = Some(Phase::new(phase, (total, done), unit, bar));
        if let Some(phase) = slot.as_mut() {
            self.display.show(phase, "start");
        }
    }

    /// `done` steps of the phase are done; `values` are what a person wants to watch.
    ///
    /// Cheap enough to be called at every step: what is shown is limited by time.
    pub fn step(&self, done: u64, values: &[(&str, f64)]) {
        self.update(done, |phase| phase.values = values.iter().map(|(n, v)| Value::plain(n, *v)).collect());
    }

    /// `done` steps of a training are done, of which `event` reports the last; see [`Phase::train`].
    pub fn train_step(&self, done: u64, event: &RunEvent, best: Option<f64>, skipped: u64) {
        self.update(done, |phase| phase.train(event, best, skipped));
    }

    fn update(&self, done: u64, set: impl FnOnce(&mut Phase)) {
        let mut slot = self.lock();
        let Some(phase) = slot.as_mut() else { return };
        phase.done = done;
        phase.within = None;
        set(phase);
        if phase.due(self.interval()) || matches!(self.display, DisplayMode::Bar | DisplayMode::Dashboard) {
            self.display.show(phase, "progress");
        }
    }

    /// Of `what`, which is done within one step of the phase, `done` of `total` of `unit` are done. Until the next step.
    pub fn within(&self, what: &str, (done, total): (u64, u64), unit: &str) {
        let mut slot = self.lock();
        let Some(phase) = slot.as_mut() else { return };
        let begins = phase.enter(what, (done, total), unit);
        let at_once = match self.display {
            DisplayMode::Bar | DisplayMode::Dashboard => true,
            DisplayMode::Json => begins,
            DisplayMode::Plain | DisplayMode::Silent => false,
        };
        if at_once || phase.due(self.interval()) {
            self.display.show(phase, "within");
        }
    }

    fn interval(&self) -> Duration {
        if self.display == DisplayMode::Json { JSON_INTERVAL } else { PLAIN_INTERVAL }
    }

    pub fn finish(&self) {
        if let Some(mut phase) = self.lock().take() {
            self.display.show(&mut phase, "finish");
        }
    }

    /// Scores of an evaluation: a line, or one of the last ones of the dashboard.
    pub fn evaluation(&self, text: &str) {
        if let Some(phase) = self.lock().as_mut() {
            phase.within = None;
        }
        if self.display == DisplayMode::Dashboard
            && let Some(phase) = self.lock().as_mut()
        {
            phase.evaluated(text);
            self.display.show(phase, "progress");
            return;
        }
        self.message(text);
    }

    /// A line for the person who watches; not shown with `--progress none`.
    pub fn message(&self, text: &str) {
        match self.display {
            DisplayMode::Json => line(&object("message", text)),
            DisplayMode::Silent => {}
            _ => self.above_bar(text),
        }
    }

    /// Says a line that must be seen in every mode, from a thread of its own, while a phase may be running.
    pub fn voice(&self) -> impl Fn(&str) + Send + 'static {
        let display = self.display;
        move |text| match display {
            DisplayMode::Json => line(&object("message", text)),
            _ => line(text),
        }
    }

    /// Several lines for the person who watches, for machines an object in one.
    pub fn lines(&self, text: &str, object: &impl serde::Serialize) {
        match self.display {
            DisplayMode::Json => match serde_json::to_string(object) {
                Ok(object) => line(&object),
                Err(_) => line(&self::object("message", text)),
            },
            DisplayMode::Silent => {}
            _ => self.above_bar(text),
        }
    }

    /// What it came to in the end, in several lines; machines read it elsewhere.
    pub fn summary(&self, text: &str) {
        if !matches!(self.display, DisplayMode::Json | DisplayMode::Silent) {
            self.above_bar(text);
        }
    }

    /// A line that must be seen in every mode.
    pub fn warn(&self, text: &str) {
        match self.display {
            DisplayMode::Json => line(&object("warning", text)),
            _ => self.above_bar(&format!("warning: {text}")),
        }
    }

    /// Messages and warnings of a library.
    pub fn tell(&self, notes: &[Note]) {
        for note in notes {
            match note {
                Note::Message(text) => self.message(text),
                Note::Warning(text) => self.warn(text),
            }
        }
    }

    fn above_bar(&self, text: &str) {
        match self.lock().as_ref().and_then(|phase| phase.bar.as_ref()) {
            Some(bar) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Phase>> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // A bar that is not cleared would be overwritten by the error that ends the program.
        if let Some(bar) = self.lock().take().and_then(|phase| phase.bar) {
            bar.abandon();
        }
    }
}

fn object(event: &str, text: &str) -> String {
    json!({ "event": event, "text": text }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_before_a_start_and_after_a_finish_are_harmless() {
        let progress = Progress::new(ProgressMode::None);
        progress.step(1, &[]);
        progress.evaluation("acc 1");
        progress.start("a", 2, "steps");
        progress.within("evaluation", (1, 2), "examples");
        progress.step(1, &[("x", 1.0)]);
        progress.finish();
        progress.finish();
        progress.step(2, &[]);
        assert!(progress.lock().is_none());
    }

    #[test]
    fn a_dashboard_is_for_terminals_and_everything_else_is_as_asked() {
        use ProgressMode::{Auto, Bar, Dashboard, Json, None};
        let displays = |terminal| [Auto, Bar, Dashboard, Json, None].map(|mode| display_of(mode, terminal));
        assert_eq!(
            displays(true),
            [DisplayMode::Bar, DisplayMode::Bar, DisplayMode::Dashboard, DisplayMode::Json, DisplayMode::Silent]
        );
        assert_eq!(
            displays(false),
            [DisplayMode::Plain, DisplayMode::Bar, DisplayMode::Plain, DisplayMode::Json, DisplayMode::Silent]
        );
    }
}
