//! The exported functions. A page has one model, and WebAssembly without threads has one caller.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Page;

static PAGE: Mutex<Page> = Mutex::new(Page::new());

fn page() -> MutexGuard<'static, Page> {
    PAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory for `len` bytes that JavaScript writes to and hands over.
#[unsafe(no_mangle)]
pub extern "C" fn efficientbert_room(len: usize) -> *mut u8 {
    Box::into_raw(vec![0u8; len].into_boxed_slice()).cast()
}

/// The bytes that were written to [`efficientbert_room`].
///
/// # Safety
/// `room` is what it gave for `len`, and is handed over once.
unsafe fn taken(room: *mut u8, len: usize) -> Vec<u8> {
    // SAFETY: the caller's promise.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(room, len)) }.into_vec()
}

/// Takes file `number` of the model, see [`Page::give`].
///
/// # Safety
/// `room` is what [`efficientbert_room`] gave for `len`, and is handed over once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_give(number: usize, room: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    let bytes = unsafe { taken(room, len) };
    page().give(number, bytes);
}

/// Loads the model, see [`Page::load`]; 1 where it succeeds. The bytes are the name of the precision.
///
/// # Safety
/// As of [`efficientbert_give`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_load(room: *mut u8, len: usize) -> u32 {
    // SAFETY: the caller's promise.
    let precision = unsafe { taken(room, len) };
    page().load(&String::from_utf8_lossy(&precision)).into()
}

/// Answers a question, see [`Page::answer`]; 1 where it succeeds. The bytes are its JSON.
///
/// # Safety
/// As of [`efficientbert_give`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_answer(room: *mut u8, len: usize) -> u32 {
    // SAFETY: the caller's promise.
    let question = unsafe { taken(room, len) };
    page().answer(&question).into()
}

/// Where what was said last stands; valid until the next call of another function.
#[unsafe(no_mangle)]
pub extern "C" fn efficientbert_said() -> *const u8 {
    page().said().as_ptr()
}

/// How many bytes that has.
#[unsafe(no_mangle)]
pub extern "C" fn efficientbert_said_len() -> usize {
    page().said().len()
}
