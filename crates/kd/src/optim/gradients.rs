//! Gradients of a module in host memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bert_core::weights::path::ModulePath;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{self, Tensor};
use cpu_kernels::elementwise::optimizer::{axpy, sum_of_squares};
use rayon::prelude::*;

/// Elements that one thread works on at a time: large enough to be worth handing over.
pub(super) const CHUNK: usize = 1 << 14;

/// Gradients by module path, in burn's layout. Parameters that the loss does not reach are absent.
#[derive(Debug, Default)]
pub struct Gradients(pub(super) BTreeMap<String, Vec<f32>>);

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
                Entry::Occupied(mut entry) => {
                    entry
                        .get_mut()
                        .par_chunks_mut(CHUNK)
                        .zip(more.par_chunks(CHUNK))
                        .for_each(|(y, x)| axpy(1.0, x, y));
                }
            }
        }
    }

    /// Drops those of the parameters that `keep` says no to: they are not updated, and not counted in the norm.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// Euclidean norm over all gradients together, summed in f64 by chunks of fixed size in the order of names, so that
    /// the sum does not depend on the number of threads.
    pub fn global_norm(&self) -> f64 {
        self.0.values().map(|gradient| squares(gradient)).sum::<f64>().sqrt()
    }

    /// The factor that clips the global norm to `max_norm`: `min(1, max_norm / (norm + 1e-6))`.
    pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
        (max_norm / (norm + 1e-6)).min(1.0)
    }

    /// Gradient of the parameter at `path` (burn's layout), if the loss reaches it.
    pub fn get(&self, path: &str) -> Option<&[f32]> {
        self.0.get(path).map(Vec::as_slice)
    }
}

/// `sum x^2` by chunks of fixed size, whatever the number of threads.
pub(super) fn squares(x: &[f32]) -> f64 {
    x.par_chunks(CHUNK).map(sum_of_squares).collect::<Vec<f64>>().into_iter().sum()
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
            let values = grad.try_into_vec_as::<f32>().expect("float tensors convert to f32");
            self.found.0.insert(self.path.join(), values);
        }
    }
}
