//! From a module to named tensors and back, strictly.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::path::ModulePath;
use model_dir::Error;

use super::{HostTensor, NameFormat, Tensors};
use crate::error::Result;

/// Shapes as files hold them, by module path; reads no values and allocates no weights.
pub fn parameter_shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut visitor = Shapes::default();
    module.visit(&mut visitor);
    visitor.shapes
}

/// All parameters under their external names.
pub fn collect<M: Module>(module: &M, format: NameFormat) -> Tensors {
    model_dir::named(collect_internal(module), format)
}

/// All parameters under their module paths; linear weights as `[out, in]`.
pub fn collect_internal<M: Module>(module: &M) -> Tensors {
    let mut visitor = Collect::default();
    module.visit(&mut visitor);
    visitor.tensors
}

/// Loads `tensors` (external names) into `module`, strictly: see [`model_dir::resolve`].
///
/// # Errors
/// As there.
pub fn apply<M: Module>(module: M, tensors: Tensors, format: NameFormat, source: &Path) -> Result<M> {
    let values = model_dir::resolve(&parameter_shapes(&module), tensors, format, source)?.0;
    Ok(module.map(&mut Load { path: ModulePath::default(), values }))
}

/// Loads tensors under their module paths (what [`collect_internal`] gives), strictly.
///
/// # Errors
/// As [`apply`].
pub fn apply_internal<M: Module>(module: M, tensors: Tensors, source: &Path) -> Result<M> {
    let path = || source.to_path_buf();
    let shapes = parameter_shapes(&module);
    let missing: Vec<String> = shapes.keys().filter(|n| !tensors.0.contains_key(*n)).cloned().collect();
    if !missing.is_empty() {
        return Err(Error::MissingTensors { path: path(), names: missing }.into());
    }
    let extra: Vec<String> = tensors.0.keys().filter(|n| !shapes.contains_key(*n)).cloned().collect();
    if !extra.is_empty() {
        return Err(Error::ExtraTensors { path: path(), names: extra }.into());
    }
    for (name, expected) in &shapes {
        let found = &tensors.0[name].shape;
        if found != expected {
            let (found, expected) = (found.clone(), expected.clone());
            return Err(Error::Shape { path: path(), name: name.clone(), found, expected }.into());
        }
    }
    Ok(module.map(&mut Load { path: ModulePath::default(), values: tensors.0 }))
}

#[derive(Default)]
struct Shapes {
    path: ModulePath,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let mut shape = param.lazy_shape().to_vec();
        if self.path.is_linear_weight() {
            shape.reverse();
        }
        self.shapes.insert(self.path.join(), shape);
    }
}

#[derive(Default)]
struct Collect {
    path: ModulePath,
    tensors: Tensors,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let shape = value.dims().to_vec();
        let data = value.try_into_vec_as::<f32>().expect("float tensors convert to f32");
        let tensor = HostTensor { shape, data };
        let tensor = if self.path.is_linear_weight() { tensor.transposed() } else { tensor };
        self.tensors.0.insert(self.path.join(), tensor);
    }
}

struct Load {
    path: ModulePath,
    values: BTreeMap<String, HostTensor>,
}

impl ModuleMapper for Load {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(tensor) = self.values.remove(&self.path.join()) else { return param };
        let tensor = if self.path.is_linear_weight() { tensor.transposed() } else { tensor };
        let data = TensorData::new(tensor.data, tensor.shape);
        let value = Tensor::from_data(data, &param.lazy_device());
        let id = param.id;
        param.transform_for_load(value, id)
    }
}
