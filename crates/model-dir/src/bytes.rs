//! Matrices in 8-bit integers: a quarter of the bytes of `f32`.
//!
//! A tensor `NAME` of type I8 and shape `[rows, ...]` has the scales of its rows beside it, `NAME.scale` of type F32 and shape `[rows]`, and
//! stands for `NAME[row, ...] * NAME.scale[row]`. Every reader of this crate gives it as `f32`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use encoder_spec::{HostTensor, NameFormat, QUANT_METHOD};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::json;

use crate::place::named;
use crate::remote_code::class_files;
use crate::tensors::to_f32;
use crate::{CONFIG_FILE, Error, ModelDir, Result, Tensors, WEIGHTS_FILE};

/// The key of `config.json` by which other programs see that weights are no numbers as they stand.
pub(crate) const QUANTIZATION: &str = "quantization_config";

/// What the name of the scales has behind that of the matrix.
const SCALE: &str = ".scale";

/// The largest magnitude of a byte; -128 is left out, so that the range is symmetric.
const LARGEST: f32 = 127.0;

/// The name of the matrix that the tensor `name` may have the scales of.
pub(crate) fn matrix_of(name: &str) -> Option<&str> {
    name.strip_suffix(SCALE)
}

/// Whether the tensor `name` has the scales of another one and is none of its own.
pub(crate) fn is_scale(file: &SafeTensors<'_>, name: &str) -> bool {
    matrix_of(name).is_some_and(|matrix| file.tensor(matrix).is_ok_and(|matrix| matrix.dtype() == Dtype::I8))
}

/// Names of the matrices in bytes of a file that was read already.
pub(crate) fn byte_tensors(file: &[u8]) -> BTreeSet<String> {
    let Ok(file) = SafeTensors::deserialize(file) else { return BTreeSet::new() };
    file.iter().filter(|(_, view)| view.dtype() == Dtype::I8).map(|(name, _)| name.to_owned()).collect()
}

/// The values of a tensor of `file` as `f32`, or what is wrong with it.
pub(crate) fn values(file: &SafeTensors<'_>, name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let unknown = || format!("tensor `{name}` has type {:?}", view.dtype());
    if view.dtype() != Dtype::I8 {
        return to_f32(view.dtype(), view.data()).ok_or_else(unknown);
    }
    let Ok(scales) = file.tensor(&format!("{name}{SCALE}")) else {
        return Err(format!("{}, and there is no `{name}{SCALE}` with the scales of its rows", unknown()));
    };
    let rows = view.shape().first().copied().unwrap_or(0);
    if scales.dtype() != Dtype::F32 || scales.shape() != [rows] || rows == 0 {
        return Err(format!(
            "tensor `{name}{SCALE}` has type {:?} and shape {:?}; F32 and [{rows}] are expected",
            scales.dtype(),
            scales.shape()
        ));
    }
    let scales = to_f32(Dtype::F32, scales.data()).ok_or_else(unknown)?;
    let width = view.data().len() / rows;
    let rows = view.data().chunks_exact(width.max(1)).zip(scales);
    Ok(rows.flat_map(|(row, scale)| row.iter().map(move |byte| f32::from(byte.cast_signed()) * scale)).collect())
}

/// Bytes of each row and its scale: `round(w / scale)` with `scale = max |w| / 127`, as the CPU runtime has them in `int8`.
fn quantized(tensor: &HostTensor) -> (Vec<u8>, Vec<f32>) {
    let width = tensor.data.len() / tensor.shape[0];
    let (mut bytes, mut scales) = (Vec::with_capacity(tensor.data.len()), Vec::with_capacity(tensor.shape[0]));
    for row in tensor.data.chunks_exact(width) {
        let largest = row.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let inverse = if largest > 0.0 { LARGEST / largest } else { 0.0 };
        let byte = |value: &f32| (value * inverse).round_ties_even().clamp(-LARGEST, LARGEST) as i8;
        bytes.extend(row.iter().map(|value| byte(value).cast_unsigned()));
        scales.push(largest / LARGEST);
    }
    (bytes, scales)
}

impl Tensors {
    /// The file image of these tensors with those that `is_small` names in 8-bit integers with a scale for each row, and the others in F32.
    /// A tensor without values, or with one axis, stays in F32.
    ///
    /// # Errors
    /// As [`Tensors::to_safetensors`].
    pub fn to_safetensors_int8(&self, is_small: impl Fn(&str) -> bool) -> Result<Vec<u8>> {
        let mut parts: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
        let plain = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        for (name, tensor) in &self.0 {
            let shape = tensor.shape.clone();
            if shape.len() < 2 || tensor.data.is_empty() || !is_small(name) {
                parts.insert(name.clone(), (Dtype::F32, shape, plain(&tensor.data)));
                continue;
            }
            let (bytes, scales) = quantized(tensor);
            parts.insert(format!("{name}{SCALE}"), (Dtype::F32, vec![shape[0]], plain(&scales)));
            parts.insert(name.clone(), (Dtype::I8, shape, bytes));
        }
        let bad = |message: String| Error::WeightFile { path: "(memory)".into(), format: "safetensors", message };
        let mut views = Vec::with_capacity(parts.len());
        for (name, (dtype, shape, bytes)) in &parts {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            views.push((name.as_str(), view.map_err(|e| bad(format!("tensor `{name}`: {e}")))?));
        }
        safetensors::serialize(views, None).map_err(|e| bad(e.to_string()))
    }
}

