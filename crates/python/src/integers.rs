//! Arrays of whole numbers from Python.

use numpy::{PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::convert::Error;

/// Which types of values an array may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Integers of any width, with and without sign.
    Integers,
    /// These, and `bool`.
    IntegersOrTruths,
}

/// An array of two axes.
pub struct Whole<T> {
    /// Rows and columns.
    pub shape: [usize; 2],
    /// All numbers, row after row.
    pub values: Vec<T>,
}

impl<T: TryFrom<i64>> Whole<T> {
    /// An array, or what `numpy.asarray` makes one of. Nothing is rounded and no text is read as a number: the values must be of a type of
    /// whole numbers already.
    ///
    /// # Errors
    /// Another type or number of axes, or a value that `T` does not hold.
    pub fn read(given: &Bound<'_, PyAny>, name: &str, kinds: Kinds) -> PyResult<Self> {
        let py = given.py();
        let array = py.import("numpy")?.call_method1("asarray", (given,))?;
        let untyped = array.cast::<PyUntypedArray>()?;
        let &[rows, columns] = untyped.shape() else {
            let message = format!("{name} has {} axes; rows of tokens are needed: [rows, tokens]", untyped.ndim());
            return Err(PyValueError::new_err(message));
        };
        let dtype = array.getattr("dtype")?;
        let kind: String = dtype.getattr("kind")?.extract()?;
        let is_allowed = match &kind[..] {
            "i" | "u" => true,
            "b" => kinds == Kinds::IntegersOrTruths,
            // What `[[]]` becomes: it has no values that could be wrong.
            _ => rows * columns == 0,
        };
        if !is_allowed {
            return Err(PyTypeError::new_err(format!("{name} is of the type {dtype}; whole numbers are needed")));
        }
        let array: PyReadonlyArray2<'_, i64> = array.call_method1("astype", ("int64",))?.extract()?;
        // Numbers of 64 bits without sign that are too large for this type become negative, and are refused too.
        let value = |value: &i64| {
            T::try_from(*value).map_err(|_| Error::new_err(format!("{name} holds {value}, which is out of range")))
        };
        let values = array.as_array().iter().map(value).collect::<PyResult<_>>()?;
        Ok(Self { shape: [rows, columns], values })
    }
}
