//! A model in a web page: functions for JavaScript, which `web/efficientbert.js` calls.
//!
//! | module | concern |
//! |---|---|
//! | `page` | [`Page`]: files in, answers as JSON out |
//! | `border` | the exported functions, on numbers and bytes |
//! | `random` | random numbers from the page |
//!
//! Only numbers pass between JavaScript and WebAssembly, so the module needs no tool besides cargo:
//!
//! ```text
//! cargo build --profile small --target wasm32-unknown-unknown -p efficientbert-wasm
//! ```

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod border;
mod page;
#[cfg(target_family = "wasm")]
mod random;

pub use border::*;
pub use page::Page;
