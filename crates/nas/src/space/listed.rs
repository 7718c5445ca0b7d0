//! A finite list of architectures.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::budget::{Budget, Cost, Reach};
use crate::error::{Error, Result};
use crate::space::{EncodedSpace, SearchSpace};

/// Nearest members among which a variation draws.
const NEAREST: usize = 12;
/// Probability that it draws among all members instead.
const FAR: f64 = 0.1;

/// What the list knows of a member.
#[derive(Debug, Clone)]
struct Known {
    fingerprint: String,
    cost: Cost,
    features: Vec<f64>,
    /// Places of the nearest other members, nearest first.
    nearest: Vec<usize>,
}

/// Some architectures of a space as a space of their own: those that survived a cheap evaluation, or those whose evaluations were recorded.
///
/// A sample is any member with equal probability. A variation is one of the 12 members nearest to it, each with equal probability; one in
/// ten is any member, so that no search ends because all near ones are known.
/// The distance is Euclidean in the encoding, each number in units of its standard deviation over the list, so that those of large
/// values do not decide alone; a number that is the same in all members counts nothing.
pub struct ListedSpace<S: SearchSpace + ?Sized> {
    members: Vec<S::Genome>,
    known: Vec<Known>,
    places: BTreeMap<String, usize>,
    space: Box<S>,
}

impl<S: SearchSpace + ?Sized> std::fmt::Debug for ListedSpace<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListedSpace").field("members", &self.members.len()).finish_non_exhaustive()
    }
}

impl<S: EncodedSpace + ?Sized> ListedSpace<S> {
    /// The space of `members`, which belong to `space`.
    ///
    /// # Errors
    /// [`Error::Genome`] for a member that does not belong to the space; [`Error::Space`] for an empty list, or two members that compute
    /// the same function.
    pub fn new(space: Box<S>, members: Vec<S::Genome>) -> Result<Self> {
        if members.is_empty() {
            return Err(Error::Space("a list of architectures is empty".to_owned()));
        }
        let mut known = Vec::with_capacity(members.len());
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for (place, genome) in members.iter().enumerate() {
            space.check(genome)?;
            let fingerprint = space.fingerprint(genome);
            if let Some(earlier) = first.insert(fingerprint.clone(), place) {
                return Err(Error::Space(format!(
                    "members {} and {} of a list compute the same function: {genome}",
                    earlier + 1,
                    place + 1
                )));
            }
            let (cost, features) = (space.cost(genome), space.encode(genome));
            known.push(Known { fingerprint, cost, features, nearest: Vec::new() });
        }
        let near = nearest(&known.iter().map(|known| known.features.as_slice()).collect::<Vec<_>>())?;
        for (known, nearest) in known.iter_mut().zip(near) {
            known.nearest = nearest;
        }
        let places = members.iter().enumerate().map(|(place, genome)| (genome.to_string(), place)).collect();
        Ok(Self { members, known, places, space })
    }
}

impl<S: SearchSpace + ?Sized> ListedSpace<S> {
    /// The members, in their order.
    pub fn members(&self) -> &[S::Genome] {
        &self.members
    }

    /// The place of a member in the list.
    pub fn place(&self, genome: &S::Genome) -> Option<usize> {
        self.places.get(&genome.to_string()).copied()
    }

    fn known(&self, genome: &S::Genome) -> Option<&Known> {
        self.place(genome).map(|place| &self.known[place])
    }

    fn drawn(&self, among: impl ExactSizeIterator<Item = usize>, rng: &mut ChaCha8Rng) -> Option<S::Genome> {
        let count = u32::try_from(among.len()).unwrap_or(u32::MAX);
        let place = (count > 0).then(|| rng.random_range(0..count) as usize)?;
        let mut among = among;
        among.nth(place).map(|place| self.members[place].clone())
    }
}

impl<S: SearchSpace<Genome: Sync> + ?Sized> SearchSpace for ListedSpace<S> {
    type Genome = S::Genome;

