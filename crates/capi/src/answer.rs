//! Answers as JSON, scores and vectors as arrays, token ids.

use std::ffi::{c_char, c_int};

use runtime::{Input, Matrix, Runtime};

use crate::border::{Result, fill, guarded, model, optional, owned, text, texts};

/// What `efficientbert_scores` and its like return.
const DONE: c_int = 0;
const FAILED: c_int = -1;

/// See the header.
///
/// # Safety
/// `model` is null or a handle that was not freed; `texts` and, unless null, `pairs` have `count` texts that end with a zero; `task` ends
/// with a zero or is null; `error` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_answers(
    handle: *const Runtime,
    texts: *const *const c_char,
    pairs: *const *const c_char,
    count: usize,
    task: *const c_char,
    error: *mut *mut c_char,
) -> *mut c_char {
    let answer = || {
        // SAFETY: the caller's promise.
        let (runtime, inputs, task) =
            unsafe { (model(handle)?, inputs(texts, pairs, count)?, optional(task, "task")?) };
        let answers = runtime.answers(&inputs, task).map_err(|e| e.to_string())?;
        Ok(owned(&serde_json::to_string(&answers).map_err(|e| e.to_string())?))
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, std::ptr::null_mut(), answer) }
}

/// See the header.
///
/// # Safety
/// As of [`efficientbert_answers`], and `out` has room for `capacity` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_scores(
    handle: *const Runtime,
    texts: *const *const c_char,
    pairs: *const *const c_char,
    count: usize,
    task: *const c_char,
    out: *mut f32,
    capacity: usize,
    error: *mut *mut c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { numbers(handle, (texts, pairs, count), task, (out, capacity), error, Runtime::scores) }
}

/// See the header.
///
/// # Safety
/// As of [`efficientbert_scores`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_logits(
    handle: *const Runtime,
    texts: *const *const c_char,
    pairs: *const *const c_char,
    count: usize,
    task: *const c_char,
    out: *mut f32,
    capacity: usize,
    error: *mut *mut c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { numbers(handle, (texts, pairs, count), task, (out, capacity), error, Runtime::logits) }
}

/// See the header.
///
/// # Safety
/// As of [`efficientbert_scores`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_vectors(
    handle: *const Runtime,
    texts: *const *const c_char,
    count: usize,
    task: *const c_char,
    out: *mut f32,
    capacity: usize,
    error: *mut *mut c_char,
) -> c_int {
    let vectors = |runtime: &Runtime, inputs: &[Input<'_>], task: Option<&str>| {
        let texts: Vec<&str> = inputs.iter().map(|input| input.text).collect();
        runtime.vectors(&texts, task)
    };
    // SAFETY: the caller's promise.
    unsafe { numbers(handle, (texts, std::ptr::null(), count), task, (out, capacity), error, vectors) }
}

/// See the header.
///
/// # Safety
/// `model` is null or a handle that was not freed; `a`, `b` end with a zero or are null; `ids` and `segments` are null or have room for
/// `capacity` values; `error` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn efficientbert_tokens(
    handle: *const Runtime,
    a: *const c_char,
    b: *const c_char,
    ids: *mut u32,
    segments: *mut u8,
    capacity: usize,
    error: *mut *mut c_char,
) -> isize {
    let tokens = || {
        // SAFETY: the caller's promise.
        let (runtime, a, b) = unsafe { (model(handle)?, text(a, "text")?, optional(b, "pair")?) };
        let encoded = runtime.encode(a, b).map_err(|e| e.to_string())?.features;
        // Null asks for their number alone.
        if !ids.is_null() {
            // SAFETY: the caller's promise.
            unsafe { fill(&encoded.ids, ids, capacity, "ids")? };
        }
        if !segments.is_null() {
            // SAFETY: the caller's promise.
            unsafe { fill(&encoded.type_ids, segments, capacity, "segments")? };
        }
        isize::try_from(encoded.ids.len()).map_err(|e| e.to_string())
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, -1, tokens) }
}

/// Texts, pairs and their number, as C gives them.
type Given = (*const *const c_char, *const *const c_char, usize);

/// Numbers of `count` inputs to a place of the caller's.
///
/// # Safety
/// As of [`efficientbert_scores`].
unsafe fn numbers(
    handle: *const Runtime,
    (texts, pairs, count): Given,
    task: *const c_char,
    (out, capacity): (*mut f32, usize),
    error: *mut *mut c_char,
    compute: impl FnOnce(&Runtime, &[Input<'_>], Option<&str>) -> runtime::Result<Matrix>,
) -> c_int {
    let work = || {
        // SAFETY: the caller's promise.
        let (runtime, inputs, task) =
            unsafe { (model(handle)?, inputs(texts, pairs, count)?, optional(task, "task")?) };
        let matrix = compute(runtime, &inputs, task).map_err(|e| e.to_string())?;
        // SAFETY: the caller's promise.
        unsafe { fill(&matrix.values, out, capacity, "out")? };
        Ok(DONE)
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, FAILED, work) }
}

/// Texts or pairs; of `pairs` each may be null, which is no second text.
///
/// # Safety
/// As of [`efficientbert_answers`].
unsafe fn inputs<'a>(
    first: *const *const c_char,
    second: *const *const c_char,
    count: usize,
) -> Result<Vec<Input<'a>>> {
    // SAFETY: the caller's promise.
    let first = unsafe { texts(first, count, "texts")? };
    let pair = |at: usize| match second.is_null() {
        true => Ok(None),
        // SAFETY: the caller's promise.
        false => unsafe { optional(*second.add(at), &format!("pairs[{at}]")) },
    };
    first.into_iter().enumerate().map(|(at, text)| Ok(Input { text, pair: pair(at)? })).collect()
}
