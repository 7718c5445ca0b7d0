//! Regret of the strategies on recorded evaluations.
//!
//! ```sh
//! cargo run --release -p nas --example regret -- docs/results/strategies/evaluations.csv OUT [--seeds 50] [--trials 120] [--initial 10]
//! ```
//!
//! The file has columns `number,score,again,params,macs,architecture`: candidates of stage 1 that were trained and scored; `again`, which may be
//! empty, is a second evaluation. The candidates are a finite space. Each strategy asks, the table answers, and the simple regret after `n`
//! trials is the highest score of the table less the highest score of the first `n`. Writes `regret.csv` and `regret.svg`, prints a table.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, missing_docs)]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use mlp_space::{Architecture, Widths};
use nas::budget::{Budget, Cost};
use nas::driver::{Candidate, EvalError, StageConfig, StageParts, run_stage};
use nas::space::{CoarseSpace, Encoding, ListedSpace, SearchSpace, Student};
use nas::strategy::{
    Evolution, EvolutionConfig, LearnedPartition, Nsga2, Nsga2Config, PartitionConfig, RandomSearch, Strategy, Tpe,
    TpeConfig,
};
use nas::study::{Fitness, MemoryStudy, StudyIdentity, StudyStore};

type Fault = Box<dyn std::error::Error>;
type List = ListedSpace<CoarseSpace>;

/// What decides widths and MACs of the candidates in the file: recipe `minilm-quick`.
const HIDDEN: usize = 264;
const TOKENS: usize = 128;

const STRATEGIES: [(&str, &str); 6] = [
    ("random", "#000000"),
    ("evolution", "#e69f00"),
    ("nsga2", "#009e73"),
    ("tpe", "#d55e00"),
    ("compatible", "#56b4e9"),
    ("learned", "#0072b2"),
];

/// One recorded candidate.
struct Row {
    genome: Architecture,
    score: f64,
    again: Option<f64>,
    cost: Cost,
}

/// How long a search is, and how often it is repeated.
#[derive(Clone, Copy)]
struct Plan {
    seeds: u64,
    trials: u64,
    initial: u64,
}

fn main() -> Result<(), Fault> {
    let (mut paths, mut plan) = (Vec::new(), Plan { seeds: 50, trials: 120, initial: 10 });
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64, Fault> { Ok(arguments.next().ok_or("a number is missing")?.parse()?) };
        match argument.as_str() {
            "--seeds" => plan.seeds = number()?,
            "--trials" => plan.trials = number()?,
            "--initial" => plan.initial = number()?,
            _ => paths.push(argument),
        }
    }
    let [file, out] = paths.as_slice() else { return Err("two paths: EVALUATIONS.csv OUT".into()) };
    let rows = read(&std::fs::read_to_string(file)?)?;
    if plan.seeds == 0 || plan.initial == 0 || plan.trials <= plan.initial || plan.trials > rows.len() as u64 {
        return Err(format!("{} trials of {} rows, {} at random", plan.trials, rows.len(), plan.initial).into());
    }
    describe(&rows);
    let curves = STRATEGIES.map(|(name, _)| (name, regret(name, &rows, plan)));
    let mut found = Vec::new();
    for (name, curves) in curves {
        found.push((name, curves?));
    }
    std::fs::create_dir_all(out)?;
    std::fs::write(Path::new(out).join("regret.csv"), csv(&found))?;
    std::fs::write(Path::new(out).join("regret.svg"), svg(&found, plan))?;
    println!("{}", table(&found, plan));
    Ok(())
}

fn read(text: &str) -> Result<Vec<Row>, Fault> {
    let mut lines = text.lines();
    let header = "number,score,again,params,macs,architecture";
    if lines.next() != Some(header) {
        return Err(format!("the first line is not `{header}`").into());
    }
    let row = |line: &str| -> Result<Row, Fault> {
        let [_, score, again, params, macs, genome] = line.splitn(6, ',').collect::<Vec<_>>()[..] else {
            return Err("six columns are expected".into());
        };
        let again = if again.is_empty() { None } else { Some(again.parse()?) };
        let cost = Cost { params: params.parse()?, macs: macs.parse()? };
        Ok(Row { genome: genome.trim_matches('"').parse()?, score: score.parse()?, again, cost })
    };
    let numbered = lines.enumerate().map(|(at, line)| row(line).map_err(|e| format!("line {}: {e}", at + 2).into()));
    numbered.collect()
}

/// The rows as a space. What a student has beside its feed-forwards follows from the first row, and must fit all of them.
fn list(rows: &[Row], encoding: Encoding) -> Result<List, Fault> {
    let layers = rows[0].genome.layers().len();
    let nothing = Cost::default();
    let bare = Student { widths: Widths::square(HIDDEN), layers, fixed: nothing, seq: TOKENS, encoding };
    let searched = bare.cost(&rows[0].genome);
    let less = |whole: u64, part: u64| whole.checked_sub(part).ok_or("a student is smaller than its feed-forwards");
    let fixed =
        Cost { params: less(rows[0].cost.params, searched.params)?, macs: less(rows[0].cost.macs, searched.macs)? };
    let space = CoarseSpace::new(Student { fixed, ..bare }, &Budget::default())?;
    if let Some(row) = rows.iter().find(|row| space.cost(&row.genome) != row.cost) {
        return Err(format!("{} costs {:?}, not {:?}", row.genome, space.cost(&row.genome), row.cost).into());
    }
    Ok(ListedSpace::new(Box::new(space), rows.iter().map(|row| row.genome.clone()).collect())?)
}

