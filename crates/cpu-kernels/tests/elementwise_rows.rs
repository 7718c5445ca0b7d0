//! Normalizations, softmax and losses against `f64`.

mod elementwise_support;

use cpu_kernels::elementwise::{loss, norm, softmax};
use elementwise_support::{SIZES, assert_near, on_every_isa, values, wide};

const EPS: f32 = 1e-5;

fn moments(row: &[f64]) -> (f64, f64) {
    let n = row.len() as f64;
    let mean = row.iter().sum::<f64>() / n;
    let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (mean, 1.0 / (variance + f64::from(EPS)).sqrt())
}

fn layer_norm(x: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
    let row = |row: &[f64]| {
        let (mean, inv_std) = moments(row);
        row.iter().zip(gamma).zip(beta).map(|((x, g), b)| (x - mean) * inv_std * g + b).collect::<Vec<_>>()
    };
    x.chunks(gamma.len().max(1)).flat_map(row).collect()
}

#[test]
fn layer_norm_is_that_of_f64_in_all_its_forms() {
    on_every_isa(|isa| {
        for width in SIZES {
            for rows in [1, 2, 7] {
                let n = rows * width;
                let what = format!("{rows} x {width} {isa}");
                let (x, residual) = (values(n, 3.0, 1), values(n, 2.0, 2));
                let (gamma, beta) = (values(width, 1.0, 3), values(width, 1.0, 4));
                let stat_rows = if width == 0 { 0 } else { rows };
                let want = layer_norm(&wide(&x), &wide(&gamma), &wide(&beta));
                let (mut y, mut mean, mut inv_std) = (vec![0.0; n], vec![0.0; stat_rows], vec![0.0; stat_rows]);
                norm::layer_norm(&x, &gamma, &beta, EPS, &mut y, Some((&mut mean, &mut inv_std)));
                assert_near(&y, &want, 2e-6, &what);
                let (means, inverses): (Vec<f64>, Vec<f64>) = wide(&x).chunks(width.max(1)).map(moments).unzip();
                assert_near(&mean, &means, 1e-6, &what);
                assert_near(&inv_std, &inverses, 2e-6, &what);
                let mut over_x = x.clone();
                norm::layer_norm_in_place(&mut over_x, &gamma, &beta, EPS, None);
                assert_eq!(over_x, y, "{what}");

                let sum: Vec<f32> = x.iter().zip(&residual).map(|(a, b)| a + b).collect();
                norm::layer_norm(&sum, &gamma, &beta, EPS, &mut y, Some((&mut mean, &mut inv_std)));
                let (mut kept, mut y2, mut mean2, mut inv2) =
                    (vec![0.0; n], vec![0.0; n], vec![0.0; stat_rows], vec![0.0; stat_rows]);
                let stats = Some((&mut mean2[..], &mut inv2[..]));
                norm::add_layer_norm(&x, &residual, &gamma, &beta, EPS, &mut kept, &mut y2, stats);
                assert_eq!((&kept, &y2, &mean2, &inv2), (&sum, &y, &mean, &inv_std), "{what}");
            }
        }
    });
}

#[test]
fn a_large_mean_does_not_spoil_the_variance() {
    on_every_isa(|isa| {
        let x: Vec<f32> = (0..270).map(|i| 1000.0 + (i % 7) as f32 / 8.0).collect();
        let (one, zero) = (vec![1.0; 270], vec![0.0; 270]);
        let mut y = vec![0.0; 270];
        norm::layer_norm(&x, &one, &zero, EPS, &mut y, None);
        assert_near(&y, &layer_norm(&wide(&x), &wide(&one), &wide(&zero)), 3e-4, isa.name());
    });
}

