//! Activation functions.

use super::dispatch::Arith;
use super::lanes::{Map, map_in_place};
use super::math::{at_least, at_most, exp_negative, expm1_negative, normal_tail, sigmoid_parts, tanh};
use crate::out_slice::OutSlice;

/// Activation functions of the search space and of BERT.
///
/// Values are within 2e-7 of the function, absolutely or relatively, and keep their relative accuracy near 0. NaN gives
/// NaN, infinities give the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x Phi(x)`.
    GeluErf,
    /// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `tanh x`.
    Tanh,
    /// `x` above 0, `0.01 x` below.
    LeakyRelu,
    /// `x` above 0, `exp(x) - 1` below.
    Elu,
    /// `x sigmoid(x)`.
    Swish,
}

/// Calls `$call` with `$F` naming the type of the function, one of the types in brackets.
macro_rules! with_function {
    ($activation:expr, [$($name:ident)*], $F:ident => $call:expr) => {
        match $activation {
            $(Activation::$name => {
                type $F = $name;
                $call
            })*
        }
    };
    ($activation:expr, $F:ident => $call:expr) => {
        with_function!($activation, [GeluErf GeluTanh Relu Sigmoid Tanh LeakyRelu Elu Swish], $F => $call)
    };
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::GeluErf, Self::GeluTanh, Self::Relu, Self::Sigmoid, Self::Tanh, Self::LeakyRelu, Self::Elu, Self::Swish];

    /// `y = f(x)`
    pub fn forward<'a>(self, x: &[f32], y: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
        with_function!(self, F => map_into!(y.into(), Value(F {}), x, []))
    }

    /// `x = f(x)`
    pub fn forward_in_place(self, x: &mut [f32]) {
        with_function!(self, F => dispatch!(|x: &mut [f32]| map_in_place::<A, _, _>(&Value(F {}), x, [])));
    }

    /// `dx = dy f'(x)`, with `x` what the function was applied to.
    ///
    /// At 0 the derivative is that of the lower side, as in PyTorch: 0 for ReLU, 0.01 for leaky ReLU.
    pub fn backward<'a>(self, x: &[f32], dy: &[f32], dx: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
        with_function!(self, F => map_into!(dx.into(), Chain(F {}), dy, [x]))
    }
}

/// A function and its derivative.
trait Function {
    fn value<A: Arith>(x: f32) -> f32;
    fn slope<A: Arith>(x: f32) -> f32;
}

struct Value<F>(F);

impl<F: Function> Map<0> for Value<F> {
    #[inline(always)]
    fn at<A: Arith>(&self, x: f32, _: [f32; 0]) -> f32 {
        F::value::<A>(x)
    }
}

struct Chain<F>(F);

impl<F: Function> Map<1> for Chain<F> {
    #[inline(always)]
    fn at<A: Arith>(&self, dy: f32, [x]: [f32; 1]) -> f32 {
        dy * F::slope::<A>(x)
    }
}

struct GeluErf;

impl GeluErf {
    /// From here on the tail is 0 in `f32`.
    const FAR: f32 = 20.0;
}

impl Function for GeluErf {
    /// `max(x, 0) - |x| Phi(-|x|)`
    #[inline(always)]
    fn value<A: Arith>(x: f32) -> f32 {
        let a = at_most(Self::FAR, x.abs());
        A::fma(-a, normal_tail::<A>(a), at_least(0.0, x))
    }

    /// `Phi(x) + x phi(x)`
    #[inline(always)]
    fn slope<A: Arith>(x: f32) -> f32 {
        const DENSITY_AT_0: f32 = 0.398_942_3;
        let a = at_most(Self::FAR, x.abs());
        let lower = A::fma(a * DENSITY_AT_0, exp_negative::<A>(-0.5 * a * a), -normal_tail::<A>(a));
        if x < 0.0 { -lower } else { 1.0 + lower }
    }
}

struct GeluTanh;

impl GeluTanh {
    const SCALE: f32 = 1.595_769;
    const CUBIC: f32 = 0.044_715 * Self::SCALE;
    /// From here on the sigmoid or its complement is 0 in `f32`.
    const FAR: f32 = 11.0;
}

impl Function for GeluTanh {
    /// `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))`
    #[inline(always)]
    fn value<A: Arith>(x: f32) -> f32 {
        let x = at_least(-Self::FAR, x);
        let (s, _, _) = sigmoid_parts::<A>(x * A::fma(x * x, Self::CUBIC, Self::SCALE));
        x * s
    }

    #[inline(always)]
    fn slope<A: Arith>(x: f32) -> f32 {
        let x = at_most(Self::FAR, at_least(-Self::FAR, x));
        let (s, e, inverse) = sigmoid_parts::<A>(x * A::fma(x * x, Self::CUBIC, Self::SCALE));
        let inner = x * A::fma(x * x, 3.0 * Self::CUBIC, Self::SCALE);
        A::fma(inner * e, inverse * inverse, s)
    }
}

struct Relu;

impl Function for Relu {
    #[inline(always)]
    fn value<A: Arith>(x: f32) -> f32 {
        at_least(0.0, x)
    }

    #[inline(always)]
    fn slope<A: Arith>(x: f32) -> f32 {
        if x <= 0.0 { 0.0 } else { 1.0 }
    }
}

struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn value<A: Arith>(x: f32) -> f32 {
        sigmoid_parts::<A>(x).0
    }

    #[inline(always)]
    fn slope<A: Arith>(x: f32) -> f32 {
        let (_, e, inverse) = sigmoid_parts::<A>(x);
        e * (inverse * inverse)
    }
}

struct Tanh;

impl Function for Tanh {
    #[inline(always)]
    fn value<A: Arith>(x: f32) -> f32 {
        tanh::<A>(x)
    }

    /// `1 - tanh^2 x = 4 e / (1 + e)^2`, `e = exp(-2 |x|)`
    #[inline(always)]
    fn slope<A: Arith>(x: f32) -> f32 {
        let (_, e, inverse) = sigmoid_parts::<A>(2.0 * x);
        4.0 * e * (inverse * inverse)
    }
}

struct LeakyRelu;

impl LeakyRelu {
    const SLOPE: f32 = 0.01;
}

impl Function for LeakyRelu {
    #[inline(always)]
    fn value<A: Arith>(x: f32) -> f32 {
        if x > 0.0 { x } else { Self::SLOPE * x }
    }

    #[inline(always)]
    fn slope<A: Arith>(x: f32) -> f32 {
        if x <= 0.0 { Self::SLOPE } else { 1.0 }
    }
}

struct Elu;

impl Function for Elu {
    #[inline(always)]
    fn value<A: Arith>(x: f32) -> f32 {
        let below = expm1_negative::<A>(at_most(0.0, x));
        if x > 0.0 { x } else { below }
    }

    #[inline(always)]
    fn slope<A: Arith>(x: f32) -> f32 {
        exp_negative::<A>(at_most(0.0, x))
    }
}

struct Swish;

impl Swish {
    /// From here on the sigmoid or its complement is 0 in `f32`.
    const FAR: f32 = 88.0;
}

impl Function for Swish {
    #[inline(always)]
    fn value<A: Arith>(x: f32) -> f32 {
        let x = at_least(-Self::FAR, x);
        x * sigmoid_parts::<A>(x).0
    }

    #[inline(always)]
    fn slope<A: Arith>(x: f32) -> f32 {
        let x = at_most(Self::FAR, at_least(-Self::FAR, x));
        let (s, e, inverse) = sigmoid_parts::<A>(x);
        A::fma(x * e, inverse * inverse, s)
    }
}
