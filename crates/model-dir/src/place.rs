//! Tensors of a file brought to the parameters of a model, strictly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use encoder_spec::{NameFormat, Stored};

use crate::{Error, Result, Tensors};

/// Shapes as files hold them, by module path.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// `tensors` (external names) under the module paths of a model whose parameters have these `shapes`.
///
/// Every parameter must be there with its shape, and nothing may be left over, except
/// copies of weights that the model ties (a tied decoder, MobileBERT-TINY's key), which must equal
/// the original, and `position_ids` buffers. The family's prefix, such as `bert.`, is accepted. A tensor that holds several weights, one
/// after the other, is divided.
///
/// # Errors
/// [`Error::MissingTensors`], [`Error::ExtraTensors`], [`Error::Shape`], [`Error::Untied`] or
/// [`Error::NotFinite`], naming the tensors and `source`.
pub fn resolve<T: Stored>(
    shapes: &Shapes,
    tensors: Tensors<T>,
    format: NameFormat,
    source: &Path,
) -> Result<Tensors<T>> {
    let (tensors, names) = place(shapes, tensors, format, source)?;
    match tensors.0.iter().find(|(_, tensor)| !tensor.are_finite()) {
        Some((internal, _)) => Err(Error::NotFinite { path: source.to_path_buf(), name: names[internal].clone() }),
        None => Ok(tensors),
    }
}

/// As [`resolve`], except that no values are read but those of tied copies: whoever uses the tensors asks whether they are finite.
///
/// # Errors
/// As [`resolve`], without [`Error::NotFinite`].
pub fn resolve_unread<T: Stored>(
    shapes: &Shapes,
    tensors: Tensors<T>,
    format: NameFormat,
    source: &Path,
) -> Result<Tensors<T>> {
    Ok(place(shapes, tensors, format, source)?.0)
}

/// Tensors, and their external names, by module path.
fn place<T: Stored>(
    shapes: &Shapes,
    tensors: Tensors<T>,
    format: NameFormat,
    source: &Path,
) -> Result<(Tensors<T>, BTreeMap<String, String>)> {
    let mut tensors = without_prefix(tensors, format);
    tensors.0.retain(|name, _| !name.ends_with("position_ids"));
    let path = || source.to_path_buf();

    let mut values = BTreeMap::new();
    let mut missing = Vec::new();
    let names = format.names(shapes.keys().map(String::as_str));
    for (name, paths) in by_name(&names) {
        let Some(tensor) = tensors.0.remove(name) else {
            missing.push(name.to_owned());
            continue;
        };
        let mut expected = shapes[paths[0]].clone();
        if let [_, others @ ..] = &paths[..]
            && !others.is_empty()
        {
            expected[0] += others.iter().map(|path| shapes[*path][0]).sum::<usize>();
        }
        if tensor.shape() != expected {
            let (name, found) = (name.to_owned(), tensor.shape().to_vec());
            return Err(Error::Shape { path: path(), name, found, expected });
        }
        if let [internal] = paths[..] {
            values.insert(internal.to_owned(), tensor);
            continue;
        }
        let mut end = 0;
        for internal in paths {
            let start = end;
            end += shapes[internal][0];
            values.insert(internal.to_owned(), tensor.rows(start..end));
        }
    }
    if !missing.is_empty() {
        return Err(Error::MissingTensors { path: path(), names: missing });
    }
    let mut extra = Vec::new();
    for (name, tensor) in tensors.0 {
        match format.tied_to(&name).and_then(|internal| values.get(&internal).map(|v| (internal, v))) {
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

/// Paths of the weights that are one tensor of a file, by its name, in the order of their rows.
fn by_name(names: &BTreeMap<String, String>) -> BTreeMap<&str, Vec<&str>> {
    let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, name) in names {
        paths.entry(name).or_default().push(path);
    }
    paths.values_mut().for_each(|paths| paths.sort_by_key(|path| NameFormat::place(path)));
    paths
}

/// Tensors by path under their names in files; those that are one tensor there are put together.
pub fn named(mut tensors: Tensors, format: NameFormat) -> Tensors {
    let names = format.names(tensors.0.keys().map(String::as_str));
    let mut all = BTreeMap::new();
    for (name, paths) in by_name(&names) {
        let mut parts = paths.into_iter().filter_map(|path| tensors.0.remove(path));
        let Some(mut whole) = parts.next() else { continue };
        for part in parts {
            whole.shape[0] += part.shape[0];
            whole.data.extend(part.data);
        }
        all.insert(name.to_owned(), whole);
    }
    Tensors(all)
}

fn without_prefix<T>(tensors: Tensors<T>, format: NameFormat) -> Tensors<T> {
    let Some(prefix) = format.prefix() else { return tensors };
    // A second tensor of a name stays under its own, as one that the model has no place for.
    let bare: BTreeSet<String> = tensors.0.keys().filter(|name| !name.starts_with(prefix)).cloned().collect();
    let strip = |(name, tensor): (String, T)| match name.strip_prefix(prefix) {
        Some(rest) if !bare.contains(rest) => (rest.to_owned(), tensor),
        _ => (name, tensor),
    };
    Tensors(tensors.0.into_iter().map(strip).collect())
}
