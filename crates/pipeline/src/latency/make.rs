//! A table, measured on this machine.
//!
//! Parts are timed where they will be used: inside of whole networks of the search space, which are chosen so that every part that
//! random ones have stands in at least two of them. A part's time is its median in the quietest passes, and the median over networks and
//! places. Whole passes of the same networks, without a clock inside, say how much longer those are than the sum.
//!
//! Before and after a network the reference is timed. Where it took longer than in the quietest moments, other programs were in the way,
//! and the network is measured again later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use bert_core::{BertConfig, Parts, student_config};
use cpu_runtime::{Model, Part};
use mlp_space::{Architecture, Expression, LinearId, Unary};
use nas::budget::Budget;
use nas::space::{CoarseSpace, SearchSpace, Student};

use super::measure::Timer;
use super::network::{LayerParts, Networks, bare, parts_in};
use super::predict::Times;
use super::table::{Conditions, FORMAT, LatencyTable, MOST_MARGIN, Reference, TableShape, VERSION};
use crate::recipe::LatencySettings;
use crate::{Error, Result};

/// Random networks that are asked for their parts.
const DRAWN: u64 = 400;
/// Networks that shall have each part.
const TWICE: usize = 2;
/// Most networks that are measured, of students that differ in their feed-forwards alone, and of whole encoders.
const MOST_NETWORKS: usize = 48;
const MOST_ENCODERS: usize = 200;
/// How often networks are measured again that no quiet burst was found for.
const SWEEPS: usize = 4;
/// A burst is quiet while the reference takes at most so many times what it takes in the quietest.
const QUIET: f64 = 1.1;
/// Passes in a round of a burst.
const RUNS: usize = 5;
/// Passes of a burst whose parts are timed: at least and at most, and until they took so many milliseconds.
const PART_PASSES: [usize; 2] = [30, 300];
const PART_MS: f64 = 100.0;
/// One of so many passes whose parts were timed counts: the quietest.
const QUIETEST: usize = 8;
/// Whole passes by the sum of their parts on a machine that has nothing else to do.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.85..=1.25;

/// Who measures, where and when: what a library does not know itself.
#[derive(Clone, Debug, Default)]
pub struct Maker {
    /// Version of the program.
    pub program: String,
    /// Processor, as the operating system names it.
    pub processor: String,
    /// The date and time, for people.
    pub now: String,
}

