//! Operations on flat slices, the optimizer, bf16, dropout and tables.

mod elementwise_support;

use cpu_kernels::elementwise::optimizer::{AdamWStep, LambStep, MomentStep};
use cpu_kernels::elementwise::{bf16, binary, dropout, embedding, optimizer, to_bf16};
use elementwise_support::{SIZES, assert_near, on_every_isa, values, wide};
use proptest::prelude::*;

#[test]
fn sums_products_and_maxima_are_exact() {
    on_every_isa(|isa| {
        for n in SIZES {
            let (a, mut b, dy) = (values(n, 2.0, 1), values(n, 2.0, 2), values(n, 2.0, 3));
            if n > 3 {
                b[3] = a[3];
            }
            let pairs = |f: fn(f32, f32) -> f32| a.iter().zip(&b).map(|(&a, &b)| f(a, b)).collect::<Vec<_>>();
            type Pair = fn(f32, f32) -> f32;
            type OutOf = for<'a> fn(&[f32], &[f32], &'a mut [f32]) -> &'a mut [f32];
            type Over = fn(&mut [f32], &[f32]);
            let operations: [(OutOf, Over, Pair); 3] = [
                (|a, b, out| binary::add(a, b, out), binary::add_in_place, |a, b| a + b),
                (|a, b, out| binary::mul(a, b, out), binary::mul_in_place, |a, b| a * b),
                (|a, b, out| binary::max(a, b, out), binary::max_in_place, |a, b| if a < b { b } else { a }),
            ];
            for (out_of, over, f) in operations {
                let (mut out, mut in_place) = (vec![f32::NAN; n], a.clone());
                out_of(&a, &b, &mut out);
                over(&mut in_place, &b);
                assert_eq!((&out, &in_place), (&pairs(f), &pairs(f)), "{n} {isa}");
            }
            let (mut da, mut db) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            binary::max_backward(&a, &b, &dy, &mut da, &mut db);
            for i in 0..n {
                let want = if a[i] < b[i] { (0.0, dy[i]) } else { (dy[i], 0.0) };
                assert_eq!((da[i], db[i]), want, "{n} {isa}");
            }
            binary::mul_backward(&a, &b, &dy, &mut da, &mut db);
            assert!((0..n).all(|i| da[i] == dy[i] * b[i] && db[i] == dy[i] * a[i]), "{n} {isa}");

            let x = values(3 * n, 1.0, 4);
            let mut sums = b.clone();
            binary::add_column_sums(&x, &mut sums);
            assert!((0..n).all(|i| sums[i] == b[i] + x[i] + x[n + i] + x[2 * n + i]), "{n} {isa}");
        }
    });
}

const MOMENTS: MomentStep =
    MomentStep { scale: 0.7, beta1: 0.9, keep1: 0.1, beta2: 0.999, keep2: 0.001, root: 5.0, eps: 1e-6 };

/// The step of one element's moments, and what the first is divided by.
fn moments(g: f32, m: &mut f32, v: &mut f32) -> f32 {
    let s = MOMENTS;
    let g = g * s.scale;
    *m = s.beta1 * *m + s.keep1 * g;
    *v = s.beta2 * *v + s.keep2 * g * g;
    v.sqrt() * s.root + s.eps
}

#[test]
fn adamw_rounds_every_operation_by_itself() {
    let step = AdamWStep { moments: MOMENTS, decay: 1.0 - 1e-5, step_size: 3e-3 };
    on_every_isa(|isa| {
        for n in SIZES {
            let (mut w, mut m, mut v) = (values(n, 1.0, 1), values(n, 0.1, 2), vec![0.01; n]);
            let (mut w2, mut m2, mut v2) = (w.clone(), m.clone(), v.clone());
            for t in 0..3 {
                let g = values(n, 0.3, 10 + t);
                step.update(&mut w, &g, &mut m, &mut v);
                for i in 0..n {
                    let divisor = moments(g[i], &mut m2[i], &mut v2[i]);
                    w2[i] = w2[i] * step.decay - step.step_size * m2[i] / divisor;
                }
            }
            assert_eq!((w, m, v), (w2, m2, v2), "{n} {isa}");
        }
    });
}

