//! Texts, arrays and errors between C and Rust.

use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use runtime::Runtime;

/// Errors are messages on this side of the border.
pub type Result<T> = std::result::Result<T, String>;

/// Runs `work`; where it fails or panics, puts the message into `*error`, unless that is null, and gives `failed`.
///
/// # Safety
/// `error` is null or can be written to.
pub unsafe fn guarded<T>(error: *mut *mut c_char, failed: T, work: impl FnOnce() -> Result<T>) -> T {
    if !error.is_null() {
        // SAFETY: the caller's promise.
        unsafe { *error = std::ptr::null_mut() };
    }
    // What a panic leaves half done is the runtime's, which throws away the session that panicked.
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("an error in this library, please report it: {}", said.unwrap_or("no message")))
    });
    result.unwrap_or_else(|message| {
        if !error.is_null() {
            // SAFETY: the caller's promise.
            unsafe { *error = owned(&message) };
        }
        failed
    })
}

/// A text for C, to be freed by `efficientbert_free_string`.
pub fn owned(text: &str) -> *mut c_char {
    // A text for C ends at its first zero, so there can be none inside.
    let text = CString::new(text.replace('\0', "\u{fffd}"));
    text.map_or(std::ptr::null_mut(), CString::into_raw)
}

/// The text at `text`; `what` names it in errors.
///
/// # Safety
/// `text` is null or a text that ends with a zero and outlives `'a`.
pub unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    if text.is_null() {
        return Err(format!("`{what}` is NULL"));
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes.to_str().map_err(|e| format!("`{what}` is not valid UTF-8 behind {} bytes", e.valid_up_to()))
}

/// As [`text`]; null is no text.
///
/// # Safety
/// As there.
pub unsafe fn optional<'a>(given: *const c_char, what: &str) -> Result<Option<&'a str>> {
    // SAFETY: the caller's promise.
    if given.is_null() { Ok(None) } else { unsafe { text(given, what) }.map(Some) }
}

/// `count` texts at `texts`.
///
/// # Safety
/// `texts` is null or has `count` texts, each as [`text`] asks for.
pub unsafe fn texts<'a>(texts: *const *const c_char, count: usize, what: &str) -> Result<Vec<&'a str>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if texts.is_null() {
        return Err(format!("`{what}` is NULL"));
    }
    // SAFETY: the caller's promise.
    let all = unsafe { std::slice::from_raw_parts(texts, count) };
    // SAFETY: the caller's promise.
    all.iter().enumerate().map(|(at, one)| unsafe { text(*one, &format!("{what}[{at}]")) }).collect()
}

/// The model that a handle stands for.
///
/// # Safety
/// `model` is null or a handle that was not freed.
pub unsafe fn model<'a>(model: *const Runtime) -> Result<&'a Runtime> {
    // SAFETY: the caller's promise.
    unsafe { model.as_ref() }.ok_or_else(|| "`model` is NULL".to_owned())
}

/// Copies `values` to the `capacity` values at `out`.
///
/// # Safety
/// `out` is null or has room for `capacity` values.
pub unsafe fn fill<T: Copy>(values: &[T], out: *mut T, capacity: usize, what: &str) -> Result<()> {
    if values.len() > capacity {
        return Err(format!("`{what}` has room for {capacity} values; {} are needed", values.len()));
    }
    if values.is_empty() {
        return Ok(());
    }
    if out.is_null() {
        return Err(format!("`{what}` is NULL"));
    }
    // SAFETY: there is room for that many, and what C has cannot overlap with a fresh vector.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), out, values.len()) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_message_and_does_not_pass() {
        let mut error = std::ptr::null_mut();
        // SAFETY: `error` can be written to.
        let failed = unsafe { guarded(&raw mut error, -1, || panic!("so {}", "it is")) };
        assert_eq!(failed, -1);
        // SAFETY: a text that `guarded` has made.
        let message = unsafe { CString::from_raw(error) }.into_string().unwrap();
        assert!(message.contains("so it is"), "{message}");
        // SAFETY: null is allowed.
        assert_eq!(unsafe { guarded(std::ptr::null_mut(), 0, || Err("nobody hears it".into())) }, 0);
    }

    #[test]
    fn a_zero_inside_a_message_does_not_end_it() {
        // SAFETY: a text that `owned` has made.
        let text = unsafe { CString::from_raw(owned("a\0b")) };
        assert_eq!(text.to_str().unwrap(), "a\u{fffd}b");
    }

    #[test]
    fn values_without_room_are_refused_with_both_sizes() {
        let mut out = [0.0f32; 2];
        // SAFETY: there is room for two values.
        let refused = unsafe { fill(&[1.0, 2.0, 3.0], out.as_mut_ptr(), 2, "out") }.unwrap_err();
        assert!(refused.contains("room for 2") && refused.contains("3 are needed") && out == [0.0; 2]);
    }
}
