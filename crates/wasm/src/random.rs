//! Random numbers from the page: what hash tables of dependencies begin with, so that nobody can choose texts that slow them down.
//!
//! `getrandom` asks for this function where it is compiled with `--cfg getrandom_backend="custom"`, as `.cargo/config.toml` says for this target;
//! its own way into a page needs wasm-bindgen.

#[link(wasm_import_module = "efficientbert")]
unsafe extern "C" {
    /// `crypto.getRandomValues` on `len` bytes from `at`.
    fn random(at: *mut u8, len: usize);
}

#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(at: *mut u8, len: usize) -> Result<(), getrandom::Error> {
    // SAFETY: the caller has room for `len` bytes, and the page writes no more.
    unsafe { random(at, len) };
    Ok(())
}