#[test]
fn lamb_rounds_every_operation_by_itself() {
    let step = LambStep { moments: MOMENTS, decay: 0.01, correction: 10.0 };
    on_every_isa(|isa| {
        for n in SIZES {
            let (mut w, mut m, mut v) = (values(n, 1.0, 1), values(n, 0.1, 2), vec![0.01; n]);
            let (mut w2, mut m2, mut v2) = (w.clone(), m.clone(), v.clone());
            let mut u = values(n, 0.3, 10);
            let g = u.clone();
            step.direction(&w, &mut u, &mut m, &mut v);
            LambStep::apply(3e-3, &u, &mut w);
            for i in 0..n {
                let divisor = moments(g[i], &mut m2[i], &mut v2[i]);
                let u2 = step.correction * m2[i] / divisor + step.decay * w2[i];
                assert_eq!(u[i], u2, "{n} {isa}");
                w2[i] -= 3e-3 * u2;
            }
            assert_eq!((w, m, v), (w2, m2, v2), "{n} {isa}");
        }
    });
}

#[test]
fn sums_of_squares_and_axpy_are_those_of_f64() {
    on_every_isa(|isa| {
        for n in SIZES {
            let (x, y) = (values(n, 3.0, 1), values(n, 3.0, 2));
            let want: f64 = wide(&x).iter().map(|x| x * x).sum();
            assert!((optimizer::sum_of_squares(&x) - want).abs() <= 1e-13 * want, "{n} {isa}");
            let mut sum = y.clone();
            optimizer::axpy(-1.5, &x, &mut sum);
            let want: Vec<f64> = wide(&x).iter().zip(wide(&y)).map(|(x, y)| y - 1.5 * x).collect();
            assert_near(&sum, &want, 2e-7, isa.name());
        }
    });
    let x = values(541, 1.0, 9);
    let first = optimizer::sum_of_squares(&x);
    on_every_isa(|isa| assert_eq!(optimizer::sum_of_squares(&x), first, "{isa}"));
}

/// The nearest of the two neighbors, in `f64`; even where both are as near.
fn nearest_bf16(x: f32) -> u16 {
    let below = (x.to_bits() >> 16) as u16;
    let value = |bits: u16| {
        // The neighbor of the largest number stands where the next exponent would begin.
        if bits & 0x7fff == 0x7f80 {
            2.0_f64.powi(128)
        } else {
            f64::from(f32::from_bits(u32::from(bits & 0x7fff) << 16))
        }
    };
    let (down, up) = (f64::from(x.abs()) - value(below), value(below + 1) - f64::from(x.abs()));
    below + u16::from(up < down || (up == down && below & 1 == 1))
}

#[test]
fn bf16_rounds_to_the_nearest_and_keeps_nan() {
    let patterns: Vec<u32> = (0..=u32::MAX).step_by(65_521).collect();
    let mut x: Vec<f32> = patterns.iter().map(|&bits| f32::from_bits(bits)).collect();
    let halves = (0..0x7f80_u32).step_by(37).flat_map(|upper| [0x7fff, 0x8000, 0x8001].map(|low| upper << 16 | low));
    x.extend(halves.map(f32::from_bits));
    x.extend([f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff), -0.0]);
    on_every_isa(|isa| {
        let (mut short, mut back) = (vec![0; x.len()], vec![0.0; x.len()]);
        bf16::from_f32(&x, &mut short);
        bf16::to_f32(&short, &mut back);
        for i in 0..x.len() {
            assert_eq!(back[i].to_bits(), u32::from(short[i]) << 16, "{isa}");
            assert_eq!(short[i], to_bf16(x[i]), "{isa}");
            if x[i].is_nan() {
                assert!(back[i].is_nan(), "{:x} {isa}", x[i].to_bits());
            } else if x[i].is_infinite() {
                assert_eq!(back[i], x[i], "{isa}");
            } else {
                assert_eq!(short[i], nearest_bf16(x[i]), "{} {isa}", x[i]);
            }
        }
        for n in SIZES {
            let (x, mut short) = (values(n, 1.0, 1), vec![0; n]);
            bf16::from_f32(&x, &mut short);
            assert!((0..n).all(|i| short[i] == to_bf16(x[i])), "{n} {isa}");
        }
    });
}

/// 1 where an element is kept.
fn mask(n: usize, keep: f64, key: u64, offset: u64) -> Vec<f32> {
    let mut x = vec![keep as f32; n];
    dropout::dropout_in_place(&mut x, keep, key, offset);
    x.iter().map(|&x| if x > 0.5 { 1.0 } else { x }).collect()
}

