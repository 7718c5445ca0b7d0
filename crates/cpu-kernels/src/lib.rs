//! The operations a BERT-family encoder spends its time in, on slices of `f32`, for processors.
//!
//! Every operation chooses the best instructions of the machine at run time ([`Isa`]): AMX tiles, AVX-512, AVX2 with
//! FMA, on ARM NEON with its dot and matrix products, or portable code, which is also the specification the others are tested against. Nothing here knows tensors,
//! models or files.
//!
//! * [`matmul`]: products with packed operands, in `f32`, `bf16` and `int8`
//! * [`attention`]: one head over one sequence
//! * [`store`]: values that a backward pass will need, kept short and past the cache
//! * [`elementwise`]: activations, normalizations, softmax, losses, the optimizer's update
//! * [`OutSlice`]: memory that an operation writes

#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(
        dead_code,
        unused_imports,
        unused_mut,
        unused_variables,
        reason = "what only the instructions of x86-64 use"
    )
)]

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[macro_use]
pub mod elementwise;
pub mod attention;
pub mod isa;
pub mod matmul;
mod out_slice;
pub mod store;

pub use isa::Isa;
pub use out_slice::OutSlice;
