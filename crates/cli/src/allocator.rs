//! The global allocator, told to keep its pages, or to give them back.

/// Tensors of a training step are freed and allocated again all the time; the system allocator gives their pages back in
/// between, and every step then pays for zeroed pages anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3, which `libmimalloc-sys` does not name: milliseconds until free pages go back to
/// the system, -1 for never.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed pages for the next step instead of returning them. Peak memory stays as it is; it is just not given
/// back before the process ends. `MIMALLOC_PURGE_DELAY` in the environment is overruled.
pub fn keep_pages() {
    set_purge_delay(-1);
}

/// Gives freed pages back after a second, as mimalloc does by itself. A program that runs for weeks, such as a server that reads its models
/// again, would keep the pages of all that it ever held at the same time, in each of its threads.
pub fn give_back_pages() {
    set_purge_delay(1000);
}

fn set_purge_delay(milliseconds: std::ffi::c_long) {
    // SAFETY: sets an integer option by its number; an unknown number is ignored by mimalloc.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, milliseconds) };
}
