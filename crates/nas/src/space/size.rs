//! Uniform draws of (stack count, ratio) tuples under size limits, however tight they are.
//!
//! Parameters and MACs of a student are a constant plus one summand per layer, and the summand
//! depends on the layer's [`LinearId`] only. So the tuples within a window can be counted exactly:
//! `c_l(s)`, the number of ways to choose layers `l..L` after size `s` has accumulated, is
//! `sum_i c_{l+1}(s + cost_{l,i})`, with `c_L(s) = 1` inside the window and 0 outside. Drawing layer
//! by layer with weights `c` is uniform over all tuples of the window, without a single rejection
//! (the reference redraws up to 10000 times instead). The number of different `s` is small: it is
//! bounded by how many stacks have which ratio, 20475 for 6 layers, not by 16^6.

use std::collections::BTreeMap;

use mlp_space::LinearId;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::budget::{Budget, Cost, Reach};
use crate::error::{Error, Result};

/// More layers could overflow the exact counts: 16^31 < 2^128.
const MAX_LAYERS: usize = 31;

/// At most this many layers are redrawn together by [`SizeSampler::vary`].
const MAX_VARIED: usize = 3;

/// Counts and draws the linear-id tuples of a student within size limits.
#[derive(Debug, Clone)]
pub struct SizeSampler {
    fixed: Cost,
    /// Per layer the allowed ids and what the layer costs with each.
    choices: Vec<Vec<(LinearId, Cost)>>,
    limits: Budget,
    /// Per layer: accumulated size -> number of completions within the limits (zero left out).
    completions: Vec<BTreeMap<Cost, u128>>,
    reach: Reach,
}

impl SizeSampler {
    /// A sampler for a student that costs `fixed` plus, for each layer, one of `choices`.
    ///
    /// # Errors
    /// [`Error::Space`] without layers, with a layer without choices, or with more than 31 layers;
    /// [`Error::Budget`] and [`Error::Unreachable`] if no tuple meets the limits.
    pub fn new(fixed: Cost, choices: Vec<Vec<(LinearId, Cost)>>, limits: &Budget) -> Result<Self> {
        limits.validate()?;
        if choices.is_empty() || choices.len() > MAX_LAYERS {
            return Err(Error::Space(format!("{} layers; this search handles 1 to {MAX_LAYERS}", choices.len())));
        }
        if let Some(layer) = choices.iter().position(Vec::is_empty) {
            return Err(Error::Space(format!("layer {}: no stack count and ratio fits its expression", layer + 1)));
        }
        let sizes = accumulated(fixed, &choices);
        let reach = reach_of(&sizes[choices.len()], limits);
        reach.require(limits)?;
        let completions = count_completions(&choices, sizes, limits);
        Ok(Self { fixed, choices, limits: *limits, completions, reach })
    }

    /// Number of tuples within the limits.
    pub fn count(&self) -> u128 {
        self.completions[0].get(&self.fixed).copied().unwrap_or(0)
    }

    /// Sizes that the tuples reach, limits aside, and the one nearest to `budget`.
    pub fn reach(&self, budget: &Budget) -> Reach {
        if *budget == self.limits {
            return self.reach;
        }
        let sizes = accumulated(self.fixed, &self.choices);
        reach_of(&sizes[self.choices.len()], budget)
    }

    /// Size of the student with these ids; `None` if a layer does not allow its id.
    pub fn cost(&self, ids: &[LinearId]) -> Option<Cost> {
        if ids.len() != self.choices.len() {
            return None;
        }
        ids.iter().zip(&self.choices).try_fold(self.fixed, |sum, (&id, choices)| {
            Some(sum + choices.iter().find(|(allowed, _)| *allowed == id)?.1)
        })
    }

    /// Whether every layer allows its id and the size of all is within the limits.
    pub fn holds(&self, ids: &[LinearId]) -> bool {
        self.cost(ids).is_some_and(|cost| self.limits.check(cost).is_none())
    }