/// Measures a table for the students of `frame`, with as many threads as the current pool has; `watch` hears how many networks are done,
/// and of how many.
///
/// # Errors
/// A frame that is no student's; [`Error::Interrupted`] once `stop` is set.
pub fn make(
    frame: &BertConfig,
    settings: LatencySettings,
    maker: &Maker,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<LatencyTable> {
    let students = chosen(frame, settings, stop)?;
    let configs = students.iter().map(|genome| student_config(&bare(frame), genome));
    measure(&configs.collect::<std::result::Result<Vec<_>, _>>()?, (frame, settings), maker, stop, watch)
}

/// As [`make`], of networks that have all parts which `students` and the reference network have: configurations of a space whose students differ in
/// more than their feed-forwards. A part is named by what it computes (`attention 4 x 16` is four heads of 16 channels, `product 264 x 192`
/// a map of so many channels to so many), under the conditions of the table, so that one table holds layers of any widths.
///
/// # Errors
/// As [`make`]; a configuration that is not valid.
pub fn make_of(
    students: Vec<BertConfig>,
    (frame, settings): (&BertConfig, LatencySettings),
    maker: &Maker,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<LatencyTable> {
    let named = |config: BertConfig| {
        let names = parts_in(&config)?.iter().map(Part::to_string).collect();
        Ok((config, names))
    };
    let pace = student_config(&bare(frame), &reference(frame)?)?;
    let named = std::iter::once(pace).chain(students).map(named).collect::<Result<Vec<_>>>()?;
    measure(&covering(named, MOST_ENCODERS, true), (frame, settings), maker, stop, watch)
}

/// A table of the parts that the `chosen` networks have.
fn measure(
    chosen: &[BertConfig],
    (frame, settings): (&BertConfig, LatencySettings),
    maker: &Maker,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<LatencyTable> {
    let threads = rayon::current_num_threads();
    let reference = reference(frame)?;
    let networks = Networks::new(frame, settings);
    let reference_model = networks.compile(&reference)?;
    let mut timer =
        Timer::new(LatencySettings { runs: settings.runs.min(RUNS), ..settings }, frame.vocab_size, threads);
    let reading_ns = timer.reading_ns();
    let mut bursts: Vec<Option<Burst>> = chosen.iter().map(|_| None).collect();
    let (mut references, mut passes) = (Vec::new(), 0);
    let count = chosen.len() as u64;
    watch(0, count);
    for sweep in 0..SWEEPS {
        let quietest = references.iter().copied().fold(f64::INFINITY, f64::min);
        let is_quiet = |burst: &Option<Burst>| burst.as_ref().is_some_and(|b| b.disturbed_ms() <= quietest * QUIET);
        let open: Vec<usize> = (0..chosen.len()).filter(|&n| !is_quiet(&bursts[n])).collect();
        if open.is_empty() {
            break;
        }
        for (done, number) in open.into_iter().enumerate() {
            if stop.load(Ordering::SeqCst) {
                return Err(Error::Interrupted);
            }
            let model = networks.compile_config(&chosen[number])?;
            let burst = burst(&mut timer, (&reference_model, &model), reading_ns, stop)?;
            passes += burst.passes;
            references.push(burst.reference_ms);
            if bursts[number].as_ref().is_none_or(|before| burst.disturbed_ms() < before.disturbed_ms()) {
                bursts[number] = Some(burst);
            }
            if sweep == 0 {
                watch(done as u64 + 1, count);
            }
        }
    }
    let quietest = references.iter().copied().fold(f64::INFINITY, f64::min);
    references.retain(|ms| *ms <= quietest * QUIET);
    let reference_ms = median(&mut references);
    let bursts: Vec<(&BertConfig, Burst)> = chosen.iter().zip(bursts).filter_map(|(n, b)| Some((n, b?))).collect();
    let is_quiet = |burst: &Burst| burst.disturbed_ms() <= quietest * QUIET;
    // A part is as fast as in quiet bursts, where it is in any.
    let mut of_parts: BTreeMap<String, [Vec<f64>; 2]> = BTreeMap::new();
    for (config, burst) in &bursts {
        for (part, us) in parts_in(config)?.iter().zip(&burst.parts_us) {
            of_parts.entry(part.to_string()).or_default()[usize::from(!is_quiet(burst))].push(*us);
        }
    }
    // A part that takes less than reading the clock still takes something.
    let parts_us = of_parts.into_iter().map(|(name, [mut quiet, mut busy])| {
        let us = if quiet.is_empty() { median(&mut busy) } else { median(&mut quiet) };
        (name, us.max(1e-3))
    });
    let parts_us: BTreeMap<String, f64> = parts_us.collect();
    let outside_us = median(&mut bursts.iter().map(|(_, burst)| burst.outside_us).collect::<Vec<_>>());
    let times = Times::new(&parts_us, frame);
    let mut scales = Vec::new();
    for (config, burst) in bursts.iter().filter(|(_, burst)| is_quiet(burst)) {
        let parts = parts_in(config)?;
        let sum = times.sum(&parts).map_err(|part| Error::Mismatch(format!("no time of `{part}`")))?;
        let us = burst.ms * 1e3 * reference_ms / burst.reference_ms;
        scales.push((us - outside_us).max(us * 0.1) / sum);
    }
    scales.sort_by(f64::total_cmp);
    let scale = quantile(&scales, 0.5);
    let excess: Vec<f64> = scales.iter().map(|of_one| of_one / scale - 1.0).collect();
    let margin = quantile(&excess, 0.9).clamp(0.0, MOST_MARGIN);
    let is_busy = !PLAUSIBLE.contains(&scale) || scales.len() * 2 < chosen.len();
    let scale = scale.clamp(*PLAUSIBLE.start(), *PLAUSIBLE.end());
    Ok(LatencyTable {
        format: FORMAT.into(),
        version: VERSION,
        program: maker.program.clone(),
        measured: maker.now.clone(),
        processor: maker.processor.clone(),
        conditions: Conditions::here(settings, threads),
        shape: TableShape::of(frame),
        reference: Reference { architecture: reference, ms: rounded(reference_ms, 1e6) },
        networks: chosen.len(),
        passes,
        margin: rounded(margin, 1e4),
        scale: rounded(scale, 1e6),
        is_busy,
        outside_us: rounded(outside_us, 1e4),
        parts_us: parts_us.into_iter().map(|(name, us)| (name, rounded(us, 1e4))).collect(),
        accuracy: None,
    })
}

/// A network, measured while the machine did mostly that.
struct Burst {
    /// Milliseconds of the reference before and after, the longer of the two.
    reference_ms: f64,
    /// Of a whole pass.
    ms: f64,
    /// Of the quietest passes whose parts were timed.
    timed_ms: f64,
    /// Of the parts in the quietest passes, in their order, and of what is outside of them.
    parts_us: Vec<f64>,
    outside_us: f64,
    /// Passes whose parts were timed.
    passes: u64,
}

impl Burst {
    /// The reference's time, longer where whole passes and those whose parts were timed do not agree: only one of them was disturbed.
    fn disturbed_ms(&self) -> f64 {
        let ratio = self.timed_ms / self.ms;
        self.reference_ms * (ratio.max(1.0 / ratio) / QUIET).max(1.0)
    }
}

/// Nanoseconds of the parts of a pass, and of what is outside of them.
type TimedPass = (Vec<f64>, f64);

fn total((parts, outside): &TimedPass) -> f64 {
    parts.iter().sum::<f64>() + outside
}

fn burst(timer: &mut Timer, (reference, model): (&Model, &Model), reading_ns: f64, stop: &AtomicBool) -> Result<Burst> {
    let before = timer.quiet_ms(&[reference, model], Some(stop))?;
    let count = ((PART_MS / before[1].max(1e-6)) as usize).clamp(PART_PASSES[0], PART_PASSES[1]);
    let mut timed = (0..count).map(|_| timer.parts_ns(model, reading_ns)).collect::<Result<Vec<_>>>()?;
    let after = timer.quiet_ms(&[reference], Some(stop))?;
    // The quietest passes as a whole, rather than the least of each part: what disturbs one part hurries no other.
    timed.sort_by(|a, b| total(a).total_cmp(&total(b)));
    timed.truncate((count / QUIETEST).max(5));
    let parts = timed.first().map_or(0, |(parts, _)| parts.len());
    let middle = |of: &dyn Fn(&TimedPass) -> f64| median(&mut timed.iter().map(of).collect::<Vec<f64>>()) / 1e3;
    Ok(Burst {
        reference_ms: before[0].max(after[0]),
        ms: before[1],
        timed_ms: middle(&total) / 1e3,
        parts_us: (0..parts).map(|at| middle(&|(parts, _)| parts[at])).collect(),
        outside_us: middle(&|(_, outside)| *outside),
        passes: count as u64,
    })
}

/// The network by which a machine's pace is told: plain feed-forwards, one in each layer.
fn reference(frame: &BertConfig) -> Result<Architecture> {
    let id = LinearId::new(1, 1).unwrap_or(LinearId::LARGEST);
    Ok(Architecture::new(vec![Expression::plain(id, Unary::Gelu); frame.num_hidden_layers])?)
}

/// Networks that have every part which random ones have, each in two of them as far as that goes.
fn chosen(frame: &BertConfig, settings: LatencySettings, stop: &AtomicBool) -> Result<Vec<Architecture>> {
    let space = CoarseSpace::new(Student::new(frame, Parts::POOLER, settings.seq)?, &Budget::default())?;
    let mut layers = LayerParts::new(frame);
    let mut drawn: Vec<(Architecture, BTreeSet<String>)> = Vec::new();
    for number in 0..DRAWN {
        if stop.load(Ordering::SeqCst) {
            return Err(Error::Interrupted);
        }
        let genome = space.sample(&mut run_store::rng::keyed(0, "latency table", &[number]));
        let mut names = BTreeSet::new();
        for layer in genome.layers() {
            names.extend(layers.of(layer)?.iter().map(Part::to_string));
        }
        drawn.push((genome, names));
    }
    Ok(covering(drawn, MOST_NETWORKS, false))
}

/// Of networks with the names of their parts those that have each name, in two of them as far as that goes; at most `most`, but where `all` names
/// must be there as many more as have a new one.
fn covering<T>(mut drawn: Vec<(T, BTreeSet<String>)>, most: usize, all: bool) -> Vec<T> {
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    for name in drawn.iter().flat_map(|(_, names)| names) {
        let wanted = missing.entry(name.clone()).or_default();
        *wanted = (*wanted + 1).min(TWICE);
    }
    let mut chosen = Vec::new();
    let wanted: BTreeMap<String, usize> = missing.clone();
    loop {
        let is_full = chosen.len() >= most;
        if is_full && !all {
            break;
        }
        let is_new = |name: &String| {
            let left = missing.get(name).copied().unwrap_or_default();
            left > 0 && (!is_full || wanted.get(name) == Some(&left))
        };
        let news = |names: &BTreeSet<String>| names.iter().filter(|name| is_new(name)).count();
        let best = drawn
            .iter()
            .enumerate()
            .map(|(at, (_, names))| (news(names), at))
            .max_by_key(|&(n, at)| (n, usize::MAX - at));
        let Some((_, at)) = best.filter(|&(news, _)| news > 0) else { break };
        let (genome, names) = drawn.swap_remove(at);
        for name in names {
            missing.entry(name).and_modify(|n| *n = n.saturating_sub(1));
        }
        chosen.push(genome);
    }
    chosen
}

pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 0.5)
}

/// A quantile of sorted values, between neighbors in proportion; 0 of none.
pub(super) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = part * last as f64;
    let below = (at.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

fn rounded(value: f64, digits: f64) -> f64 {
    let round = (value * digits).round() / digits;
    if round > 0.0 || value <= 0.0 { round } else { value }
}

#[cfg(test)]
mod tests {
    use super::super::network::parts_of;
    use super::super::table::tests::frame;
    use super::*;

    #[test]
    fn networks_cover_every_part_twice_as_far_as_their_number_allows_and_once_beyond_it() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
        let drawn = || {
            vec![
                (0, names(&["a", "b"])),
                (1, names(&["a"])),
                (2, names(&["a", "c"])),
                (3, names(&["b"])),
                (4, names(&["d"])),
            ]
        };
        assert_eq!(covering(drawn(), 9, false), [0, 2, 4, 3]);
        assert_eq!(covering(drawn(), 2, false), [0, 2]);
        assert_eq!(covering(drawn(), 2, true), [0, 2, 4], "what no network has yet is measured all the same");
    }

    #[test]
    fn quantiles_lie_between_neighbors() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0], 0.25), 1.25);
        assert_eq!((quantile(&[3.0], 0.9), quantile(&[], 0.5)), (3.0, 0.0));
        assert_eq!(median(&mut [3.0, 1.0, 2.0, 8.0]), 2.5);
    }

    #[test]
    fn the_measured_networks_have_every_part_of_random_ones_and_a_table_predicts_more_layers_as_more_time() {
        let frame = frame();
        let settings = LatencySettings { seq: 16, runs: 2, ..LatencySettings::default() };
        let stop = AtomicBool::new(false);
        let networks = chosen(&frame, settings, &stop).unwrap();
        assert!((10..=MOST_NETWORKS).contains(&networks.len()), "{}", networks.len());
        let names = |genome: &Architecture| -> BTreeSet<String> {
            parts_of(&frame, genome.layers()).unwrap().iter().map(Part::to_string).collect()
        };
        let known: BTreeSet<String> = networks.iter().flat_map(names).collect();
        let space = CoarseSpace::new(Student::new(&frame, Parts::POOLER, 16).unwrap(), &Budget::default()).unwrap();
        let other: Vec<Architecture> =
            (0..50).map(|n| space.sample(&mut run_store::rng::keyed(9, "test", &[n]))).collect();
        let all: BTreeSet<String> = other.iter().flat_map(names).collect();
        let lacking: Vec<&String> = all.difference(&known).collect();
        assert!(lacking.len() * 20 <= all.len(), "{lacking:?} of {}", all.len());

        let mut heard = Vec::new();
        let plain = |stacks, ratio| {
            let layer = Expression::plain(LinearId::new(stacks, ratio).unwrap(), Unary::Gelu);
            Architecture::new(vec![layer; 2]).unwrap()
        };
        let maker = Maker { program: "0".into(), processor: "some".into(), now: "now".into() };
        let few: Vec<Architecture> = [[1, 4], [4, 1]].iter().map(|&[stacks, ratio]| plain(stacks, ratio)).collect();
        let few: Vec<BertConfig> = few.iter().map(|genome| student_config(&frame, genome).unwrap()).collect();
        let table = measure(&few, (&frame, settings), &maker, &stop, &mut |done, of| heard.push((done, of))).unwrap();
        assert_eq!(heard.last().map(|&(done, of)| done == of), Some(true));
        assert_eq!(table.conditions, Conditions::here(settings, rayon::current_num_threads()));
        let predictor = super::super::Predictor::new(table, std::path::Path::new("t"), &frame).unwrap();
        let of = |layer: &str| predictor.ms(&format!("{layer}; {layer}").parse().unwrap()).unwrap();
        let (small, large) = (of("linear1_4(gelu(linear1_4(x,wb1)),wb2)"), of("linear4_1(gelu(linear4_1(x,wb1)),wb2)"));
        assert!(0.0 < small && small < large, "{small} and {large}");

        stop.store(true, Ordering::SeqCst);
        assert!(matches!(make(&frame, settings, &maker, &stop, &mut |_, _| {}), Err(Error::Interrupted)));
    }
}
