//! Weights of a smaller model cut out of a larger one: EfficientBERT's warm-up.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::weights::{HostTensor, Tensors};

/// Which layer of the source a layer of the target takes its weights from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerSource {
    /// Layer i from layer i.
    Same,
    /// Layers 2i and 2i+1 from layer i (EfficientBERT++).
    Halved,
}

impl LayerSource {
    fn of(self, layer: usize) -> usize {
        match self {
            Self::Same => layer,
            Self::Halved => layer / 2,
        }
    }
}

/// The tensors of a model with shapes `target`, each the leading slice (first rows, first columns) of the source's
/// tensor of the same name (module paths, PyTorch layout).
///
/// Tensors under a name that the source does not have at all are left out when `optional` accepts their name (a new task
/// head, say) and are an error otherwise.
///
/// # Errors
/// [`Error::Inherit`] names the tensor and both shapes when the source is too small or lacks it.
pub fn inherit(
    target: &BTreeMap<String, Vec<usize>>,
    source: &Tensors,
    layers: LayerSource,
    optional: impl Fn(&str) -> bool,
) -> Result<Tensors> {
    let mut tensors = BTreeMap::new();
    for (name, shape) in target {
        let from = source_name(name, layers);
        let fail = |found: Option<&[usize]>| Error::Inherit {
            name: name.clone(),
            expected: shape.clone(),
            found: found.map(<[usize]>::to_vec),
        };
        let Some(tensor) = source.0.get(&from) else {
            if optional(name) {
                continue;
            }
            return Err(fail(None));
        };
        // The trigram projection sees three embeddings side by side; its columns must not be cut.
        let whole = name.contains(".projection.") && shape.last() != tensor.shape.last();
        let fits = tensor.shape.len() == shape.len() && shape.iter().zip(&tensor.shape).all(|(t, s)| t <= s);
        if !fits || whole && shape.len() == 2 {
            return Err(fail(Some(&tensor.shape)));
        }
        tensors.insert(name.clone(), leading_slice(tensor, shape));
    }
    Ok(Tensors(tensors))
}

fn source_name(name: &str, layers: LayerSource) -> String {
    let mut parts: Vec<String> = name.split('.').map(String::from).collect();
    if parts.len() > 2
        && parts[1] == "layers"
        && let Ok(layer) = parts[2].parse::<usize>()
    {
        parts[2] = layers.of(layer).to_string();
    }
    parts.join(".")
}

/// The first `shape[d]` entries along every axis; `shape` must not exceed the tensor's.
fn leading_slice(tensor: &HostTensor, shape: &[usize]) -> HostTensor {
    if tensor.shape == shape {
        return tensor.clone();
    }
    let data = match *shape {
        [n] => tensor.data[..n].to_vec(),
        [rows, columns] => {
            let stride = tensor.shape[1];
            (0..rows).flat_map(|r| tensor.data[r * stride..r * stride + columns].iter().copied()).collect()
        }
        _ => tensor.data.clone(),
    };
    HostTensor { shape: shape.to_vec(), data }
}
