//! Tensors that stay in their file until they are read.

use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use encoder_spec::{Floats, MappedTensor};
#[cfg(feature = "mmap")]
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors};

use crate::bytes::{is_scale, values};
use crate::tensors::{Tensors, explain};
use crate::{Error, Result};

impl Tensors<MappedTensor> {
    /// Every tensor of a safetensors file, as [`Tensors::read_safetensors`] gives them, without reading those in f32.
    ///
    /// The file must stay as it is while any of the tensors lives: the operating system ends a process that reads behind the end of
    /// a file that was cut off meanwhile. Replacing it, as this project writes files, does no harm.
    ///
    /// # Errors
    /// As [`Tensors::read_safetensors`].
    pub fn map_safetensors(path: &Path) -> Result<Self> {
        let bytes = Arc::new(Bytes::open(path)?);
        let bad = |message: String| Error::WeightFile { path: path.to_path_buf(), format: "safetensors", message };
        let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(explain(&e, bytes.len())))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter().filter(|(name, _)| !is_scale(&file, name)) {
            let data = match in_place(&bytes, view.dtype(), view.data()) {
                Some(data) => data,
                None => values(&file, name, &view).map_err(bad)?.into(),
            };
            tensors.insert(name.to_string(), MappedTensor { shape: view.shape().to_vec(), data });
        }
        Ok(Self(tensors))
    }
}

/// A whole file.
enum Bytes {
    #[cfg(feature = "mmap")]
    Mapped(Mmap),
    /// What cannot be mapped, such as a pipe.
    Read(Vec<u8>),
}

impl Bytes {
    fn open(path: &Path) -> Result<Self> {
        let io = |e| Error::io("read", path, e);
        #[cfg(feature = "mmap")]
        {
            let file = std::fs::File::open(path).map_err(io)?;
            // SAFETY: the map is never written through, and any bytes are valid as what is read out of it: integers and `f32`. That
            // others leave the file alone is documented at `map_safetensors`.
            if let Ok(map) = unsafe { Mmap::map(&file) } {
                return Ok(Self::Mapped(map));
            }
        }
        Ok(Self::Read(std::fs::read(path).map_err(io)?))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            #[cfg(feature = "mmap")]
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }
}

/// The bytes of a tensor, aligned as `f32` are.
struct Values {
    bytes: Arc<Bytes>,
    range: Range<usize>,
}

impl AsRef<[f32]> for Values {
    fn as_ref(&self) -> &[f32] {
        // SAFETY: any four bytes are an `f32`.
        let (before, values, after) = unsafe { self.bytes[self.range.clone()].align_to() };
        debug_assert!(before.is_empty() && after.is_empty(), "checked by `in_place`");
        values
    }
}

/// `data`, a part of `bytes`, as it lies; `None` where it is not the machine's `f32`, or not aligned.
fn in_place(bytes: &Arc<Bytes>, dtype: Dtype, data: &[u8]) -> Option<Floats> {
    let aligned = data.as_ptr().cast::<f32>().is_aligned() && data.len().is_multiple_of(size_of::<f32>());
    if dtype != Dtype::F32 || !aligned || cfg!(target_endian = "big") {
        return None;
    }
    let start = data.as_ptr().addr() - bytes.as_ptr().addr();
    let range = start..start + data.len();
    Some(Floats::shared(Arc::new(Values { bytes: Arc::clone(bytes), range })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn both(bytes: &[u8]) -> (Result<Tensors>, Result<Tensors<MappedTensor>>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        std::fs::write(&path, bytes).unwrap();
        (Tensors::read_safetensors(&path), Tensors::map_safetensors(&path))
    }

    fn file(tensors: &[(&str, Dtype, &[u8])]) -> Vec<u8> {
        let size = |dtype| if dtype == Dtype::F32 { 4 } else { 2 };
        let view = |&(name, dtype, data): &(&'static str, Dtype, &'static [u8])| {
            (name, TensorView::new(dtype, vec![data.len() / size(dtype)], data).unwrap())
        };
        let tensors: Vec<(&'static str, Dtype, &'static [u8])> =
            tensors.iter().map(|&(n, t, d)| (n.to_owned().leak() as &str, t, d.to_owned().leak() as &[u8])).collect();
        safetensors::serialize(tensors.iter().map(view), None).unwrap()
    }

    #[test]
    fn mapped_tensors_are_those_that_are_read() {
        let values: Vec<u8> = [1.5f32, -0.0, f32::MIN_POSITIVE, 3e38].iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes =
            file(&[("a", Dtype::F32, &values), ("b", Dtype::BF16, &values[..6]), ("c", Dtype::F32, &values[4..])]);
        let (read, mapped) = both(&bytes);
        let read: BTreeMap<String, MappedTensor> = read.unwrap().0.into_iter().map(|(n, t)| (n, t.into())).collect();
        assert_eq!(mapped.unwrap().0, read);
    }

    #[test]
    fn values_that_are_not_aligned_in_the_file_are_copied() {
        // A header of 61 bytes, so that the data stands at 69.
        let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}       "#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        assert!(!bytes.len().is_multiple_of(4));
        bytes.extend([1.25f32, -7.0].iter().flat_map(|v| v.to_le_bytes()));
        let (read, mapped) = both(&bytes);
        assert_eq!(read.unwrap().0["a"].data, [1.25, -7.0]);
        assert_eq!(mapped.unwrap().0["a"].data[..], [1.25, -7.0]);
    }

    #[test]
    fn damaged_and_missing_files_give_the_same_message_as_when_read() {
        let values = [7u8; 64];
        let sound = file(&[("a", Dtype::F32, &values)]);
        for bytes in [&sound[..0], &sound[..5], &sound[..40], &sound[..sound.len() - 1], &values] {
            let (read, mapped) = both(bytes);
            let strip = |e: Error| e.to_string().rsplit_once("model.safetensors").unwrap().1.to_owned();
            assert_eq!(strip(mapped.unwrap_err()), strip(read.unwrap_err()), "{} bytes", bytes.len());
        }
        let missing = Path::new("no/such/model.safetensors");
        let message = Tensors::map_safetensors(missing).unwrap_err().to_string();
        assert_eq!(message, Tensors::read_safetensors(missing).unwrap_err().to_string());
        let folder = tempfile::tempdir().unwrap();
        let message = Tensors::map_safetensors(folder.path()).unwrap_err().to_string();
        assert_eq!(message, Tensors::read_safetensors(folder.path()).unwrap_err().to_string());
    }
}
