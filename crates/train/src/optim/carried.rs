//! The optimizer's moments as a module of their own, so that whatever changes the weights of a model can change them alike.

use std::collections::BTreeMap;

use bert_core::weights::path::ModulePath;
use bert_core::weights::{HostTensor, Tensors, collect_internal};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::Gradients;

/// `module` with the moments `kind` (`first` or `second`) of an optimizer's state in the place of its parameters; zeros where there are none.
///
/// # Panics
/// Moments of another module: of other sizes.
pub fn moments_of<M: Module>(module: M, state: &Tensors, kind: &str) -> M {
    module.map(&mut Fill { path: ModulePath::default(), state, kind })
}

/// Gradients by the paths and in the layout in which files hold the weights of `module`; zeros where the loss reaches nothing.
pub fn gradients_of<M: Module>(module: M, gradients: Gradients) -> Tensors {
    let flat = gradients.0.into_iter().map(|(path, gradient)| {
        let data = gradient.into_host();
        (format!("{path}.gradient"), HostTensor { shape: vec![data.len()], data })
    });
    let state = Tensors(flat.collect());
    collect_internal(&moments_of(module, &state, "gradient"))
}

/// An optimizer's state with these first and second moments. Every parameter has as many steps behind it as the one with most of them in
/// `before`; one whose moments are all 0 has none, so that the correction of its bias begins anew.
pub fn state_of<M: Module>([first, second]: [&M; 2], before: &Tensors) -> Tensors {
    let steps = before.0.iter().filter(|(name, _)| name.ends_with(".steps"));
    let most = steps
        .map(|(_, halves)| halves.data.clone())
        .max_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let most = most.unwrap_or_else(|| vec![0.0, 0.0]);
    let flat = |data: Vec<f32>| HostTensor { shape: vec![data.len()], data };
    let mut state = BTreeMap::new();
    for (module, kind) in [(first, "first"), (second, "second")] {
        let mut read = Read::default();
        module.visit(&mut read);
        for (name, data) in read.values {
            state.insert(format!("{name}.steps"), flat(most.clone()));
            state.insert(format!("{name}.{kind}"), flat(data));
        }
    }
    let is_zero = |data: &[f32]| data.iter().all(|v| *v == 0.0);
    let new: Vec<String> = state
        .iter()
        .filter_map(|(name, first)| Some((name.strip_suffix(".first")?, first)))
        .filter(|(name, first)| is_zero(&first.data) && is_zero(&state[&format!("{name}.second")].data))
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in new {
        ["first", "second", "steps"].iter().for_each(|kind| _ = state.remove(&format!("{name}.{kind}")));
    }
    Tensors(state)
}

struct Fill<'a> {
    path: ModulePath,
    state: &'a Tensors,
    kind: &'a str,
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let found = self.state.0.get(&format!("{}.{}", self.path.join(), self.kind));
        let (id, tensor, mapper) = param.consume();
        let (shape, device) = (tensor.dims(), tensor.device());
        // Muon has no second moments of matrices.
        let data = found.filter(|found| !found.data.is_empty()).map(|found| found.data.clone());
        let moments = match data {
            Some(data) => Tensor::from_data(TensorData::new(data, shape), &device),
            None => Tensor::zeros(shape, &device),
        };
        Param::from_mapped_value(id, moments, mapper)
    }
}

#[derive(Default)]
struct Read {
    path: ModulePath,
    values: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Read {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().try_into_vec_as::<f32>().expect("float tensors convert to f32");
        self.values.insert(self.path.join(), values);
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn moments_pass_through_a_module_unchanged() {
        let module = LinearConfig::new(2, 3).init(&Device::flex());
        let flat = |data: Vec<f32>| HostTensor { shape: vec![data.len()], data };
        let state = Tensors(
            [
                ("weight.first", vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
                ("weight.second", vec![0.5; 6]),
                ("weight.steps", vec![1.0, 3.0]),
                ("bias.first", vec![7.0, 8.0, 9.0]),
                ("bias.second", vec![]),
                ("bias.steps", vec![1.0, 2.0]),
            ]
            .map(|(name, data)| (name.to_owned(), flat(data)))
            .into(),
        );
        let [first, second] = ["first", "second"].map(|kind| moments_of(module.clone(), &state, kind));
        let again = state_of([&first, &second], &state);
        for name in ["weight.first", "weight.second", "weight.steps", "bias.first"] {
            assert_eq!(again.0[name].data, state.0[name].data, "{name}");
        }
        assert_eq!(again.0["bias.second"].data, [0.0; 3], "none are zeros");
        assert_eq!(again.0["bias.steps"].data, [1.0, 3.0], "as many steps as the other");
        let zeros =
            module.clone().map(&mut Fill { path: ModulePath::default(), state: &Tensors::default(), kind: "first" });
        assert!(state_of([&zeros, &zeros], &state).0.is_empty(), "a new parameter has no steps behind it");
    }
}
