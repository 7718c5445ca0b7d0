//! How well cheap scores of networks foretell their final ones.
//!
//! A search decides by cheap scores: a zero-cost proxy, a slice of a supernet, a short training. What each of these fidelities is worth is
//! measured here: random networks of a search space get every score and are trained to the end, and the rank correlation of each score with
//! the final one is compared with that of the number of parameters. A fidelity that does not beat this control is no default.
//!
//! | file | concern |
//! |---|---|
//! | `kind` | the fidelities by name |
//! | `draw` | which networks are measured |
//! | `network` | all scores of one network |
//! | `record` | what was measured so far, in a file that grows by a line per score |
//! | [`correlation`] | rank correlations with bootstrap intervals |
//! | `ranking` | how well each fidelity orders networks, beside the control |
//! | `folder` | the folder of a measurement, and with what it was begun |

pub mod correlation;
mod draw;
mod folder;
mod kind;
mod network;
mod ranking;
mod record;

use std::collections::BTreeMap;
use std::path::Path;

use bert_core::weights::Tensors;
use kd::cache::ByteSize;
use run_store::lock::Holder;
use run_store::log::JsonlWriter;
use serde::Serialize;
use train::engine::Devices;

pub use draw::{Drawn, distinct, draw};
pub use kind::{Beginning, Fidelity, UnknownFidelity};
pub use ranking::{FEWEST, Ranked, Target, Verdict, rank};
pub use record::{Measured, Row, Score, by_network, parse, read};

use crate::events::{Host, NOTED_WARNING, RunEvent};
use crate::inputs::Inputs;
use crate::phase::{self, Context, SearchParts, phases};
use crate::recipe::Recipe;
use crate::{Error, Result, check_teacher, preflight};
use folder::MeasurementFolder;
use network::Bench;

/// Name of the measurement in events.
pub const PHASE: &str = "fidelity";

/// Most networks of a measurement.
pub const MOST: u32 = 10_000;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Number of networks.
    pub networks: u32,
    /// Lengths of the short trainings, in steps; 0 is no training.
    pub steps: Vec<u64>,
    /// Networks of all sizes that the space has, in place of those within the recipe's budget.
    pub spread: bool,
}

/// Where it is done.
#[derive(Debug)]
pub struct Place<'a> {
    /// The folder: a new one, or that of a measurement to go on with.
    pub folder: &'a Path,
    /// Devices without autodiff.
    pub devices: Devices,
    /// Who works in the folder: this process.
    pub holder: Holder,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// Networks with a final score.
    pub networks: usize,
    /// Each fidelity's correlation with the mean probability of the right dev answer.
    pub probability: Vec<Ranked>,
    /// Each fidelity's correlation with the tasks' metrics on the dev sets.
    pub metric: Vec<Ranked>,
}

impl Findings {
    /// What lines of a file say; intervals are a function of the seed.
    pub fn of(rows: impl IntoIterator<Item = Row>, seed: u64) -> Self {
        let networks = by_network(rows);
        let finished = |network: &&Measured| network.scores.get(&Fidelity::Final).is_some_and(|s| s.score.is_some());
        Self {
            networks: networks.values().filter(finished).count(),
            probability: rank(&networks, Target::DevProbability, seed),
            metric: rank(&networks, Target::DevMetric, seed),
        }
    }
}

/// Measures all fidelities of random networks of the recipe's first stage, trained on its tasks alone, and ranks them.
///
/// Each score is on the disk once it is there; a measurement that was stopped goes on with the first one that is missing, in the middle of a
/// final training. More networks or lengths than before are added to those that are there. Every training sees the same examples in the
/// same order, so that networks differ in what they are alone.
///
/// # Errors
/// A folder that holds something else, or a measurement of another recipe; inputs that cannot be used; training that fails for another
/// reason than the network; the host asked to stop.
pub fn measure(
    recipe: &Recipe,
    settings: &Settings,
    place: Place<'_>,
    parts: &mut dyn SearchParts,
    host: &mut dyn Host,
) -> Result<Findings> {
    settings.check()?;
    if recipe.teacher.pretrain.is_some() || recipe.teacher.tokenizer.is_some() {
        let message = "`teacher.pretrain` and `teacher.tokenizer`: networks are measured without text, so their teacher must be there; give a model \
                       (`teacher.model`), for example the `teacher/model` of a finished search, and leave these two out";
        return Err(Error::Mismatch(message.into()));
    }
    let recipe = &recipe.clone().without_text();
    let folder = place.folder;
    MeasurementFolder::check(folder, recipe, settings.spread)?;
    let (teacher, given) = preflight::given(recipe, folder, host.stop())?;
    let phases = &phases(recipe)[..];
    preflight::before_training((recipe, phases), parts, (&teacher, given.as_ref()), &place.devices)?;
    let heads = check_teacher::own_heads(recipe, phases, &teacher)?;
    host.event(&RunEvent::Note { message: "reading the inputs".into() });
    let doubts = preflight::read(recipe, &heads, given.as_ref(), host.stop())?;
    let frame = phase::frame(recipe, &teacher);
    let networks = draw(parts, recipe, &frame, (settings.networks, settings.spread))?;
    let open = MeasurementFolder::open(folder, recipe, settings.spread, &place.holder)?;
    let rows = open.rows()?;
    open.check_networks(&rows, &networks)?;
    let inputs = match given {
        Some(inputs) => inputs,
        None => Inputs::open(recipe, &folder.join("data"), host.stop())?,
    };
    let room = ByteSize(0);
    let mut run =
        Context::new((recipe, phases), &inputs, open.paths(), open.hash(), place.devices, room, (parts, host))?;
    for doubt in doubts {
        run.emit(RunEvent::Note { message: format!("{NOTED_WARNING}{doubt}") })?;
    }
    if recipe.budget.max_latency_ms.is_some() {
        let message = "networks are drawn within the limits of size; their latency is not measured here";
        run.emit(RunEvent::Note { message: message.into() })?;
    }
    let missing = missing_scores((recipe, settings), &networks, &rows);
    if missing.iter().any(|(_, wanted)| !wanted.is_empty()) {
        let mut file = JsonlWriter::open(open.scores())?;
        work(&mut run, (&frame, &networks), missing, (&rows, &mut file))?;
    }
    Ok(Findings::of(open.rows()?, recipe.seed))
}

