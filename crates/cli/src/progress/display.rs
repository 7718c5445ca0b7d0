//! What a person sees of a phase, in each way of showing progress.

use std::io::Write;

use super::dashboard;
use super::phase::Phase;

/// A way of showing progress, once it is known whether there is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DisplayMode {
    Bar,
    Dashboard,
    Plain,
    Json,
    Silent,
}

impl DisplayMode {
    /// Shows `phase` after `event`: `start`, `progress`, `within` or `finish`.
    pub fn show(self, phase: &mut Phase, event: &str) {
        match self {
            Self::Bar => draw(phase, event, &phase.numbers()),
            Self::Dashboard => draw(phase, event, &dashboard::below(phase)),
            Self::Plain => line(&phase.plain(event)),
            Self::Json => line(&match &phase.within {
                Some(within) if event == "within" => within.json(&phase.name).to_string(),
                _ => phase.json(event).to_string(),
            }),
            Self::Silent => {}
        }
        phase.printed();
    }
}

fn draw(phase: &Phase, event: &str, message: &str) {
    let Some(bar) = &phase.bar else { return };
    bar.set_message(message.to_owned());
    bar.set_position(phase.done);
    if event == "finish" {
        bar.abandon();
    }
}

pub(super) fn line(text: &str) {
    // With standard error gone there is nobody to tell; the work goes on.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
