//! The ratio of two Parzen densities of an encoding.

/// `ln (l(x) / g(x))` of the densities `l` of good rows and `g` of the rest, each a product over the features of Parzen densities.
///
/// A feature's density is the mean of normal kernels at the rows' values and of a prior, which is a normal one at the middle of the observed
/// values with their range as standard deviation. The kernels' bandwidth is Scott's rule, `sd n^(-1/5)` (Bergstra et al. take distances to
/// neighbors, which are 0 among counts), at least the range divided by the smaller of 100 and `n + 1`. Features that are the same
/// in all rows are left out.
#[derive(Debug, Clone)]
pub(super) struct Ratio {
    features: Vec<(usize, Mixture, Mixture)>,
}

impl Ratio {
    /// Fits both densities to rows of one length; the prior weighs as much as `prior` rows.
    pub fn fit(good: &[&[f64]], rest: &[&[f64]], prior: f64) -> Self {
        let width = good.iter().chain(rest).map(|row| row.len()).min().unwrap_or(0);
        let feature = |at: usize| {
            let all = good.iter().chain(rest).map(|row| row[at]);
            let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
            let of = |rows: &[&[f64]]| Mixture::fit(rows.iter().map(|row| row[at]).collect(), low, high, prior);
            (high > low).then(|| (at, of(good), of(rest)))
        };
        Self { features: (0..width).filter_map(feature).collect() }
    }

    /// The logarithm of the ratio at `x`.
    pub fn ln(&self, x: &[f64]) -> f64 {
        self.features.iter().map(|(at, good, rest)| good.density(x[*at]).ln() - rest.density(x[*at]).ln()).sum()
    }
}

/// A mixture of normal densities of one feature.
#[derive(Debug, Clone)]
struct Mixture {
    /// Different values, and how many rows have each.
    kernels: Vec<(f64, f64)>,
    bandwidth: f64,
    middle: f64,
    range: f64,
    prior: f64,
    /// Rows and prior.
    total: f64,
}

impl Mixture {
    fn fit(mut values: Vec<f64>, low: f64, high: f64, prior: f64) -> Self {
        let n = values.len() as f64;
        let range = high - low;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n.max(1.0);
        let bandwidth = (variance.sqrt() * n.max(1.0).powf(-0.2)).max(range / (n + 1.0).min(100.0));
        values.sort_by(f64::total_cmp);
        let mut kernels: Vec<(f64, f64)> = Vec::new();
        for value in values {
            match kernels.last_mut() {
                Some((last, count)) if *last == value => *count += 1.0,
                _ => kernels.push((value, 1.0)),
            }
        }
        Self { kernels, bandwidth, middle: f64::midpoint(low, high), range, prior, total: n + prior }
    }

    fn density(&self, x: f64) -> f64 {
        let normal = |center: f64, sd: f64| {
            let z = (x - center) / sd;
            (-0.5 * z * z).exp() / (sd * std::f64::consts::TAU.sqrt())
        };
        let rows: f64 = self.kernels.iter().map(|&(center, count)| count * normal(center, self.bandwidth)).sum();
        // Far from everything the logarithm stays finite.
        ((rows + self.prior * normal(self.middle, self.range)) / self.total).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mixture_is_a_density() {
        let mixture = Mixture::fit(vec![0.0, 1.0, 1.0, 3.0], 0.0, 4.0, 1.0);
        let step = 1e-3;
        let sum: f64 = (-30_000..34_000).map(|i| mixture.density(f64::from(i) * step) * step).sum();
        assert!((sum - 1.0).abs() < 1e-6, "its integral is {sum}");
    }

    #[test]
    fn the_ratio_is_high_where_the_good_ones_are_and_ignores_what_all_share() {
        let good = [[3.0, 7.0, 1.0], [3.0, 7.0, 2.0]];
        let rest = [[0.0, 7.0, 1.0], [1.0, 7.0, 2.0], [0.0, 7.0, 1.0], [1.0, 7.0, 2.0]];
        let (good, rest) = (good.each_ref().map(<[f64; 3]>::as_slice), rest.each_ref().map(<[f64; 3]>::as_slice));
        let ratio = Ratio::fit(&good, &rest, 1.0);
        assert_eq!(ratio.features.len(), 2);
        assert!(ratio.ln(&[3.0, 0.0, 1.0]) > 0.0 && ratio.ln(&[0.0, 0.0, 1.0]) < 0.0);
        assert_eq!(ratio.ln(&[3.0, 0.0, 1.0]), ratio.ln(&[3.0, 99.0, 1.0]));
    }

    proptest! {
        #[test]
        fn the_ratio_is_a_number_anywhere_and_zero_between_equal_sets(
            rows in prop::collection::vec(prop::array::uniform3(-5.0f64..5.0), 1..12),
            x in prop::array::uniform3(-1e6f64..1e6)
        ) {
            let rows: Vec<&[f64]> = rows.iter().map(<[f64; 3]>::as_slice).collect();
            prop_assert_eq!(Ratio::fit(&rows, &rows, 1.0).ln(&x), 0.0);
            prop_assert!(Ratio::fit(&rows[..1], &rows, 1.0).ln(&x).is_finite());
        }
    }
}