#[test]
fn layer_norm_gradients_are_those_of_f64() {
    on_every_isa(|isa| {
        for width in SIZES.into_iter().filter(|&w| w > 0) {
            let rows = 3;
            let n = rows * width;
            let (x, dy, gamma) = (values(n, 3.0, 1), values(n, 2.0, 2), values(width, 1.0, 3));
            let (start_gamma, start_beta) = (values(width, 1.0, 4), values(width, 1.0, 5));
            let (wx, wdy, wg) = (wide(&x), wide(&dy), wide(&gamma));
            let (mut dx, mut dg, mut db) = (Vec::new(), wide(&start_gamma), wide(&start_beta));
            let (mut mean, mut inv_std) = (Vec::new(), Vec::new());
            for r in 0..rows {
                let row = r * width..(r + 1) * width;
                let (m, s) = moments(&wx[row.clone()]);
                mean.push(m as f32);
                inv_std.push(s as f32);
                let h: Vec<f64> = wx[row.clone()].iter().map(|x| (x - m) * s).collect();
                let g: Vec<f64> = wdy[row.clone()].iter().zip(&wg).map(|(d, g)| d * g).collect();
                let g_mean = g.iter().sum::<f64>() / width as f64;
                let gh_mean = g.iter().zip(&h).map(|(g, h)| g * h).sum::<f64>() / width as f64;
                dx.extend((0..width).map(|i| s * (g[i] - g_mean - h[i] * gh_mean)));
                for i in 0..width {
                    dg[i] += wdy[row.start + i] * h[i];
                    db[i] += wdy[row.start + i];
                }
            }
            let (mut got, mut got_g, mut got_b) = (vec![0.0; n], start_gamma, start_beta);
            norm::layer_norm_backward(&x, &mean, &inv_std, &gamma, &dy, &mut got, &mut got_g, &mut got_b);
            let what = format!("{width} {isa}");
            // A row of one or two values has hardly any variance: the factor is up to 1 / sqrt(eps).
            let scale = f64::from(inv_std.iter().copied().fold(1.0, f32::max));
            assert_near(&got, &dx, 2e-6 * scale, &what);
            assert_near(&got_g, &dg, 2e-6 * scale, &what);
            assert_near(&got_b, &db, 1e-6, &what);
        }
    });
}

#[test]
fn no_norm_is_that_of_f64() {
    on_every_isa(|isa| {
        for width in SIZES.into_iter().filter(|&w| w > 0) {
            let x = values(2 * width, 3.0, 1);
            let (gamma, beta) = (values(width, 1.0, 3), values(width, 1.0, 4));
            let mut y = vec![0.0; x.len()];
            norm::no_norm(&x, &gamma, &beta, &mut y);
            let row = |row: &[f32]| -> Vec<f64> {
                let terms = wide(row).into_iter().zip(wide(&gamma)).zip(wide(&beta));
                terms.map(|((x, gamma), beta)| x * gamma + beta).collect()
            };
            assert_near(&y, &x.chunks(width).flat_map(row).collect::<Vec<_>>(), 1e-6, isa.name());
        }
    });
}

/// `softmax(x)` and `log_softmax(x)` of a row.
fn distribution(x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let max = x.iter().copied().fold(f64::MIN, f64::max);
    let log_sum = x.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
    let log: Vec<f64> = x.iter().map(|x| x - max - log_sum).collect();
    (log.iter().map(|x| x.exp()).collect(), log)
}

#[test]
fn softmax_is_that_of_f64() {
    on_every_isa(|isa| {
        for width in SIZES {
            let n = 3 * width;
            let what = format!("{width} {isa}");
            let (x, bias) = (values(n, 9.0, 1), values(width, 4.0, 2));
            let want: Vec<f64> = x.chunks(width.max(1)).flat_map(|row| distribution(&wide(row)).0).collect();
            let mut p = x.clone();
            softmax::softmax_rows(&mut p, width);
            assert_near(&p, &want, 3e-7, &what);

            let masked = |scale: f64, bias: &dyn Fn(usize) -> f32| -> Vec<f64> {
                let row = |row: &[f32]| {
                    let scores = row.iter().enumerate().map(|(i, &x)| scale * f64::from(x) + f64::from(bias(i)));
                    distribution(&scores.collect::<Vec<_>>()).0
                };
                x.chunks(width.max(1)).flat_map(row).collect()
            };
            softmax::masked_softmax_rows(&x, width, 0.125, Some(&bias), &mut p);
            assert_near(&p, &masked(0.125, &|i| bias[i]), 3e-7, &what);
            softmax::masked_softmax_rows(&x, width, 0.5, None, &mut p);
            assert_near(&p, &masked(0.5, &|_| 0.0), 3e-7, &what);

            let dp = values(n, 1.0, 3);
            let mut ds = vec![0.0; n];
            softmax::softmax_backward_rows(&p, &dp, width, &mut ds);
            for (r, (p, dp)) in p.chunks(width.max(1)).zip(dp.chunks(width.max(1))).enumerate() {
                let (p, dp) = (wide(p), wide(dp));
                let inner = p.iter().zip(&dp).map(|(p, d)| p * d).sum::<f64>();
                let want: Vec<f64> = p.iter().zip(&dp).map(|(p, d)| p * (d - inner)).collect();
                assert_near(&ds[r * width..(r + 1) * width], &want, 3e-7, &what);
            }
        }
    });
}