    fn sample(&self, rng: &mut ChaCha8Rng) -> S::Genome {
        // The list is not empty.
        self.drawn(0..self.members.len(), rng).unwrap_or_else(|| self.members[0].clone())
    }

    fn mutate(&self, genome: &S::Genome, rng: &mut ChaCha8Rng) -> S::Genome {
        if rng.random_bool(FAR) {
            return self.sample(rng);
        }
        let near = self.known(genome).and_then(|known| self.drawn(known.nearest.iter().copied(), rng));
        near.unwrap_or_else(|| self.sample(rng))
    }

    fn fingerprint(&self, genome: &S::Genome) -> String {
        self.known(genome).map_or_else(|| self.space.fingerprint(genome), |known| known.fingerprint.clone())
    }

    fn cost(&self, genome: &S::Genome) -> Cost {
        self.known(genome).map_or_else(|| self.space.cost(genome), |known| known.cost)
    }

    fn reach(&self, budget: &Budget) -> Reach {
        let costs = || self.known.iter().map(|known| known.cost);
        let size = |cost: &Cost| (cost.params, cost.macs);
        Reach {
            smallest: costs().min_by_key(size).unwrap_or_default(),
            largest: costs().max_by_key(size).unwrap_or_default(),
            nearest: costs().min_by(|a, b| budget.excess(*a).total_cmp(&budget.excess(*b))).unwrap_or_default(),
        }
    }

    fn check(&self, genome: &S::Genome) -> Result<()> {
        if self.place(genome).is_some() {
            return Ok(());
        }
        Err(Error::Genome {
            text: genome.to_string(),
            detail: format!("it is not one of the {} that this stage chooses among", self.members.len()),
        })
    }

    fn fastest(&self, ms: &dyn Fn(&S::Genome) -> f64) -> S::Genome {
        let timed = self.members.iter().map(|genome| (ms(genome), genome));
        let best = timed.reduce(|best, other| if other.0 < best.0 { other } else { best });
        best.map_or(&self.members[0], |(_, genome)| genome).clone()
    }
}

impl<S: EncodedSpace<Genome: Sync> + ?Sized> EncodedSpace for ListedSpace<S> {
    fn encode(&self, genome: &S::Genome) -> Vec<f64> {
        self.known(genome).map_or_else(|| self.space.encode(genome), |known| known.features.clone())
    }
}

/// For each row the places of the nearest others, nearest first, of equally near ones the earlier.
fn nearest(rows: &[&[f64]]) -> Result<Vec<Vec<usize>>> {
    let widths: BTreeSet<usize> = rows.iter().map(|row| row.len()).collect();
    if widths.len() > 1 {
        return Err(Error::Space(format!("members of a list are encoded by {widths:?} numbers, not by equally many")));
    }
    let count = rows.len() as f64;
    let scale: Vec<f64> = (0..rows[0].len())
        .map(|at| {
            let mean = rows.iter().map(|row| row[at]).sum::<f64>() / count;
            let sd = (rows.iter().map(|row| (row[at] - mean).powi(2)).sum::<f64>() / count).sqrt();
            // A sum of equal numbers may round: what is left is no difference.
            if sd > 1e-9 * (1.0 + mean.abs()) { 1.0 / sd } else { 0.0 }
        })
        .collect();
    let scaled: Vec<Vec<f64>> =
        rows.iter().map(|row| row.iter().zip(&scale).map(|(value, scale)| value * scale).collect()).collect();
    let others = |of: usize| {
        let distance =
            |other: usize| -> f64 { scaled[of].iter().zip(&scaled[other]).map(|(a, b)| (a - b).powi(2)).sum() };
        let mut others: Vec<(f64, usize)> =
            (0..rows.len()).filter(|&other| other != of).map(|other| (distance(other), other)).collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.truncate(NEAREST);
        others.into_iter().map(|(_, other)| other).collect()
    };
    Ok((0..rows.len()).map(others).collect())
}
