//! The tree of good and bad regions.

use super::classifier::Classifier;
use super::config::{Descent, PartitionConfig, Split};

/// Encodings and fitness of the observed architectures.
#[derive(Debug, Default)]
pub(super) struct Samples {
    features: Vec<Vec<f64>>,
    fitness: Vec<Option<f64>>,
}

/// Lowest and highest fitness of the complete trials among some samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range(Option<(f64, f64)>);

impl Samples {
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Numbers per encoding.
    pub fn width(&self) -> usize {
        self.features.first().map_or(0, Vec::len)
    }

    /// Adds a sample; `false` if its encoding has another length than the others'.
    pub fn push(&mut self, features: Vec<f64>, fitness: Option<f64>) -> bool {
        if !self.features.is_empty() && features.len() != self.width() {
            return false;
        }
        self.features.push(features);
        self.fitness.push(fitness);
        true
    }

    /// Takes off all samples but the first `len`, the last of which have no fitness.
    pub fn truncate(&mut self, len: usize) {
        self.features.truncate(len);
        self.fitness.truncate(len);
    }

    /// That of the first `size` samples.
    pub fn range(&self, size: usize) -> Range {
        let complete = self.fitness[..size].iter().flatten();
        Range(complete.fold(None, |range: Option<(f64, f64)>, &new| {
            let (low, high) = range.unwrap_or((new, new));
            Some((low.min(new), high.max(new)))
        }))
    }

    /// Fitness scaled to 0 (worst complete trial of the range) .. 1 (best). A failed trial has 0: the reference
    /// gives it fitness 0, which no trained candidate falls below.
    pub fn fitness(&self, index: usize, range: Range) -> f64 {
        let (Some(fitness), Some((low, high))) = (self.fitness[index], range.0) else {
            return 0.0;
        };
        if high > low { (fitness - low) / (high - low) } else { 0.0 }
    }

    fn mean(&self, members: &[usize], range: Range) -> f64 {
        members.iter().map(|&i| self.fitness(i, range)).sum::<f64>() / members.len().max(1) as f64
    }

    fn median(&self, members: &[usize], range: Range) -> f64 {
        let mut sorted: Vec<f64> = members.iter().map(|&i| self.fitness(i, range)).collect();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NEG_INFINITY,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }
}

#[derive(Debug)]
struct Node {
    members: Vec<usize>,
    split: Option<Branch>,
}

#[derive(Debug)]
struct Branch {
    classifier: Classifier,
    good: usize,
    bad: usize,
}

/// A leaf and the way to it.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Indices of the samples in it.
    pub members: Vec<usize>,
    /// Inner nodes passed, with whether the good branch was taken.
    path: Vec<(usize, bool)>,
}

/// A tree fitted to the first samples of a search.
#[derive(Debug)]
pub(super) struct Tree {
    /// The root is node 0.
    nodes: Vec<Node>,
    fitted_to: usize,
    /// Samples that have a place in the tree; the later ones were sent down by the classifiers.
    placed: usize,
}

impl Tree {
    /// Fits a tree to the first `size` samples, whatever came after them: a search that is resumed later fits the same tree. `seed` gives each node's
    /// classifier its seed.
    pub fn fit(
        config: &PartitionConfig,
        samples: &Samples,
        size: usize,
        seed: impl Fn(u64) -> u64,
    ) -> Result<Self, String> {
        let mut tree = Self { nodes: Vec::new(), fitted_to: size, placed: size };
        tree.nodes.push(Node { members: (0..size).collect(), split: None });
        let range = samples.range(size);
        let mut open = vec![(0usize, config.height.limit(size))];
        while let Some((node, height)) = open.pop() {
            let Some((good, bad, classifier)) = ({
                let members = &tree.nodes[node].members;
                split(config, (samples, range), members, height, seed(node as u64))?
            }) else {
                continue;
            };
            let branch = Branch { classifier, good: tree.nodes.len(), bad: tree.nodes.len() + 1 };
            open.push((branch.bad, height - 1));
            open.push((branch.good, height - 1));
            tree.nodes[node].split = Some(branch);
            tree.nodes.push(Node { members: good, split: None });
            tree.nodes.push(Node { members: bad, split: None });
        }
        Ok(tree)
    }

