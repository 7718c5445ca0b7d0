//! The number format of matrix products, as a scope.

use std::cell::Cell;

pub use cpu_kernels::matmul::Precision;

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `work` with matrix products in `precision`, as PyTorch's `autocast` does; everything else, sums included, stays in
/// `f32`. The backward pass uses the precision of its forward pass, wherever it runs.
///
/// Only [`Precision::F32`] (what holds outside any scope) and [`Precision::Bf16`] have gradients; products in
/// [`Precision::Int8`] would be computed in `bf16`. Scopes nest and belong to one thread.
pub fn with_precision<R>(precision: Precision, work: impl FnOnce() -> R) -> R {
    struct Restore(Precision);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let trained = if precision == Precision::F32 { Precision::F32 } else { Precision::Bf16 };
    let _restore = Restore(CURRENT.replace(trained));
    work()
}

/// The precision of the current scope.
pub fn precision() -> Precision {
    CURRENT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_with_its_function_even_by_a_panic() {
        assert_eq!(precision(), Precision::F32);
        let inner = with_precision(Precision::Bf16, || {
            let nested = with_precision(Precision::F32, precision);
            (precision(), nested)
        });
        assert_eq!(inner, (Precision::Bf16, Precision::F32));
        let stopped = std::panic::catch_unwind(|| with_precision(Precision::Bf16, || panic!("stop")));
        assert!(stopped.is_err());
        assert_eq!(precision(), Precision::F32);
    }
}
