//! Successive halving across fidelities: many candidates by a cheap evaluation, the best of them by a dearer one, and so on.
//!
//! The geometry is that of Jamieson & Talwalkar 2016 ("Non-stochastic Best Arm Identification and Hyperparameter Optimization",
//! [`shares`]) and of Hyperband (Li et al. 2018, [`rungs`] and [`brackets`]). Who goes on is a function of the stored trials
//! ([`promoted`]), so a search that replays its store goes on with the same ones. A rung is a stage of a study: its space is a
//! [`ListedSpace`](crate::space::ListedSpace) of the survivors, its strategy [`InOrder`](crate::strategy::InOrder).

use crate::error::{Error, Result};
use crate::pareto::{Measure, crowding, fronts};
use crate::rank::Rank;
use crate::study::Trial;

/// Candidates that are evaluated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// How many there are.
    pub candidates: u64,
    /// What the evaluation of one of them may cost, for example training steps.
    pub budget: u64,
}

/// Rungs of `candidates` that begin with `least` budget for each and end with `most`: of `n` candidates that have `r`, `n / eta`
/// (rounded down) go on with `r * eta`, or with `most` where that is less. The last rung has `most` for each, or it would leave fewer than
/// two to choose among.
///
/// # Errors
/// [`Error::Halving`] without candidates or budget, with `eta` below 2, or with `least` above `most`.
pub fn rungs(candidates: u64, least: u64, most: u64, eta: u64) -> Result<Vec<Rung>> {
    check(candidates, eta)?;
    if least == 0 || least > most {
        return Err(Error::Halving(format!(
            "the least budget {least} must be between 1 and the most, which is {most}"
        )));
    }
    let mut rung = Rung { candidates, budget: least };
    let mut rungs = vec![rung];
    while rung.budget < most && rung.candidates / eta >= 2 {
        rung = Rung { candidates: rung.candidates / eta, budget: rung.budget.saturating_mul(eta).min(most) };
        rungs.push(rung);
    }
    Ok(rungs)
}

/// Rungs of `candidates` of which each costs the same share of `total`: of `n` candidates, `n / eta` (rounded down) go on, until fewer than
/// two would. With `eta` 2 it is the algorithm of Jamieson & Talwalkar.
///
/// # Errors
/// [`Error::Halving`] without candidates, with `eta` below 2, or with a `total` that leaves nothing for a candidate of the first rung; the
/// message has the least possible one.
pub fn shares(candidates: u64, total: u64, eta: u64) -> Result<Vec<Rung>> {
    check(candidates, eta)?;
    let halved = std::iter::successors(Some(candidates), |n| (n / eta >= 2).then_some(n / eta));
    let sizes: Vec<u64> = halved.collect();
    let share = total / sizes.len() as u64;
    if share < candidates {
        return Err(Error::Halving(format!(
            "a budget of {total} for {} rungs leaves nothing for each of {candidates} candidates; it must be at least {}",
            sizes.len(),
            candidates.saturating_mul(sizes.len() as u64)
        )));
    }
    Ok(sizes.into_iter().map(|candidates| Rung { candidates, budget: share / candidates }).collect())
}

/// The brackets of Hyperband for evaluations of at most `most` budget: from the one that begins with the most candidates and the least
/// budget to the one that evaluates few with all of it. With `s` from `floor(log_eta(most))` down to 0 a bracket begins with
/// `ceil((s_max + 1) / (s + 1) * eta^s)` candidates of `most / eta^s` budget.
///
/// # Errors
/// [`Error::Halving`] without budget, or with `eta` below 2.
pub fn brackets(most: u64, eta: u64) -> Result<Vec<Vec<Rung>>> {
    check(1, eta)?;
    if most == 0 {
        return Err(Error::Halving("the most budget must be at least 1".to_owned()));
    }
    let powers: Vec<u64> =
        std::iter::successors(Some(1u64), |power| power.checked_mul(eta).filter(|next| *next <= most)).collect();
    let count = powers.len() as u64;
    let bracket = |s: usize| {
        let candidates = (count * powers[s]).div_ceil(s as u64 + 1);
        let rung = |i: usize| Rung { candidates: candidates / powers[i], budget: most / powers[s - i] };
        (0..=s).map(rung).collect()
    };
    Ok((0..powers.len()).rev().map(bracket).collect())
}

