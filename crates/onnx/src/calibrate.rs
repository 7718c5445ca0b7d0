//! Ranges of the inputs of products, measured on given texts.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Engine, Padded};
use crate::format::{Product, is_of_head};
use crate::model::Model;
use crate::{Error, Format, Result};

/// Bins of a histogram of magnitudes.
const BINS: usize = 2048;
/// Steps of an 8-bit number on one side of 0.
const STEPS: usize = 128;

/// How a range is chosen among the values that an input takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// From the least to the greatest.
    MinMax,
    /// So many percent of the values, half of the others cut off on each side.
    Percentile(f64),
    /// The bound on magnitudes whose 8-bit histogram is nearest to that of the values, by the Kullback-Leibler divergence (Migacz 2017, as in
    /// TensorRT).
    Entropy,
}

/// Ranges of the inputs of the model's products on `batches`, by the name of the product; padding doesn't count.
///
/// # Errors
/// No texts, or the engine stops.
pub fn ranges(model: &Model<'_>, batches: &[Padded], method: Method) -> Result<BTreeMap<String, [f32; 2]>> {
    let exported = model.exported(&Format::F32)?;
    let products: Vec<Product> =
        exported.products.iter().filter(|product| !is_of_head(&product.name)).cloned().collect();
    let engine = Engine::of_all_values(&exported.file("model.onnx", crate::Weights::AsFits, &[]))?;
    let inputs: BTreeSet<&str> = products.iter().map(|product| product.input.as_str()).collect();
    let inputs: Vec<&str> = inputs.into_iter().collect();
    let mut seen: BTreeMap<&str, Histogram> = inputs.iter().map(|&input| (input, Histogram::default())).collect();
    let widths: BTreeMap<&str, usize> =
        products.iter().map(|product| (product.input.as_str(), product.inputs)).collect();
    for batch in batches.iter().filter(|batch| !batch.ids.is_empty()) {
        for (input, values) in inputs.iter().zip(engine.run(batch, &inputs)?) {
            seen.get_mut(input).expect("one for each").add(&of_tokens(&values, widths[input], batch));
        }
    }
    let mut ranges = BTreeMap::new();
    for Product { name, input, .. } in &products {
        let range = seen[input.as_str()].range(method).ok_or(Error::NoTexts)?;
        // One that several inputs have, such as a transform of states and of a pooled vector, covers all.
        let all: &mut [f32; 2] = ranges.entry(name.clone()).or_insert(range);
        *all = [all[0].min(range[0]), all[1].max(range[1])];
    }
    Ok(ranges)
}

/// The values of tokens that are no padding; values of whole texts are all taken. A row is `width` values.
fn of_tokens(values: &[f32], width: usize, batch: &Padded) -> Vec<f32> {
    if values.len() != batch.mask.len() * width {
        return values.to_vec();
    }
    let rows = values.chunks(width).zip(&batch.mask);
    rows.filter(|(_, seen)| **seen == 1).flat_map(|(row, _)| row.iter().copied()).collect()
}

/// How often values of each size were seen. It grows by doubling the width of its bins, which keeps all counts exact.
#[derive(Clone, Debug, Default)]
struct Histogram {
    /// Width of a bin; 0 before the first value.
    width: f64,
    /// Counts of values from `-BINS * width` to `BINS * width`.
    counts: Vec<u64>,
    least: f32,
    greatest: f32,
}

impl Histogram {
    fn add(&mut self, values: &[f32]) {
        let Some(&first) = values.first() else { return };
        let largest = values.iter().fold(0f32, |most, v| most.max(v.abs()));
        if self.counts.is_empty() {
            self.counts = vec![0; 2 * BINS];
            self.width = f64::from(largest.max(f32::MIN_POSITIVE)) / BINS as f64;
            (self.least, self.greatest) = (first, first);
        }
        while f64::from(largest) > self.width * BINS as f64 {
            self.double();
        }
        for &value in values {
            (self.least, self.greatest) = (self.least.min(value), self.greatest.max(value));
            let at = (f64::from(value) / self.width).floor() + BINS as f64;
            self.counts[(at.max(0.0) as usize).min(2 * BINS - 1)] += 1;
        }
    }

    /// Bins of twice the width: pairs, from the middle on.
    fn double(&mut self) {
        let mut counts = vec![0; 2 * BINS];
        for (at, count) in self.counts.iter().enumerate() {
            counts[BINS / 2 + at / 2] += count;
        }
        self.counts = counts;
        self.width *= 2.0;
    }