impl Settings {
    fn check(&self) -> Result<()> {
        if self.networks < FEWEST as u32 || self.networks > MOST {
            let given = self.networks;
            return Err(Error::Mismatch(format!("networks: must be {FEWEST} to {MOST}, not {given}")));
        }
        Ok(())
    }
}

/// The scores of each network that are not there yet.
fn missing_scores(
    (recipe, settings): (&Recipe, &Settings),
    networks: &[Drawn],
    rows: &[Row],
) -> Vec<(u32, Vec<Fidelity>)> {
    let measured = by_network(rows.iter().cloned());
    let all = Bench::fidelities(recipe, &settings.steps);
    let of = |number: u32| {
        let there = |fidelity: &Fidelity| measured.get(&number).is_some_and(|m| m.scores.contains_key(fidelity));
        all.iter().copied().filter(|fidelity| !there(fidelity)).collect()
    };
    (0..networks.len() as u32).map(|number| (number, of(number))).collect()
}

/// Measures what is missing.
fn work(
    run: &mut Context<'_>,
    (frame, networks): (&bert_core::BertConfig, &[Drawn]),
    missing: Vec<(u32, Vec<Fidelity>)>,
    (rows, file): (&[Row], &mut JsonlWriter),
) -> Result<()> {
    let teachers = phase::teacher(run)?;
    let slices = |(_, wanted): &(u32, Vec<Fidelity>)| wanted.iter().any(|fidelity| fidelity.is_slice());
    let supernet = match missing.iter().any(slices) {
        true => phase::supernet_as_teacher(run, frame, &teachers)?,
        false => Tensors(BTreeMap::new()),
    };
    let bench = Bench::new(run, &teachers, &supernet, run.recipe)?;
    let total = networks.len() as u64;
    let done = missing.iter().filter(|(_, wanted)| wanted.is_empty()).count() as u64;
    let start = run.host.now_ms();
    run.emit(RunEvent::PhaseStarted { phase: PHASE.into(), total, done })?;
    let measured = by_network(rows.iter().cloned());
    let mut best = f64::NEG_INFINITY;
    for (number, wanted) in missing.into_iter().filter(|(_, wanted)| !wanted.is_empty()) {
        let drawn = &networks[number as usize];
        let cost = encoder_spec::Encoder::describe(&drawn.config, bert_core::Parts::POOLER)?;
        let cost = cost.count(run.recipe.latency.seq);
        let params = cost.params_without_fit();
        if !measured.contains_key(&number) {
            let architecture = drawn.label.clone();
            file.append(&Row::Network { network: number, architecture, params, macs: cost.macs() })?;
        }
        let (mut last, mut why) = (None, None);
        bench.measure(run, (number, drawn), &wanted, &mut |row| {
            if let Row::Score { fidelity: Fidelity::Final, score, reason, .. } = &row {
                (last, why) = (*score, reason.clone());
            }
            Ok(file.append(&row)?)
        })?;
        let is_best = last.is_some_and(|score| score > best);
        best = last.map_or(best, |score| best.max(score));
        let (phase, number) = (PHASE.into(), u64::from(number));
        run.emit(RunEvent::Trial { phase, number, total, score: last, params, best: is_best, reason: why })?;
    }
    let seconds = (run.host.now_ms() - start) as f64 / 1e3;
    run.emit(RunEvent::PhaseFinished { phase: PHASE.into(), seconds })
}