fn strategy(name: &str, rows: usize) -> Result<Box<dyn Strategy<List>>, Fault> {
    // Enough draws to see every member of the list; the usual thousands would see each of them again and again.
    let partition = |config| PartitionConfig { max_draws: 4 * rows as u32, ..config };
    Ok(match name {
        "random" => Box::new(RandomSearch),
        "evolution" => Box::new(Evolution::new(EvolutionConfig::default())?),
        "nsga2" => Box::new(Nsga2::new(Nsga2Config::default())?),
        "tpe" => Box::new(Tpe::new(TpeConfig::default())?),
        "compatible" => Box::new(LearnedPartition::new(partition(PartitionConfig::compatible()))?),
        "learned" => Box::new(LearnedPartition::new(partition(PartitionConfig::learned()))?),
        other => return Err(format!("no strategy `{other}`").into()),
    })
}

/// For each seed the regret after 1, 2, ... trials.
fn regret(name: &str, rows: &[Row], plan: Plan) -> Result<Vec<Vec<f64>>, Fault> {
    let encoding = if matches!(name, "compatible" | "learned") { Encoding::Reference } else { Encoding::Rich };
    let space = list(rows, encoding)?;
    let highest = rows.iter().map(|row| row.score).fold(f64::MIN, f64::max);
    let search = |seed: u64| -> Result<Vec<f64>, Fault> {
        let identity = StudyIdentity { name: "regret".to_owned(), config_hash: String::new(), seed };
        let mut store = MemoryStudy::new(identity);
        let mut evaluate = |candidate: &Candidate<Architecture>| -> Result<Fitness, EvalError> {
            let place = space.place(&candidate.genome);
            let place = place.ok_or_else(|| EvalError::Run("drawn from outside the list".to_owned()))?;
            Ok(Fitness { score: rows[place].score, ..Fitness::default() })
        };
        let parts = StageParts {
            space: &space,
            strategy: &mut *strategy(name, rows.len())?,
            store: &mut store,
            budget: &Budget::default(),
            latency: None,
            evaluate: &mut evaluate,
            clock: &mut || 0,
            stop: &AtomicBool::new(false),
            on_event: &mut |_| {},
        };
        let Plan { trials, initial, .. } = plan;
        let found = run_stage(&StageConfig { stage: 1, trials, initial_random: initial, max_draws: 100_000 }, parts)?;
        if found.completed != trials {
            return Err(format!("{name}, seed {seed}: only {} trials", found.completed).into());
        }
        let mut best = f64::MIN;
        let scores = store.trials(1)?.into_iter().filter_map(|trial| trial.fitness);
        Ok(scores
            .map(|score| {
                best = best.max(score);
                highest - best
            })
            .collect())
    };
    (0..plan.seeds).map(search).collect()
}

/// Spread of the scores, and how far two evaluations agree.
fn describe(rows: &[Row]) {
    let scores: Vec<f64> = rows.iter().map(|row| row.score).collect();
    let mut sorted = scores.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    println!(
        "{} candidates: scores from {:.4} to {:.4}, standard deviation {:.4}; the best three {:.4}, {:.4}, {:.4}",
        rows.len(),
        sorted[rows.len() - 1],
        sorted[0],
        deviation(&scores),
        sorted[0],
        sorted[1],
        sorted[2]
    );
    let pairs: Vec<(f64, f64)> = rows.iter().filter_map(|row| Some((row.score, row.again?))).collect();
    if pairs.len() < 3 {
        return;
    }
    let (first, second): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let difference: Vec<f64> = pairs.iter().map(|(a, b)| a - b).collect();
    let (a, b) = (mean(&first), mean(&second));
    let covariance = pairs.iter().map(|(x, y)| (x - a) * (y - b)).sum::<f64>() / (pairs.len() - 1) as f64;
    println!(
        "{} of them twice: correlation {:.3}, standard error of one evaluation {:.4} (standard deviation of differences / sqrt 2)\n",
        pairs.len(),
        covariance / (deviation(&first) * deviation(&second)),
        deviation(&difference) / 2f64.sqrt()
    );
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0).max(1.0)).sqrt()
}

/// Quantile with linear interpolation.
fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = q * (values.len() - 1) as f64;
    let low = at.floor() as usize;
    values[low] + (at - at.floor()) * (values[(low + 1).min(values.len() - 1)] - values[low])
}

/// Regret of all seeds after `n` trials.
fn after(curves: &[Vec<f64>], n: u64) -> Vec<f64> {
    curves.iter().map(|curve| curve[n as usize - 1]).collect()
}

