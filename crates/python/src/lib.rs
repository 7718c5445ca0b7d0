//! The native module of the Python package `efficientbert`: [`Predictor`] around the small runtime.
//!
//! | module | concern |
//! |---|---|
//! | `predictor` | the class `Predictor` |
//! | `convert` | texts and arrays from Python, answers and arrays to it |
//! | `integers` | arrays of token ids from Python |
//! | `fork` | children of a process that has loaded models |

mod convert;
mod fork;
mod integers;
mod predictor;

use pyo3::prelude::*;

pub use convert::Error;
pub use predictor::Predictor;

/// What `efficientbert/__init__.py` imports.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Predictor>()?;
    module.add("Error", module.py().get_type::<Error>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    fork::watch(module)
}