/// What all evaluations of `rungs` cost, where none goes on with what a rung before has trained.
pub fn cost(rungs: &[Rung]) -> u64 {
    rungs.iter().fold(0, |sum: u64, rung| sum.saturating_add(rung.candidates.saturating_mul(rung.budget)))
}

/// Indices of the `keep` best, best first by [`Rank::order`]; all of them where there are fewer.
pub fn survivors(ranks: &[Rank], keep: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ranks.len()).collect();
    order.sort_by(|&a, &b| ranks[a].order(&ranks[b]).then(a.cmp(&b)));
    order.truncate(keep);
    order
}

/// The `keep` best complete trials of a rung, best first; fewer where fewer are complete.
pub fn promoted(trials: &[Trial], keep: usize) -> Vec<&Trial> {
    let mut complete: Vec<&Trial> = trials.iter().filter(|trial| trial.rank().is_some()).collect();
    complete.sort_by(|a, b| a.order(b));
    complete.truncate(keep);
    complete
}

/// The `keep` complete trials of a rung that go on where several costs are wanted: by [`fronts`] of fitness against `measures`, and of the front that
/// does not fit as a whole those of largest [crowding] distance, its ends first. By ascending number of the front, best first within it.
pub fn promoted_along<'t>(trials: &'t [Trial], keep: usize, measures: &[Measure]) -> Vec<&'t Trial> {
    let (complete, ranks): (Vec<&Trial>, Vec<Rank>) =
        trials.iter().filter_map(|trial| Some((trial, trial.rank()?))).unzip();
    let mut kept = Vec::new();
    for mut members in fronts(&ranks, measures) {
        let room = keep.saturating_sub(kept.len());
        if members.len() > room {
            let far = crowding(&ranks, &members, measures);
            let mut order: Vec<usize> = (0..members.len()).collect();
            order.sort_by(|&a, &b| far[b].total_cmp(&far[a]).then(a.cmp(&b)));
            order.truncate(room);
            order.sort_unstable();
            members = order.into_iter().map(|place| members[place]).collect();
        }
        kept.extend(members);
    }
    kept.into_iter().map(|index| complete[index]).collect()
}

