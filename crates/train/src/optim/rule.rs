//! The update of one parameter.

use burn::tensor::Tensor;
use cpu_kernels::elementwise::optimizer::{AdamWStep, LambStep, MomentStep};
use rayon::prelude::*;

use super::flat_param::{CHUNK, FlatParam, squares};
use super::{OptimizerConfig, OptimizerKind, muon};

/// The state that the updates of a parameter leave.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub steps: u32,
    pub first: FlatParam,
    pub second: FlatParam,
}

impl Moments {
    /// Those of `weights` that were never updated.
    pub fn of(weights: &FlatParam) -> Self {
        Self { steps: 0, first: weights.zeros(), second: weights.zeros() }
    }
}

/// What the update of one tensor depends on.
pub(crate) struct Rule {
    pub config: OptimizerConfig,
    pub learning_rate: f64,
    pub weight_decay: f64,
    /// Factor of the gradient.
    pub scale: f64,
    /// Whether LAMB's trust ratio counts.
    pub adapts: bool,
    /// Rows and columns of a parameter that Muon updates.
    pub matrix: Option<[usize; 2]>,
}

impl Rule {
    /// Weights and moments after the step, where the weights were before it.
    pub(super) fn apply(&self, weights: FlatParam, gradient: FlatParam, moments: Moments) -> (FlatParam, Moments) {
        let Moments { steps, first, second } = moments;
        let steps = steps + 1;
        if let Some(shape) = self.matrix {
            return self.muon(weights, gradient, Moments { steps, first, second }, shape);
        }
        let (weights, first, second) = match weights {
            FlatParam::Host(mut w) => {
                let [g, mut m, mut v] = [gradient, first, second].map(FlatParam::into_host);
                match self.config.kind {
                    OptimizerKind::AdamW | OptimizerKind::Muon => self.adamw_on_host(steps, &mut w, &g, &mut m, &mut v),
                    OptimizerKind::Lamb => self.lamb_on_host(steps, &mut w, g, &mut m, &mut v),
                }
                (FlatParam::Host(w), FlatParam::Host(m), FlatParam::Host(v))
            }
            FlatParam::Device(w) => {
                let device = w.device();
                let [g, m, v] = [gradient, first, second].map(|param| param.into_device(&device));
                let (w, m, v) = match self.config.kind {
                    OptimizerKind::AdamW | OptimizerKind::Muon => self.adamw_on_device(steps, *w, g, m, v),
                    OptimizerKind::Lamb => self.lamb_on_device(steps, *w, g, m, v),
                };
                (on_device(w), on_device(m), on_device(v))
            }
        };
        (weights, Moments { steps, first, second })
    }

    /// `m = β m + g`, `w = w (1 - lr λ) - lr 0.2 sqrt(max(rows, columns)) orthogonal(g + β m)`; there is no second moment.
    fn muon(
        &self,
        weights: FlatParam,
        gradient: FlatParam,
        moments: Moments,
        shape: [usize; 2],
    ) -> (FlatParam, Moments) {
        let Moments { steps, first, .. } = moments;
        let (beta, scale) = (self.config.beta1 as f32, self.scale as f32);
        let decay = (1.0 - self.learning_rate * self.weight_decay) as f32;
        let rate = (self.learning_rate * muon::scale(shape)) as f32;
        let (weights, first) = match weights {
            FlatParam::Host(mut w) => {
                let [mut g, mut m] = [gradient, first].map(FlatParam::into_host);
                g.par_chunks_mut(CHUNK).zip(m.par_chunks_mut(CHUNK)).for_each(|(g, m)| {
                    for (g, m) in g.iter_mut().zip(m) {
                        *m = beta * *m + scale * *g;
                        *g = scale * *g + beta * *m;
                    }
                });
                let direction = muon::orthogonal(&g, shape);
                w.par_chunks_mut(CHUNK).zip(direction.par_chunks(CHUNK)).for_each(|(w, u)| {
                    w.iter_mut().zip(u).for_each(|(w, u)| *w = decay * *w - rate * u);
                });
                (FlatParam::Host(w), FlatParam::Host(m))
            }
            FlatParam::Device(w) => {
                let device = w.device();
                let [g, m] = [gradient, first].map(|param| param.into_device(&device));
                let g = g * scale;
                let m = m * beta + g.clone();
                let nesterov = g + m.clone() * beta;
                let n = shape[0] * shape[1];
                let direction = muon::orthogonal_on_device(nesterov.reshape(shape)).reshape([n]);
                (on_device(*w * decay - direction * rate), on_device(m))
            }
        };
        (weights, Moments { steps, first, second: FlatParam::Host(Vec::new()) })
    }

