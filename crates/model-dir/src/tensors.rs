//! Tensors in host memory, and safetensors files.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use encoder_spec::HostTensor;

use crate::bytes::{is_scale, values};
use crate::{Error, Result};

/// Named tensors, in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensors<T = HostTensor>(pub BTreeMap<String, T>);

impl<T> Default for Tensors<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl Tensors {
    /// Reads every tensor of a safetensors file as f32.
    ///
    /// Accepts F32, F16, BF16 and F64 as they are, integer types by value, and I8 with the scales of its rows in `NAME.scale`.
    ///
    /// # Errors
    /// The file is missing, cut off, not safetensors, or holds a type that is no number.
    pub fn read_safetensors(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        Self::from_safetensors(&bytes, path)
    }

    /// As [`Tensors::read_safetensors`], of the bytes of a file; `path` stands for it in errors.
    ///
    /// # Errors
    /// As there.
    pub fn from_safetensors(bytes: &[u8], path: &Path) -> Result<Self> {
        let bad = |message: String| Error::WeightFile { path: path.to_path_buf(), format: "safetensors", message };
        let file = SafeTensors::deserialize(bytes).map_err(|e| bad(explain(&e, bytes.len())))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter().filter(|(name, _)| !is_scale(&file, name)) {
            let data = values(&file, name, &view).map_err(bad)?;
            tensors.insert(name.to_string(), HostTensor { shape: view.shape().to_vec(), data });
        }
        Ok(Self(tensors))
    }

    /// The file image of these tensors: F32, sorted by name, byte-identical for equal tensors.
    ///
    /// # Errors
    /// Never for tensors whose shapes match their data; [`Error::WeightFile`] otherwise.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let bytes: Vec<(&String, Vec<u8>)> =
            self.0.iter().map(|(n, t)| (n, t.data.iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
        let bad = |message: String| Error::WeightFile { path: "(memory)".into(), format: "safetensors", message };
        let mut views = Vec::with_capacity(bytes.len());
        for (name, data) in &bytes {
            let view = TensorView::new(Dtype::F32, self.0[*name].shape.clone(), data)
                .map_err(|e| bad(format!("tensor `{name}`: {e}")))?;
            views.push((name.as_str(), view));
        }
        safetensors::serialize(views, None).map_err(|e| bad(e.to_string()))
    }

    /// Writes the tensors as safetensors, atomically.
    ///
    /// # Errors
    /// The file cannot be written; what was there before stays.
    pub fn write_safetensors(&self, path: &Path) -> Result<()> {
        run_store::output::write(path, &self.to_safetensors()?)?;
        Ok(())
    }

    /// Only the tensors whose name starts with `prefix`, without it.
    pub fn under(&self, prefix: &str) -> Self {
        let inside = |(n, t): (&String, &HostTensor)| Some((n.strip_prefix(prefix)?.to_string(), t.clone()));
        Self(self.0.iter().filter_map(inside).collect())
    }
}

pub(crate) fn explain(error: &safetensors::SafeTensorError, len: usize) -> String {
    format!("{error} (file of {len} bytes; cut off or not safetensors)")
}

/// Little-endian bytes as f32; `None` for types that are no numbers this crate reads.
pub fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    macro_rules! values {
        ($type:ty, $n:literal, $convert:expr) => {
            bytes
                .chunks_exact($n)
                .map(|c| {
                    let mut raw = [0u8; $n];
                    raw.copy_from_slice(c);
                    $convert(<$type>::from_le_bytes(raw))
                })
                .collect()
        };
    }
    Some(match dtype {
        Dtype::F32 => values!(f32, 4, |v| v),
        Dtype::F64 => values!(f64, 8, |v| v as f32),
        Dtype::F16 => values!(f16, 2, |v: f16| v.to_f32()),
        Dtype::BF16 => values!(bf16, 2, |v: bf16| v.to_f32()),
        Dtype::I64 => values!(i64, 8, |v| v as f32),
        Dtype::I32 => values!(i32, 4, |v| v as f32),
        Dtype::U8 | Dtype::BOOL => bytes.iter().map(|&v| f32::from(v)).collect(),
        _ => return None,
    })
}
