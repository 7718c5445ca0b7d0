//! Children of a process that has loaded models, such as the workers of `multiprocessing`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;
use runtime::Runtime;

/// Every model that may live. Only threads that hold Python's lock take this one, and so does whoever forks.
static LOADED: Mutex<Vec<Weak<Runtime>>> = Mutex::new(Vec::new());

/// Remembers a model for [`after_fork`].
pub fn remember(runtime: &Arc<Runtime>) {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.retain(|one| one.strong_count() > 0);
    loaded.push(Arc::downgrade(runtime));
}

/// Runs in the child of a fork, where the threads of its parent are no more.
#[pyfunction]
fn after_fork() {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.iter().filter_map(Weak::upgrade).for_each(|runtime| runtime.after_fork());
}

/// Has Python call [`after_fork`] where the system can fork.
pub fn watch(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let os = module.py().import("os")?;
    if let Ok(register) = os.getattr("register_at_fork") {
        let options = pyo3::types::PyDict::new(module.py());
        options.set_item("after_in_child", wrap_pyfunction!(after_fork, module)?)?;
        register.call((), Some(&options))?;
    }
    Ok(())
}
