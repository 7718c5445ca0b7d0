//! One body, several instruction sets.

/// How a body does the arithmetic that depends on the instruction set.
pub(crate) trait Arith {
    /// `a b + c`, rounded once where that is one instruction.
    fn fma(a: f32, b: f32, c: f32) -> f32;

    /// `1 / d` for `d` in `1..=2`.
    fn recip(d: f32) -> f32;
}

/// For machines without a fused multiply-add: rounds twice.
pub(crate) struct Plain;

impl Arith for Plain {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }

    #[inline(always)]
    fn recip(d: f32) -> f32 {
        1.0 / d
    }
}

/// For code compiled with the target feature `fma`, and for aarch64; anywhere else every operation would call the C library.
pub(crate) struct Fused;

impl Arith for Fused {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    /// Two Newton steps from the parabola nearest to `1 / d` (relative error 0.0101): 1e-8 before rounding, and three
    /// times the throughput of a division.
    #[inline(always)]
    fn recip(d: f32) -> f32 {
        let y = 0.323_230_76_f32.mul_add(d, -1.454_540_8).mul_add(d, 2.121_209);
        let y = y.mul_add((-d).mul_add(y, 1.0), y);
        y.mul_add((-d).mul_add(y, 1.0), y)
    }
}

/// `dispatch!(|x: &[f32], ...| -> T { body })` runs `body`, compiled for [`crate::Isa::current`] with `A` as its [`Arith`].
///
/// All that `body` calls must be `#[inline(always)]`, or else it is compiled for the baseline. It sees no variables
/// but its arguments, which are variables of the caller.
macro_rules! dispatch {
    (|$($arg:ident: $ty:ty),* $(,)?| -> $ret:ty $body:block) => { dispatch!(@ ($($arg: $ty),*) [-> $ret] $body) };
    (|$($arg:ident: $ty:ty),* $(,)?| $body:expr) => { dispatch!(@ ($($arg: $ty),*) [] $body) };
    (@ ($($arg:ident: $ty:ty),*) [$($ret:tt)*] $body:expr) => {{
        #[inline(always)]
        fn body<A: $crate::elementwise::Arith>($($arg: $ty),*) $($ret)* {
            $body
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,avx2")]
        fn avx512($($arg: $ty),*) $($ret)* {
            body::<$crate::elementwise::Fused>($($arg),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2($($arg: $ty),*) $($ret)* {
            body::<$crate::elementwise::Fused>($($arg),*)
        }
        match $crate::isa::Isa::current() {
            // SAFETY: `Isa::current` never names more than the machine was found to have.
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Amx | $crate::isa::Isa::Avx512 => unsafe { avx512($($arg),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx2 => unsafe { avx2($($arg),*) },
            // Vectors and fused multiply-adds are in the baseline.
            #[cfg(target_arch = "aarch64")]
            $crate::isa::Isa::Neon | $crate::isa::Isa::Dotprod | $crate::isa::Isa::I8mm => {
                body::<$crate::elementwise::Fused>($($arg),*)
            }
            _ => body::<$crate::elementwise::Plain>($($arg),*),
        }
    }};
}

/// `map_into!(out, f, x, [rest, ...], (arg: T, ...))` writes `out[i] = f(x[i], rest[..][i])` and gives the values back; `f` may use the
/// arguments.
///
/// # Panics
/// The lengths differ.
macro_rules! map_into {
    ($out:expr, $f:expr, $x:ident, [$($rest:ident),*] $(, ($($arg:ident: $ty:ty),*))?) => {{
        let out: $crate::OutSlice<'_> = $out;
        assert_eq!($x.len(), out.len());
        $(assert_eq!($x.len(), $rest.len());)*
        let write = |out: &mut $crate::out_slice::Uninit| {
            dispatch!(|$x: &[f32], $($rest: &[f32],)* $($($arg: $ty,)*)? out: &mut $crate::out_slice::Uninit| {
                $crate::elementwise::lanes::map::<A, _, _>(&$f, $x, [$($rest),*], out);
            })
        };
        // SAFETY: `map` writes a value for each of `x`.
        unsafe { out.write_with(write) }
    }};
}