#[test]
fn a_row_with_everything_blocked_is_uniform() {
    on_every_isa(|isa| {
        for width in [1, 5, 16, 45] {
            for blocked in [f32::NEG_INFINITY, f32::MIN, -10_000.0] {
                let mut p = vec![blocked; width];
                softmax::softmax_rows(&mut p, width);
                assert_near(&p, &vec![1.0 / width as f64; width], 1e-7, isa.name());
            }
            let mut p = vec![f32::NEG_INFINITY; width + 1];
            p[width / 2] = 3.0;
            softmax::softmax_rows(&mut p, width + 1);
            assert_eq!(p.iter().sum::<f32>(), 1.0, "{isa}");
            assert_eq!(p[width / 2], 1.0, "{isa}");
            let mut p = vec![1.0; width + 1];
            p[width] = f32::NAN;
            softmax::softmax_rows(&mut p, width + 1);
            assert!(p.iter().all(|p| p.is_nan()), "{isa}");
        }
    });
}

#[test]
fn squared_errors_are_those_of_f64_and_the_same_everywhere() {
    for n in SIZES {
        let (mut a, b) = (values(n, 120.0, 1), values(n, 120.0, 2));
        if n > 2 {
            (a[0], a[1]) = (-100.0, f32::NEG_INFINITY);
        }
        let open = |x: f32| if x <= -100.0 { 0.0 } else { x };
        let difference = |blocked: bool, i: usize| if blocked { open(a[i]) - open(b[i]) } else { a[i] - b[i] };
        let sum = |blocked| (0..n).map(|i| f64::from(difference(blocked, i)).powi(2)).sum::<f64>();
        on_every_isa(|isa| {
            let mut d = vec![0.0; n];
            let got = loss::unblocked_squared_error_sum(&a, &b);
            assert!((got - sum(true)).abs() <= 1e-12 * sum(true), "{n} {isa}: {got}");
            loss::unblocked_squared_error_gradient(&a, &b, 0.25, &mut d);
            for i in 0..n {
                let want = if a[i] <= -100.0 { 0.0 } else { 0.25 * difference(true, i) };
                assert_eq!(d[i], want, "{n} {isa}");
            }
            let a = values(n, 120.0, 1);
            let want: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let got = loss::squared_error_sum(&a, &b);
            assert!((got - want).abs() <= 1e-12 * want, "{n} {isa}: {got}");
            loss::squared_error_gradient(&a, &b, 0.25, &mut d);
            assert!((0..n).all(|i| d[i] == 0.25 * (a[i] - b[i])), "{n} {isa}");
        });
    }
    let (a, b) = (values(541, 2.0, 1), values(541, 2.0, 2));
    let first = loss::squared_error_sum(&a, &b);
    on_every_isa(|isa| assert_eq!(loss::squared_error_sum(&a, &b), first, "{isa}"));
}

#[test]
fn soft_cross_entropy_is_that_of_f64() {
    on_every_isa(|isa| {
        for classes in SIZES.into_iter().filter(|&c| c > 0) {
            let rows = 4;
            let what = format!("{classes} {isa}");
            let (s, t) = (values(rows * classes, 6.0, 1), values(rows * classes, 6.0, 2));
            let mut d = vec![0.0; s.len()];
            for temperature in [1.0, 3.0] {
                let (mut soft, mut soft_d) = (0.0, Vec::new());
                for (s, t) in s.chunks(classes).zip(t.chunks(classes)) {
                    let scaled = |x: &[f32]| wide(x).iter().map(|x| x / temperature).collect::<Vec<_>>();
                    let ((p, log), (target, _)) = (distribution(&scaled(s)), distribution(&scaled(t)));
                    soft -= target.iter().zip(&log).map(|(t, l)| t * l).sum::<f64>();
                    soft_d.extend(p.iter().zip(&target).map(|(p, t)| 0.5 / temperature * (p - t)));
                }
                let got = loss::soft_cross_entropy_sum(&s, &t, classes, temperature as f32);
                assert!((got - soft).abs() <= 1e-6 * soft.max(1.0), "{what}: {got} {soft}");
                loss::soft_cross_entropy_gradient(&s, &t, classes, temperature as f32, 0.5, &mut d);
                assert_near(&d, &soft_d, 1e-6, &what);
            }
        }
    });
}