    fn moments(&self, steps: u32) -> MomentStep {
        let c = self.config;
        MomentStep {
            scale: self.scale as f32,
            beta1: c.beta1 as f32,
            keep1: (1.0 - c.beta1) as f32,
            beta2: c.beta2 as f32,
            keep2: (1.0 - c.beta2) as f32,
            root: (1.0 / (1.0 - c.beta2.powi(steps as i32)).sqrt()) as f32,
            eps: c.eps as f32,
        }
    }

    /// `1 - beta1^t`
    fn first(&self, steps: u32) -> f64 {
        1.0 - self.config.beta1.powi(steps as i32)
    }

    /// Step `steps` of AdamW, counted from 1.
    pub(crate) fn adamw(&self, steps: u32) -> AdamWStep {
        AdamWStep {
            moments: self.moments(steps),
            decay: (1.0 - self.learning_rate * self.weight_decay) as f32,
            step_size: (self.learning_rate / self.first(steps)) as f32,
        }
    }

    fn lamb(&self, steps: u32) -> LambStep {
        LambStep {
            moments: self.moments(steps),
            decay: self.weight_decay as f32,
            correction: (1.0 / self.first(steps)) as f32,
        }
    }

    fn adamw_on_host(&self, steps: u32, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        let step = self.adamw(steps);
        let weights = w.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK));
        let state = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        // Elementwise, so the result does not depend on how the work is divided.
        weights.zip(state).for_each(|((w, g), (m, v))| step.update(w, g, m, v));
    }

    fn lamb_on_host(&self, steps: u32, w: &mut [f32], mut g: Vec<f32>, m: &mut [f32], v: &mut [f32]) {
        let step = self.lamb(steps);
        let weights = w.par_chunks(CHUNK).zip(g.par_chunks_mut(CHUNK));
        let state = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        weights.zip(state).for_each(|((w, g), (m, v))| step.direction(w, g, m, v));
        let direction = g;
        let ratio = match (squares(w).sqrt(), squares(&direction).sqrt()) {
            (w, u) if self.adapts && w > 0.0 && u > 0.0 => w / u,
            _ => 1.0,
        };
        let rate = (self.learning_rate * ratio) as f32;
        w.par_chunks_mut(CHUNK).zip(direction.par_chunks(CHUNK)).for_each(|(w, u)| LambStep::apply(rate, u, w));
    }

    fn adamw_on_device(&self, steps: u32, w: Flat, g: Flat, m: Flat, v: Flat) -> (Flat, Flat, Flat) {
        let AdamWStep { moments, decay, step_size } = self.adamw(steps);
        let (m, v, divisor) = moments_on_device(moments, g, m, v);
        (w * decay - m.clone() * step_size / divisor, m, v)
    }

    fn lamb_on_device(&self, steps: u32, w: Flat, g: Flat, m: Flat, v: Flat) -> (Flat, Flat, Flat) {
        let LambStep { moments, decay, correction } = self.lamb(steps);
        let (m, v, divisor) = moments_on_device(moments, g, m, v);
        let direction = m.clone() * correction / divisor + w.clone() * decay;
        let step = direction.clone() * self.learning_rate as f32;
        if !self.adapts {
            return (w - step, m, v);
        }
        let norm = |x: Flat| (x.clone() * x).sum().sqrt();
        let (long, along) = (norm(w.clone()), norm(direction));
        let without = long.clone().equal_elem(0.0).bool_or(along.clone().equal_elem(0.0));
        let ratio = (long / along).mask_fill(without, 1.0);
        (w - step * ratio, m, v)
    }
}