fn check(candidates: u64, eta: u64) -> Result<()> {
    if candidates == 0 || eta < 2 {
        return Err(Error::Halving(format!(
            "{candidates} candidates, of which one in {eta} goes on: there must be at least 1, and at most one in 2 may go on"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::budget::Cost;
    use crate::pareto::dominates;

    fn pairs(rungs: &[Rung]) -> Vec<(u64, u64)> {
        rungs.iter().map(|rung| (rung.candidates, rung.budget)).collect()
    }

    #[test]
    fn brackets_follow_the_formula_of_hyperband() {
        // R = 81, eta = 3 as in the paper's example. Its table has fewer candidates in the middle brackets (27, 9, 6) than its
        // algorithm's ceil(5 / (s + 1) * 3^s), which counts here.
        let found: Vec<_> = brackets(81, 3).unwrap().iter().map(|bracket| pairs(bracket)).collect();
        assert_eq!(found[0], [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]);
        assert_eq!(found[1], [(34, 3), (11, 9), (3, 27), (1, 81)]);
        assert_eq!(found[2], [(15, 9), (5, 27), (1, 81)]);
        assert_eq!(found[3], [(8, 27), (2, 81)]);
        assert_eq!(found[4], [(5, 81)]);
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn rungs_end_at_the_most_budget_or_with_two_to_choose_among() {
        assert_eq!(pairs(&rungs(48, 60, 1000, 4).unwrap()), [(48, 60), (12, 240), (3, 960)]);
        assert_eq!(pairs(&rungs(48, 60, 300, 2).unwrap()), [(48, 60), (24, 120), (12, 240), (6, 300)]);
        assert_eq!(pairs(&rungs(1, 60, 300, 2).unwrap()), [(1, 60)]);
        assert_eq!(pairs(&rungs(9, 300, 300, 3).unwrap()), [(9, 300)]);
    }

    #[test]
    fn shares_are_those_of_jamieson_and_talwalkar() {
        // n = 16, B = 64 * 4: ceil(log2 16) = 4 rungs of 64.
        assert_eq!(pairs(&shares(16, 256, 2).unwrap()), [(16, 4), (8, 8), (4, 16), (2, 32)]);
        let message = shares(16, 63, 2).unwrap_err().to_string();
        assert!(message.contains("at least 64"), "{message}");
        assert!(shares(16, 64, 2).is_ok());
    }

    #[test]
    fn settings_that_cannot_be_run_are_refused() {
        assert!(rungs(0, 1, 1, 2).is_err() && rungs(4, 1, 1, 1).is_err() && rungs(4, 0, 1, 2).is_err());
        assert!(rungs(4, 3, 2, 2).is_err() && brackets(0, 2).is_err() && brackets(9, 0).is_err());
    }

    fn trial(number: u64, fitness: u8, params: u64) -> Trial {
        Trial::of_test(number, "", params, Some(f64::from(fitness)))
    }

    #[test]
    fn of_equally_good_ones_the_smaller_goes_on() {
        let rank = |fitness, params, number| Rank { fitness, cost: Cost { params, macs: 1 }, latency_ms: None, number };
        let ranks = [rank(0.6, 9, 0), rank(0.7, 9, 1), rank(0.6, 8, 2), rank(0.5, 1, 3)];
        assert_eq!(survivors(&ranks, 2), [1, 2]);
        assert_eq!(survivors(&ranks, 9), [1, 2, 0, 3]);
    }

    proptest! {
        #[test]
        fn who_goes_on_along_the_front_is_dominated_by_nobody_left_behind_and_has_the_best_and_the_cheapest(
            points in prop::collection::vec((0u8..6, 1u64..6), 1..30), keep in 2usize..30
        ) {
            let trials: Vec<Trial> = (0..).zip(&points).map(|(number, &(f, params))| trial(number, f, params)).collect();
            let kept = promoted_along(&trials, keep, &[Measure::Params]);
            prop_assert_eq!(kept.len(), keep.min(trials.len()));
            let is_kept = |trial: &Trial| kept.iter().any(|kept| kept.number == trial.number);
            for left in trials.iter().filter(|trial| !is_kept(trial)) {
                for one in &kept {
                    prop_assert!(!dominates(&left.rank().unwrap(), &one.rank().unwrap(), &[Measure::Params]));
                }
            }
            let best = promoted(&trials, 1)[0];
            // Of trials that are equal in all, any.
            let is_as_good = |kept: &&Trial| (kept.fitness, kept.cost) == (best.fitness, best.cost);
            prop_assert!(kept.iter().any(is_as_good), "the best, {}, of {:?}", best.number, points);
            let cheapest = trials.iter().map(|trial| trial.cost.params).min();
            prop_assert!(kept.iter().any(|trial| Some(trial.cost.params) == cheapest));
        }

        #[test]
        fn every_rung_has_fewer_candidates_and_more_budget_than_the_one_before(
            candidates in 1u64..500, least in 1u64..50, more in 0u64..5000, eta in 2u64..6
        ) {
            let most = least + more;
            let found = rungs(candidates, least, most, eta).unwrap();
            prop_assert_eq!(found[0], Rung { candidates, budget: least });
            for two in found.windows(2) {
                prop_assert_eq!(two[1].candidates, two[0].candidates / eta);
                prop_assert!(two[0].budget < two[1].budget && two[1].budget <= most);
            }
            let total = candidates * 20 + more;
            let found = shares(candidates, total, eta).unwrap();
            prop_assert!(cost(&found) <= total);
            for two in found.windows(2) {
                prop_assert_eq!(two[1].candidates, two[0].candidates / eta);
                prop_assert!(two[0].budget < two[1].budget);
            }
        }

        #[test]
        fn no_survivor_is_worse_than_one_that_is_left_behind(
            fitness in prop::collection::vec(0u8..5, 1..30), keep in 0usize..30
        ) {
            let rank = |(number, f): (u64, &u8)| Rank {
                fitness: f64::from(*f), cost: Cost { params: number % 3, macs: 0 }, latency_ms: None, number
            };
            let ranks: Vec<Rank> = (0..).zip(&fitness).map(rank).collect();
            let kept = survivors(&ranks, keep);
            prop_assert_eq!(kept.len(), keep.min(ranks.len()));
            for left in (0..ranks.len()).filter(|i| !kept.contains(i)) {
                prop_assert!(kept.iter().all(|&i| ranks[i].beats(&ranks[left])));
            }
        }
    }
}
