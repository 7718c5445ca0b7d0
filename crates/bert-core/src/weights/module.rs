//! From a module to named tensors and back, strictly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::path::ModulePath;
use super::{HostTensor, NameFormat, Stored, Tensors};
use crate::{Error, Result};

/// Shapes as files hold them, by module path; reads no values and allocates no weights.
pub fn parameter_shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut visitor = Shapes::default();
    module.visit(&mut visitor);
    visitor.shapes
}

/// All parameters under their external names.
pub fn collect<M: Module>(module: &M, format: NameFormat) -> Tensors {
    let blocks = Blocks::of(module, format);
    let tensors = collect_internal(module).0;
    Tensors(tensors.into_iter().map(|(path, t)| (blocks.external(format, &path), t)).collect())
}

/// All parameters under their module paths; linear weights as `[out, in]`.
pub fn collect_internal<M: Module>(module: &M) -> Tensors {
    let mut visitor = Collect::default();
    module.visit(&mut visitor);
    visitor.tensors
}

/// Loads `tensors` (external names) into `module`, strictly: see [`resolve`].
///
/// # Errors
/// As [`resolve`].
pub fn apply<M: Module>(module: M, tensors: Tensors, format: NameFormat, source: &Path) -> Result<M> {
    let values = resolve(&module, tensors, format, source)?.0;
    Ok(module.map(&mut Load { path: ModulePath::default(), values }))
}

/// `tensors` (external names) under the module paths of `module`, whose weights are not looked at.
///
/// Every parameter must be there with its shape, and nothing may be left over, except
/// copies of weights that the model ties (a tied decoder, MobileBERT-TINY's key), which must equal
/// the original, and `position_ids` buffers. A common `bert.` prefix is accepted.
///
/// # Errors
/// [`Error::MissingTensors`], [`Error::ExtraTensors`], [`Error::Shape`], [`Error::Untied`] or
/// [`Error::NotFinite`], naming the tensors and `source`.
pub fn resolve<M: Module, T: Stored>(
    module: &M,
    tensors: Tensors<T>,
    format: NameFormat,
    source: &Path,
) -> Result<Tensors<T>> {
    let (tensors, names) = place(module, tensors, format, source)?;
    match tensors.0.iter().find(|(_, tensor)| !tensor.are_finite()) {
        Some((internal, _)) => Err(Error::NotFinite { path: source.to_path_buf(), name: names[internal].clone() }),
        None => Ok(tensors),
    }
}

/// As [`resolve`], except that no values are read but those of tied copies: whoever uses the tensors asks whether they are finite.
///
/// # Errors
/// As [`resolve`], without [`Error::NotFinite`].
pub fn resolve_unread<M: Module, T: Stored>(
    module: &M,
    tensors: Tensors<T>,
    format: NameFormat,
    source: &Path,
) -> Result<Tensors<T>> {
    Ok(place(module, tensors, format, source)?.0)
}

