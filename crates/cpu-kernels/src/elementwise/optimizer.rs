//! The updates of AdamW and LAMB, and sums and scalings of gradients.

use super::dispatch::Arith;
use super::lanes::{LANES, Map, map_in_place};

/// How a step changes the moments of Adam, and what of them goes into the update.
///
/// ```text
/// g = scale g
/// m = beta1 m + keep1 g
/// v = beta2 v + keep2 g g
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentStep {
    /// Factor of the gradient, from clipping.
    pub scale: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// `1 - beta1`.
    pub keep1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// `1 - beta2`.
    pub keep2: f32,
    /// `1 / sqrt(1 - beta2^t)` in step `t`.
    pub root: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
}

impl MomentStep {
    /// Updates `m` and `v` with the gradient `g`; `root sqrt(v) + eps`, by which the first moment is divided.
    #[inline(always)]
    fn update(&self, g: f32, m: &mut f32, v: &mut f32) -> f32 {
        let g = g * self.scale;
        *m = self.beta1 * *m + self.keep1 * g;
        *v = self.beta2 * *v + self.keep2 * g * g;
        v.sqrt() * self.root + self.eps
    }
}

/// One step of AdamW (Loshchilov & Hutter 2019) for some parameters, after that of the moments:
///
/// ```text
/// w = decay w - step_size m / (root sqrt(v) + eps)
/// ```
///
/// Every operation is rounded by itself, so the result is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// The step of the moments.
    pub moments: MomentStep,
    /// `1 - lr weight_decay`; 1 for biases and norms.
    pub decay: f32,
    /// `lr / (1 - beta1^t)` in step `t`.
    pub step_size: f32,
}

impl AdamWStep {
    /// Updates weights `w` and moments `m`, `v` with the gradient `g`, element by element.
    pub fn update(&self, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        assert_eq!((w.len(), w.len(), w.len()), (g.len(), m.len(), v.len()));
        let step = self;
        dispatch!(|step: &AdamWStep, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]| {
            let AdamWStep { moments, decay, step_size } = *step;
            for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                let divisor = moments.update(*g, m, v);
                *w = *w * decay - step_size * *m / divisor;
            }
        });
    }
}

/// The element-wise part of one step of LAMB (You et al. 2020, algorithm 2) for some parameters, after that of the moments: the
/// direction of the update, whose length is left to the trust ratio of the whole tensor.
///
/// ```text
/// u = (correction m) / (root sqrt(v) + eps) + decay w
/// ```
///
/// Every operation is rounded by itself, so the result is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LambStep {
    /// The step of the moments.
    pub moments: MomentStep,
    /// The weight decay; 0 for biases and norms.
    pub decay: f32,
    /// `1 / (1 - beta1^t)` in step `t`.
    pub correction: f32,
}

impl LambStep {
    /// Updates the moments `m`, `v` with the gradient `g` of weights `w` and puts the direction `u` in the gradient's place.
    pub fn direction(&self, w: &[f32], g: &mut [f32], m: &mut [f32], v: &mut [f32]) {
        assert_eq!((w.len(), w.len(), w.len()), (g.len(), m.len(), v.len()));
        let step = self;
        dispatch!(|step: &LambStep, w: &[f32], g: &mut [f32], m: &mut [f32], v: &mut [f32]| {
            let LambStep { moments, decay, correction } = *step;
            for (((w, g), m), v) in w.iter().zip(g).zip(m).zip(v) {
                let divisor = moments.update(*g, m, v);
                *g = correction * *m / divisor + decay * *w;
            }
        });
    }

    /// `w = w - rate u`
    pub fn apply(rate: f32, u: &[f32], w: &mut [f32]) {
        assert_eq!(u.len(), w.len());
        dispatch!(|rate: f32, u: &[f32], w: &mut [f32]| {
            for (w, u) in w.iter_mut().zip(u) {
                *w -= rate * *u;
            }
        });
    }
}

/// `sum_i x_i^2` in `f64`: the same on every machine.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    dispatch!(|x: &[f32]| -> f64 {
        let mut sums = [0.0_f64; LANES];
        let (blocks, rest) = x.as_chunks::<LANES>();
        for block in blocks {
            for i in 0..LANES {
                sums[i] += f64::from(block[i]) * f64::from(block[i]);
            }
        }
        for (i, &x) in rest.iter().enumerate() {
            sums[i] += f64::from(x) * f64::from(x);
        }
        sums.iter().sum()
    })
}

/// `y = y + alpha x`
pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    dispatch!(|alpha: f32, x: &[f32], y: &mut [f32]| map_in_place::<A, _, _>(&Times(alpha), y, [x]));
}

struct Times(f32);

impl Map<1> for Times {
    #[inline(always)]
    fn at<A: Arith>(&self, y: f32, [x]: [f32; 1]) -> f32 {
        A::fma(self.0, x, y)
    }
}
