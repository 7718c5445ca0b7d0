//! Numbers, times and curves as text.

use std::time::Duration;

use crate::units::grouped;

/// A number to watch: four decimals, or an exponent where they would show little of it.
pub fn decimal(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if !(1e-2..1e6).contains(&size) => format!("{value:.2e}"),
        _ => format!("{value:.4}"),
    }
}

/// A rounded count.
pub fn count(value: f64) -> String {
    grouped(value.max(0.0).round() as u64)
}

/// A time in its two largest units.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {:02} s", seconds % 60),
        3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

/// A curve of at most `width` columns; each is the mean of the values that fall into it, and those that are not finite leave a gap.
pub fn sparkline(values: &[f64], width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = values.len().min(width);
    let means: Vec<Option<f64>> = (0..columns)
        .map(|i| {
            let part = &values[i * values.len() / columns..(i + 1) * values.len() / columns];
            let finite: Vec<f64> = part.iter().copied().filter(|v| v.is_finite()).collect();
            (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64)
        })
        .collect();
    let known = means.iter().flatten().copied();
    let (low, high) = (known.clone().fold(f64::INFINITY, f64::min), known.fold(f64::NEG_INFINITY, f64::max));
    let level = |v: f64| match high > low {
        true => LEVELS[(((v - low) / (high - low) * 7.0).round() as usize).min(7)],
        false => LEVELS[0],
    };
    means.into_iter().map(|mean| mean.map_or(' ', level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_numbers_keep_their_digits() {
        for (value, text) in
            [(0.0, "0"), (5e-5, "5.00e-5"), (0.5, "0.5000"), (12.34567, "12.3457"), (-2.5e7, "-2.50e7")]
        {
            assert_eq!(decimal(value), text);
        }
        assert_eq!(decimal(f64::NAN), "NaN");
        assert_eq!(count(12_345.6), "12,346");
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, text) in [
            (1.26, "1.3 s"),
            (59.9, "59 s"),
            (61.0, "1 min 01 s"),
            (3_599.0, "59 min 59 s"),
            (7_380.0, "2 h 03 min"),
            (90_000.0, "1 d 01 h"),
        ] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn curves_span_their_range_and_leave_gaps() {
        assert_eq!(sparkline(&[0.0, 7.0, f64::NAN, 3.5], 10), "▁█ ▅");
        assert_eq!(sparkline(&[1.0, 1.0], 10), "▁▁");
        assert_eq!(sparkline(&[], 10), "");
        let falling: Vec<f64> = (0..100).map(|i| f64::from(100 - i)).collect();
        assert_eq!(sparkline(&falling, 8), "█▇▆▅▄▃▂▁");
    }
}
