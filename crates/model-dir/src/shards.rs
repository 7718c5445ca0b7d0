//! Weights in several files, with an index that says which tensor is in which.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::{Error, Result, Tensors};

/// What the name of an index ends with, e.g. `model.safetensors.index.json`.
const INDEX: &str = ".index.json";
/// The key of the index that has a file for every tensor.
const MAP: &str = "weight_map";

/// Whether `path` is named as the index of several weight files.
pub fn is_shard_index(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(INDEX))
}

/// All tensors of the files that `index` names, each file read with `read`.
///
/// # Errors
/// The index is damaged, names a file outside of its folder or one that is missing, or does not agree with the files on which tensor
/// is in which; or an error of `read`.
pub fn read_shards<E: From<Error>>(
    index: &Path,
    read: impl Fn(&Path) -> std::result::Result<Tensors, E>,
) -> std::result::Result<Tensors, E> {
    let shards = shards(index)?;
    // Large files are not read before a small one turns out to be missing.
    if let Some(shard) = shards.keys().find(|shard| !shard.is_file()) {
        return Err(Error::MissingShard { index: index.to_path_buf(), shard: shard.clone() }.into());
    }
    let mut all = Tensors::default();
    for (shard, names) in shards {
        let mut tensors = read(&shard)?.0;
        for name in names {
            let Some(tensor) = tensors.remove(&name) else {
                return Err(Error::NotInShard { index: index.to_path_buf(), shard, name }.into());
            };
            all.0.insert(name, tensor);
        }
        if let Some(name) = tensors.into_keys().next() {
            return Err(Error::NotInIndex { index: index.to_path_buf(), shard, name }.into());
        }
    }
    Ok(all)
}

/// The files that an index names, which need not be there.
///
/// # Errors
/// The index is damaged, or names a file outside of its folder.
pub fn shard_files(index: &Path) -> Result<Vec<PathBuf>> {
    Ok(shards(index)?.into_keys().collect())
}

/// The files that an index names, each with its tensors.
fn shards(index: &Path) -> Result<BTreeMap<PathBuf, Vec<String>>> {
    let bad = |message: String| Error::WeightFile { path: index.to_path_buf(), format: "index of weights", message };
    let text = std::fs::read_to_string(index).map_err(|e| Error::io("read", index, e))?;
    let file: Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let Some(map) = file[MAP].as_object().filter(|map| !map.is_empty()) else {
        return Err(bad(format!("has no `{MAP}`, an object of file names by tensor")));
    };
    let folder = index.parent().unwrap_or(Path::new(""));
    let mut shards: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for (name, shard) in map {
        let Some(shard) = shard.as_str() else {
            return Err(bad(format!("`{MAP}` has {shard} for tensor `{name}`; a file name is needed")));
        };
        let is_plain = {
            let mut parts = Path::new(shard).components();
            matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        };
        if !is_plain || shard.contains(['/', '\\']) {
            return Err(Error::ShardOutside {
                index: index.to_path_buf(),
                shard: shard.to_owned(),
                name: name.clone(),
            });
        }
        shards.entry(folder.join(shard)).or_default().push(name.clone());
    }
    Ok(shards)
}

#[cfg(test)]
mod tests {
    use encoder_spec::HostTensor;
    use serde_json::json;

    use super::*;

    fn tensors(names: &[&str]) -> Tensors {
        let tensor = |name: &str| HostTensor { shape: vec![2], data: vec![name.len() as f32, 0.5] };
        Tensors(names.iter().map(|name| ((*name).to_owned(), tensor(name))).collect())
    }

    /// A folder with two files and an index of `map`.
    fn folder(map: &Value) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        tensors(&["a", "bb"]).write_safetensors(&dir.path().join("one.safetensors")).unwrap();
        tensors(&["ccc"]).write_safetensors(&dir.path().join("two.safetensors")).unwrap();
        let index = dir.path().join("model.safetensors.index.json");
        std::fs::write(&index, json!({ "metadata": { "total_size": 24 }, MAP: map }).to_string()).unwrap();
        (dir, index)
    }

    fn read(index: &Path) -> Result<Tensors> {
        read_shards(index, Tensors::read_safetensors)
    }

    #[test]
    fn tensors_of_all_files_are_read_together() {
        let (_dir, index) =
            folder(&json!({ "a": "one.safetensors", "bb": "one.safetensors", "ccc": "two.safetensors" }));
        assert!(is_shard_index(&index) && !is_shard_index(&index.with_file_name("model.safetensors")));
        assert_eq!(read(&index).unwrap(), tensors(&["a", "bb", "ccc"]));
    }

    #[test]
    fn an_index_that_does_not_agree_with_its_files_is_refused_with_file_and_tensor() {
        let (one, two) = ("one.safetensors", "two.safetensors");
        for (map, parts) in [
            (json!({ "a": one, "bb": one, "ccc": "three.safetensors" }), ["three.safetensors", "missing"]),
            (json!({ "a": one, "bb": one, "ccc": two, "d": two }), ["two.safetensors", "tensor `d`"]),
            (json!({ "a": one, "ccc": two }), ["one.safetensors", "tensor `bb`"]),
            (json!({ "a": "../one.safetensors" }), ["`../one.safetensors`", "tensor `a`"]),
            (json!({ "a": "/one.safetensors" }), ["`/one.safetensors`", "outside"]),
            (json!({ "a": "x/one.safetensors" }), ["`x/one.safetensors`", "outside"]),
            (json!({ "a": "..\\one.safetensors" }), ["one.safetensors`", "outside"]),
            (json!({ "a": ".." }), ["`..`", "outside"]),
            (json!({ "a": "" }), ["``", "outside"]),
            (json!({ "a": 1 }), ["has 1 for tensor `a`", "file name"]),
            (json!({}), ["no `weight_map`", "object"]),
            (json!([]), ["no `weight_map`", "object"]),
        ] {
            let (_dir, index) = folder(&map);
            let message = read(&index).unwrap_err().to_string();
            let parts = [&parts[..], &["model.safetensors.index.json"]].concat();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn damaged_files_are_named() {
        let (dir, index) =
            folder(&json!({ "a": "one.safetensors", "bb": "one.safetensors", "ccc": "two.safetensors" }));
        std::fs::write(dir.path().join("two.safetensors"), b"x").unwrap();
        assert!(read(&index).unwrap_err().to_string().contains("two.safetensors: not a readable safetensors file"));
        std::fs::write(&index, "{").unwrap();
        assert!(read(&index).unwrap_err().to_string().contains("not a readable index of weights file"));
        std::fs::remove_file(&index).unwrap();
        assert!(read(&index).unwrap_err().to_string().contains("cannot read"));
    }
}