/// `config.json`, `model.safetensors` and classes for Python of the model directory `dir` with its matrices in 8-bit integers, a scale for each row, which is about a
/// quarter of the size. Every reader of this crate reads them. Tables of positions and segments, biases, norms and heads stay in `f32`, as
/// they are computed, and so do the weights whose paths are in `keep` ([`encoder_spec::Encoder::weights`]). The configuration says by
/// `quantization_config` that the weights are in integers, so that no other program takes them for numbers.
///
/// # Errors
/// As [`ModelDir::read`].
pub fn in_bytes(dir: &Path, keep: &BTreeSet<String>) -> Result<Vec<(String, Vec<u8>)>> {
    let ModelDir { mut config, outline, tensors, .. } = ModelDir::read(dir)?;
    let format = NameFormat::HuggingFace(config.model_type);
    let names = format.names(tensors.0.keys().map(String::as_str));
    let is_small = |path: &str| is_computed_in_bytes(path) && !keep.contains(path);
    // Weights that are one tensor of the file are all in integers or none of them.
    let whole: BTreeSet<&String> =
        outline.weights().keys().filter(|path| !is_small(path)).filter_map(|path| names.get(path)).collect();
    let weights = named(tensors, format).to_safetensors_int8(|name| !whole.iter().any(|whole| *whole == name))?;
    config.extra.insert(QUANTIZATION.into(), json!({ "quant_method": QUANT_METHOD }));
    let mut files = vec![(CONFIG_FILE.to_owned(), config.to_json()?.into_bytes())];
    files.extend(class_files(&config));
    files.push((WEIGHTS_FILE.into(), weights));
    Ok(files)
}

/// Whether the runtime computes with the weight at this path in integers where it is told to: word tables and products, but not heads.
pub fn is_computed_in_bytes(path: &str) -> bool {
    let is_table = path.contains("position_embeddings") || path.contains("token_type_embeddings");
    path.ends_with(".weight") && !is_table && !path.starts_with("heads.") && !path.contains("fit_dense")
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoder_spec::MappedTensor;

    fn tensors() -> Tensors {
        let matrix = HostTensor { shape: vec![3, 2], data: vec![1.0, -2.54, 0.0, 0.0, 0.3, 0.1] };
        let all = [
            ("a.weight", matrix.clone()),
            ("b.weight", matrix),
            ("c.bias", HostTensor { shape: vec![1], data: vec![7.0] }),
        ];
        Tensors(all.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect())
    }

    #[test]
    fn bytes_are_read_as_the_nearest_multiples_of_their_rows_scale() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, tensors().to_safetensors_int8(|name| name != "b.weight").unwrap()).unwrap();
        let read = Tensors::read_safetensors(&path).unwrap();
        assert_eq!(read.0.keys().collect::<Vec<_>>(), ["a.weight", "b.weight", "c.bias"]);
        assert_eq!(crate::tensor_names(&path).unwrap().len(), 3);
        let (found, given) = (&read.0["a.weight"], &tensors().0["a.weight"]);
        assert_eq!(found.shape, given.shape);
        for (row, (found, given)) in found.data.chunks(2).zip(given.data.chunks(2)).enumerate() {
            let scale = given.iter().fold(0.0f32, |most, value| most.max(value.abs())) / 127.0;
            for (found, given) in found.iter().zip(given) {
                assert!((found - given).abs() <= scale * 0.5001, "row {row}: {found} for {given}");
            }
        }
        assert_eq!((&read.0["b.weight"], &read.0["c.bias"]), (&tensors().0["b.weight"], &tensors().0["c.bias"]));
        let mapped = Tensors::map_safetensors(&path).unwrap();
        let read: BTreeMap<String, MappedTensor> = read.0.into_iter().map(|(n, t)| (n, t.into())).collect();
        assert_eq!(mapped.0, read);
    }

    #[test]
    fn bytes_of_bytes_are_the_same_bytes() {
        let once = tensors().to_safetensors_int8(|_| true).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, &once).unwrap();
        let read = Tensors::read_safetensors(&path).unwrap();
        let twice = read.to_safetensors_int8(|_| true).unwrap();
        let bytes = |file: &[u8]| SafeTensors::deserialize(file).unwrap().tensor("a.weight").unwrap().data().to_vec();
        assert_eq!(bytes(&once), bytes(&twice));
    }

    #[test]
    fn bytes_without_scales_are_refused_with_the_name_that_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let matrix = TensorView::new(Dtype::I8, vec![2, 2], &[1, 2, 3, 4]).unwrap();
        let few = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        for (views, said) in
            [(vec![("a", &matrix)], "no `a.scale`"), (vec![("a", &matrix), ("a.scale", &few)], "[2] are expected")]
        {
            std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
            for error in [Tensors::read_safetensors(&path).unwrap_err(), Tensors::map_safetensors(&path).unwrap_err()] {
                assert!(error.to_string().contains(said), "{error}");
            }
        }
    }
}
