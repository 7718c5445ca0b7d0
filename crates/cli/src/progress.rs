//! Progress of long work, on standard error.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

/// How progress is shown.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar on a terminal, an occasional line elsewhere.
    Auto,
    /// A bar.
    Bar,
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
    look: Look,
    phase: Mutex<Option<Phase>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Bar,
    Plain,
    Json,
    Silent,
}

struct Phase {
    name: String,
    total: u64,
    done: u64,
    values: Vec<(String, f64)>,
    started: Instant,
    printed: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Decides the look; `auto` asks whether standard error is a terminal.
    pub fn new(mode: ProgressMode) -> Self {
        let look = match mode {
            ProgressMode::Bar => Look::Bar,
            ProgressMode::Json => Look::Json,
            ProgressMode::None => Look::Silent,
            ProgressMode::Auto if std::io::stderr().is_terminal() => Look::Bar,
            ProgressMode::Auto => Look::Plain,
        };
        Self { look, phase: Mutex::new(None) }
    }

    /// Begins a phase of `total` steps and ends the one before.
    pub fn start(&self, phase: &str, total: u64) {
        self.finish();
        let bar = (self.look == Look::Bar).then(|| {
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg} {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.with_style(style).with_prefix(phase.to_owned())
        });
        let phase = Phase {
            name: phase.to_owned(),
            total,
            done: 0,
            values: Vec::new(),
            started: Instant::now(),
            printed: None,
            bar,
        };
        let mut slot = self.lock();
        *slot = Some(phase);
        if let Some(phase) = slot.as_mut() {
            phase.show(self.look, "start");
        }
    }

    /// `done` steps of the phase are done; `values` are what a person wants to watch, such as the loss.
    ///
    /// Cheap enough to be called at every step: what is shown is limited by time.
    pub fn step(&self, done: u64, values: &[(&str, f64)]) {
        let mut slot = self.lock();
        let Some(phase) = slot.as_mut() else { return };
        phase.done = done;
        phase.values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let interval = if self.look == Look::Json { JSON_INTERVAL } else { PLAIN_INTERVAL };
        let due = phase.printed.is_none_or(|at| at.elapsed() >= interval);
        if due || self.look == Look::Bar {
            phase.show(self.look, "progress");
        }
    }

    /// Ends the phase, if one is running.
    pub fn finish(&self) {
        if let Some(mut phase) = self.lock().take() {
            phase.show(self.look, "finish");
        }
    }

    /// A line for the person who watches; not shown with `--progress none`.
    pub fn message(&self, text: &str) {
        match self.look {
            Look::Json => line(&json!({ "event": "message", "text": text }).to_string()),
            Look::Silent => {}
            _ => self.above_bar(text),
        }
    }

    /// A line that must be seen in every mode.
    pub fn warn(&self, text: &str) {
        match self.look {
            Look::Json => line(&json!({ "event": "warning", "text": text }).to_string()),
            _ => self.above_bar(&format!("warning: {text}")),
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

impl Phase {
    fn show(&mut self, look: Look, event: &str) {
        match look {
            Look::Bar => self.draw(event),
            Look::Plain => line(&self.plain(event)),
            Look::Json => line(&self.json(event).to_string()),
            Look::Silent => {}
        }
        self.printed = Some(Instant::now());
    }

    fn draw(&self, event: &str) {
        let Some(bar) = &self.bar else { return };
        bar.set_message(self.numbers());
        bar.set_position(self.done);
        if event == "finish" {
            bar.abandon();
        }
    }

    fn plain(&self, event: &str) -> String {
        let Self { name, total, done, .. } = self;
        let seconds = self.started.elapsed().as_secs_f64();
        match event {
            "start" => format!("{name}: {total} steps"),
            "finish" => {
                format!("{name}: {done} of {total} steps in {seconds:.1} s {}", self.numbers()).trim_end().into()
            }
            _ => format!("{name}: {done}/{total} {}", self.numbers()).trim_end().into(),
        }
    }

    fn json(&self, event: &str) -> Value {
        // JSON has no NaN; a loss that is not finite becomes null.
        let values: Map<String, Value> = self.values.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
        json!({
            "event": event,
            "phase": self.name,
            "done": self.done,
            "total": self.total,
            "seconds": self.started.elapsed().as_secs_f64(),
            "values": values,
        })
    }

    fn numbers(&self) -> String {
        self.values.iter().map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join("  ")
    }
}

fn line(text: &str) {
    // With standard error gone there is nobody to tell; the work goes on.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase() -> Phase {
        let values = vec![("loss".to_owned(), f64::NAN), ("lr".to_owned(), 0.5)];
        let name = "warm-up".to_owned();
        Phase { name, total: 10, done: 4, values, started: Instant::now(), printed: None, bar: None }
    }

    #[test]
    fn a_loss_that_is_not_finite_keeps_the_json_readable() {
        let value = phase().json("progress");
        assert_eq!(value["values"], json!({ "loss": null, "lr": 0.5 }));
        assert_eq!((&value["phase"], &value["done"], &value["total"]), (&json!("warm-up"), &json!(4), &json!(10)));
    }

    #[test]
    fn plain_lines_name_phase_steps_and_values() {
        assert_eq!(phase().plain("progress"), "warm-up: 4/10 loss NaN  lr 0.5000");
        assert!(phase().plain("finish").starts_with("warm-up: 4 of 10 steps in "));
    }

    #[test]
    fn steps_before_a_start_and_after_a_finish_are_harmless() {
        let progress = Progress::new(ProgressMode::None);
        progress.step(1, &[]);
        progress.start("a", 2);
        progress.step(1, &[("x", 1.0)]);
        progress.finish();
        progress.finish();
        progress.step(2, &[]);
        assert!(progress.lock().is_none());
    }
}
