//! The optimizer's state, and the update of a module.

use std::collections::BTreeMap;

use bert_core::weights::path::ModulePath;
use bert_core::weights::{HostTensor, Tensors};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use super::flat_param::FlatParam;
use super::rule::{Moments, Rule};
use super::{Gradients, Group, OptimizerConfig, OptimizerKind, is_norm, muon};

/// Updates the parameters of a module. With the gradient `g`, and `m̂ = m / (1 - β1^t)`, `v̂ = v / (1 - β2^t)` in step `t`:
///
/// ```text
/// m = β1 m + (1-β1) g,  v = β2 v + (1-β2) g²
/// AdamW:  w = w (1 - lr λ) - lr m̂ / (sqrt(v̂) + ε)
/// LAMB:   u = m̂ / (sqrt(v̂) + ε) + λ w,  w = w - lr (|w| / |u|) u
/// Muon:   m = β1 m + g,  w = w (1 - lr λ) - lr 0.2 sqrt(max(rows, columns)) orthogonal(g + β1 m)
/// ```
///
/// AdamW is that of Loshchilov & Hutter 2019, LAMB algorithm 2 of You et al. 2020 with `φ(x) = x`. The trust ratio `|w| / |u|`
/// is one number for each tensor; it is 1 where one of the norms is 0, and for biases and norms ([`is_norm`]), as in the authors'
/// code. λ is 0 for biases and norms. Muon updates the matrices of layers, everything else is AdamW's.
///
/// A parameter without a gradient in a step keeps its weight and its moments (a supernet trains only the part that a step
/// samples), as in PyTorch; each parameter counts its own steps for the bias correction.
///
/// Moments lie where the gradients do. On the CPU the update is one pass over each tensor, two for LAMB, and its result does not
/// depend on the number of threads. Elsewhere it is computed on the device, and nothing of it is moved to the host.
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    moments: BTreeMap<String, Moments>,
}

/// The size of a step.
#[derive(Clone, Copy, Debug)]
pub struct Pace<'a> {
    /// The learning rate, schedule included.
    pub learning_rate: f64,
    /// Factor of the gradients, see [`Gradients::clip_factor`].
    pub scale: f64,
    /// The step's number, from 0, which the gates of groups depend on.
    pub step: u64,
    /// Parameters for which it is different.
    pub groups: &'a [Group],
}

impl Pace<'static> {
    /// The same for all parameters.
    pub fn uniform(learning_rate: f64, scale: f64) -> Self {
        Self { learning_rate, scale, step: 0, groups: &[] }
    }
}

impl Pace<'_> {
    fn group(&self, path: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.fits(path))
    }

    /// Whether the parameter at `path` is not updated in this step.
    pub fn rests(&self, path: &str) -> bool {
        self.group(path).is_some_and(|group| group.factor_at(path, self.step) == 0.0)
    }
}

impl Optimizer {
    /// An optimizer without history.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, moments: BTreeMap::new() }
    }

    /// One update of `module` with `gradients`. Parameters that rest ([`Pace::rests`]) must have no gradient:
    /// [`Gradients::retain`] drops it before the norm is taken.
    pub fn step<M: Module>(&mut self, module: M, gradients: Gradients, pace: &Pace<'_>) -> M {
        module.map(&mut Update { optimizer: self, path: ModulePath::default(), gradients, pace })
    }

    /// The state under `NAME.first`, `NAME.second`, `NAME.steps`.
    pub fn state(&self) -> Tensors {
        let mut tensors = BTreeMap::new();
        let flat = |v: Vec<f32>| HostTensor { shape: vec![v.len()], data: v };
        for (name, m) in &self.moments {
            tensors.insert(format!("{name}.first"), flat(m.first.clone().into_host()));
            tensors.insert(format!("{name}.second"), flat(m.second.clone().into_host()));
            // Exact as f32 up to 2^24 steps; split so that longer trainings stay exact too.
            let (high, low) = (m.steps >> 16, m.steps & 0xffff);
            tensors.insert(format!("{name}.steps"), flat(vec![high as f32, low as f32]));
        }
        Tensors(tensors)
    }

    /// Restores what [`Optimizer::state`] gave. `None` when an entry is incomplete.
    pub fn from_state(config: OptimizerConfig, state: &Tensors) -> Option<Self> {
        let mut moments = BTreeMap::new();
        for (key, steps) in &state.0 {
            let Some(name) = key.strip_suffix(".steps") else { continue };
            let get = |kind: &str| state.0.get(&format!("{name}.{kind}")).map(|t| FlatParam::Host(t.data.clone()));
            let [high, low] = steps.data[..] else { return None };
            let steps = ((high as u32) << 16) | low as u32;
            let entry = Moments { steps, first: get("first")?, second: get("second")? };
            moments.insert(name.to_string(), entry);
        }
        (moments.len() * 3 == state.0.len()).then_some(Self { config, moments })
    }
}

struct Update<'a> {
    optimizer: &'a mut Optimizer,
    path: ModulePath,
    gradients: Gradients,
    pace: &'a Pace<'a>,
}

impl Update<'_> {
    /// Rows and columns of a parameter that Muon updates.
    fn matrix<const D: usize>(&self, param: &Param<Tensor<D>>, name: &str) -> Option<[usize; 2]> {
        let is_one = self.optimizer.config.kind == OptimizerKind::Muon && D == 2 && muon::takes(name);
        is_one.then(|| [param.lazy_shape()[0], param.lazy_shape()[1]])
    }
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join();
        let Some(gradient) = self.gradients.0.remove(&name) else { return param };
        let is_norm = is_norm(self.pace.groups, &name, D);
        let group = self.pace.group(&name);
        let config = self.optimizer.config;
        let decay = group.and_then(|g| g.weight_decay).unwrap_or(config.weight_decay);
        let rule = Rule {
            config,
            learning_rate: self.pace.learning_rate * group.map_or(1.0, |g| g.factor_at(&name, self.pace.step)),
            weight_decay: if is_norm { 0.0 } else { decay },
            scale: self.pace.scale,
            adapts: !is_norm,
            matrix: self.matrix::<D>(&param, &name).filter(|_| !is_norm),
        };
        let (id, tensor, mapper) = param.consume();
        let requires_grad = tensor.is_require_grad();
        let inner = tensor.inner();
        let (shape, device) = (inner.dims(), inner.device());
        let weights = FlatParam::of(inner);
        let moments = self.optimizer.moments.remove(&name).unwrap_or_else(|| Moments::of(&weights));
        let (weights, moments) = rule.apply(weights, gradient, moments);
        self.optimizer.moments.insert(name, moments);

        let tensor = weights.into_tensor(shape, &device);
        let tensor = if requires_grad { tensor.autodiff().require_grad() } else { tensor };
        Param::from_mapped_value(id, tensor, mapper)
    }
}
