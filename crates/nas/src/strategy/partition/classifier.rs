//! Separates good from bad architectures: a random forest over their encodings.

use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;

type Forest = RandomForestRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

/// A forest fitted to 0 (bad) and 1 (good). Its mean prediction estimates the probability of good,
/// and its squared error on such labels is the Gini criterion up to a factor.
#[derive(Debug)]
pub(super) struct Classifier {
    forest: Forest,
}

impl Classifier {
    /// Fits a forest of `trees`; `None` if it labels samples it was not fitted to (out of bag) wrong
    /// as often as a coin would, or more often.
    pub fn fit(rows: &[&[f64]], good: &[bool], trees: u32, seed: u64) -> Result<Option<Self>, String> {
        let columns = rows.first().map_or(0, |row| row.len());
        let x = DenseMatrix::from_2d_array(rows).map_err(|e| e.to_string())?;
        let y: Vec<f64> = good.iter().map(|&good| f64::from(u8::from(good))).collect();
        let parameters = RandomForestRegressorParameters::default()
            .with_n_trees(trees as usize)
            .with_m(columns.div_ceil(3).max(1))
            .with_min_samples_leaf(1)
            .with_min_samples_split(2)
            .with_keep_samples(true)
            .with_seed(seed);
        let forest = Forest::fit(&x, &y, parameters).map_err(|e| e.to_string())?;
        let unseen = forest.predict_oob(&x).map_err(|e| e.to_string())?;
        // A sample that was in every tree's bag has no unseen prediction.
        let judged = unseen.iter().zip(good).filter(|(p, _)| p.is_finite());
        let (wrong, total) =
            judged.fold((0, 0), |(wrong, total), (&p, &good)| (wrong + usize::from((p >= 0.5) != good), total + 1));
        Ok((2 * wrong < total).then_some(Self { forest }))
    }

    /// Probability that the architecture is good.
    pub fn good(&self, features: &[f64]) -> Result<f64, String> {
        let x = DenseMatrix::from_2d_array(&[features]).map_err(|e| e.to_string())?;
        let predicted = self.forest.predict(&x).map_err(|e| e.to_string())?;
        predicted.first().copied().ok_or_else(|| "the forest predicted nothing".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    fn rows(seed: u64) -> Vec<Vec<f64>> {
        let mut rng = run_store::rng::keyed(seed, "nas.test.classifier", &[]);
        (0..80).map(|_| (0..6).map(|_| f64::from(rng.random_range(0..4u32))).collect()).collect()
    }

    fn fit(rows: &[Vec<f64>], good: &[bool], seed: u64) -> Option<Classifier> {
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        Classifier::fit(&rows, good, 40, seed).unwrap()
    }

    #[test]
    fn a_rule_is_learned_and_holds_for_unseen_rows() {
        let train = rows(1);
        let rule = |row: &Vec<f64>| row[0] + row[3] >= 3.0;
        let classifier = fit(&train, &train.iter().map(rule).collect::<Vec<_>>(), 7).unwrap();
        let unseen = rows(2);
        let right = unseen.iter().filter(|row| (classifier.good(row).unwrap() >= 0.5) == rule(row));
        assert!(right.count() >= 70, "fewer than 70 of 80 unseen rows are labeled right");
    }

    #[test]
    fn the_same_seed_gives_the_same_forest() {
        let train = rows(3);
        let good: Vec<bool> = train.iter().map(|row| row[1] > 1.0).collect();
        let [a, b] = [0, 0].map(|_| fit(&train, &good, 9).unwrap());
        for row in rows(4) {
            assert_eq!(a.good(&row).unwrap().to_bits(), b.good(&row).unwrap().to_bits());
        }
    }

    #[test]
    fn a_classifier_no_better_than_a_coin_is_not_used() {
        // Identical rows with alternating labels cannot be separated.
        let train = vec![vec![1.0, 2.0]; 40];
        let good: Vec<bool> = (0..40).map(|i| i % 2 == 0).collect();
        assert!(fit(&train, &good, 5).is_none());
    }
}
