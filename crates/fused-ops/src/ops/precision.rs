//! The number format of matrix products, as a scope.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use cpu_kernels::matmul;
use serde::de::{IntoDeserializer, value};
use serde::{Deserialize, Serialize};

/// Number format of matrix products, forward and backward; weights, sums and everything else are `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Operands as they are.
    #[default]
    F32,
    /// Operands rounded to `bf16`: 8 significant bits, several times faster where the device has instructions for it.
    Bf16,
    /// Operands rounded to `f16`: 11 significant bits, up to 65504; a training needs a loss scale, which the engine keeps. For
    /// graphics cards that have no `bf16`. The kernels of the CPU have no such products and take `bf16`.
    F16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];
}

/// The name as [`FromStr`] reads it, and recipes.
impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read: Result<_, value::Error> = Self::deserialize(text.into_deserializer());
        read.map_err(|_| {
            format!(
                "unknown precision `{text}`: one of {}",
                Self::ALL.map(|precision| precision.to_string()).join(", ")
            )
        })
    }
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `work` with matrix products in `precision`, as PyTorch's `autocast` does; everything else, sums included, stays in
/// `f32`. The backward pass uses the precision of its forward pass, wherever it runs.
///
/// [`Precision::F32`] holds outside any scope. Scopes nest and belong to one thread.
pub fn with_precision<R>(precision: Precision, work: impl FnOnce() -> R) -> R {
    struct Restore(Precision);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(precision));
    work()
}

/// The precision of the current scope.
pub fn precision() -> Precision {
    CURRENT.get()
}

/// The precision of the current scope for the kernels of the CPU.
pub(crate) fn kernel_precision() -> matmul::Precision {
    match precision() {
        Precision::F32 => matmul::Precision::F32,
        Precision::Bf16 | Precision::F16 => matmul::Precision::Bf16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_with_its_function_even_by_a_panic() {
        assert_eq!(precision(), Precision::F32);
        let inner = with_precision(Precision::Bf16, || {
            let nested = with_precision(Precision::F16, precision);
            (precision(), nested)
        });
        assert_eq!(inner, (Precision::Bf16, Precision::F16));
        let stopped = std::panic::catch_unwind(|| with_precision(Precision::Bf16, || panic!("stop")));
        assert!(stopped.is_err());
        assert_eq!(precision(), Precision::F32);
    }
}
