//! Weights of a smaller model cut out of a larger one: EfficientBERT's warm-up.

use std::collections::BTreeMap;

use encoder_spec::{Attention, Encoder, Shape};

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

/// As [`inherit`], of encoders whose layers may have other heads and head widths: each head of the target is the leading channels of the
/// source's head of the same number, in queries, keys, values and the columns of the output map.
///
/// [`inherit`] sees no heads: where a head's width differs, its first rows would be those of the source's first heads. Queries and keys of
/// narrower heads are scaled such that the scores `q^T k / sqrt(d)` are those of the channels that are left: by `(d / d_source)^(1/4)` each.
///
/// # Errors
/// As [`inherit`]; [`Error::Inherit`] for a layer with more or wider heads than the source's.
pub fn inherit_encoder(
    target: &Encoder<Shape>,
    (spec, source): (&Encoder<Shape>, &Tensors),
    layers: LayerSource,
    optional: impl Fn(&str) -> bool,
) -> Result<Tensors> {
    let shapes = target.weights();
    let mut heads = BTreeMap::new();
    let mut rest = shapes.clone();
    for (index, layer) in target.layers.iter().enumerate() {
        let from = layers.of(index);
        let there = spec.layers.get(from).and_then(|layer| layer.attention.as_ref());
        let (Some(ours), Some(theirs)) = (&layer.attention, there) else { continue };
        if ours.width() / ours.heads == theirs.width() / theirs.heads {
            continue;
        }
        for path in shapes.keys().filter(|path| of_heads(path, index)) {
            let found = source.0.get(&source_name(path, layers));
            let cut = found.and_then(|tensor| Cut::new(ours, theirs).of(path, tensor, &shapes[path]));
            let cut = cut.ok_or_else(|| Error::Inherit {
                name: path.clone(),
                expected: shapes[path].clone(),
                found: found.map(|tensor| tensor.shape.clone()),
            })?;
            heads.insert(path.clone(), cut);
            rest.remove(path);
        }
    }
    let mut tensors = inherit(&rest, source, layers, optional)?;
    tensors.0.extend(heads);
    Ok(tensors)
}

/// Whether a weight of that layer has rows or columns of heads.
fn of_heads(path: &str, layer: usize) -> bool {
    let part = path.strip_prefix(&format!("encoder.layers.{layer}.attention."));
    part.is_some_and(|part| !part.starts_with("norm.") && part != "output.bias")
}

/// The leading channels of each head.
struct Cut {
    /// The source's channel of each of the target's; `None` where the source has fewer.
    channels: Option<Vec<usize>>,
    /// Factor of queries and keys.
    scale: f32,
}

impl Cut {
    fn new(ours: &Attention<Shape>, theirs: &Attention<Shape>) -> Self {
        let [width, source] = [ours, theirs].map(|attention| attention.width() / attention.heads);
        let fits = ours.heads <= theirs.heads && width <= source;
        let channels = (0..ours.heads).flat_map(|head| head * source..head * source + width).collect();
        Self { channels: fits.then_some(channels), scale: (width as f32 / source as f32).powf(0.25) }
    }

    fn of(&self, path: &str, tensor: &HostTensor, shape: &[usize]) -> Option<HostTensor> {
        let channels = self.channels.as_ref()?;
        let scale = if path.contains(".query.") || path.contains(".key.") { self.scale } else { 1.0 };
        let columns = tensor.shape.get(1).copied().unwrap_or(1);
        let data: Vec<f32> = match (path.contains(".output."), shape) {
            (true, &[rows, _]) if rows <= tensor.shape[0] => {
                (0..rows).flat_map(|row| channels.iter().map(move |&c| tensor.data[row * columns + c])).collect()
            }
            (false, _) => {
                let kept = shape.get(1).copied().unwrap_or(1);
                if kept > columns {
                    return None;
                }
                let rows = channels.iter().flat_map(|&row| &tensor.data[row * columns..row * columns + kept]);
                rows.map(|value| value * scale).collect()
            }
            _ => return None,
        };
        Some(HostTensor { shape: shape.to_vec(), data })
    }
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