    /// A tuple within the limits, each with equal probability.
    pub fn sample(&self, rng: &mut ChaCha8Rng) -> Vec<LinearId> {
        let mut size = self.fixed;
        let mut ids = Vec::with_capacity(self.choices.len());
        for (layer, choices) in self.choices.iter().enumerate() {
            let completions = &self.completions[layer];
            let next = &self.completions[layer + 1];
            let weight = |cost: Cost| next.get(&(size + cost)).copied().unwrap_or(0);
            let total = completions.get(&size).copied().unwrap_or(0);
            // `new` refuses an empty window and each step keeps a completion, so total is positive.
            let mut left = rng.random_range(0..total.max(1));
            let mut chosen = choices[0];
            for &(id, cost) in choices {
                let weight = weight(cost);
                if left < weight {
                    chosen = (id, cost);
                    break;
                }
                left -= weight;
            }
            ids.push(chosen.0);
            size = size + chosen.1;
        }
        ids
    }

    /// The tuple within the limits with the least sum of `price(layer, id)`; of equal ones the first ids.
    #[must_use]
    pub fn cheapest(&self, price: &dyn Fn(usize, LinearId) -> f64) -> Vec<LinearId> {
        let layers = self.choices.len();
        // Per layer: accumulated size -> least price of the rest, and the id that it begins with.
        let mut best: Vec<BTreeMap<Cost, (f64, LinearId)>> = vec![BTreeMap::new(); layers];
        for layer in (0..layers).rev() {
            let prices: Vec<f64> = self.choices[layer].iter().map(|&(id, _)| price(layer, id)).collect();
            let after = best.get(layer + 1);
            let rest = |size: Cost| match after {
                Some(after) => after.get(&size).map(|&(rest, _)| rest),
                None => self.completions[layers].contains_key(&size).then_some(0.0),
            };
            let least = |size: Cost| {
                let choices = self.choices[layer].iter().zip(&prices);
                let possible = choices.filter_map(|(&(id, cost), price)| Some((price + rest(size + cost)?, id)));
                possible.reduce(|least, other| if other.0 < least.0 { other } else { least })
            };
            let found = self.completions[layer].keys().filter_map(|&size| Some((size, least(size)?))).collect();
            best[layer] = found;
        }
        let mut size = self.fixed;
        let ids = best.iter().enumerate().map(|(layer, best)| {
            // `new` refuses an empty window, and every size that is reached has a completion.
            let id = best.get(&size).map_or(self.choices[layer][0].0, |&(_, id)| id);
            size = size + self.choices[layer].iter().find(|(of, _)| *of == id).map_or_else(Cost::default, |(_, c)| *c);
            id
        });
        ids.collect()
    }

    /// A different tuple within the limits that agrees with `ids` in all but one to three layers, or
    /// `None` if the layers that chance picked allow no other.
    pub fn vary(&self, ids: &[LinearId], rng: &mut ChaCha8Rng) -> Option<Vec<LinearId>> {
        let layers = self.choices.len();
        self.cost(ids)?;
        let wanted = rng.random_range(1..=MAX_VARIED.min(layers) as u32);
        let mut free: Vec<usize> = Vec::new();
        while free.len() < wanted as usize {
            let layer = rng.random_range(0..layers as u32) as usize;
            if !free.contains(&layer) {
                free.push(layer);
            }
        }
        let mut kept = self.fixed;
        for layer in (0..layers).filter(|layer| !free.contains(layer)) {
            kept = kept + self.choices[layer].iter().find(|(id, _)| *id == ids[layer])?.1;
        }
        let mut tuples = vec![(Vec::new(), kept)];
        for &layer in &free {
            tuples = tuples
                .iter()
                .flat_map(|(chosen, size): &(Vec<LinearId>, Cost)| {
                    self.choices[layer].iter().map(move |&(id, cost)| {
                        let mut longer = chosen.clone();
                        longer.push(id);
                        (longer, *size + cost)
                    })
                })
                .collect();
        }
        let same: Vec<LinearId> = free.iter().map(|&layer| ids[layer]).collect();
        tuples.retain(|(chosen, size)| self.limits.check(*size).is_none() && *chosen != same);
        if tuples.is_empty() {
            return None;
        }
        let pick = rng.random_range(0..tuples.len() as u32) as usize;
        let mut varied = ids.to_vec();
        for (&layer, &id) in free.iter().zip(&tuples[pick].0) {
            varied[layer] = id;
        }
        Some(varied)
    }
}

