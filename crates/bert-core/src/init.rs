//! Initial weights as a pure function of a seed.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use rand::Rng;

use crate::weights::path::ModulePath;

/// BERT's initialization: weights `N(0, std)`, parameters called `bias` 0. All others of one axis, the scales and shifts of norms, stay
/// as their module has made them: 1 and 0.
///
/// Every tensor has its own stream keyed by `(seed, name)`, so the values do not depend on the
/// order of construction nor on which other tensors exist.
pub fn normal<M: Module>(module: M, seed: u64, std: f64) -> M {
    module.map(&mut NormalInit { path: ModulePath::default(), seed, std })
}

struct NormalInit {
    path: ModulePath,
    seed: u64,
    std: f64,
}

impl ModuleMapper for NormalInit {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        let n = shape.num_elements();
        let values = match D {
            1 if self.path.leaf() == "bias" => vec![0.0; n],
            1 => return param,
            _ => normal_values(n, self.seed, &self.path.join(), self.std),
        };
        let tensor = Tensor::from_data(TensorData::new(values, shape), &param.lazy_device());
        let id = param.id;
        param.transform_for_load(tensor, id)
    }
}

/// `n` draws of `N(0, std)` by the Box-Muller transform, keyed by `(seed, name)`.
pub fn normal_values(n: usize, seed: u64, name: &str, std: f64) -> Vec<f32> {
    let mut rng = run_store::rng::keyed(seed, &format!("init {name}"), &[]);
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        // 1 - u is in (0, 1], so the logarithm is finite.
        let radius = std * (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * rng.random::<f64>();
        values.push((radius * angle.cos()) as f32);
        values.push((radius * angle.sin()) as f32);
    }
    values.truncate(n);
    values
}
