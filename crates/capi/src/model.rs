//! Loading and freeing a model, and what it is.

use std::ffi::{CStr, CString, c_char};
use std::path::Path;

use runtime::{Packing, Precision, Runtime, Settings};
use serde_json::json;

use crate::border::{guarded, model, optional, owned, text};

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn efficientbert_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no zero"),
    };
    VERSION.as_ptr()
}

/// The largest number of threads, and of sessions: more are a mistake, such as a negative number, and the system would refuse them late.
const MOST: usize = 1024;

/// See the header.
///
/// # Safety
/// Texts end with a zero or are null; `error` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_load(
    dir: *const c_char,
    threads: usize,
    sessions: usize,
    precision: *const c_char,
    error: *mut *mut c_char,
) -> *mut Runtime {
    let load = || {
        // SAFETY: the caller's promise.
        let (dir, precision) = unsafe { (text(dir, "dir")?, optional(precision, "precision")?) };
        for (name, count) in [("threads", threads), ("sessions", sessions)] {
            if count > MOST {
                return Err(format!("{name} is {count}; allowed are 0 to {MOST}"));
            }
        }
        let name = precision.unwrap_or("f32");
        let found = Precision::ALL.into_iter().find(|precision| precision.name() == name);
        let known = || format!("unknown precision `{name}`: one of {}", Precision::ALL.map(Precision::name).join(", "));
        let precision = found.ok_or_else(known)?;
        let settings = Settings { threads, sessions, precision, packing: Packing::Ahead };
        let runtime = Runtime::load(Path::new(dir), settings).map_err(|e| e.to_string())?;
        Ok(Box::into_raw(Box::new(runtime)))
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, std::ptr::null_mut(), load) }
}

/// See the header.
///
/// # Safety
/// `model` is null or a handle that was not freed, and no other call uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_free(model: *mut Runtime) {
    if model.is_null() {
        return;
    }
    let free = || {
        // SAFETY: `efficientbert_load` made it of a box.
        drop(unsafe { Box::from_raw(model) });
        Ok(())
    };
    // SAFETY: nobody asks for the error.
    unsafe { guarded(std::ptr::null_mut(), (), free) }
}

/// See the header.
///
/// # Safety
/// `text` is null or a text that this library has given and that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_free_string(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: `owned` made it of a `CString`, and C does not change its length.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// See the header.
///
/// # Safety
/// `model` is null or a handle that was not freed; `error` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_describe(handle: *const Runtime, error: *mut *mut c_char) -> *mut c_char {
    let describe = || {
        // SAFETY: the caller's promise.
        let runtime = unsafe { model(handle)? };
        let (config, settings) = (runtime.config(), runtime.settings());
        let heads = runtime.heads().iter().map(|head| {
            json!({
                "task": head.task, "kind": head.kind, "labels": head.labels, "outputs": head.outputs(config.hidden_size),
            })
        });
        Ok(owned(
            &json!({
                "heads": heads.collect::<Vec<_>>(), "hidden_size": config.hidden_size, "max_tokens": runtime.longest(),
                "vocab_size": config.vocab_size, "precision": settings.precision.name(), "threads": settings.threads.max(1),
                "sessions": settings.sessions.max(1),
            })
            .to_string(),
        ))
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, std::ptr::null_mut(), describe) }
}

/// See the header.
///
/// # Safety
/// `model` is null or a handle that was not freed; `task` ends with a zero or is null; `error` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_outputs(
    handle: *const Runtime,
    task: *const c_char,
    error: *mut *mut c_char,
) -> usize {
    let outputs = || {
        // SAFETY: the caller's promise.
        let (runtime, task) = unsafe { (model(handle)?, optional(task, "task")?) };
        let head = runtime.head(task).map_err(|e| e.to_string())?;
        Ok(runtime.heads()[head].outputs(runtime.config().hidden_size))
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, 0, outputs) }
}
