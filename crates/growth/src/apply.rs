//! The values.

use encoder_spec::{HostTensor, Stored};
use model_dir::Tensors;
use run_store::rng::{keyed, unit};

use crate::dims::Axis;
use crate::expansion::Expansion;
use crate::plan::Values;
use crate::{Error, Growth, Plan, Quantity, Result};

impl Plan {
    /// The tensors of the large model, of those of the small one, both by path
    /// ([`Encoder::weights`](encoder_spec::Encoder::weights)).
    ///
    /// A weight of the large model is `W' = A W` with a matrix `A` for each tensor. Element `(i, j)` is `W[p(i), q(j)] / d`, where `p` and `q` say which
    /// channels the new ones are copies of, and `d` is the number of copies on axes that a sum goes over. If the function is preserved, its
    /// gradient is that of `W` with `d` the number of copies on the *other* axes: `G' = (A^+)^T G`, since copies share the gradient of what they
    /// are copies of, and since a sum hands its gradient to all its terms. First moments are mapped like gradients, second moments by the squares of
    /// the factors.
    ///
    /// Of moments a tensor may be missing, which is then missing in the result too. Moments of weights that are constants, and of new layers that
    /// pass their input on, are 0.
    ///
    /// # Errors
    /// A weight is missing; a tensor is not of the small model, or of another shape, or holds what is no such quantity.
    pub fn apply<T: Stored>(&self, tensors: &Tensors<T>, quantity: Quantity) -> Result<Tensors> {
        self.check_given(tensors, quantity)?;
        let mut grown = Tensors::default();
        for (path, values) in &self.values {
            let shape = &self.large[path];
            let tensor = match values {
                Values::Constant(value) => constant(shape, if quantity == Quantity::Weights { *value } else { 0.0 }),
                Values::Copy { from, axes, has_moments } => {
                    let Some(source) = tensors.0.get(from) else { continue };
                    if quantity != Quantity::Weights && !has_moments {
                        constant(shape, 0.0)
                    } else {
                        self.expanded(path, source, axes, quantity)
                    }
                }
            };
            grown.0.insert(path.clone(), tensor);
        }
        Ok(grown)
    }

    pub(crate) fn check_given<T: Stored>(&self, tensors: &Tensors<T>, quantity: Quantity) -> Result<()> {
        if quantity == Quantity::Weights
            && let Some(path) = self.small.keys().find(|path| !tensors.0.contains_key(*path))
        {
            return Err(Error::Missing { path: path.clone() });
        }
        for (path, tensor) in &tensors.0 {
            let path = path.clone();
            let Some(expected) = self.small.get(&path) else { return Err(Error::Extra { path }) };
            let size: usize = expected.iter().product();
            if tensor.shape() != expected || tensor.values().len() != size {
                return Err(Error::Shape { path, found: tensor.shape().to_vec(), expected: expected.clone() });
            }
            let is_bad = |v: f32| !v.is_finite() || quantity == Quantity::SecondMoment && v < 0.0;
            if let Some(&value) = tensor.values().iter().find(|v| is_bad(**v)) {
                return Err(Error::Value { path, value, quantity });
            }
        }
        Ok(())
    }

    fn expanded<T: Stored>(&self, path: &str, source: &T, axes: &[Axis], quantity: Quantity) -> HostTensor {
        let widths: Vec<Option<&Expansion>> =
            axes.iter().map(|axis| self.widths.get(&axis.dim).filter(|width| !width.is_trivial())).collect();
        if widths.iter().all(Option::is_none) {
            return HostTensor { shape: source.shape().to_vec(), data: source.values().to_vec() };
        }
        let shape = &self.large[path];
        let axis = |at: usize| Places::of(shape[at], axes[at], widths[at], quantity);
        let values = source.values();
        let rows = axis(0);
        let mut data = Vec::with_capacity(shape.iter().product());
        if shape.len() == 1 {
            data.extend(rows.sources.iter().zip(&rows.divisors).map(|(&i, &d)| divided(values[i], d)));
            return HostTensor { shape: shape.clone(), data };
        }
        let columns = axis(1);
        let old = source.shape()[1];
        for (&row, &by) in rows.sources.iter().zip(&rows.divisors) {
            let values = &values[row * old..][..old];
            data.extend(columns.sources.iter().zip(&columns.divisors).map(|(&i, &d)| divided(values[i], d * by)));
        }
        if quantity == Quantity::Weights && self.growth.noise > 0.0 {
            let repeats = |at: usize| widths[at].map_or(vec![false; shape[at]], Expansion::repeats);
            add_noise(&mut data, &self.growth, path, &repeats(0), &repeats(1));
        }
        HostTensor { shape: shape.clone(), data }
    }
}

/// Of each place of an axis, the old place and what its values are divided by.
struct Places {
    sources: Vec<usize>,
    divisors: Vec<f64>,
}

impl Places {
    fn of(size: usize, axis: Axis, width: Option<&Expansion>, quantity: Quantity) -> Self {
        let Some(width) = width else { return Self { sources: (0..size).collect(), divisors: vec![1.0; size] } };
        let divisor = |j: usize| {
            let copies = width.copies(j) as f64;
            match quantity {
                Quantity::Weights => {
                    if axis.divided {
                        copies
                    } else {
                        1.0
                    }
                }
                Quantity::FirstMoment => {
                    if axis.divided {
                        1.0
                    } else {
                        copies
                    }
                }
                Quantity::SecondMoment => {
                    if axis.divided {
                        1.0
                    } else {
                        copies * copies
                    }
                }
            }
        };
        Self { sources: (0..size).map(|j| width.source(j)).collect(), divisors: (0..size).map(divisor).collect() }
    }
}

fn divided(value: f32, by: f64) -> f32 {
    (f64::from(value) / by) as f32
}

fn constant(shape: &[usize], value: f32) -> HostTensor {
    HostTensor { shape: shape.to_vec(), data: vec![value; shape.iter().product()] }
}

/// Adds normal values to what stands in a row or a column that repeats another one.
fn add_noise(data: &mut [f32], growth: &Growth, path: &str, rows: &[bool], columns: &[bool]) {
    let squares: f64 = data.iter().map(|v| f64::from(*v).powi(2)).sum();
    let deviation = growth.noise * (squares / data.len().max(1) as f64).sqrt();
    let mut stream = keyed(growth.seed, &format!("growth/noise/{path}"), &[]);
    for (row, &row_repeats) in data.chunks_mut(columns.len().max(1)).zip(rows) {
        for (value, _) in row.iter_mut().zip(columns).filter(|(_, column)| row_repeats || **column) {
            *value = (f64::from(*value) + deviation * normal(unit(&mut stream), unit(&mut stream))) as f32;
        }
    }
}

/// A normal value of two uniform ones (Box and Muller).
pub(crate) fn normal(u: f64, v: f64) -> f64 {
    // The logarithm is of a number above 0.
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
