//! Fitness against what it costs: which evaluated architectures no other one beats in both.
//!
//! Fitness is maximized, each [`Measure`] is minimized. A latency that was not measured counts as infinite.

use std::cmp::Ordering;

use crate::rank::Rank;

/// What an architecture costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Parameters.
    Params,
    /// Multiply-adds of one forward pass.
    Macs,
    /// Latency, milliseconds, measured or predicted.
    Latency,
}

impl Measure {
    /// What the architecture of `rank` costs by this measure.
    pub fn of(self, rank: &Rank) -> f64 {
        match self {
            Self::Params => rank.cost.params as f64,
            Self::Macs => rank.cost.macs as f64,
            Self::Latency => rank.latency_ms.unwrap_or(f64::INFINITY),
        }
    }
}

/// Whether `a` is at least as good as `b` in fitness and in every measure, and better in one of them.
pub fn dominates(a: &Rank, b: &Rank, against: &[Measure]) -> bool {
    let no_worse = a.fitness >= b.fitness && against.iter().all(|measure| measure.of(a) <= measure.of(b));
    let better = a.fitness > b.fitness || against.iter().any(|measure| measure.of(a) < measure.of(b));
    no_worse && better
}

/// Indices of the architectures that no other one dominates, by ascending first measure, then best first. Of architectures that
/// are equal in fitness and in every measure the [better one](Rank::order) is kept.
pub fn front(ranks: &[Rank], against: &[Measure]) -> Vec<usize> {
    let equal = |a: &Rank, b: &Rank| a.fitness == b.fitness && against.iter().all(|m| m.of(a) == m.of(b));
    let beaten = |i: usize| {
        let own = &ranks[i];
        ranks.iter().enumerate().any(|(j, other)| {
            j != i && (dominates(other, own, against) || (equal(other, own) && before((other, j), (own, i)).is_lt()))
        })
    };
    let mut kept: Vec<usize> = (0..ranks.len()).filter(|&i| !beaten(i)).collect();
    let cost = |i: usize| against.first().map_or(0.0, |measure| measure.of(&ranks[i]));
    kept.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)).then_with(|| before((&ranks[a], a), (&ranks[b], b))));
    kept
}

/// Non-dominated sorting (Deb et al. 2002): the indices in fronts, of which the first holds what nothing dominates, the second what
/// only the first dominates, and so on. Within a front best first by [`Rank::order`].
pub fn fronts(ranks: &[Rank], against: &[Measure]) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = (0..ranks.len()).collect();
    left.sort_by(|&a, &b| before((&ranks[a], a), (&ranks[b], b)));
    let mut fronts = Vec::new();
    while !left.is_empty() {
        let beaten = |&i: &usize| left.iter().any(|&j| dominates(&ranks[j], &ranks[i], against));
        let (rest, next): (Vec<usize>, Vec<usize>) = left.iter().partition(|&i| beaten(i));
        fronts.push(next);
        left = rest;
    }
    fronts
}

/// Crowding distance (Deb et al. 2002) of each of `members`, in their order: the sum over fitness and measures of the distance between
/// the neighbors on both sides, in units of the range among the members; infinite at the ends.
pub fn crowding(ranks: &[Rank], members: &[usize], against: &[Measure]) -> Vec<f64> {
    let mut distance = vec![0.0; members.len()];
    let mut along = |value: &dyn Fn(&Rank) -> f64| {
        let of = |at: usize| value(&ranks[members[at]]);
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|&a, &b| {
            let [x, y] = [a, b].map(|at| (&ranks[members[at]], members[at]));
            of(a).total_cmp(&of(b)).then_with(|| before(x, y))
        });
        let [Some(&first), Some(&last)] = [order.first(), order.last()] else { return };
        let range = of(last) - of(first);
        for neighbors in order.windows(3) {
            let gap = (of(neighbors[2]) - of(neighbors[0])) / range;
            // No range, or an unmeasured latency: this objective does not tell members apart.
            distance[neighbors[1]] += if gap.is_finite() { gap } else { 0.0 };
        }
        for end in [first, last] {
            distance[end] = f64::INFINITY;
        }
    };
    along(&|rank| rank.fitness);
    for measure in against {
        along(&|rank| measure.of(rank));
    }
    distance
}

/// A small, a middle and a large architecture of the [`front`] of fitness against `by`, as indices by ascending cost: the cheapest
/// one, the one of highest fitness, and between them the one with which the three cover most, which is the largest
/// `(fitness - fitness of the small one) * (cost of the large one - cost)`. Fewer where the front has fewer.
pub fn three(ranks: &[Rank], by: Measure) -> Vec<usize> {
    let front = front(ranks, &[by]);
    let [small, between @ .., large] = front.as_slice() else { return front };
    let covered = |i: usize| (ranks[i].fitness - ranks[*small].fitness) * (by.of(&ranks[*large]) - by.of(&ranks[i]));
    // The first of equals, which is the cheaper one.
    let middle = between.iter().copied().reduce(|best, i| if covered(i) > covered(best) { i } else { best });
    [Some(*small), middle, Some(*large)].into_iter().flatten().collect()
}

