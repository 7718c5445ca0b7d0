//! Scales: which values an axis spans, where they lie on it, and the round numbers written beside it.

use crate::format::count;

/// Larger magnitudes cannot be measured in a run and would overflow the arithmetic of a scale.
const LARGEST: f64 = 1e30;

/// Smaller magnitudes are zero to an eye and would underflow the arithmetic of a scale.
const SMALLEST: f64 = 1e-30;

/// From this ratio of largest to smallest value on, an axis of sizes is logarithmic; a teacher is often ten times its students.
const LOG_RATIO: f64 = 6.0;

/// A scale with its ticks.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// Value and label.
    pub(crate) ticks: Vec<(f64, String)>,
}

/// True for values that an axis can place.
pub(crate) fn placeable(v: f64) -> bool {
    v.is_finite() && v.abs() <= LARGEST
}

impl Axis {
    /// A linear axis over the placeable values with a margin at both ends; `None` when there are none.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (low, high) = span(values)?;
        let margin = match high - low {
            w if w > 0.0 => w * 0.06,
            _ if low == 0.0 => 0.5,
            _ => low.abs() * 0.05,
        };
        Some(Self::between(low - margin, high + margin))
    }

    /// A linear axis over whole numbers from zero or one up (trials, steps): no fractional ticks.
    pub(crate) fn numbers(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (low, high) = span(values)?;
        let high = if high > low { high } else { low + 1.0 };
        let mut axis = Self::between(low, high);
        axis.ticks.retain(|(v, _)| v.fract() == 0.0);
        for (v, label) in &mut axis.ticks {
            *label = if *v < 10_000.0 { format!("{v:.0}") } else { size_label(*v) };
        }
        let margin = (high - low) * 0.02;
        Some(Self { low: low - margin, high: high + margin, ..axis })
    }

    /// An axis of sizes (parameters, multiply-adds, milliseconds), logarithmic where they differ by much.
    pub(crate) fn sizes(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let (low, high) = span(values.iter().copied())?;
        if low <= 0.0 || high / low < LOG_RATIO {
            let mut axis = Self::linear(values)?;
            axis.low = axis.low.max(0.0);
            axis.ticks.retain(|(v, _)| *v >= axis.low);
            if axis.high >= 1000.0 {
                axis.ticks.iter_mut().for_each(|(v, label)| *label = size_label(*v));
            }
            return Some(axis);
        }
        let (low, high) = (low / 1.25, high * 1.25);
        let mut ticks = log_ticks(low, high, &[1.0, 2.0, 5.0]);
        if ticks.len() > 6 {
            ticks = log_ticks(low, high, &[1.0]);
        }
        let every = ticks.len().div_ceil(6).max(1);
        let ticks = ticks.into_iter().step_by(every).map(|v| (v, size_label(v))).collect();
        Some(Self { low, high, log: true, ticks })
    }

    /// True where the scale is logarithmic.
    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    /// Where a value lies: 0 at the low end, 1 at the high end.
    pub(crate) fn place(&self, v: f64) -> f64 {
        let p = if self.log {
            (v.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (v - self.low) / (self.high - self.low)
        };
        p.clamp(0.0, 1.0)
    }

    fn between(low: f64, high: f64) -> Self {
        let step = nice_step((high - low) / 6.0);
        // Below this the step drowns in the rounding of the values themselves.
        let usable = step > low.abs().max(high.abs()) * 1e-12;
        let decimals = if step < 1.0 { (-step.log10()).ceil().clamp(0.0, 8.0) as usize } else { 0 };
        let first = (low / step).ceil();
        let ticks = (0..12)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|v| usable && *v <= high)
            .map(|v| (v, if v.abs() >= 1e6 { size_label(v) } else { format!("{:.decimals$}", v + 0.0) }))
            .collect();
        Self { low, high, log: false, ticks }
    }
}

fn span(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let placed = values.into_iter().filter(|v| placeable(*v));
    let visible = placed.map(|v| if v.abs() < SMALLEST { 0.0 } else { v });
    visible.fold(None, |span, v| match span {
        None => Some((v, v)),
        Some((low, high)) => Some((v.min(low), v.max(high))),
    })
}

/// The next of 1, 2, 5 times a power of ten that is not below `rough`.
fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(f64::MIN_POSITIVE).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(10.0 * power)
}

fn log_ticks(low: f64, high: f64, mantissas: &[f64]) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (first..=last)
        .flat_map(|e| mantissas.iter().map(move |m| m * 10f64.powi(e)))
        .filter(|v| (low..=high).contains(v))
        .collect()
}

fn size_label(v: f64) -> String {
    if (1000.0..1.8e19).contains(&v) {
        let text = count(v.round() as u64);
        // Ticks are round: "10.0 M" says no more than "10 M".
        match text.split_once(' ') {
            Some((n, unit)) if n.contains('.') => {
                format!("{} {unit}", n.trim_end_matches('0').trim_end_matches('.'))
            }
            _ => text,
        }
    } else if v != 0.0 && (v.abs() < 1e-3 || v.abs() >= 1e6) {
        format!("{v:.0e}")
    } else {
        format!("{v}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, l)| l.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers_inside_the_span() {
        let axis = Axis::linear([0.61, 0.84]).unwrap();
        assert_eq!(labels(&axis), ["0.60", "0.65", "0.70", "0.75", "0.80", "0.85"]);
        let axis = Axis::numbers([1.0, 80.0]).unwrap();
        assert_eq!(labels(&axis), ["20", "40", "60", "80"]);
    }

    #[test]
    fn sizes_that_differ_by_much_get_a_logarithmic_axis() {
        let axis = Axis::sizes([9.4e6, 109e6]).unwrap();
        assert!(axis.is_log());
        assert_eq!(labels(&axis), ["10 M", "20 M", "50 M", "100 M"]);
        assert!(!Axis::sizes([15e6, 16e6]).unwrap().is_log());
    }

    #[test]
    fn one_value_equal_values_and_odd_values_still_give_a_usable_axis() {
        for values in [
            vec![0.0],
            vec![0.7],
            vec![5.0, 5.0],
            vec![-3.0],
            vec![1e-20],
            vec![1.4e-308],
            vec![1e30, -1e30],
            vec![f64::NAN, 2.0],
        ] {
            for axis in [Axis::linear(values.clone()), Axis::numbers(values.clone()), Axis::sizes(values.clone())] {
                let axis = axis.unwrap();
                for v in values.iter().filter(|v| v.is_finite()) {
                    let p = axis.place(*v);
                    assert!((0.0..=1.0).contains(&p), "{values:?} puts {v} at {p}");
                }
                assert!(axis.ticks.len() <= 12, "{values:?}: {:?}", axis.ticks);
            }
        }
    }

    #[test]
    fn nothing_placeable_gives_no_axis() {
        assert!(Axis::linear([]).is_none());
        assert!(Axis::sizes([f64::NAN, f64::INFINITY, 1e300]).is_none());
    }
}
