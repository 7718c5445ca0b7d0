//! AdamW with decoupled weight decay on weights only.

use std::collections::BTreeMap;

use bert_core::weights::path::ModulePath;
use bert_core::weights::{HostTensor, Tensors};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use cpu_kernels::elementwise::optimizer::AdamWStep;
use rayon::prelude::*;

use super::Gradients;

/// Elements that one thread updates at a time: large enough to be worth handing over.
const CHUNK: usize = 1 << 14;

/// Settings of [`AdamW`]; the defaults are PyTorch's and EfficientBERT's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay, not applied to biases and norms.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// AdamW (Loshchilov & Hutter 2019):
/// `m = β1 m + (1-β1) g`, `v = β2 v + (1-β2) g²`,
/// `w = w (1 - lr λ) - lr m̂ / (sqrt(v̂) + ε)`.
///
/// λ is 0 for biases and norms. A parameter without a gradient in a step keeps its weight and
/// its moments (a supernet trains only the part that a step samples), as in PyTorch; each
/// parameter counts its own steps for the bias correction.
///
/// Moments live in host memory: the update is one pass over each tensor.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    moments: BTreeMap<String, Moments>,
}

#[derive(Clone, Debug)]
struct Moments {
    steps: u32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl AdamW {
    /// An optimiser without history.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, moments: BTreeMap::new() }
    }

    /// One update of `module` with `gradients` scaled by `scale` (see [`Gradients::clip_factor`]).
    pub fn step<M: Module>(&mut self, module: M, gradients: Gradients, scale: f64, lr: f64) -> M {
        let mut update = Update { optimizer: self, path: ModulePath::default(), gradients, scale, lr };
        module.map(&mut update)
    }

    /// The state under `NAME.first`, `NAME.second`, `NAME.steps`.
    pub fn state(&self) -> Tensors {
        let mut tensors = BTreeMap::new();
        let flat = |v: &[f32]| HostTensor { shape: vec![v.len()], data: v.to_vec() };
        for (name, m) in &self.moments {
            tensors.insert(format!("{name}.first"), flat(&m.first));
            tensors.insert(format!("{name}.second"), flat(&m.second));
            // Exact as f32 up to 2^24 steps; split so that longer trainings stay exact too.
            let (high, low) = (m.steps >> 16, m.steps & 0xffff);
            tensors.insert(format!("{name}.steps"), flat(&[high as f32, low as f32]));
        }
        Tensors(tensors)
    }

    /// Restores what [`AdamW::state`] gave. `None` when an entry is incomplete.
    pub fn from_state(config: AdamWConfig, state: &Tensors) -> Option<Self> {
        let mut moments = BTreeMap::new();
        for (key, steps) in &state.0 {
            let Some(name) = key.strip_suffix(".steps") else { continue };
            let get = |kind: &str| state.0.get(&format!("{name}.{kind}")).map(|t| t.data.clone());
            let [high, low] = steps.data[..] else { return None };
            let steps = ((high as u32) << 16) | low as u32;
            let entry = Moments { steps, first: get("first")?, second: get("second")? };
            moments.insert(name.to_string(), entry);
        }
        (moments.len() * 3 == state.0.len()).then_some(Self { config, moments })
    }
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    path: ModulePath,
    gradients: Gradients,
    scale: f64,
    lr: f64,
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
        let decays = !(self.path.leaf() == "bias" || self.path.in_norm());
        let (id, tensor, mapper) = param.consume();
        let requires_grad = tensor.is_require_grad();
        let inner = tensor.inner();
        let (shape, device) = (inner.dims(), inner.device());
        let mut weights = inner.try_into_vec_as::<f32>().expect("float tensors convert to f32");

        let n = weights.len();
        let moments = self.optimizer.moments.entry(name).or_insert_with(|| Moments {
            steps: 0,
            first: vec![0.0; n],
            second: vec![0.0; n],
        });
        moments.steps += 1;
        let c = self.optimizer.config;
        let step = AdamWStep {
            scale: self.scale as f32,
            beta1: c.beta1 as f32,
            keep1: (1.0 - c.beta1) as f32,
            beta2: c.beta2 as f32,
            keep2: (1.0 - c.beta2) as f32,
            eps: c.eps as f32,
            decay: if decays { (1.0 - self.lr * c.weight_decay) as f32 } else { 1.0 },
            step_size: (self.lr / (1.0 - c.beta1.powi(moments.steps as i32))) as f32,
            root: (1.0 / (1.0 - c.beta2.powi(moments.steps as i32)).sqrt()) as f32,
        };
        let slices = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        let state = moments.first.par_chunks_mut(CHUNK).zip(moments.second.par_chunks_mut(CHUNK));
        // Elementwise, so the result does not depend on how the work is divided.
        slices.zip(state).for_each(|((w, g), (m, v))| step.update(w, g, m, v));

        let tensor = Tensor::<D>::from_data(TensorData::new(weights, shape), &device);
        let tensor = if requires_grad { tensor.autodiff().require_grad() } else { tensor };
        Param::from_mapped_value(id, tensor, mapper)
    }
}
