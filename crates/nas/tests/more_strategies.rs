//! NSGA-II, TPE, lists and batches: known fronts, known optima, determinism and replay.

mod support;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use mlp_space::Architecture;
use nas::budget::{Budget, Cost, Reach};
use nas::pareto::{Measure, front};
use nas::rank::Rank;
use nas::space::{EncodedSpace, ListedSpace, SearchSpace};
use nas::strategy::{
    DrawKey, Evolution, EvolutionConfig, InOrder, LearnedPartition, Nsga2, Nsga2Config, Observation, PartitionConfig,
    RandomSearch, Strategy, Tpe, TpeConfig,
};
use nas::study::{MemoryStudy, StudyStore};
use proptest::prelude::*;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use support::{NEVER, Stage, coarse, config, hidden_objective, identity, operators, score, widths};

/// Numbers 0 to 15, as many as the space has.
#[derive(Debug, Clone, PartialEq)]
struct Digits(Vec<u8>);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(u8::to_string).collect();
        f.write_str(&words.join(" "))
    }
}

impl FromStr for Digits {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(' ').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// A space of [`Digits`] whose size is their sum.
struct Grid(usize);

impl SearchSpace for Grid {
    type Genome = Digits;

    fn sample(&self, rng: &mut ChaCha8Rng) -> Digits {
        Digits((0..self.0).map(|_| rng.random_range(0..16u32) as u8).collect())
    }
    fn mutate(&self, genome: &Digits, rng: &mut ChaCha8Rng) -> Digits {
        let mut digits = genome.0.clone();
        digits[rng.random_range(0..self.0 as u32) as usize] = rng.random_range(0..16u32) as u8;
        Digits(digits)
    }
    fn crossover(&self, one: &Digits, other: &Digits, rng: &mut ChaCha8Rng) -> Option<Digits> {
        let child = Digits(one.0.iter().zip(&other.0).map(|(a, b)| if rng.random() { *a } else { *b }).collect());
        (child != *one && child != *other).then_some(child)
    }
    fn fingerprint(&self, genome: &Digits) -> String {
        genome.to_string()
    }
    fn cost(&self, genome: &Digits) -> Cost {
        let sum = genome.0.iter().map(|&digit| u64::from(digit)).sum();
        Cost { params: sum, macs: sum }
    }
    fn reach(&self, budget: &Budget) -> Reach {
        let (smallest, largest) = (Cost { params: 0, macs: 0 }, Cost { params: 15 * self.0 as u64, macs: 0 });
        Reach { smallest, largest, nearest: if budget.check(smallest).is_none() { smallest } else { largest } }
    }
    fn check(&self, genome: &Digits) -> nas::Result<()> {
        if genome.0.len() == self.0 && genome.0.iter().all(|&digit| digit < 16) {
            return Ok(());
        }
        Err(nas::Error::Genome { text: genome.to_string(), detail: "of another grid".to_owned() })
    }
}

impl EncodedSpace for Grid {
    fn encode(&self, genome: &Digits) -> Vec<f64> {
        genome.0.iter().map(|&digit| f64::from(digit)).collect()
    }
}

/// Asks and tells `trials` times without a driver; a draw that was seen is drawn anew. The ranks in order.
fn play<S: SearchSpace + ?Sized>(
    space: &S,
    strategy: &mut dyn Strategy<S>,
    seed: u64,
    trials: u64,
    fitness: &dyn Fn(&S::Genome) -> f64,
) -> Vec<Rank> {
    let mut seen = BTreeSet::new();
    let mut ranks = Vec::new();
    for number in 0..trials {
        let mut draws = (0..1000).map(|attempt| {
            let key = DrawKey { seed, stage: 1, number, attempt };
            // Before anything was told a strategy draws at random.
            strategy.ask(space, &key).unwrap()
        });
        let Some(genome) = draws.find(|genome| seen.insert(space.fingerprint(genome))) else { break };
        let (cost, fingerprint) = (space.cost(&genome), space.fingerprint(&genome));
        let rank = Rank { fitness: fitness(&genome), cost, latency_ms: None, number };
        ranks.push(rank);
        strategy.tell(space, Observation { number, genome, fingerprint, rank: Some(rank) }).unwrap();
    }
    ranks
}

fn nsga2<G: Clone>() -> Nsga2<G> {
    Nsga2::new(Nsga2Config::default()).unwrap()
}

fn tpe<G: Clone>() -> Tpe<G> {
    Tpe::new(TpeConfig::default()).unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Area that fitness (0 to 1) against size (0 to `largest`) covers below a front, the hypervolume.
fn covered(ranks: &[Rank], largest: f64) -> f64 {
    let front = front(ranks, &[Measure::Params]);
    let ends = front.iter().skip(1).map(|&i| ranks[i].cost.params as f64).chain([largest]);
    front.iter().zip(ends).map(|(&i, end)| ranks[i].fitness * (end - ranks[i].cost.params as f64)).sum::<f64>()
        / largest
}

#[test]
fn nsga2_finds_the_known_front_of_fitness_against_size() {
    // A digit brings 1 - (1 - d / 15)^2 whichever it is, so the front spreads a sum evenly over the digits. The optimum in fitness alone is all
    // at 15; in size alone all at 0.
    let (digits, largest) = (8u8, 120.0);
    let space = Grid(digits.into());
    let fitness = |genome: &Digits| {
        let sum: f64 = genome.0.iter().map(|&digit| 1.0 - (1.0 - f64::from(digit) / 15.0).powi(2)).sum();
        sum / f64::from(digits)
    };
    let known: Vec<Rank> = (0..=15 * digits)
        .map(|sum| {
            let even = Digits((0..digits).map(|at| sum / digits + u8::from(at < sum % digits)).collect());
            Rank { fitness: fitness(&even), cost: space.cost(&even), latency_ms: None, number: sum.into() }
        })
        .collect();
    let best = covered(&known, largest);
    let of = |strategy: &dyn Fn() -> Box<dyn Strategy<Grid>>| {
        let part = |seed| covered(&play(&space, &mut *strategy(), seed, 2_000, &fitness), largest) / best;
        median((0..9).map(part).collect())
    };
    let (found, random) = (of(&|| Box::new(nsga2())), of(&|| Box::new(RandomSearch)));
    assert!(found > 0.97, "{found} of the known front's area is covered");
    assert!(1.0 - found < 0.6 * (1.0 - random), "{found} is covered, {random} by chance");
}

#[test]
fn tpe_is_better_than_chance_in_median_over_seeds() {
    // Nearness to a hidden point; three of the numbers decide nothing.
    let space = Grid(8);
    let fitness = |genome: &Digits| {
        let hidden = [3.0, 12.0, 7.0, 0.0, 15.0];
        -genome.0.iter().zip(hidden).map(|(&digit, at)| (f64::from(digit) - at).abs()).sum::<f64>()
    };
    let of = |strategy: &dyn Fn() -> Box<dyn Strategy<Grid>>| {
        let best = |seed| {
            play(&space, &mut *strategy(), seed, 60, &fitness).iter().map(|r| r.fitness).fold(f64::MIN, f64::max)
        };
        median((0..15).map(best).collect())
    };
    let (found, random) = (of(&|| Box::new(tpe())), of(&|| Box::new(RandomSearch)));
    assert!(found > random + 5.0, "the best is {found} in median, {random} by chance");
}

#[test]
fn tpe_and_nsga2_learn_in_the_stages_of_the_search() {
    let late = |run: &[f64]| {
        let last = &run[run.len() * 3 / 4..];
        last.iter().sum::<f64>() / last.len() as f64
    };
    fn medians<S: EncodedSpace<Genome = Architecture>>(space: &S, late: &dyn Fn(&[f64]) -> f64) -> [f64; 3] {
        let of = |strategy: &dyn Fn() -> Box<dyn Strategy<S>>| {
            median((0..9).map(|seed| late(&support::search(space, &mut *strategy(), seed, config(60, 20)))).collect())
        };
        [of(&|| Box::new(RandomSearch)), of(&|| Box::new(tpe())), of(&|| Box::new(nsga2()))]
    }
    for (stage, [random, tpe, nsga2]) in [(1, medians(&coarse(), &late)), (3, medians(&widths(), &late))] {
        assert!(tpe > random + 0.03, "stage {stage}: {tpe} against {random}");
        assert!(nsga2 > random, "stage {stage}: {nsga2} against {random}");
    }
}

fn all() -> Vec<(&'static str, Box<dyn Strategy<Grid>>)> {
    let partition = |config| LearnedPartition::new(PartitionConfig { max_draws: 300, trees: 10, ..config }).unwrap();
    let evolution = EvolutionConfig { population: 10, tournament: 3 };
    vec![
        ("random", Box::new(RandomSearch)),
        ("evolution", Box::new(Evolution::new(evolution).unwrap())),
        ("nsga2", Box::new(nsga2())),
        ("tpe", Box::new(tpe())),
        ("learned", Box::new(partition(PartitionConfig::learned()))),
        ("compatible", Box::new(partition(PartitionConfig::compatible()))),
    ]
}

#[test]
fn a_batch_has_different_members_and_leaves_no_trace_in_the_strategy() {
    let space = Grid(4);
    let fitness = |genome: &Digits| -f64::from(genome.0[0].abs_diff(5)) - f64::from(genome.0[1]) / 9.0;
    for ((name, mut asked), (_, mut other)) in all().into_iter().zip(all()) {
        for strategy in [&mut asked, &mut other] {
            // Not at an end of a generation or between two fits.
            play(&space, &mut **strategy, 3, 47, &fitness);
        }
        let key = DrawKey { seed: 3, stage: 1, number: 47, attempt: 0 };
        let batch = asked.ask_batch(&space, &key, 8).unwrap();
        let distinct: BTreeSet<String> = batch.iter().map(ToString::to_string).collect();
        assert_eq!((batch.len(), distinct.len()), (8, 8), "{name}: {batch:?}");
        assert_eq!(batch[0], asked.ask(&space, &key).unwrap(), "{name}: the first one has nothing beside it");
        assert_eq!(batch, asked.ask_batch(&space, &key, 8).unwrap(), "{name}");
        assert_eq!(batch, other.ask_batch(&space, &key, 8).unwrap(), "{name}");
        assert_eq!(asked.ask(&space, &key).unwrap(), other.ask(&space, &key).unwrap(), "{name}: after a batch");
        assert!(batch.iter().all(|genome| space.check(genome).is_ok()));
    }
}

#[test]
fn what_learns_keeps_away_from_pending_trials() {
    // One feature decides, and many trials are at the optimum. The more pending ones there, the fewer draws go there.
    let space = Grid(2);
    let fitness = |genome: &Digits| -f64::from(genome.0[0].abs_diff(8));
    let mut strategy = tpe();
    play(&space, &mut strategy, 5, 40, &fitness);
    let near = |strategy: &mut Tpe<Digits>, pending: &[Digits]| {
        let ask = |attempt| {
            let key = DrawKey { seed: 5, stage: 1, number: 40, attempt };
            strategy.ask_beside(&space, &key, pending).unwrap()
        };
        (0..60).map(ask).filter(|genome| genome.0[0].abs_diff(8) <= 1).count()
    };
    let pending: Vec<Digits> = (7..10).flat_map(|x| (0..16).map(move |y| Digits(vec![x, y]))).collect();
    let (alone, beside) = (near(&mut strategy, &[]), near(&mut strategy, &pending));
    assert!(alone > 40 && beside < alone / 2, "{alone} draws at the optimum alone, {beside} beside pending ones");
}

#[test]
fn a_batch_of_an_exhausted_space_is_as_large_as_the_space() {
    let space = ListedSpace::new(Box::new(Grid(1)), (0..5).map(|n| Digits(vec![n])).collect()).unwrap();
    let key = DrawKey { seed: 1, stage: 1, number: 0, attempt: 0 };
    let batch = RandomSearch.ask_batch(&space, &key, 9).unwrap();
    assert_eq!(batch.len(), 5);
}

fn drawn<S: EncodedSpace<Genome = Architecture>>(space: &S, count: usize, seed: u64) -> Vec<Architecture> {
    let mut rng = run_store::rng::keyed(seed, "nas.test.list", &[]);
    let mut seen = BTreeSet::new();
    std::iter::repeat_with(|| space.sample(&mut rng))
        .filter(|g| seen.insert(space.fingerprint(g)))
        .take(count)
        .collect()
}

#[test]
fn a_list_draws_its_members_only_and_varies_to_near_ones() {
    let space = coarse();
    let members = drawn(&space, 80, 4);
    let list = ListedSpace::new(Box::new(space), members.clone()).unwrap();
    // Distances in units of each number's spread, as the list has them.
    let rows: Vec<Vec<f64>> = members.iter().map(|genome| list.encode(genome)).collect();
    let spread: Vec<f64> = (0..rows[0].len())
        .map(|at| {
            let mean = rows.iter().map(|row| row[at]).sum::<f64>() / 80.0;
            (rows.iter().map(|row| (row[at] - mean).powi(2)).sum::<f64>() / 80.0).sqrt()
        })
        .collect();
    let distance = |a: &Architecture, b: &Architecture| {
        let [a, b] = [a, b].map(|genome| list.encode(genome));
        let part = |at: usize| if spread[at] > 1e-9 { ((a[at] - b[at]) / spread[at]).powi(2) } else { 0.0 };
        (0..spread.len()).map(part).sum::<f64>().sqrt()
    };
    let mut rng = run_store::rng::keyed(9, "nas.test.list", &[]);
    let (mut sampled, mut close) = (BTreeSet::new(), 0);
    for genome in &members {
        sampled.insert(list.place(&list.sample(&mut rng)).unwrap());
        let mut by_distance: Vec<f64> = members.iter().filter(|m| *m != genome).map(|m| distance(genome, m)).collect();
        by_distance.sort_by(f64::total_cmp);
        for _ in 0..10 {
            let near = list.mutate(genome, &mut rng);
            assert!(list.check(&near).is_ok());
            close += usize::from(near != *genome && distance(genome, &near) <= by_distance[11] + 1e-9);
        }
    }
    // One in ten is any of the 80.
    assert!((690..760).contains(&close), "{close} of 800 variations are among the 12 nearest");
    assert!(sampled.len() > 35, "{} of 80 members were drawn in 80 samples", sampled.len());
    let stranger = drawn(&coarse(), 1, 99).pop().unwrap();
    let message = list.check(&stranger).unwrap_err().to_string();
    assert!(message.contains("one of the 80"), "{message}");
    // Of a genome outside it still knows what the space knows.
    assert_eq!(list.cost(&stranger), coarse().cost(&stranger));
    assert_eq!(list.encode(&stranger).len(), rows[0].len());
}

#[test]
fn a_list_that_is_none_is_refused() {
    let list = |members: Vec<Architecture>| ListedSpace::new(Box::new(coarse()), members).unwrap_err().to_string();
    assert!(list(Vec::new()).contains("empty"));
    let twice = drawn(&coarse(), 2, 1);
    let message = list(vec![twice[0].clone(), twice[1].clone(), twice[0].clone()]);
    assert!(message.contains("members 1 and 3"), "{message}");
    let outside = mlp_space::released::preset("warm-up").unwrap();
    let short = Architecture::new(outside.layers()[..2].to_vec()).unwrap();
    assert!(list(vec![short]).contains("2 layers"));
}

#[test]
fn a_rung_evaluates_every_survivor_once_in_order_and_hands_on_the_best() {
    let space = coarse();
    let objective = hidden_objective(8);
    // The first rung: many, by a coarse view of the objective.
    let mut first = MemoryStudy::new(identity(8));
    let coarsely = |genome: &Architecture| (objective(genome) * 10.0).round();
    Stage::new(config(24, 24)).run(&space, &mut RandomSearch, &mut first, &mut score(coarsely)).unwrap();
    let trials = first.trials(1).unwrap();
    let rungs = nas::halving::rungs(24, 10, 1000, 3).unwrap();
    let promoted = nas::halving::promoted(&trials, rungs[1].candidates as usize);
    let survivors: Vec<Architecture> = promoted.iter().map(|trial| space.parse(&trial.genome).unwrap()).collect();
    assert_eq!(survivors.len(), 8);
    // The second one: these, by the objective itself, interrupted in the middle.
    let list = ListedSpace::new(Box::new(coarse()), survivors.clone()).unwrap();
    let rung = nas::driver::StageConfig { stage: 2, trials: 8, initial_random: 0, max_draws: 100 };
    let mut second = MemoryStudy::new(identity(8));
    let run = |store: &mut MemoryStudy, trials: u64| {
        let mut stage = Stage::new(nas::driver::StageConfig { trials, ..rung.clone() });
        stage.run(&list, &mut InOrder::new(survivors.clone()).unwrap(), store, &mut score(&objective)).unwrap()
    };
    run(&mut second, 3);
    let outcome = run(&mut second, 8);
    let asked: Vec<String> = second.trials(2).unwrap().iter().map(|trial| trial.genome.clone()).collect();
    assert_eq!(asked, survivors.iter().map(ToString::to_string).collect::<Vec<_>>());
    let best = survivors.iter().map(&objective).fold(f64::MIN, f64::max);
    assert_eq!(objective(&outcome.genome), best);
    assert_eq!(second.rejected(2).unwrap(), []);
    assert!(!NEVER.load(std::sync::atomic::Ordering::SeqCst));
}

#[test]
fn a_member_that_is_rejected_is_passed_over_and_a_list_that_is_used_up_exhausts_the_stage() {
    let members = drawn(&coarse(), 6, 21);
    let list = ListedSpace::new(Box::new(coarse()), members.clone()).unwrap();
    let mut store = MemoryStudy::new(identity(1));
    let mut stage = Stage::new(config(6, 0));
    // A limit that the third one alone breaks: it takes longer than the others.
    let mut slow = |genome: &Architecture| if *genome == members[2] { 9.0 } else { 1.0 };
    struct By<F>(F);
    impl<F: FnMut(&Architecture) -> f64> nas::budget::Latency<Architecture> for By<F> {
        fn measure(&mut self, genome: &Architecture) -> Result<f64, String> {
            Ok((self.0)(genome))
        }
    }
    let mut meter = By(&mut slow);
    stage.latency = Some(&mut meter);
    stage.budget.max_latency_ms = Some(5.0);
    let mut strategy = InOrder::new(members.clone()).unwrap();
    let outcome = stage.run(&list, &mut strategy, &mut store, &mut score(hidden_objective(1))).unwrap();
    assert!(outcome.exhausted);
    let asked: Vec<String> = store.trials(1).unwrap().iter().map(|trial| trial.genome.clone()).collect();
    let expected: Vec<String> = [0, 1, 3, 4, 5].map(|at: usize| members[at].to_string()).to_vec();
    assert_eq!(asked, expected);
    assert!(InOrder::<Architecture>::new(Vec::new()).is_err());
}

#[test]
fn in_order_a_batch_is_the_next_members() {
    let members: Vec<Digits> = (0..9).map(|n| Digits(vec![n])).collect();
    let mut strategy = InOrder::new(members.clone()).unwrap();
    let space = Grid(1);
    play(&space, &mut strategy, 1, 2, &|_| 0.0);
    let key = DrawKey { seed: 1, stage: 1, number: 2, attempt: 0 };
    assert_eq!(strategy.ask_batch(&space, &key, 4).unwrap(), members[2..6]);
}

#[test]
fn a_crossed_architecture_has_layers_of_both_and_is_within_the_limits() {
    fn check<S: EncodedSpace<Genome = Architecture>>(space: &S) {
        let mut rng = run_store::rng::keyed(6, "nas.test.cross", &[]);
        let mut found = 0;
        for _ in 0..40 {
            let (one, other) = (space.sample(&mut rng), space.sample(&mut rng));
            assert_eq!(space.crossover(&one, &one, &mut rng), None, "one parent has no child of its own");
            let Some(child) = space.crossover(&one, &other, &mut rng) else { continue };
            found += 1;
            assert!(child != one && child != other);
            assert_eq!(space.check(&child).map_err(|e| e.to_string()), Ok(()));
            assert_eq!(support::WINDOW.check(space.cost(&child)), None);
            let mut parents = child.layers().iter().zip(one.layers().iter().zip(other.layers()));
            assert!(parents.all(|(layer, (own, its))| layer == own || layer == its));
        }
        assert!(found > 10, "{found} of 40 pairs have a child");
    }
    check(&coarse());
    check(&operators());
    check(&widths());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_strategy_draws_the_same_after_a_replay(seed in any::<u64>(), told in 0u64..60) {
        let space = Grid(3);
        let fitness = |genome: &Digits| f64::from(genome.0[0]) - f64::from(genome.0[2].abs_diff(4));
        for (at, (name, mut whole)) in all().into_iter().enumerate() {
            // One that goes through, and a fresh one that is told the same rows.
            let mut history = Vec::new();
            for number in 0..told {
                let genome = whole.ask(&space, &DrawKey { seed, stage: 2, number, attempt: 0 }).unwrap();
                let cost = space.cost(&genome);
                // One in seven fails.
                let complete = number % 7 != 3;
                let rank = complete.then(|| Rank { fitness: fitness(&genome), cost, latency_ms: None, number });
                let fingerprint = space.fingerprint(&genome);
                history.push(Observation { number, genome, fingerprint, rank });
                whole.tell(&space, history[number as usize].clone()).unwrap();
            }
            let mut fresh = all().swap_remove(at).1;
            for observation in history {
                fresh.tell(&space, observation).unwrap();
            }
            for attempt in 0..3 {
                let key = DrawKey { seed, stage: 2, number: told, attempt };
                prop_assert_eq!(fresh.ask(&space, &key).unwrap(), whole.ask(&space, &key).unwrap(), "{}", name);
            }
        }
    }
}
