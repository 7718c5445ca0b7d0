//! Products on several threads are the products.

use linear_fit::{Matrix, products};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(rows: usize, columns: usize, seed: u64) -> Matrix {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Matrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

proptest! {
    #[test]
    fn products_are_sums_over_the_inner_index(m in 0usize..9, k in 0usize..9, n in 0usize..200, seed in 0u64..1000) {
        let (a, b) = (random(m, k, seed), random(k, n, seed + 5000));
        let expected = Matrix::from_fn(m, n, |i, j| (0..k).map(|l| a[(i, l)] * b[(l, j)]).sum());
        prop_assert!((products::product(&a, &b) - &expected).amax() < 1e-12);
        prop_assert!((products::product_transposed(&a, &b.transpose()) - &expected).amax() < 1e-12);
    }

    #[test]
    fn moments_are_symmetric_to_the_bit_and_weights_count_samples(
        features in 0usize..150, samples in 0usize..9, seed in 0u64..1000,
    ) {
        let x = random(features, samples, seed);
        let weights: Vec<f64> = (0..samples).map(|sample| (sample % 3) as f64).collect();
        let expected = |weight: &dyn Fn(usize) -> f64| {
            Matrix::from_fn(features, features, |i, j| (0..samples).map(|s| x[(i, s)] * weight(s) * x[(j, s)]).sum())
        };
        let (plain, weighted) = (products::moments(&x, None), products::moments(&x, Some(&weights)));
        prop_assert!((&plain - expected(&|_| 1.0)).amax() < 1e-12);
        prop_assert!((&weighted - expected(&|sample| weights[sample])).amax() < 1e-12);
        prop_assert_eq!(&plain.transpose(), &plain);
        prop_assert_eq!(&weighted.transpose(), &weighted);
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    // Among them columns that are one more than whole pieces, which are narrow pieces of their own.
    for columns in [700, 129, 513, 1025] {
        let (a, b) = (random(130, 300, 1), random(300, columns, 2));
        let transposed = b.transpose();
        let all = || {
            let moments = products::moments(&transposed, None);
            (products::product(&a, &b), products::product_transposed(&a, &transposed), moments)
        };
        let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(all);
        let one = on(1);
        assert_eq!(one, on(2), "{columns} columns");
        assert_eq!(one, on(3), "{columns} columns");
    }
}