type Found = Vec<(&'static str, Vec<Vec<f64>>)>;

fn csv(found: &Found) -> String {
    let mut text = "strategy,trials,lower_quartile,median,upper_quartile,mean\n".to_owned();
    for (name, curves) in found {
        for n in 1..=curves[0].len() as u64 {
            let at = after(curves, n);
            let [low, middle, high] = [0.25, 0.5, 0.75].map(|q| quantile(at.clone(), q));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name},{n},{low:.5},{middle:.5},{high:.5},{:.5}", mean(&at));
        }
    }
    text
}

/// Medians with quartiles, and the mean over the trials after the random ones, seed by seed against `learned`.
fn table(found: &Found, plan: Plan) -> String {
    let marks: Vec<u64> = [20, 30, 40, 60, 80, 100, 120, 160, 200]
        .into_iter()
        .filter(|n| (plan.initial..=plan.trials).contains(n))
        .collect();
    let mut text = format!("regret x 1000, median (quartiles) of {} seeds\n\n| strategy |", plan.seeds);
    for n in &marks {
        let _ = write!(text, " {n} trials |");
    }
    text.push_str(" mean over the course | less that of `learned` |\n|---|");
    text.push_str(&"---|".repeat(marks.len() + 2));
    let course = |curves: &[Vec<f64>]| -> Vec<f64> {
        curves.iter().map(|curve| 1e3 * mean(&curve[plan.initial as usize..])).collect()
    };
    let standard =
        found.iter().find(|(name, _)| *name == "learned").map(|(_, curves)| course(curves)).unwrap_or_default();
    for (name, curves) in found {
        let _ = write!(text, "\n| `{name}` |");
        for &n in &marks {
            let at = after(curves, n);
            let [low, middle, high] = [0.25, 0.5, 0.75].map(|q| 1e3 * quantile(at.clone(), q));
            let _ = write!(text, " {middle:.1} ({low:.1} to {high:.1}) |");
        }
        let own = course(curves);
        let error = |values: &[f64]| deviation(values) / (values.len() as f64).sqrt();
        let less: Vec<f64> = own.iter().zip(&standard).map(|(own, other)| own - other).collect();
        let _ = write!(text, " {:.2} ± {:.2} | {:+.2} ± {:.2} |", mean(&own), error(&own), mean(&less), error(&less));
    }
    text
}

fn svg(found: &Found, plan: Plan) -> String {
    let (width, height, left, top, right, bottom) = (760.0, 420.0, 64.0, 16.0, 120.0, 46.0);
    let first = plan.initial;
    let highest = found.iter().map(|(_, curves)| quantile(after(curves, first), 0.75)).fold(1e-6, f64::max);
    let x = |n: u64| left + (n - first) as f64 / (plan.trials - first) as f64 * (width - left - right);
    let y = |regret: f64| top + (1.0 - regret / highest) * (height - top - bottom);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Simple regret of the search strategies on recorded evaluations</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for tick in 0..=4u32 {
        let regret = highest * f64::from(tick) / 4.0;
        let at = y(regret);
        let _ = writeln!(
            text,
            "<path d=\"M{left} {at:.1}H{}\" stroke=\"#dddddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.1}</text>",
            width - right,
            left - 8.0,
            at + 4.0,
            1e3 * regret
        );
    }
    for n in (first..=plan.trials).filter(|n| n % 20 == 0 || *n == first) {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{n}</text>",
            x(n),
            height - bottom + 18.0
        );
    }
    let middle = f64::midpoint(left, width - right);
    let _ = writeln!(text, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">trials</text>", height - 8.0);
    let _ = writeln!(
        text,
        "<text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">median regret x 1000, quartiles shaded</text>",
        f64::midpoint(top, height - bottom)
    );
    for ((name, curves), (_, color)) in found.iter().zip(STRATEGIES) {
        let line = |q: f64, numbers: &mut dyn Iterator<Item = u64>| -> String {
            let point = |n: u64| format!("{:.1} {:.1}", x(n), y(quantile(after(curves, n), q)));
            numbers.map(point).collect::<Vec<_>>().join("L")
        };
        let trials = first..=plan.trials;
        let (upper, lower) = (line(0.75, &mut trials.clone()), line(0.25, &mut trials.clone().rev()));
        let _ = writeln!(text, "<path d=\"M{upper}L{lower}Z\" fill=\"{color}\" opacity=\"0.07\"/>");
        let _ = writeln!(
            text,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            line(0.5, &mut trials.clone())
        );
        let place = STRATEGIES.iter().position(|(other, _)| other == name).unwrap_or(0) as f64;
        let at = top + 20.0 + 22.0 * place;
        let _ = writeln!(
            text,
            "<path d=\"M{} {at}h22\" stroke=\"{color}\" stroke-width=\"3\"/><text x=\"{}\" y=\"{}\">{name}</text>",
            width - right + 10.0,
            width - right + 38.0,
            at + 4.0
        );
    }
    text.push_str("</svg>\n");
    text
}