#[test]
fn dropout_keeps_and_scales_the_wanted_share() {
    on_every_isa(|isa| {
        let n = 1 << 16;
        for keep in [0.1, 0.5, 0.9] {
            for key in 0..4 {
                let (x, mut y) = (values(n, 1.0, 7), vec![f32::NAN; n]);
                dropout::dropout(&x, &mut y, keep, key, 0);
                let scale = (1.0 / keep) as f32;
                assert!((0..n).all(|i| y[i] == 0.0 || y[i] == scale * x[i]), "{isa}");
                let kept = y.iter().filter(|y| **y != 0.0).count() as f64;
                let deviations = (kept - n as f64 * keep) / (n as f64 * keep * (1.0 - keep)).sqrt();
                assert!(deviations.abs() < 4.5, "{keep} {key} {isa}: {kept} kept");
            }
        }
        let x = values(45, 1.0, 1);
        let mut y = vec![0.0; 45];
        dropout::dropout(&x, &mut y, 1.0, 1, 0);
        assert_eq!(x, y);
        dropout::dropout(&x, &mut y, 0.0, 1, 0);
        assert_eq!(y, [0.0; 45]);
    });
}

#[test]
fn dropout_streams_and_neighbors_are_uncorrelated() {
    let (n, keep) = (1 << 16, 0.5);
    let correlation = |a: &[f32], b: &[f32]| {
        let product: f64 = a.iter().zip(b).map(|(a, b)| f64::from((a - 0.5) * (b - 0.5))).sum();
        product / (0.25 * (a.len() as f64).sqrt())
    };
    let base = mask(n, keep, 1, 0);
    for other in [0, 2, 3, 1 << 32, u64::MAX] {
        assert!(correlation(&base, &mask(n, keep, other, 0)).abs() < 4.5, "key {other}");
    }
    for lag in [1, 2, 3, 7, 16, 64, 540, 768, 4096, 1 << 15] {
        assert!(correlation(&base[..n - lag], &base[lag..]).abs() < 4.5, "lag {lag}");
    }
    for offset in [1 << 32, 1 << 40] {
        assert!(correlation(&base, &mask(n, keep, 1, offset)).abs() < 4.5, "offset {offset}");
    }
}

#[test]
fn dropout_is_the_same_everywhere() {
    let first = mask(541, 0.9, 3, 12);
    on_every_isa(|isa| assert_eq!(mask(541, 0.9, 3, 12), first, "{isa}"));
}

#[test]
fn scattering_undoes_what_gathering_took() {
    on_every_isa(|isa| {
        for width in SIZES {
            let table = values(5 * width, 1.0, 1);
            let ids = [3, 0, 3, 4];
            let mut rows = vec![f32::NAN; 4 * width];
            embedding::gather_rows(&table, width, &ids, &mut rows);
            let grad = values(4 * width, 1.0, 2);
            let mut table_grad = vec![1.0; 5 * width];
            embedding::scatter_add_rows(&grad, width, &ids, &mut table_grad);
            for i in 0..width {
                let taken: Vec<f32> = (0..4).map(|r| rows[r * width + i]).collect();
                let want: Vec<f32> = ids.iter().map(|&id| table[id as usize * width + i]).collect();
                assert_eq!(taken, want, "{width} {isa}");
                let g = |r: usize| grad[r * width + i];
                let want = [1.0 + g(1), 1.0, 1.0, 1.0 + g(0) + g(2), 1.0 + g(3)];
                let got: Vec<f32> = (0..5).map(|r| table_grad[r * width + i]).collect();
                assert_eq!(got, want, "{width} {isa}");
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn dropout_in_pieces_is_dropout_of_the_whole(n in 0_usize..200, cut in 0_usize..200, back in 0_u64..100, key: u64) {
        let (cut, offset) = (cut.min(n), (1 << 32) - back);
        let whole = mask(n, 0.7, key, offset);
        let mut pieces = mask(cut, 0.7, key, offset);
        pieces.extend(mask(n - cut, 0.7, key, offset + cut as u64));
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn trigrams_hold_both_neighbors_and_their_gradient_is_the_transpose(
        batch in 0_usize..4, seq in 0_usize..6, width in 0_usize..20, seed: u64
    ) {
        let (words, d_out) = (values(batch * seq * width, 1.0, seed), values(3 * batch * seq * width, 1.0, seed ^ 1));
        let mut out = vec![f32::NAN; 3 * words.len()];
        embedding::trigram(&words, seq, width, &mut out);
        for b in 0..batch {
            for t in 0..seq {
                for i in 0..width {
                    let word = |t: Option<usize>| t.filter(|&t| t < seq).map_or(0.0, |t| words[(b * seq + t) * width + i]);
                    let want = [word(Some(t + 1)), word(Some(t)), word(t.checked_sub(1))];
                    let got = [0, 1, 2].map(|k| out[((b * seq + t) * 3 + k) * width + i]);
                    prop_assert_eq!(got, want);
                }
            }
        }
        let mut d_words = vec![f32::NAN; words.len()];
        embedding::trigram_backward(&d_out, seq, width, &mut d_words);
        let inner = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        prop_assert!((inner(&out, &d_out) - inner(&words, &d_words)).abs() < 1e-4);
    }
}
