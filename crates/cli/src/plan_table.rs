//! What a search is going to do, as a table.

use std::time::Duration;

use pipeline::disk::size;
use pipeline::phase::{Forecast, PhaseForecast};

use crate::output::table;
use crate::progress::duration;
use crate::units::grouped;

/// The plan of a run in lines, without the end of the last one.
pub fn text(forecast: &Forecast) -> String {
    let mut rows: Vec<Vec<String>> = forecast.phases.iter().map(row).collect();
    rows.push(vec!["in all".into(), String::new(), String::new(), String::new(), about(forecast.seconds())]);
    let mut text = table(&["plan", "candidates", "steps", "examples scored", "about"], &rows, false);
    text += &format!(
        "from a few steps of each training at random weights, with a candidate drawn at random, which took {}\n",
        took(forecast.measured_seconds)
    );
    let answers = match forecast.cache_bytes {
        0 => String::new(),
        bytes => format!(", and up to {} come for kept answers of the teacher", size(bytes)),
    };
    text + &match forecast.memory_mib {
        Some(mib) => format!("memory: {mib:.0} MiB meanwhile{answers}"),
        None => format!("memory: this system does not tell{answers}"),
    }
}

fn row(phase: &PhaseForecast) -> Vec<String> {
    let number = |count: u64| if count == 0 { String::new() } else { grouped(count) };
    // Of a stage each candidate has them.
    let each = |count: u64| match phase.trials {
        Some(trials) if count > 0 => format!("{} x {}", grouped(trials), grouped(count)),
        _ => number(count),
    };
    vec![
        phase.phase.clone(),
        phase.trials.map_or_else(String::new, grouped),
        each(phase.steps),
        each(phase.scored),
        about(phase.seconds),
    ]
}

fn about(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "not measured".into(), took)
}

fn took(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_measured_is_said_and_not_added_up() {
        let phase = |name: &str, trials, seconds| PhaseForecast {
            phase: name.into(),
            trials,
            steps: 2105,
            scored: 872,
            seconds,
        };
        let mut forecast = Forecast {
            phases: vec![phase("teacher", None, Some(90.0)), phase("stage-1", Some(8), Some(3600.0))],
            memory_mib: Some(512.4),
            cache_bytes: 180_000_000,
            measured_seconds: 2.5,
        };
        let known = text(&forecast);
        let lines: Vec<Vec<&str>> = known.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["teacher", "2,105", "872", "1", "min", "30", "s"], "{known}");
        assert_eq!(lines[2], ["stage-1", "8", "8", "x", "2,105", "8", "x", "872", "1", "h", "00", "min"], "{known}");
        assert_eq!(lines[3], ["in", "all", "1", "h", "01", "min"], "{known}");
        assert!(known.ends_with("memory: 512 MiB meanwhile, and up to 180 MB come for kept answers of the teacher"));
        forecast.phases[1].seconds = None;
        forecast.memory_mib = None;
        let unknown = text(&forecast);
        assert_eq!(unknown.matches("not measured").count(), 2, "{unknown}");
        assert!(unknown.contains("memory: this system does not tell"), "{unknown}");
    }
}
