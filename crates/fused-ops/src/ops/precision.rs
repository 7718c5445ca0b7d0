//! The number format of matrix products, as a scope.

use std::cell::Cell;

use cpu_kernels::matmul;

/// Number format of the operands of matrix products; sums are `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to `bf16`.
    Bf16,
    /// Rounded to `f16`, whose numbers end at 65504; the kernels of the CPU, which have no such products, take `bf16`.
    F16,
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