    pub fn fitted_to(&self) -> usize {
        self.fitted_to
    }

    pub fn is_split(&self) -> bool {
        self.nodes.len() > 1
    }

    /// Sends the samples that arrived after the fit down to their leaves, so that counts and means
    /// stay current between fits.
    pub fn extend(&mut self, samples: &Samples) -> Result<(), String> {
        for index in self.placed..samples.len() {
            let mut node = 0;
            loop {
                self.nodes[node].members.push(index);
                let Some(branch) = &self.nodes[node].split else { break };
                let good = branch.classifier.good(&samples.features[index])? >= 0.5;
                node = if good { branch.good } else { branch.bad };
            }
        }
        self.placed = samples.len();
        Ok(())
    }

    /// Takes the samples off that [`Tree::extend`] has placed, but for the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if self.placed > len {
            // A node has its samples by ascending number.
            for node in &mut self.nodes {
                node.members.truncate(node.members.partition_point(|&index| index < len));
            }
            self.placed = len;
        }
    }

    /// Walks from the root to the leaf that the next draw should come from.
    pub fn descend(&self, config: &PartitionConfig, samples: &Samples) -> Leaf {
        let range = samples.range(samples.len());
        let mut node = 0;
        let mut path = Vec::new();
        while let Some(branch) = &self.nodes[node].split {
            let value = |child: usize| {
                let members = &self.nodes[child].members;
                match config.descent {
                    Descent::Uct { exploration } => {
                        uct(samples.mean(members, range), exploration, self.nodes[node].members.len(), members.len())
                    }
                    Descent::BestMedian => samples.median(members, range),
                }
            };
            let good = value(branch.good) >= value(branch.bad);
            path.push((node, good));
            node = if good { branch.good } else { branch.bad };
        }
        Leaf { members: self.nodes[node].members.clone(), path }
    }

    /// How sure the least sure classifier on the way to `leaf` is that `features` go that way; at
    /// least 0.5 if they do. Stops asking once the answer cannot exceed `floor`.
    pub fn agreement(&self, leaf: &Leaf, features: &[f64], floor: f64) -> Result<f64, String> {
        let mut least = 1.0f64;
        for &(node, good) in &leaf.path {
            if let Some(branch) = &self.nodes[node].split {
                let probability = branch.classifier.good(features)?;
                // Exactly 0.5 counts as good.
                let agreement = match (good, probability < 0.5) {
                    (true, _) => probability,
                    (false, true) => 1.0 - probability,
                    (false, false) => (1.0 - probability).min(0.5f64.next_down()),
                };
                least = least.min(agreement);
                if least <= floor {
                    break;
                }
            }
        }
        Ok(least)
    }
}

/// `mean + 2 Cp sqrt(2 ln n_parent / n_child)`; infinite for an empty child, as in LaNAS.
fn uct(mean: f64, exploration: f64, parent: usize, child: usize) -> f64 {
    if child == 0 {
        return f64::INFINITY;
    }
    let parent = parent.max(1) as f64;
    mean + 2.0 * exploration * (2.0 * parent.ln() / child as f64).sqrt()
}

type Halves = (Vec<usize>, Vec<usize>, Classifier);