/// Sizes that can have accumulated before each layer, and at the end.
fn accumulated(fixed: Cost, choices: &[Vec<(LinearId, Cost)>]) -> Vec<Vec<Cost>> {
    let mut sizes = vec![vec![fixed]];
    for layer in choices {
        let mut next: Vec<Cost> =
            sizes[sizes.len() - 1].iter().flat_map(|&size| layer.iter().map(move |&(_, cost)| size + cost)).collect();
        next.sort_unstable();
        next.dedup();
        sizes.push(next);
    }
    sizes
}

fn reach_of(sizes: &[Cost], budget: &Budget) -> Reach {
    let by_params = |a: &&Cost, b: &&Cost| (a.params, a.macs).cmp(&(b.params, b.macs));
    let nearest = sizes.iter().min_by(|a, b| budget.excess(**a).total_cmp(&budget.excess(**b)));
    Reach {
        smallest: sizes.iter().min_by(by_params).copied().unwrap_or_default(),
        largest: sizes.iter().max_by(by_params).copied().unwrap_or_default(),
        nearest: nearest.copied().unwrap_or_default(),
    }
}

fn count_completions(
    choices: &[Vec<(LinearId, Cost)>],
    sizes: Vec<Vec<Cost>>,
    limits: &Budget,
) -> Vec<BTreeMap<Cost, u128>> {
    let mut completions: Vec<BTreeMap<Cost, u128>> = vec![BTreeMap::new(); sizes.len()];
    for (layer, sizes) in sizes.into_iter().enumerate().rev() {
        let counts = sizes.into_iter().filter_map(|size| {
            let count = match choices.get(layer) {
                None => u128::from(limits.check(size).is_none()),
                Some(choices) => choices
                    .iter()
                    .map(|&(_, cost)| completions[layer + 1].get(&(size + cost)).copied().unwrap_or(0))
                    .sum(),
            };
            (count > 0).then_some((size, count))
        });
        completions[layer] = counts.collect();
    }
    completions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::file_bytes;
    use proptest::prelude::*;

    /// A layer of hidden width 12: `stacks * (2 * 12 * inner + inner + 36)` parameters.
    fn layer() -> Vec<(LinearId, Cost)> {
        LinearId::all()
            .map(|id| {
                let (stacks, inner) = (u64::from(id.stacks()), id.inner_size(12) as u64);
                let cost = Cost { params: stacks * (24 * inner + inner + 36), macs: stacks * 24 * inner * 8 };
                (id, cost)
            })
            .collect()
    }

    fn sampler(layers: usize, limits: &Budget) -> Result<SizeSampler> {
        SizeSampler::new(Cost { params: 1000, macs: 500 }, vec![layer(); layers], limits)
    }

    /// All tuples of two layers within the limits, by brute force.
    fn pairs(limits: &Budget) -> Vec<[LinearId; 2]> {
        let fixed = Cost { params: 1000, macs: 500 };
        let mut found = Vec::new();
        for (a, x) in layer() {
            for (b, y) in layer() {
                if limits.check(fixed + x + y).is_none() {
                    found.push([a, b]);
                }
            }
        }
        found
    }

    fn rng(seed: u64) -> ChaCha8Rng {
        run_store::rng::keyed(seed, "nas.test.size", &[])
    }

    #[test]
    fn without_limits_every_tuple_is_counted() {
        assert_eq!(sampler(6, &Budget::default()).unwrap().count(), 16u128.pow(6));
    }

    #[test]
    fn every_tuple_of_a_window_is_drawn_equally_often() {
        let limits = Budget { min_params: Some(1900), max_params: Some(2000), ..Budget::default() };
        let sampler = sampler(2, &limits).unwrap();
        let all = pairs(&limits);
        assert_eq!(sampler.count(), all.len() as u128);
        let mut rng = rng(1);
        let mut drawn: BTreeMap<Vec<LinearId>, u32> = BTreeMap::new();
        let draws = 400 * all.len() as u32;
        for _ in 0..draws {
            *drawn.entry(sampler.sample(&mut rng)).or_default() += 1;
        }
        assert_eq!(drawn.len(), all.len(), "some tuple was never drawn, or a wrong one was");
        // 400 expected, standard deviation 20: five of them.
        for (ids, count) in drawn {
            assert!((300..=500).contains(&count), "{ids:?} was drawn {count} times of 400 expected");
        }
    }

    #[test]
    fn the_cheapest_tuple_of_a_window_is_the_one_that_a_look_at_all_finds() {
        // A price that does not grow with the size, so that the smallest tuple is not the cheapest.
        let price = |layer: usize, id: LinearId| {
            let (stacks, inner) = (id.stacks() as f64, id.inner_size(12) as f64);
            (stacks - 2.0).abs() + (inner - 5.0 - layer as f64).abs() * 0.3
        };
        for limits in [
            Budget::default(),
            Budget { min_params: Some(2400), max_params: Some(2500), ..Budget::default() },
            Budget { max_macs: Some(6000), ..Budget::default() },
        ] {
            let sum = |ids: &[LinearId]| ids.iter().enumerate().map(|(l, &id)| price(l, id)).sum::<f64>();
            let least = pairs(&limits).iter().map(|pair| sum(pair)).fold(f64::INFINITY, f64::min);
            let sampler = sampler(2, &limits).unwrap();
            let found = sampler.cheapest(&price);
            assert!((sum(&found) - least).abs() < 1e-12, "{found:?} costs {}, {least} is possible", sum(&found));
            assert!(limits.check(sampler.cost(&found).unwrap()).is_none(), "it is within the limits");
        }
    }

    #[test]
    fn an_unreachable_window_names_the_nearest_reachable_size() {
        let limits = Budget { max_params: Some(1100), ..Budget::default() };
        let error = sampler(2, &limits).unwrap_err();
        // Two layers of one stack at ratio 1/4: inner width 3, 2 * (25 * 3 + 36) = 222.
        let message = error.to_string();
        assert!(matches!(error, Error::Unreachable { nearest, .. } if nearest.params == 1222), "{message}");
        assert!(message.contains("nearest reachable architecture has 1222 parameters"), "{message}");
    }

    #[test]
    fn a_window_between_two_reachable_sizes_is_unreachable() {
        let open = sampler(1, &Budget::default()).unwrap();
        let reach = open.reach(&Budget { min_params: Some(1112), max_params: Some(1113), ..Budget::default() });
        assert_eq!((reach.smallest.params, reach.nearest.params), (1111, 1111));
        let limits = Budget { min_params: Some(1112), max_params: Some(1113), ..Budget::default() };
        assert!(matches!(sampler(1, &limits), Err(Error::Unreachable { .. })));
    }

    proptest! {
        #[test]
        fn counts_agree_with_brute_force_and_draws_stay_inside(
            low in 1000u64..3500, width in 0u64..400, macs in 500u64..20_000, seed in any::<u64>()
        ) {
            let limits = Budget {
                min_params: Some(low),
                max_params: Some(low + width),
                max_macs: Some(macs),
                max_bytes: seed.is_multiple_of(2).then_some(file_bytes(low + width / 2)),
                max_latency_ms: None,
            };
            let all = pairs(&limits);
            match sampler(2, &limits) {
                Err(Error::Unreachable { nearest, .. }) => {
                    prop_assert!(all.is_empty());
                    prop_assert!(limits.check(nearest).is_some());
                }
                Err(other) => prop_assert!(false, "{other}"),
                Ok(sampler) => {
                    prop_assert_eq!(sampler.count(), all.len() as u128);
                    let mut rng = rng(seed);
                    let ids = sampler.sample(&mut rng);
                    prop_assert!(all.iter().any(|pair| pair[..] == ids[..]));
                    if let Some(varied) = sampler.vary(&ids, &mut rng) {
                        prop_assert!(varied != ids);
                        prop_assert!(all.iter().any(|pair| pair[..] == varied[..]));
                    }
                }
            }
        }
    }
}
