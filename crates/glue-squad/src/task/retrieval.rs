//! Texts and what answers them: keys of equal texts, and ranks among all answers.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::tags::key;

/// Cosines that differ by less are equal: vectors that are all alike still differ by rounding.
const AS_NEAR: f32 = 1e-5;

/// An example whose second text answers the first, by numbers that equal texts share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Match {
    /// Of the first text.
    pub query: u64,
    /// Of the second.
    pub answer: u64,
}

impl Match {
    /// The match of these texts.
    pub fn of(query: &str, answer: &str) -> Self {
        Self { query: key(query), answer: key(answer) }
    }
}

/// The rank of each example's answer, from 1, among the different answers of all examples, by the cosine of their vectors with the query's.
///
/// Other answers that the examples give to the same query are left out, so that several right answers do not stand in each other's way. Answers that are
/// as near as the right one count as nearer: vectors that are all alike find nothing.
///
/// # Shapes
/// - `vectors`: for each example the vector of its query, then that of its answer, one behind the other
pub fn ranks(matches: &[Match], vectors: &[Vec<f32>]) -> Vec<usize> {
    let halves: Vec<[Vec<f32>; 2]> = vectors
        .par_iter()
        .map(|both| {
            let (query, answer) = both.split_at(both.len() / 2);
            [unit(query), unit(answer)]
        })
        .collect();
    let mut seen = HashSet::new();
    let answers: Vec<usize> = (0..matches.len()).filter(|&i| seen.insert(matches[i].answer)).collect();
    let right = answers_of_queries(matches);
    let rank = |(one, [query, answer]): (&Match, &[Vec<f32>; 2])| {
        let (own, known) = (dot(query, answer), &right[&one.query]);
        let nearer = |&&other: &&usize| {
            !known.contains(&matches[other].answer) && dot(query, &halves[other][1]) >= own - AS_NEAR
        };
        1 + answers.iter().filter(nearer).count()
    };
    matches.par_iter().zip(&halves).map(rank).collect()
}

/// For each example how many answers its own could stand among: the different answers of all examples, less the others that are right for its query.
pub fn candidates(matches: &[Match]) -> Vec<usize> {
    let all: HashSet<u64> = matches.iter().map(|one| one.answer).collect();
    let right = answers_of_queries(matches);
    matches.iter().map(|one| 1 + all.len() - right[&one.query].len()).collect()
}

/// All answers that are right for each query.
fn answers_of_queries(matches: &[Match]) -> HashMap<u64, HashSet<u64>> {
    let mut right = HashMap::<u64, HashSet<u64>>::new();
    for one in matches {
        right.entry(one.query).or_default().insert(one.answer);
    }
    right
}

/// The cosine of the two halves of each row; 0 where one of them has no length.
///
/// # Shapes
/// - `vectors`: for each example the vectors of both texts, one behind the other
pub fn cosines(vectors: &[Vec<f32>]) -> Vec<f64> {
    let cosine = |both: &Vec<f32>| {
        let (a, b) = both.split_at(both.len() / 2);
        f64::from(dot(&unit(a), &unit(b)))
    };
    vectors.iter().map(cosine).collect()
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let length = dot(vector, vector).sqrt();
    let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
    vector.iter().map(|value| value * factor).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Several sums side by side, which compilers turn into vector instructions.
    let mut sums = [0.0_f32; 16];
    let (a_rows, b_rows) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_rows.remainder().iter().zip(b_rows.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_rows.zip(b_rows) {
        for lane in 0..16 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(query: [f32; 2], answer: [f32; 2]) -> Vec<f32> {
        [query, answer].concat()
    }

    #[test]
    fn ranks_count_the_different_answers_that_are_at_least_as_near() {
        let matches = [Match::of("a", "x"), Match::of("b", "y"), Match::of("c", "z"), Match::of("c", "x")];
        let vectors = [
            row([1.0, 0.0], [0.9, 0.1]),
            row([0.0, 2.0], [1.0, 1.0]),
            row([1.0, 0.1], [1.0, 0.0]),
            row([1.0, 0.1], [0.9, 0.1]),
        ];
        // "a": z is nearer than x. "b": y is the nearest. "c": neither of its answers stands in the other's way.
        assert_eq!(ranks(&matches, &vectors), [2, 1, 1, 1]);
    }

    #[test]
    fn an_answer_stands_among_the_different_ones_that_are_not_right_too() {
        let matches = [Match::of("a", "x"), Match::of("b", "y"), Match::of("c", "z"), Match::of("c", "x")];
        assert_eq!(candidates(&matches), [3, 3, 2, 2]);
    }

    #[test]
    fn vectors_that_are_all_alike_find_nothing() {
        let names = ["a", "b", "c"];
        let matches = names.map(|name| Match::of(name, &format!("to {name}")));
        assert_eq!(ranks(&matches, &vec![row([0.3, 0.4], [0.3, 0.4]); 3]), [3, 3, 3]);
        assert_eq!(ranks(&matches, &vec![row([0.0, 0.0], [0.0, 0.0]); 3]), [3, 3, 3]);
    }

    #[test]
    fn cosines_are_of_both_halves_and_of_no_length_0() {
        let found = cosines(&[row([3.0, 4.0], [4.0, 3.0]), row([1.0, 0.0], [0.0, 0.0]), row([2.0, 0.0], [-5.0, 0.0])]);
        for (found, expected) in found.iter().zip([24.0 / 25.0, 0.0, -1.0]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
    }
}
