//! Numbers as a reader sees them: few digits, always with a unit, `n/a` where there is none.

use crate::data::{Budget, TaskScore};

/// What stands where a number was not measured.
pub(crate) const MISSING: &str = "n/a";

/// Three significant digits with a magnitude letter: `15.7 M`, `1.53 G`, `812`.
pub(crate) fn count(n: u64) -> String {
    const STEPS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let value = n as f64;
    for (size, letter) in STEPS {
        // Just under a step rounds up to it: 999 950 is 1.00 M and not 1000 k.
        if value >= size * 0.9995 && n >= 1000 {
            return format!("{} {letter}", significant(value / size));
        }
    }
    n.to_string()
}

/// [`count`] of what may be missing.
pub(crate) fn count_or_missing(n: Option<u64>) -> String {
    n.map_or_else(|| MISSING.into(), count)
}

/// Milliseconds, or `n/a` where they are missing or not a number.
pub(crate) fn milliseconds(ms: Option<f64>) -> String {
    match finite(ms) {
        Some(ms) => format!("{} ms", significant(ms)),
        None => MISSING.into(),
    }
}

/// A duration in the unit that suits it: `0.25 s`, `42 s`, `3 min 05 s`, `2 h 07 min`.
pub(crate) fn duration(seconds: Option<f64>) -> String {
    let Some(seconds) = finite(seconds).filter(|s| *s >= 0.0) else {
        return MISSING.into();
    };
    if seconds < 9.95 {
        return format!("{} s", significant(seconds));
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// The limits of a search in words: `140 k to 170 k parameters, at most 1.60 G multiply-adds`.
pub(crate) fn budget(limits: &Budget) -> String {
    let params = match (limits.min_params, limits.max_params) {
        (Some(min), Some(max)) => Some(format!("{} to {} parameters", count(min), count(max))),
        (Some(min), None) => Some(format!("at least {} parameters", count(min))),
        (None, Some(max)) => Some(format!("at most {} parameters", count(max))),
        (None, None) => None,
    };
    let macs = limits.max_macs.map(|n| format!("at most {} multiply-adds", count(n)));
    let latency = finite(limits.max_latency_ms).map(|ms| format!("at most {}", milliseconds(Some(ms))));
    let file = limits.max_bytes.map(|n| format!("at most {} MB of weights", significant(n as f64 / 1e6)));
    let all: Vec<String> = [params, macs, file, latency].into_iter().flatten().collect();
    if all.is_empty() { "no limit".into() } else { all.join(", ") }
}

/// A fraction in points of 100 with one decimal: `0.8134` is `81.3`.
pub(crate) fn points(fraction: Option<f64>) -> String {
    finite(fraction.map(|v| v * 100.0)).map_or_else(|| MISSING.into(), |v| format!("{v:.1}"))
}

/// A score in points of 100 and its standard error, where it has one.
pub(crate) fn points_with_error(score: Option<&TaskScore>) -> String {
    let value = points(score.map(|score| score.value));
    match finite(score.and_then(|score| score.standard_error)) {
        Some(error) if value != MISSING => format!("{value} \u{b1} {:.1}", error * 100.0),
        _ => value,
    }
}

/// A score on the search's own scale, with four decimals.
pub(crate) fn score(value: Option<f64>) -> String {
    match finite(value) {
        Some(v) if v != 0.0 && (v.abs() < 1e-3 || v.abs() >= 1e6) => format!("{v:.3e}"),
        Some(v) => format!("{v:.4}"),
        None => MISSING.into(),
    }
}

/// Text, or `n/a` where it is blank.
pub(crate) fn text_or_missing(text: &str) -> &str {
    if text.trim().is_empty() { MISSING } else { text }
}

/// The value unless it is missing, NaN or infinite.
pub(crate) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}

fn significant(v: f64) -> String {
    match v.abs() {
        a if a >= 1e9 => format!("{v:.1e}"),
        a if a >= 99.95 => format!("{v:.0}"),
        a if a >= 9.995 => format!("{v:.1}"),
        a if a == 0.0 || a >= 0.01 => format!("{v:.2}"),
        _ => format!("{v:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_three_digits_and_a_magnitude() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00 k"),
            (999_950, "1.00 M"),
            (15_737_724, "15.7 M"),
            (108_900_000, "109 M"),
            (1_526_000_000, "1.53 G"),
            (u64::MAX, "18446744 T"),
        ] {
            assert_eq!(count(n), text, "{n}");
        }
    }

    #[test]
    fn missing_and_not_finite_numbers_are_never_shown_as_zero() {
        assert_eq!(count_or_missing(None), "n/a");
        for bad in [None, Some(f64::NAN), Some(f64::INFINITY)] {
            assert_eq!(milliseconds(bad), "n/a");
            assert_eq!(duration(bad), "n/a");
            assert_eq!(points(bad), "n/a");
            assert_eq!(score(bad), "n/a");
        }
        assert_eq!(text_or_missing("  "), "n/a");
    }

    #[test]
    fn durations_use_the_unit_that_suits_them() {
        for (seconds, text) in [
            (0.25, "0.25 s"),
            (9.96, "10 s"),
            (42.4, "42 s"),
            (185.0, "3 min 05 s"),
            (3599.7, "1 h 00 min"),
            (7620.0, "2 h 07 min"),
        ] {
            assert_eq!(duration(Some(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn limits_are_named_as_far_as_there_are_any() {
        let most = Budget { max_params: Some(170_000), ..Budget::default() };
        assert_eq!(budget(&most), "at most 170 k parameters");
        let window = Budget { min_params: Some(140_000), max_macs: Some(1_600_000_000), ..most };
        assert_eq!(budget(&window), "140 k to 170 k parameters, at most 1.60 G multiply-adds");
        let least = Budget { min_params: Some(15_000_000), max_latency_ms: Some(30.0), ..Budget::default() };
        assert_eq!(budget(&least), "at least 15.0 M parameters, at most 30.0 ms");
        assert_eq!(budget(&Budget { max_latency_ms: Some(f64::NAN), ..Budget::default() }), "no limit");
    }

    #[test]
    fn a_fraction_is_shown_in_points_of_100() {
        assert_eq!(points(Some(0.8134)), "81.3");
        assert_eq!(points(Some(-0.02)), "-2.0", "a correlation may be negative");
    }
}
