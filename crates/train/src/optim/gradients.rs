//! Gradients of a module.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bert_core::weights::path::ModulePath;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{self, Device, Tensor};

use super::flat_param::{FlatParam, norm};

/// Gradients by module path, in burn's layout; on the CPU in host memory, elsewhere on the device. Parameters that the loss does not
/// reach are absent.
#[derive(Debug, Default)]
pub struct Gradients(pub(super) BTreeMap<String, FlatParam>);

impl Gradients {
    /// Back-propagates `loss` and collects the gradient of every parameter of `module`.
    pub fn of<M: Module>(loss: &Tensor<1>, module: &M) -> Self {
        let mut collect = Collect { path: ModulePath::default(), raw: loss.backward(), found: Self::default() };
        module.visit(&mut collect);
        collect.found
    }

    /// Adds those of another part of the step.
    pub fn add(&mut self, other: Self) {
        for (name, more) in other.0 {
            match self.0.entry(name) {
                Entry::Vacant(entry) => _ = entry.insert(more),
                Entry::Occupied(mut entry) => entry.get_mut().add(more),
            }
        }
    }

    /// The same on another device.
    pub fn to_device(self, device: &Device) -> Self {
        Self(self.0.into_iter().map(|(name, param)| (name, param.on(device))).collect())
    }

    /// Drops those of parameters for which `keep` is false: they are not updated, and not counted in the norm.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// Euclidean norm over all gradients together. On the CPU it is summed in f64 by chunks of fixed size in the order of names, so
    /// that it does not depend on the number of threads; elsewhere on the device, in f32.
    pub fn global_norm(&self) -> f64 {
        norm(self.0.values())
    }

    /// The factor that clips the global norm to `max_norm`: `min(1, max_norm / (norm + 1e-6))`.
    pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
        (max_norm / (norm + 1e-6)).min(1.0)
    }

    /// Gradient of the parameter at `path` (burn's layout), if the loss reaches it.
    pub fn get(&self, path: &str) -> Option<Vec<f32>> {
        self.0.get(path).map(|param| param.clone().into_host())
    }
}

struct Collect {
    path: ModulePath,
    raw: tensor::Gradients,
    found: Gradients,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad_remove(&mut self.raw) {
            self.found.0.insert(self.path.join(), FlatParam::of(grad));
        }
    }
}
