//! Algebra that must hold for all inputs.

use linear_fit::{Affine, LeastSquares, Matrix, Vector, fit_near, greedy, low_rank};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(rows: usize, columns: usize, seed: u64) -> Matrix {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Matrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

proptest! {
    #[test]
    fn the_error_of_a_truncated_table_is_its_other_singular_values(
        rows in 1usize..30, columns in 1usize..12, rank in 1usize..14, seed in 0u64..1000,
    ) {
        let table = random(rows, columns, seed);
        let (left, right) = low_rank::table(&table, None, rank);
        prop_assert_eq!((left.shape(), right.shape()), ((rows, rank), (rank, columns)));
        let mut values: Vec<f64> = table.clone().svd(false, false).singular_values.iter().copied().collect();
        values.sort_by(|a, b| b.total_cmp(a));
        let tail: f64 = values.iter().skip(rank).map(|v| v * v).sum();
        prop_assert!(((left * right - table).norm_squared() - tail).abs() < 1e-9);
    }

    #[test]
    fn rows_that_count_twice_are_rows_that_stand_there_twice(rank in 1usize..5, seed in 0u64..1000) {
        let table = random(9, 6, seed);
        let weights: Vec<f64> = (0..9).map(|row| if row < 3 { 2.0 } else { 1.0 }).collect();
        let twice = table.select_rows(&[0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let (left, right) = low_rank::table(&table, Some(&weights), rank);
        let (expected_left, expected_right) = low_rank::table(&twice, None, rank);
        let expected = (expected_left * expected_right).rows(3, 9).into_owned();
        prop_assert!((left * right - expected).norm() < 1e-8);
    }

    #[test]
    fn scores_of_full_rank_are_the_scores_and_no_other_map_of_a_rank_is_better(
        d in 1usize..7, rank in 1usize..7, seed in 0u64..1000,
    ) {
        let (q, k) = (random(d, 40, seed), random(d, 40, seed + 5000));
        let (a, b) = low_rank::bilinear(&(&q * q.transpose()), &(&k * k.transpose()), rank);
        let found = (&a * &q).transpose() * (&b * &k);
        let exact = q.transpose() * &k;
        let mut values: Vec<f64> = exact.clone().svd(false, false).singular_values.iter().copied().collect();
        values.sort_by(|a, b| b.total_cmp(a));
        let tail: f64 = values.iter().skip(rank).map(|v| v * v).sum();
        prop_assert!(((found - exact).norm_squared() - tail).abs() < 1e-6);
    }

    #[test]
    fn two_maps_in_a_row_are_the_best_of_their_rank(d in 1usize..7, rank in 1usize..8, seed in 0u64..1000) {
        let (c, output) = (random(d, 40, seed), random(5, d, seed + 5000));
        let (a, b) = low_rank::product(&(&c * c.transpose()), &output, rank);
        prop_assert_eq!((a.nrows(), b.ncols()), (rank, rank));
        let exact = &output * &c;
        let mut values: Vec<f64> = exact.clone().svd(false, false).singular_values.iter().copied().collect();
        values.sort_by(|a, b| b.total_cmp(a));
        let tail: f64 = values.iter().skip(rank).map(|v| v * v).sum();
        prop_assert!(((b * a * c - exact).norm_squared() - tail).abs() < 1e-6);
    }

    #[test]
    fn a_map_is_found_again_and_a_prior_that_fits_stays(inputs in 1usize..6, outputs in 1usize..5, seed in 0u64..1000) {
        let map = Affine { weight: random(outputs, inputs, seed), bias: Vector::from_element(outputs, 0.7) };
        let x = random(inputs, 60, seed + 1);
        let weights: Vec<f64> = (0..60).map(|i| 1.0 + f64::from(i % 3)).collect();
        let found = fit_near(&Affine::zero(inputs, outputs), &x, &map.apply(&x), Some(&weights), 1e-10).unwrap();
        prop_assert!((&found.weight - &map.weight).norm() < 1e-6 && (&found.bias - &map.bias).norm() < 1e-6);
        // Samples that do not show all of it, and a large ridge.
        let few = x.columns(0, 1).into_owned();
        let kept = fit_near(&map, &few, &map.apply(&few), None, 1.0).unwrap();
        prop_assert!((kept.weight - map.weight).norm() < 1e-12);
    }

    #[test]
    fn a_weighted_sample_counts_as_often_as_its_weight(seed in 0u64..1000) {
        let (x, y) = (random(3, 10, seed), random(2, 10, seed + 1));
        let weights: Vec<f64> = (0..10).map(|i| f64::from(1 + i % 2)).collect();
        let repeated: Vec<usize> = (0..10).flat_map(|i| std::iter::repeat_n(i, 1 + i % 2)).collect();
        let mut once = LeastSquares::new(3, 2);
        once.add(&x, &y, Some(&weights));
        let mut often = LeastSquares::new(3, 2);
        // In two pieces, as large samples come.
        for piece in repeated.chunks(8) {
            often.add(&x.select_columns(piece), &y.select_columns(piece), None);
        }
        let (once, often) = (once.solve(1e-3).unwrap(), often.solve(1e-3).unwrap());
        prop_assert!((once.weight - often.weight).norm() < 1e-9 && (once.bias - often.bias).norm() < 1e-9);
    }

    #[test]
    fn a_greedy_order_begins_with_any_shorter_one_and_its_errors_fall(seed in 0u64..1000) {
        let (x, y) = (random(8, 50, seed), random(3, 50, seed + 1));
        let target = greedy::Target { features: &x * x.transpose(), with_target: &y * x.transpose(), weight: 1.0 };
        let order = greedy::choose(vec![target.clone()], 8, 1e-9);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..8).collect::<Vec<_>>());
        let error = |chosen: &[usize]| {
            let x = x.select_rows(chosen);
            let mut fit = LeastSquares::new(chosen.len(), 3);
            fit.add(&x, &y, None);
            (&y - fit.solve_through_zero(1e-12).unwrap() * x).norm_squared()
        };
        let mut last = y.norm_squared();
        for count in 1..=8 {
            prop_assert_eq!(&greedy::choose(vec![target.clone()], count, 1e-9), &order[..count]);
            let now = error(&order[..count]);
            prop_assert!(now <= last + 1e-9, "{count}: {now} after {last}");
            // Of all ways to go on, this one is the best.
            for other in order[count..].iter() {
                let mut chosen = order[..count - 1].to_vec();
                chosen.push(*other);
                prop_assert!(now <= error(&chosen) + 1e-6);
            }
            last = now;
        }
    }
}

#[test]
fn maps_compose_and_are_cut_as_their_matrices_are() {
    let first = Affine::from_rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[0.5, -0.5]);
    assert_eq!((first.inputs(), first.outputs()), (3, 2));
    let second = Affine::scatter(&[2, 0], 3);
    let x = Matrix::from_column_slice(3, 1, &[1.0, 1.0, 1.0]);
    let both = second.after(&first).apply(&x);
    assert_eq!(both.as_slice(), [14.5, 0.0, 6.5]);
    assert_eq!(second.apply(&first.apply(&x)), both);
    assert_eq!(first.rows(&[1]).apply(&x).as_slice(), [14.5]);
    assert_eq!(first.columns(&[2, 0]).weight, Matrix::from_row_slice(2, 2, &[3.0, 1.0, 6.0, 4.0]));
}