/// Divides a node's samples and learns the division; `None` if the node stays a leaf.
fn split(
    config: &PartitionConfig,
    (samples, range): (&Samples, Range),
    members: &[usize],
    height: u32,
    seed: u64,
) -> Result<Option<Halves>, String> {
    let threshold = match config.split {
        Split::Mean => samples.mean(members, range),
        Split::Median => samples.median(members, range),
    };
    let is_good = |&i: &usize| samples.fitness(i, range) >= threshold;
    let (good, bad): (Vec<usize>, Vec<usize>) = members.iter().copied().partition(is_good);
    if height == 0 || good.len().min(bad.len()) < config.min_leaf as usize {
        return Ok(None);
    }
    let rows: Vec<&[f64]> = members.iter().map(|&i| samples.features[i].as_slice()).collect();
    let labels: Vec<bool> = members.iter().map(is_good).collect();
    let classifier = Classifier::fit(&rows, &labels, config.trees, seed)?;
    Ok(classifier.map(|classifier| (good, bad, classifier)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::Height;

    /// Fitness is the first feature; the second one only distinguishes.
    fn ladder(n: usize) -> Samples {
        let mut samples = Samples::default();
        for i in 0..n {
            assert!(samples.push(vec![(i % 10) as f64, i as f64], Some((i % 10) as f64)));
        }
        samples
    }

    fn fit(config: &PartitionConfig, samples: &Samples, size: usize) -> Tree {
        Tree::fit(config, samples, size, |node| node).unwrap()
    }

    #[test]
    fn the_bound_adds_the_exploration_term_of_the_paper() {
        let expected = 0.5 + 2.0 * 0.1 * (2.0 * 40f64.ln() / 10.0).sqrt();
        assert!((uct(0.5, 0.1, 40, 10) - expected).abs() < 1e-15);
        assert_eq!(uct(0.5, 0.0, 40, 10), 0.5);
        assert_eq!(uct(0.5, 0.1, 40, 0), f64::INFINITY);
    }

    #[test]
    fn without_exploration_the_walk_ends_among_the_best() {
        let samples = ladder(80);
        for config in [
            PartitionConfig::compatible(),
            PartitionConfig { descent: Descent::Uct { exploration: 0.0 }, ..PartitionConfig::learned() },
        ] {
            let tree = fit(&config, &samples, 80);
            let leaf = tree.descend(&config, &samples);
            assert!(leaf.members.iter().all(|&i| samples.fitness(i, samples.range(80)) >= 0.5), "{leaf:?}");
            assert!(tree.agreement(&leaf, &[9.0, 9.0], 0.0).unwrap() >= 0.5);
            assert!(tree.agreement(&leaf, &[0.0, 10.0], 0.0).unwrap() < 0.5);
        }
    }

    #[test]
    fn with_exploration_a_crowded_good_child_yields_to_a_sparse_one() {
        let config = PartitionConfig {
            descent: Descent::Uct { exploration: 0.5 },
            height: Height::AtMost(1),
            ..PartitionConfig::learned()
        };
        let mut samples = ladder(20);
        let mut tree = fit(&config, &samples, 20);
        assert!(tree.descend(&config, &samples).path[0].1, "the good half comes first");
        // Hundreds of further good samples are placed between two fits.
        for _ in 0..400 {
            assert!(samples.push(vec![8.0, 8.0], Some(8.0)));
        }
        tree.extend(&samples).unwrap();
        let explored = tree.descend(&config, &samples);
        assert!(!explored.path[0].1, "the bad half was never visited again");
        let greedy = PartitionConfig { descent: Descent::BestMedian, ..config };
        assert!(tree.descend(&greedy, &samples).path[0].1);
    }

    #[test]
    fn a_tree_is_that_of_its_first_samples_whatever_came_after_them() {
        // Failed trials count as the worst complete one, so that the mean depends on which that is.
        let mut samples = Samples::default();
        for i in 0..40 {
            assert!(samples.push(vec![f64::from(i)], (i % 4 != 0).then_some(0.5 + f64::from(i) / 80.0)));
        }
        let halves = |samples: &Samples| -> Vec<Vec<usize>> {
            let tree = fit(&PartitionConfig::learned(), samples, 40);
            tree.nodes.iter().map(|node| node.members.clone()).collect()
        };
        let at_once = halves(&samples);
        assert!(samples.push(vec![1.0], Some(-9.0)));
        assert_eq!(halves(&samples), at_once);
    }

    #[test]
    fn equal_fitness_leaves_nothing_to_split() {
        let mut samples = Samples::default();
        for i in 0..40 {
            assert!(samples.push(vec![f64::from(i)], Some(0.25)));
        }
        assert!(!fit(&PartitionConfig::learned(), &samples, 40).is_split());
    }

    #[test]
    fn failed_trials_are_on_the_bad_side() {
        let mut samples = Samples::default();
        for i in 0..40 {
            let fails = i % 2 == 0;
            assert!(samples.push(vec![f64::from(i % 2)], (!fails).then_some(0.7 + f64::from(i) / 1e3)));
        }
        let config = PartitionConfig::learned();
        let leaf = fit(&config, &samples, 40).descend(&config, &samples);
        assert!(leaf.members.iter().all(|&i| samples.fitness[i].is_some()), "{leaf:?}");
    }
}
