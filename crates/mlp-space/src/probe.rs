//! Fixed random inputs and weights on which expressions are compared.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

use crate::eval::{Evaluator, LinearWeights};
use crate::expr::{Expression, LinearId, Node};
use crate::widths::{Align, Widths};

/// Inputs of several magnitudes and full-width weights for one pair of widths.
pub(crate) struct Probe {
    pub(crate) widths: Widths,
    rows: Vec<Vec<f64>>,
    first: LinearWeights,
    second: LinearWeights,
}

/// Standard deviations of the input rows, in turn: small ones distinguish functions near 0, where activations are linear,
/// large ones where they saturate or switch.
const SCALES: [f64; 8] = [1.0, 0.1, 2.0, 0.5, 4.0, 1.0, 8.0, 2.0];

impl Probe {
    pub(crate) fn new(seed: u64, purpose: &str, hidden: usize, base: usize, rows: usize) -> Self {
        let rng = &mut keyed(seed, purpose, &[hidden as u64, base as u64]);
        Self {
            widths: Widths { hidden, base, align: Align::Cut },
            rows: (0..rows).map(|i| input(i, hidden, rng)).collect(),
            first: uneven(linear(hidden, base, rng)),
            second: uneven(linear(base, hidden, rng)),
        }
    }

    /// The results for all rows, one after the other, or `None` where the expression does not run at these widths.
    pub(crate) fn run(&self, expression: &Expression, root: &Node) -> Option<Vec<f64>> {
        expression.check_widths(self.widths).ok()?;
        // Without a linear map the weights are not used.
        let inner = self.widths.inner(expression.id().unwrap_or(LinearId::LARGEST));
        let first = self.first.slice(self.widths.hidden, inner);
        let second = self.second.slice(inner, self.widths.hidden);
        let mut out = Vec::with_capacity(self.rows.len() * self.widths.hidden);
        for x in &self.rows {
            let evaluator = Evaluator { x, first: &first, second: &second, align: Align::Cut };
            out.extend(evaluator.node(root).ok()?);
        }
        Some(out)
    }
}

/// Every other row mixes magnitudes from 1e-4 to 10 among its channels: `max(elu(x),leaky_relu(y))` and
/// `max(x,leaky_relu(y))` differ only where `x` is a hundred times smaller than `y`.
fn input(row: usize, hidden: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let scale = SCALES[row / 2 % SCALES.len()];
    let mut x = normals(hidden, scale, rng);
    if row % 2 == 1 {
        x.iter_mut().for_each(|v| *v *= 10_f64.powf(rng.random_range(-4.0..1.0)) / scale);
    }
    x
}

/// The same for the results of a linear map: its channels get three magnitudes in turn.
fn uneven(map: LinearWeights) -> LinearWeights {
    map.scale_outputs(|channel| [1.0, 0.01, 0.3][channel % 3])
}

/// A generator that depends on nothing but its arguments.
fn keyed(seed: u64, purpose: &str, counters: &[u64]) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((purpose.len() as u64).to_le_bytes());
    hash.update(purpose);
    counters.iter().for_each(|c| hash.update(c.to_le_bytes()));
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Weights N(0, 1/inputs), so that results keep the magnitude of the input, and biases N(0, 0.25).
fn linear(inputs: usize, outputs: usize, rng: &mut impl Rng) -> LinearWeights {
    let weight = normals(inputs * outputs, 1.0 / (inputs.max(1) as f64).sqrt(), rng);
    let bias = normals(outputs, 0.5, rng);
    LinearWeights::new(inputs, weight, bias).expect("the weight is made with inputs x outputs values")
}

/// Normal values by the Box-Muller transform.
fn normals(count: usize, deviation: f64, rng: &mut impl Rng) -> Vec<f64> {
    (0..count)
        .map(|_| {
            // 1 - u is in (0, 1], so the logarithm is finite.
            let (u, v): (f64, f64) = (rng.random(), rng.random());
            deviation * (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        })
        .collect()
}