#[test]
fn features_without_variance_and_values_that_are_not_finite_are_no_panic() {
    let x = Matrix::from_element(2, 5, 3.0);
    let y = Matrix::from_element(1, 5, 7.0);
    let found = fit_near(&Affine::zero(2, 1), &x, &y, None, 1e-3).unwrap();
    assert!((found.apply(&x)[(0, 0)] - 7.0).abs() < 1e-9);
    assert!(fit_near(&Affine::zero(2, 1), &(x * f64::NAN), &y, None, 1e-3).is_none());
    assert!(LeastSquares::new(2, 1).solve(1e-3).unwrap().weight.iter().all(|&w| w == 0.0));
}

/// Entries `((7 i + 3 j + shift) mod 11 - 5) / 4`.
fn patterned(rows: usize, columns: usize, shift: usize) -> Matrix {
    Matrix::from_fn(rows, columns, |i, j| (((i * 7 + j * 3 + shift) % 11) as f64 - 5.0) / 4.0)
}

/// `numpy.linalg.svd` of the same matrices.
#[test]
fn singular_values_equal_numpys_for_wide_and_for_tall_matrices() {
    let expected = [
        (patterned(4, 6, 1), vec![2.806833700051525, 2.4103944727200757, 0.983797169929482, 0.39538107513425225]),
        (patterned(5, 3, 2), vec![2.311786903943833, 1.7677669529663687, 0.7284513098030551]),
    ];
    for (matrix, values) in expected {
        let found = low_rank::singular_values(&matrix);
        assert!((&found - Vector::from_vec(values)).norm() < 1e-12, "{found}");
    }
}

/// Shares of the variance by `numpy.linalg.eigvalsh(numpy.cov(m))`: 0.93589, 0.99089, 0.99992, 1.
#[test]
fn components_are_counted_until_they_explain_more_than_the_share() {
    let mut m = patterned(4, 40, 1);
    for (mut row, scale) in m.row_iter_mut().zip([8.0, 2.0, 1.0, 0.1]) {
        row *= scale;
    }
    let count = |share| low_rank::principal_components(&m, share);
    assert_eq!([0.5, 0.9358, 0.936, 0.99, 0.991, 0.99999].map(count), [1, 1, 2, 2, 3, 4]);
    let shifted = m.add_scalar(100.0);
    assert_eq!(low_rank::principal_components(&shifted, 0.99), 2, "the mean is no variance");
    assert_eq!(low_rank::principal_components(&m.columns(0, 2).into_owned(), 0.99), 1, "two samples lie on a line");
    assert_eq!(low_rank::principal_components(&Matrix::from_element(3, 5, 2.0), 0.99), 0);
    assert_eq!(low_rank::principal_components(&Matrix::zeros(3, 0), 0.99), 0);
}
