//! Activation functions against `f64`.

mod elementwise_support;

use std::f64::consts::PI;

use cpu_kernels::elementwise::Activation;
use elementwise_support::{SIZES, on_every_isa, values};

/// `Phi(x)`: a series near 0, a continued fraction in the tails (Abramowitz & Stegun 26.2.11 and 26.2.14).
fn normal(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
    if x.abs() < 4.0 {
        let (mut term, mut sum, mut k) = (x, x, 1.0);
        while term.abs() > 1e-18 * sum.abs() {
            k += 2.0;
            term *= x * x / k;
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let fraction = (1..60).rev().fold(x.abs(), |rest, k| x.abs() + f64::from(k) / rest);
    let tail = density / fraction;
    if x < 0.0 { tail } else { 1.0 - tail }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Value and derivative.
fn reference(activation: Activation, x: f64) -> (f64, f64) {
    match activation {
        Activation::GeluErf => (x * normal(x), normal(x) + x * (-x * x / 2.0).exp() / (2.0 * PI).sqrt()),
        Activation::GeluTanh => {
            let k = 2.0 * (2.0 / PI).sqrt();
            let s = sigmoid(k * (x + 0.044_715 * x * x * x));
            // 1 - s loses everything in the upper tail, but there the product is below rounding.
            (x * s, s + x * s * (1.0 - s) * k * (1.0 + 3.0 * 0.044_715 * x * x))
        }
        Activation::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
        Activation::Sigmoid => (sigmoid(x), sigmoid(x) * sigmoid(-x)),
        Activation::Tanh => (x.tanh(), 1.0 / x.cosh().powi(2)),
        Activation::LeakyRelu => {
            if x > 0.0 {
                (x, 1.0)
            } else {
                (0.01 * x, 0.01)
            }
        }
        Activation::Elu => {
            if x > 0.0 {
                (x, 1.0)
            } else {
                (x.exp_m1(), x.exp())
            }
        }
        Activation::Swish => (x * sigmoid(x), sigmoid(x) + x * sigmoid(x) * sigmoid(-x)),
    }
}

/// Values of every magnitude and sign up to 80, dense where the functions bend.
fn grid() -> Vec<f32> {
    let mut x: Vec<f32> = (0..=240_000).map(|i| (i - 120_000) as f32 / 9_973.0).collect();
    let magnitudes = (0..30_000).map(|i| 1e-30 * 1.002_5_f32.powi(i)).take_while(|x| *x < 80.0);
    x.extend(magnitudes.flat_map(|x| [x, -x]));
    x
}

#[test]
fn values_and_derivatives_are_accurate_to_f32() {
    let x = grid();
    for activation in Activation::ALL {
        let (want, slope): (Vec<f64>, Vec<f64>) = x.iter().map(|&x| reference(activation, f64::from(x))).unzip();
        on_every_isa(|isa| {
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            activation.forward(&x, &mut y);
            activation.backward(&x, &vec![1.0; x.len()], &mut dx);
            let (mut worst, mut near_zero, mut worst_slope) = (0.0_f64, 0.0_f64, 0.0_f64);
            for i in 0..x.len() {
                let error = (f64::from(y[i]) - want[i]).abs();
                worst = worst.max(error / want[i].abs().max(1.0));
                if x[i].abs() < 1.0 {
                    near_zero = near_zero.max(error / want[i].abs());
                }
                worst_slope = worst_slope.max((f64::from(dx[i]) - slope[i]).abs());
            }
            // Zero over zero at x = 0 is NaN, which max leaves out.
            assert!(worst <= 2e-7 && near_zero <= 4e-7, "{activation:?} {isa}: {worst:e}, near 0 {near_zero:e}");
            assert!(worst_slope <= 3e-7, "{activation:?} {isa}: derivative within {worst_slope:e}");
        });
    }
}

#[test]
fn infinities_give_limits_and_nan_gives_nan() {
    let huge = [f32::INFINITY, 1e30, 200.0];
    for activation in Activation::ALL {
        on_every_isa(|isa| {
            for size in [3, 19] {
                let of = |x: f32| {
                    let (mut y, mut dx) = (vec![0.0; size], vec![0.0; size]);
                    activation.forward(&vec![x; size], &mut y);
                    activation.backward(&vec![x; size], &vec![1.0; size], &mut dx);
                    (y[0], dx[size - 1])
                };
                for x in huge {
                    use Activation::{Elu, LeakyRelu, Sigmoid, Tanh};
                    let upper = if matches!(activation, Sigmoid | Tanh) { (1.0, 0.0) } else { (x, 1.0) };
                    assert_eq!(of(x), upper, "{activation:?} {x} {isa}");
                    let lower = match activation {
                        Tanh | Elu => (-1.0, 0.0),
                        LeakyRelu => (-0.01 * x, 0.01),
                        _ => (0.0, 0.0),
                    };
                    assert_eq!(of(-x), lower, "{activation:?} {} {isa}", -x);
                }
                assert!(of(f32::NAN).0.is_nan(), "{activation:?} {isa}");
            }
        });
    }
}

#[test]
fn derivatives_at_zero_are_those_of_pytorch() {
    let at_zero = |activation: Activation| {
        let mut dx = [0.0];
        activation.backward(&[0.0], &[1.0], &mut dx);
        dx[0]
    };
    on_every_isa(|_| {
        assert_eq!(at_zero(Activation::Relu), 0.0);
        assert_eq!(at_zero(Activation::LeakyRelu), 0.01);
        assert_eq!(at_zero(Activation::Elu), 1.0);
        assert_eq!(at_zero(Activation::GeluErf), 0.5);
        assert_eq!(at_zero(Activation::Sigmoid), 0.25);
    });
}

#[test]
fn every_length_gives_the_same_in_and_out_of_place() {
    on_every_isa(|isa| {
        for n in SIZES {
            for activation in Activation::ALL {
                let (x, dy) = (values(n, 4.0, 1), values(n, 2.0, 2));
                let (mut y, mut over_x) = (vec![f32::NAN; n], x.clone());
                activation.forward(&x, &mut y);
                activation.forward_in_place(&mut over_x);
                assert_eq!(y, over_x, "{activation:?} {n} {isa}");
                let mut dx = vec![f32::NAN; n];
                activation.backward(&x, &dy, &mut dx);
                for i in 0..n {
                    let (value, slope) = reference(activation, f64::from(x[i]));
                    assert!((f64::from(y[i]) - value).abs() < 1e-6, "{activation:?} {n} {isa}");
                    assert!((f64::from(dx[i]) - slope * f64::from(dy[i])).abs() < 1e-6, "{activation:?} {n} {isa}");
                }
            }
        }
    });
}
