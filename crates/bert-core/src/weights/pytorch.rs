//! PyTorch files (`pytorch_model.bin`, `.pt`), read as data only: no code in them is run.

use std::collections::BTreeMap;
use std::path::Path;

use burn_store::pytorch_reader::{DType, PytorchReader};
use safetensors::tensor::Dtype;

use model_dir::{Error, to_f32};

use super::{HostTensor, Tensors};
use crate::error::Result;

/// Reads every tensor of a PyTorch file as f32.
///
/// # Errors
/// The file is missing, cut off, not a PyTorch file, or holds a tensor that is no number.
pub fn read_pytorch(path: &Path) -> Result<Tensors> {
    let bad = |message: String| Error::WeightFile { path: path.to_path_buf(), format: "PyTorch", message };
    std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
    // The pickle reader may panic on crafted input; a bad file must not take the program down.
    let read = run_store::contain::call(|| -> std::result::Result<_, String> {
        let reader = PytorchReader::new(path).map_err(|e| e.to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in reader.into_tensors() {
            let bytes = tensor.read().map_err(|e| format!("tensor `{name}`: {e}"))?;
            let dtype =
                dtype(tensor.dtype()).ok_or_else(|| format!("tensor `{name}` has type {:?}", tensor.dtype()))?;
            let data = to_f32(dtype, &bytes).ok_or_else(|| format!("tensor `{name}` has type {dtype:?}"))?;
            tensors.insert(name, HostTensor { shape: tensor.shape().to_vec(), data });
        }
        Ok(tensors)
    });
    match read {
        Ok(Ok(tensors)) => Ok(Tensors(tensors)),
        Ok(Err(message)) => Err(bad(message).into()),
        Err(_) => Err(bad("its contents cannot be read".into()).into()),
    }
}

fn dtype(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
        _ => return None,
    })
}
