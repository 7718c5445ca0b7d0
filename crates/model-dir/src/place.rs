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
/// the original, and `position_ids` buffers. A common `bert.` prefix is accepted.
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
    for (internal, expected) in shapes {
        let name = &names[internal];
        let Some(tensor) = tensors.0.remove(name) else {
            missing.push(name.clone());
            continue;
        };
        if tensor.shape() != expected {
            let (name, found) = (name.clone(), tensor.shape().to_vec());
            return Err(Error::Shape { path: path(), name, found, expected: expected.clone() });
        }
        values.insert(internal.clone(), tensor);
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