    /// `None` where nothing was seen.
    fn range(&self, method: Method) -> Option<[f32; 2]> {
        if self.counts.is_empty() {
            return None;
        }
        let all = [self.least, self.greatest];
        let edge = |bin: usize| ((bin as f64 - BINS as f64) * self.width) as f32;
        Some(match method {
            Method::MinMax => all,
            Method::Percentile(percent) => {
                let total: u64 = self.counts.iter().sum();
                let cut = total as f64 * (100.0 - percent.clamp(0.0, 100.0)) / 200.0;
                let beyond = |counts: &mut dyn Iterator<Item = &u64>| {
                    let mut sum = 0;
                    counts
                        .take_while(|count| {
                            sum += **count;
                            sum as f64 <= cut
                        })
                        .count()
                };
                let (low, high) = (beyond(&mut self.counts.iter()), beyond(&mut self.counts.iter().rev()));
                [edge(low).max(all[0]), edge(2 * BINS - high).min(all[1])]
            }
            Method::Entropy => {
                let bound = (self.bound() as f64 * self.width) as f32;
                [all[0].max(-bound), all[1].min(bound)]
            }
        })
    }

    /// The number of bins on each side of 0 whose 8-bit histogram is nearest.
    fn bound(&self) -> usize {
        let magnitudes: Vec<f64> =
            (0..BINS).map(|at| (self.counts[BINS + at] + self.counts[BINS - 1 - at]) as f64).collect();
        let candidates = (STEPS..=BINS).step_by(STEPS / 8);
        let divergence = |bins: usize| {
            let mut kept = magnitudes[..bins].to_vec();
            let quantized = merged(&kept);
            kept[bins - 1] += magnitudes[bins..].iter().sum::<f64>();
            divergence(&kept, &quantized)
        };
        let scored = candidates.map(|bins| (bins, divergence(bins)));
        scored.reduce(|best, next| if next.1 < best.1 { next } else { best }).map_or(BINS, |(bins, _)| bins)
    }
}

/// The histogram in [`STEPS`] steps, spread evenly again over those bins of each step that hold anything.
fn merged(counts: &[f64]) -> Vec<f64> {
    let mut merged = vec![0.0; counts.len()];
    for step in 0..STEPS {
        let bins = step * counts.len() / STEPS..(step + 1) * counts.len() / STEPS;
        let used = counts[bins.clone()].iter().filter(|count| **count > 0.0).count();
        let each = counts[bins.clone()].iter().sum::<f64>() / used.max(1) as f64;
        bins.filter(|&bin| counts[bin] > 0.0).for_each(|bin| merged[bin] = each);
    }
    merged
}

/// Kullback-Leibler divergence `sum p ln(p / q)` of two histograms. Where only `p` has something, `q` counts as a little.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    const LITTLE: f64 = 1e-6;
    let (of_p, of_q) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    let term = |(p, q): (&f64, &f64)| {
        let (p, q) = (p / of_p.max(LITTLE), (q / of_q.max(LITTLE)).max(LITTLE));
        if p > 0.0 { p * (p / q).ln() } else { 0.0 }
    };
    p.iter().zip(q).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(batches: &[&[f32]]) -> Histogram {
        let mut histogram = Histogram::default();
        batches.iter().for_each(|values| histogram.add(values));
        histogram
    }

    #[test]
    fn a_histogram_that_grows_counts_what_one_of_the_final_size_counts() {
        let small: Vec<f32> = (0..1000).map(|i| (i as f32 - 500.0) / 600.0).collect();
        let large = [7.5f32, -3.25];
        let grown = histogram(&[&small, &large]);
        assert_eq!(grown.counts.iter().sum::<u64>(), 1002);
        assert_eq!(grown.range(Method::MinMax), Some([-3.25, 7.5]));
        let negative = small.iter().chain(&large).filter(|v| **v < 0.0).count() as u64;
        assert_eq!(grown.counts[..BINS].iter().sum::<u64>(), negative);
    }

    #[test]
    fn rare_values_are_cut_off() {
        let mut values: Vec<f32> = (0..10_000).map(|i| (i % 200) as f32 / 100.0 - 1.0).collect();
        values.extend([50.0, -30.0]);
        let histogram = histogram(&[&values]);
        assert_eq!(histogram.range(Method::MinMax), Some([-30.0, 50.0]));
        let [low, high] = histogram.range(Method::Percentile(99.9)).unwrap();
        assert!((-1.1..=-0.9).contains(&low) && (0.9..=1.1).contains(&high), "{low} to {high}");
        let [low, high] = histogram.range(Method::Entropy).unwrap();
        assert!(low > -30.0 && (0.99..50.0).contains(&high), "{low} to {high}");
    }

    #[test]
    fn padding_does_not_count_and_all_values_of_whole_texts_do() {
        let texts: [(&[u32], &[u8]); 2] = [(&[5, 6, 7, 8], &[0; 4]), (&[9], &[0])];
        let batch = Padded::new(texts, 0);
        let of_all: Vec<f32> = (0..16).map(|i| i as f32).collect();
        assert_eq!(of_tokens(&of_all, 2, &batch), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        // Of each text 8 values, as many as there are tokens.
        assert_eq!(of_tokens(&of_all, 8, &batch), of_all);
    }

    #[test]
    fn nothing_seen_is_no_range() {
        assert_eq!(histogram(&[]).range(Method::MinMax), None);
        assert_eq!(histogram(&[&[0.0, 0.0]]).range(Method::Entropy), Some([0.0, 0.0]));
    }
}
