//! Texts and arrays from Python, answers and arrays to it.

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use runtime::{Input, Matrix};
use serde::Serialize;
use serde_json::Value;

pyo3::create_exception!(
    efficientbert,
    Error,
    PyException,
    "A model cannot be loaded, or does not take what it is given."
);

/// An error of the runtime as Python's.
pub fn failed(error: runtime::Error) -> PyErr {
    Error::new_err(error.to_string())
}

/// A list, an array or any other sequence of texts.
pub fn texts(given: &Bound<'_, PyAny>, name: &str) -> PyResult<Vec<String>> {
    if given.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!("{name} is one text; give a list of texts, such as [text]")));
    }
    let one = |(at, text): (usize, PyResult<Bound<'_, PyAny>>)| {
        let text = text?;
        text.extract::<String>().map_err(|e| wrong(&text, &format!("{name}[{at}]"), "str", e))
    };
    given.try_iter()?.enumerate().map(one).collect()
}

/// The second texts of pairs, as many as `count`; `None` stands for no second text.
pub fn pairs(given: Option<&Bound<'_, PyAny>>, count: usize) -> PyResult<Option<Vec<Option<String>>>> {
    let Some(given) = given else { return Ok(None) };
    if given.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("pairs is one text; give a list of texts, one for each of texts"));
    }
    let one = |(at, text): (usize, PyResult<Bound<'_, PyAny>>)| {
        let text = text?;
        text.extract::<Option<String>>().map_err(|e| wrong(&text, &format!("pairs[{at}]"), "str or None", e))
    };
    let pairs: Vec<Option<String>> = given.try_iter()?.enumerate().map(one).collect::<PyResult<_>>()?;
    if pairs.len() != count {
        return Err(PyValueError::new_err(format!("there are {count} texts and {} pairs", pairs.len())));
    }
    Ok(Some(pairs))
}

fn wrong(given: &Bound<'_, PyAny>, place: &str, wanted: &str, error: PyErr) -> PyErr {
    match given.is_instance_of::<PyString>() {
        // Half a surrogate pair, for example.
        true => PyValueError::new_err(format!("{place} is no valid text: {error}")),
        false => PyTypeError::new_err(format!("{place} is not {wanted}: {error}")),
    }
}

/// Texts and pairs as the runtime takes them.
pub fn inputs<'a>(texts: &'a [String], pairs: Option<&'a [Option<String>]>) -> Vec<Input<'a>> {
    let pair = |at: usize| pairs.and_then(|pairs| pairs[at].as_deref());
    texts.iter().enumerate().map(|(at, text)| Input { text, pair: pair(at) }).collect()
}

/// A matrix as an array of two axes; the numbers are not copied.
pub fn array<'py>(py: Python<'py>, matrix: Matrix) -> PyResult<Bound<'py, PyArray2<f32>>> {
    PyArray1::from_vec(py, matrix.values).reshape([matrix.rows, matrix.columns])
}

/// Any answer as Python's dictionaries, lists, texts and numbers, with the keys of its JSON.
pub fn object<'py>(py: Python<'py>, answer: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let value = serde_json::to_value(answer).map_err(|e| Error::new_err(e.to_string()))?;
    build(py, &value)
}

fn build<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => value.into_pyobject(py)?.into_any(),
            (_, Some(value)) => value.into_pyobject(py)?.into_any(),
            _ => number.as_f64().unwrap_or(f64::NAN).into_pyobject(py)?.into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| build(py, item)).collect::<PyResult<_>>()?;
            PyList::new(py, items)?.into_any()
        }
        Value::Object(entries) => {
            let object = PyDict::new(py);
            entries.iter().try_for_each(|(key, item)| object.set_item(key, build(py, item)?))?;
            object.into_any()
        }
    })
}