/// Tensors, and their external names, by module path.
fn place<M: Module, T: Stored>(
    module: &M,
    tensors: Tensors<T>,
    format: NameFormat,
    source: &Path,
) -> Result<(Tensors<T>, BTreeMap<String, String>)> {
    let mut tensors = without_prefix(tensors, format);
    tensors.0.retain(|name, _| !name.ends_with("position_ids"));
    let blocks = Blocks::of(module, format);
    let path = || source.to_path_buf();
    let shapes = parameter_shapes(module);

    let mut values = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut missing = Vec::new();
    for (internal, expected) in &shapes {
        let name = blocks.external(format, internal);
        let Some(tensor) = tensors.0.remove(&name) else {
            missing.push(name);
            continue;
        };
        if tensor.shape() != expected {
            let found = tensor.shape().to_vec();
            return Err(Error::Shape { path: path(), name, found, expected: expected.clone() });
        }
        names.insert(internal.clone(), name);
        values.insert(internal.clone(), tensor);
    }
    if !missing.is_empty() {
        return Err(Error::MissingTensors { path: path(), names: missing });
    }
    let mut extra = Vec::new();
    for (name, tensor) in tensors.0 {
        match tied_to(&name, format).and_then(|internal| values.get(&internal).map(|v| (internal, v))) {
            Some((_, original)) if original.shape() == tensor.shape() && original.values() == tensor.values() => {}
            Some((internal, _)) => {
                return Err(Error::Untied { path: path(), name, tied_to: names[&internal].clone() });
            }
            None => extra.push(name),
        }
    }
    if !extra.is_empty() {
        return Err(Error::ExtraTensors { path: path(), names: extra });
    }
    Ok((Tensors(values), names))
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
        return Err(Error::MissingTensors { path: path(), names: missing });
    }
    let extra: Vec<String> = tensors.0.keys().filter(|n| !shapes.contains_key(*n)).cloned().collect();
    if !extra.is_empty() {
        return Err(Error::ExtraTensors { path: path(), names: extra });
    }
    for (name, expected) in &shapes {
        let found = &tensors.0[name].shape;
        if found != expected {
            let (found, expected) = (found.clone(), expected.clone());
            return Err(Error::Shape { path: path(), name: name.clone(), found, expected });
        }
    }
    Ok(module.map(&mut Load { path: ModulePath::default(), values: tensors.0 }))
}

/// Module path of the weight that `name` is a copy of, for the ties the models have.
fn tied_to(name: &str, format: NameFormat) -> Option<String> {
    match (format, name) {
        (NameFormat::Reference, "lm_head.lm_decoder.weight")
        | (NameFormat::HuggingFace(_), "cls.predictions.decoder.weight") => {
            Some("encoder.embeddings.word_embeddings.weight".into())
        }
        (NameFormat::HuggingFace(_), "cls.predictions.decoder.bias") => Some("mlm.bias".into()),
        (NameFormat::Reference, _) => {
            let (layer, leaf) = name.strip_prefix("encoder.")?.split_once(".attention.key.")?;
            Some(format!("encoder.layers.{layer}.attention.query.{leaf}"))
        }
        (NameFormat::HuggingFace(_), _) => None,
    }
}

fn without_prefix<T>(tensors: Tensors<T>, format: NameFormat) -> Tensors<T> {
    let prefix = match format {
        NameFormat::HuggingFace(crate::ModelType::MobileBert) => "mobilebert.",
        NameFormat::HuggingFace(_) => "bert.",
        NameFormat::Reference => return tensors,
    };
    // A second tensor of a name stays under its own, as one that the model has no place for.
    let bare: BTreeSet<String> = tensors.0.keys().filter(|name| !name.starts_with(prefix)).cloned().collect();
    let strip = |(name, tensor): (String, T)| match name.strip_prefix(prefix) {
        Some(rest) if !bare.contains(rest) => (rest.to_owned(), tensor),
        _ => (name, tensor),
    };
    Tensors(tensors.0.into_iter().map(strip).collect())
}

/// Number of stacked feed-forwards per layer, which some external names depend on.
struct Blocks(BTreeMap<String, usize>);

impl Blocks {
    fn of<M: Module>(module: &M, format: NameFormat) -> Self {
        let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut searched = false;
        let mut visitor = Shapes::default();
        module.visit(&mut visitor);
        for path in visitor.shapes.keys() {
            searched |= path.contains(".projection.") || path.contains(".bottleneck.");
            if let Some((layer, rest)) = path.split_once(".feed_forward.blocks.") {
                let block = rest.split('.').next().unwrap_or_default();
                seen.entry(layer.to_string()).or_default().insert(block.to_string());
            }
        }
        // The reference names a lone plain feed-forward `ffn`, its searched ones `all_ffn.J`.
        let plain = format == NameFormat::Reference && !searched;
        Self(seen.into_iter().map(|(l, b)| (l, if plain { 0 } else { b.len() })).collect())
    }

    fn external(&self, format: NameFormat, path: &str) -> String {
        let layer = path.split_once(".feed_forward.blocks.").map_or("", |(l, _)| l);
        format.external(path, self.0.get(layer).copied().unwrap_or(1))
    }
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
