//! Weights in and out: strict names, strict shapes, safetensors or PyTorch files.
//!
//! | file | concern |
//! |---|---|
//! | `path` | where a parameter stands in the module tree |
//! | `pytorch` | PyTorch files, through burn-store's data-only reader |
//! | `module` | from a module to tensors and back |
//!
//! Files hold linear weights as PyTorch does, `[out, in]`; burn holds `[in, out]`. The transposition
//! happens here and nowhere else.

mod module;
pub mod path;
mod pytorch;

pub use encoder_spec::{HostTensor, MappedTensor, NameFormat, Stored};
pub use model_dir::Tensors;
pub use module::{apply, apply_internal, collect, collect_internal, parameter_shapes};
pub use pytorch::read_pytorch;

use std::path::Path;

use burn::module::Module;

use crate::error::Result;

/// Reads a weight file by its extension: `.safetensors`, the index of several weight files (`.index.json`), or a PyTorch file for
/// anything else.
///
/// # Errors
/// The file is missing, cut off, or not in that format; or as [`model_dir::read_shards`].
pub fn read(path: &Path) -> Result<Tensors> {
    if model_dir::is_shard_index(path) { model_dir::read_shards(path, read_file) } else { read_file(path) }
}

fn read_file(path: &Path) -> Result<Tensors> {
    if path.extension().is_some_and(|e| e == "safetensors") {
        Ok(Tensors::read_safetensors(path)?)
    } else {
        read_pytorch(path)
    }
}

/// Writes all parameters of `module` as safetensors, atomically.
///
/// # Errors
/// The file cannot be written; what was there before stays.
pub fn save<M: Module>(module: &M, path: &Path, format: NameFormat) -> Result<()> {
    Ok(collect(module, format).write_safetensors(path)?)
}