/// The floats of one parameter on a device.
type Flat = Tensor<1>;

fn on_device(x: Flat) -> FlatParam {
    FlatParam::Device(Box::new(x))
}

/// As [`MomentStep`] has it: both moments, and what the first is divided by.
fn moments_on_device(step: MomentStep, g: Flat, m: Flat, v: Flat) -> (Flat, Flat, Flat) {
    let MomentStep { scale, beta1, keep1, beta2, keep2, root, eps } = step;
    let g = g * scale;
    let m = m * beta1 + g.clone() * keep1;
    let v = v * beta2 + g.clone() * keep2 * g;
    let divisor = v.clone().sqrt() * root + eps;
    (m, v, divisor)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Three steps of a tensor, in host memory and as on a device of its own.
    fn both(rule: &Rule, weights: &[f32]) -> [Vec<f32>; 2] {
        let tensor = |x: &[f32]| Tensor::<1>::from_floats(x, &Device::flex());
        let gradient = |t: usize| (0..weights.len()).map(|i| ((i * 7 + t * 5) % 11) as f32 - 5.0).collect::<Vec<_>>();
        [FlatParam::Host(weights.to_vec()), on_device(tensor(weights))].map(|mut weights| {
            let mut moments = Moments::of(&weights);
            for t in 0..3 {
                let gradient = match &weights {
                    FlatParam::Host(_) => FlatParam::Host(gradient(t)),
                    FlatParam::Device(_) => on_device(tensor(&gradient(t))),
                };
                (weights, moments) = rule.apply(weights, gradient, moments);
            }
            assert_eq!(moments.steps, 3);
            weights.into_host()
        })
    }

    #[test]
    fn a_device_updates_as_the_host_does() {
        let weights: Vec<f32> = (0..40).map(|i| (i as f32 - 19.0) / 7.0).collect();
        for kind in OptimizerKind::ALL {
            for (adapts, weights) in [(true, weights.clone()), (false, weights.clone()), (true, vec![0.0; 40])] {
                let config = OptimizerConfig::of(kind);
                let matrix = (kind == OptimizerKind::Muon && adapts).then_some([5, 8]);
                let rule = Rule { config, learning_rate: 0.1, weight_decay: 0.01, scale: 0.5, adapts, matrix };
                let [host, device] = both(&rule, &weights);
                let moved = host.iter().zip(&weights).filter(|(after, before)| (*after - *before).abs() > 1e-3).count();
                // A direction may leave single elements nearly where they are.
                assert!(moved > 35, "{kind}: {moved}");
                for (host, device) in host.iter().zip(&device) {
                    // Five products in a row, of sums in another order.
                    let limit = if matrix.is_some() { 1e-4 } else { 1e-6 };
                    assert!((host - device).abs() < limit, "{kind}, {adapts}: {host} there, {device} here");
                }
            }
        }
    }

    #[test]
    fn moments_follow_the_weights_to_another_place() {
        let rule = |kind| Rule {
            config: OptimizerConfig::of(kind),
            learning_rate: 0.1,
            weight_decay: 0.0,
            scale: 1.0,
            adapts: true,
            matrix: None,
        };
        for kind in OptimizerKind::ALL {
            let device = on_device(Tensor::from_floats([1.0, 2.0], &Device::flex()));
            let saved =
                Moments { steps: 4, first: FlatParam::Host(vec![0.5, -1.0]), second: FlatParam::Host(vec![1.0, 2.0]) };
            let gradient = || FlatParam::Host(vec![0.25, 0.5]);
            let (weights, moments) = rule(kind).apply(device, gradient(), saved.clone());
            assert!(matches!(
                (&weights, &moments.first, &moments.second),
                (FlatParam::Device(_), FlatParam::Device(_), FlatParam::Device(_))
            ));
            let (expected, _) = rule(kind).apply(FlatParam::Host(vec![1.0, 2.0]), gradient(), saved);
            for (a, b) in weights.into_host().iter().zip(expected.into_host()) {
                assert!((a - b).abs() < 1e-6, "{kind}: {a} {b}");
            }
        }
    }
}