/// [`Rank::order`], and the place in the list for ranks of two searches that agree in everything.
fn before(a: (&Rank, usize), b: (&Rank, usize)) -> Ordering {
    a.0.order(b.0).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::budget::Cost;

    const BOTH: [Measure; 2] = [Measure::Params, Measure::Latency];

    fn rank(fitness: f64, params: u64, latency_ms: Option<f64>, number: u64) -> Rank {
        Rank { fitness, cost: Cost { params, macs: 2 * params }, latency_ms, number }
    }

    /// Fitness and parameters.
    fn ranks(points: &[(f64, u64)]) -> Vec<Rank> {
        (0..).zip(points).map(|(number, &(fitness, params))| rank(fitness, params, None, number)).collect()
    }

    #[test]
    fn the_front_has_what_nothing_beats_in_fitness_and_size_by_ascending_size() {
        let ranks = ranks(&[(0.9, 50), (0.5, 10), (0.7, 50), (0.8, 30), (0.4, 20), (0.8, 30), (0.8, 31)]);
        assert_eq!(front(&ranks, &[Measure::Params]), [1, 3, 0]);
        // Multiply-adds are twice the parameters, so they change nothing.
        assert_eq!(front(&ranks, &[Measure::Params, Measure::Macs]), [1, 3, 0]);
        assert_eq!(front(&ranks, &[]), [0], "without a measure the best one alone");
        assert!(front(&[], &[Measure::Params]).is_empty());
    }

    #[test]
    fn an_unmeasured_latency_is_slower_than_any() {
        let ranks = [rank(0.8, 5, None, 0), rank(0.8, 6, Some(9.0), 1), rank(0.7, 5, Some(1.0), 2)];
        assert_eq!(front(&ranks, &[Measure::Latency]), [2, 1]);
    }

    #[test]
    fn crowding_is_the_sum_of_the_gaps_around_a_member_and_infinite_at_the_ends() {
        // Fitness over 0..1, parameters over 0..100: the inner ones have neighbors on both sides.
        let ranks = ranks(&[(0.0, 0), (0.2, 10), (0.6, 40), (1.0, 100)]);
        let found = crowding(&ranks, &[3, 1, 0, 2], &[Measure::Params]);
        let expected = [f64::INFINITY, 0.6 + 0.4, f64::INFINITY, 0.8 + 0.9];
        for (found, expected) in found.iter().zip(expected) {
            assert!(*found == expected || (found - expected).abs() < 1e-12, "{found} in place of {expected}");
        }
    }

    #[test]
    fn equal_values_and_unmeasured_latencies_give_no_distance_that_is_not_a_number() {
        let ranks: Vec<Rank> = (0..5).map(|number| rank(0.5, 7, (number > 2).then_some(1.0), number)).collect();
        let found = crowding(&ranks, &[0, 1, 2, 3, 4], &BOTH);
        assert!(found.iter().all(|distance| !distance.is_nan()), "{found:?}");
    }

    #[test]
    fn three_are_the_cheapest_the_best_and_what_covers_most_between_them() {
        let found = ranks(&[(0.50, 10), (0.52, 12), (0.80, 30), (0.82, 60), (0.90, 100), (0.1, 99)]);
        assert_eq!(three(&found, Measure::Params), [0, 2, 4]);
        assert_eq!(three(&found[..2], Measure::Params), [0, 1]);
        assert_eq!(three(&found[4..], Measure::Params), [1, 0], "by ascending size");
        assert_eq!(three(&found[4..5], Measure::Params), [0]);
        assert!(three(&[], Measure::Params).is_empty());
    }

    fn points() -> impl Strategy<Value = Vec<Rank>> {
        let point = (0u8..6, 0u64..6, prop::option::of(0u8..6));
        prop::collection::vec(point, 0..40).prop_map(|points| {
            let numbered = (0..).zip(points);
            numbered.map(|(n, (f, p, ms))| rank(f64::from(f), p, ms.map(f64::from), n)).collect()
        })
    }

    proptest! {
        #[test]
        fn sorting_into_fronts_places_each_once_below_one_that_dominates_it(ranks in points()) {
            let fronts = fronts(&ranks, &BOTH);
            let mut all: Vec<usize> = fronts.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..ranks.len()).collect::<Vec<_>>());
            for (depth, members) in fronts.iter().enumerate() {
                for &i in members {
                    for &j in members {
                        prop_assert!(!dominates(&ranks[j], &ranks[i], &BOTH));
                    }
                    if depth > 0 {
                        prop_assert!(fronts[depth - 1].iter().any(|&j| dominates(&ranks[j], &ranks[i], &BOTH)));
                    }
                }
            }
            // The front proper is the first of these without its doubles.
            let front = front(&ranks, &BOTH);
            prop_assert!(front.iter().all(|i| fronts[0].contains(i)));
            for i in fronts.first().into_iter().flatten() {
                let same = |j: &&usize| ranks[**j].fitness == ranks[*i].fitness
                    && BOTH.iter().all(|m| m.of(&ranks[**j]) == m.of(&ranks[*i]));
                prop_assert_eq!(front.iter().filter(same).count(), 1);
            }
        }

        #[test]
        fn three_of_a_front_are_in_it_and_differ(ranks in points()) {
            let found = three(&ranks, Measure::Params);
            let front = front(&ranks, &[Measure::Params]);
            prop_assert_eq!(found.len(), front.len().min(3));
            prop_assert!(found.windows(2).all(|two| ranks[two[0]].cost.params < ranks[two[1]].cost.params));
            prop_assert!(found.iter().all(|i| front.contains(i)));
        }
    }
}
