//! Matrix products with packed operands.
//!
//! [`matmul`] multiplies two strided views with all threads, packing both: the products of training.
//! [`Weights`] and [`Input`] are the packed operands by themselves, for products whose right side never changes:
//! inference packs weights once, and its threads share one packed input through [`multiply`].

mod buffer;
mod driver;
mod epilogue;
#[cfg(target_arch = "x86_64")]
mod epilogue_bytes;
mod format;
mod kernel;
mod multiply;
mod pack;
mod packed;
mod tall;
mod view;

pub use driver::{matmul, matmul_serial, multiply_all};
pub use epilogue::Epilogue;
pub use format::{COL_GROUP, ROW_GROUP};
pub use multiply::multiply;
pub use packed::{Input, OneUse, ScaledColumns, Weights};
pub use tall::{Tall, TallPart, transposed_product};
pub use view::{MatMut, MatRef, Written};

/// Number format of the operands. Sums are always kept in `f32` (`i32` for [`Precision::Int8`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 24-bit significands. Where the processor has AMX, products come from an exact three-way split into `bf16`; values that are
    /// not finite then give NaN where plain arithmetic might give infinity.
    F32,
    /// 8-bit significands, rounded to nearest even.
    Bf16,
    /// Weights in signed bytes with a scale per output, activations in unsigned bytes with a scale and zero point per
    /// row, found when the row is packed.
    Int8,
}
