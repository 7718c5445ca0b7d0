//! Which old channel each new one is a copy of.

use run_store::rng::{keyed, shuffle};

use crate::{Copies, Growth};

/// From an old width to a new one that is not smaller: new channel `j` is a copy of old channel `from[j]`. The first channels are the old
/// ones in their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expansion {
    from: Vec<usize>,
    /// Copies of each old channel, itself included.
    copies: Vec<usize>,
}

impl Expansion {
    /// Whole copies of all channels, one after the other, and then of some. `place` tells apart the draws of one model.
    ///
    /// `old <= new`, and `old` is not 0.
    pub fn new(old: usize, new: usize, growth: &Growth, place: &[u64]) -> Self {
        let rest = new % old;
        let mut again: Vec<usize> = (0..old).collect();
        if rest > 0 && growth.copies == Copies::Random {
            shuffle(&mut keyed(growth.seed, "growth/copies", place), &mut again);
            again.truncate(rest);
            again.sort_unstable();
        }
        let from: Vec<usize> = (0..new - rest).map(|j| j % old).chain(again.into_iter().take(rest)).collect();
        let mut copies = vec![0; old];
        from.iter().for_each(|&i| copies[i] += 1);
        Self { from, copies }
    }

    /// Of groups of `width` channels that stay together, such as the heads of an attention, where this one is of groups.
    pub fn of_groups(&self, width: usize) -> Self {
        Self {
            from: self.from.iter().flat_map(|&group| (0..width).map(move |i| group * width + i)).collect(),
            copies: self.copies.iter().flat_map(|&n| std::iter::repeat_n(n, width)).collect(),
        }
    }

    /// Of that many vectors, one after the other, each expanded like this.
    pub fn side_by_side(&self, vectors: usize) -> Self {
        let old = self.copies.len();
        Self {
            from: (0..vectors).flat_map(|v| self.from.iter().map(move |&i| v * old + i)).collect(),
            copies: self.copies.repeat(vectors),
        }
    }

    /// Old channel of new channel `j`.
    pub fn source(&self, j: usize) -> usize {
        self.from[j]
    }

    /// How many copies there are of the channel that `j` is a copy of.
    pub fn copies(&self, j: usize) -> usize {
        self.copies[self.from[j]]
    }

    pub fn old_width(&self) -> usize {
        self.copies.len()
    }

    pub fn new_width(&self) -> usize {
        self.from.len()
    }

    /// Whether nothing grows.
    pub fn is_trivial(&self) -> bool {
        self.from.len() == self.copies.len()
    }

    /// Whether all channels stand there equally often.
    pub fn is_even(&self) -> bool {
        self.copies.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// For each new channel, whether the same old one stands before it.
    pub fn repeats(&self) -> Vec<bool> {
        let mut seen = vec![false; self.copies.len()];
        self.from.iter().map(|&i| std::mem::replace(&mut seen[i], true)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_tiled_and_the_rest_are_the_first_or_drawn_ones() {
        let first = Expansion::new(3, 8, &Growth::default(), &[]);
        assert_eq!(first.from, [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(first.copies, [3, 3, 2]);
        assert!(!first.is_even() && Expansion::new(3, 9, &Growth::default(), &[]).is_even());
        let random = |seed, place| {
            let growth = Growth { copies: Copies::Random, seed, ..Growth::default() };
            Expansion::new(40, 60, &growth, &[place])
        };
        assert_eq!(random(1, 2), random(1, 2));
        assert!(random(1, 2) != random(1, 3) && random(1, 2) != random(2, 2));
        let drawn = random(1, 2);
        assert_eq!(drawn.from[..40], (0..40).collect::<Vec<_>>());
        assert_eq!((drawn.copies.iter().max(), drawn.copies.iter().sum::<usize>()), (Some(&2), 60));
        assert_eq!(drawn.repeats().iter().filter(|repeats| **repeats).count(), 20);
    }

    #[test]
    fn groups_stay_together_and_vectors_side_by_side_stay_apart() {
        let two = Expansion::new(2, 3, &Growth::default(), &[]);
        assert_eq!(two.of_groups(2).from, [0, 1, 2, 3, 0, 1]);
        assert_eq!(two.of_groups(2).copies, [2, 2, 1, 1]);
        assert_eq!(two.side_by_side(2).from, [0, 1, 0, 2, 3, 2]);
        assert_eq!(two.side_by_side(2).copies, [2, 1, 2, 1]);
    }
}
