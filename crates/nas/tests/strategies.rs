//! Whether a strategy is worth its name, on hidden objectives.

mod support;

use mlp_space::Architecture;
use mlp_space::released::preset;
use nas::budget::{Budget, Cost, Reach};
use nas::rank::Rank;
use nas::space::{EncodedSpace, SearchSpace};
use nas::strategy::{
    DrawKey, Evolution, EvolutionConfig, LearnedPartition, Observation, PartitionConfig, RandomSearch, Strategy,
};
use rand_chacha::ChaCha8Rng;
use support::{coarse, config, search, student, widths};

const SEEDS: u64 = 10;

/// Best fitness, and mean fitness of the last quarter, averaged over seeds.
fn measure<S: EncodedSpace<Genome = Architecture>>(
    space: &S,
    strategy: &dyn Fn() -> Box<dyn Strategy<S>>,
    trials: u64,
    initial: u64,
) -> (f64, f64, Vec<f64>) {
    let runs: Vec<Vec<f64>> =
        (0..SEEDS).map(|seed| search(space, &mut *strategy(), seed, config(trials, initial))).collect();
    let bests: Vec<f64> = runs.iter().map(|run| run.iter().copied().fold(f64::MIN, f64::max)).collect();
    let late = |run: &Vec<f64>| {
        let last = &run[run.len() * 3 / 4..];
        last.iter().sum::<f64>() / last.len() as f64
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let lates: Vec<f64> = runs.iter().map(late).collect();
    (mean(&bests), mean(&lates), bests)
}

fn random<S: EncodedSpace<Genome = Architecture>>() -> Box<dyn Strategy<S>> {
    Box::new(RandomSearch)
}

fn learned<S: EncodedSpace<Genome = Architecture>>() -> Box<dyn Strategy<S>> {
    Box::new(LearnedPartition::new(PartitionConfig::learned()).unwrap())
}

fn compatible<S: EncodedSpace<Genome = Architecture>>() -> Box<dyn Strategy<S>> {
    Box::new(LearnedPartition::new(PartitionConfig::compatible()).unwrap())
}

fn evolution<S: EncodedSpace<Genome = Architecture>>() -> Box<dyn Strategy<S>> {
    Box::new(Evolution::new(EvolutionConfig { population: 30, tournament: 8 }).unwrap())
}

#[test]
fn the_learned_partition_beats_random_search_in_stage_three() {
    let space = widths();
    let (random_best, random_late, random_bests) = measure(&space, &random, 100, 30);
    let (best, late, bests) = measure(&space, &learned, 100, 30);
    assert!(best > random_best, "best {best} against {random_best}");
    assert!(late > random_late + 0.03, "late {late} against {random_late}");
    let wins = bests.iter().zip(&random_bests).filter(|(a, b)| a >= b).count() as u64;
    assert!(3 * wins >= 2 * SEEDS, "it wins for only {wins} of {SEEDS} seeds");
}

#[test]
fn the_learned_partition_beats_random_search_in_stage_one() {
    let space = coarse();
    let (random_best, random_late, random_bests) = measure(&space, &random, 60, 30);
    let (best, late, bests) = measure(&space, &learned, 60, 30);
    assert!(best > random_best, "best {best} against {random_best}");
    assert!(late > random_late + 0.03, "late {late} against {random_late}");
    let wins = bests.iter().zip(&random_bests).filter(|(a, b)| a >= b).count() as u64;
    assert!(3 * wins >= 2 * SEEDS, "it wins for only {wins} of {SEEDS} seeds");
}

#[test]
fn the_compatible_partition_and_evolution_learn_too() {
    let space = widths();
    let (_, random_late, _) = measure(&space, &random, 60, 30);
    for (name, strategy) in [("compatible", compatible as fn() -> _), ("evolution", evolution)] {
        let (_, late, _) = measure(&space, &strategy, 60, 30);
        assert!(late > random_late, "{name}: late {late} against {random_late}");
    }
}

/// A space where a child is its parent.
struct Unchanging;

impl SearchSpace for Unchanging {
    type Genome = Architecture;

    fn sample(&self, _: &mut ChaCha8Rng) -> Architecture {
        preset("warm-up").unwrap()
    }
    fn mutate(&self, parent: &Architecture, _: &mut ChaCha8Rng) -> Architecture {
        parent.clone()
    }
    fn fingerprint(&self, genome: &Architecture) -> String {
        genome.to_string()
    }
    fn cost(&self, genome: &Architecture) -> Cost {
        student().cost(genome)
    }
    fn reach(&self, _: &Budget) -> Reach {
        let cost = self.cost(&preset("warm-up").unwrap());
        Reach { smallest: cost, largest: cost, nearest: cost }
    }
    fn check(&self, _: &Architecture) -> nas::Result<()> {
        Ok(())
    }
}

#[test]
fn of_equally_good_parents_evolution_prefers_the_smaller() {
    // Every parent takes part in so large a tournament, whichever is drawn first.
    let config = EvolutionConfig { population: 3, tournament: 64 };
    let mut genomes = ["efficientbert", "stage1-winner", "warm-up"].map(|name| preset(name).unwrap());
    let cost = |genome: &Architecture| Unchanging.cost(genome);
    let smallest = genomes.iter().min_by_key(|genome| cost(genome)).unwrap().clone();
    assert_eq!(genomes.iter().filter(|genome| cost(genome) == cost(&smallest)).count(), 1);
    for turn in 0..3 {
        let mut evolution = Evolution::new(config).unwrap();
        for (number, genome) in (0..).zip(&genomes) {
            let cost = Unchanging.cost(genome);
            let rank = Some(Rank { fitness: 0.5, cost, latency_ms: None, number });
            let fingerprint = Unchanging.fingerprint(genome);
            let observation = Observation { number, genome: genome.clone(), fingerprint, rank };
            evolution.tell(&Unchanging, observation).unwrap();
        }
        for attempt in 0..8 {
            let key = DrawKey { seed: 1, stage: 1, number: 3, attempt };
            assert_eq!(evolution.ask(&Unchanging, &key).unwrap(), smallest, "turn {turn}, attempt {attempt}");
        }
        genomes.rotate_left(1);
    }
}
