//! `bench --table`: a latency table for a search, and how well it predicts.

use std::path::{Path, PathBuf};

use pipeline::latency::{
    Accuracy, Conditions, LatencyTable, Maker, Pair, Predictor, TableShape, accuracy, timed_students,
};
use pipeline::recipe::{Override, load_frame};
use serde_json::json;

use crate::commands::bench::BenchArgs;
use crate::context::Context;
use crate::device::DeviceKind;
use crate::error::{CliError, ResultExt};
use crate::output::{check_targets, print, print_json, table};
use crate::{environment, interrupt};

/// The recipe whose students are timed where none is named: that of `search`.
const DEFAULT_RECIPE: &str = "pocket";
/// Architectures of a check that are shown.
const WORST: usize = 3;

/// Runs the command.
///
/// # Errors
/// A recipe or a table that is not usable (exit code 2), a measurement that failed (1) or was interrupted (130).
pub fn run(args: &BenchArgs, context: &Context) -> Result<(), CliError> {
    if context.kind() != DeviceKind::Cpu {
        let message = "--table: latency tables are of the processor";
        return Err(
            CliError::usage(message).with_hint("leave out --device; on other devices a search measures each candidate")
        );
    }
    let Some(path) = args.table.as_ref().or(args.latency_table.as_ref()) else {
        return Err(CliError::usage("nothing to measure: name --model or --table"));
    };
    check_targets([("--table", args.table.as_deref())], &[])?;
    let recipe = load_frame(args.recipe.as_deref().unwrap_or(DEFAULT_RECIPE), &overrides(args)?).or_usage()?;
    let hint = "a recipe of a given teacher needs it here too: --teacher DIR";
    let (students, settings) = timed_students(&recipe).or_usage().hint(hint)?;
    let frame = students.frame();
    interrupt::install(&context.progress)?;
    let stop = interrupt::flag();
    let maker = Maker {
        program: env!("CARGO_PKG_VERSION").into(),
        processor: environment::cpu_name(),
        now: pipeline::summary::utc(environment::now_ms()),
    };
    let watch = |phase: &str, unit: &str, done: u64, of: u64| match done {
        0 => context.progress.start(phase, of, unit),
        _ => context.progress.step(done, &[]),
    };
    let mut measured = match &args.table {
        Some(_) => students
            .table(settings, &maker, stop, &mut |done, of| watch("latency table", "networks", done, of))
            .map_err(explained)?,
        None => LatencyTable::read(path).or_usage()?,
    };
    context.progress.finish();
    measured.agree(path, &Conditions::here(settings, context.threads), &TableShape::of(frame)).or_usage()?;
    // Before anything else is measured: what was measured so far is kept.
    if args.table.is_some() {
        measured.write(path)?;
    }
    if measured.is_busy {
        context.progress.warn("the machine was busy while the table was measured; measure it again when it is not");
    }
    let predictor = Predictor::new(measured.clone(), path, frame).or_usage()?;
    let pairs = match args.check {
        None => Vec::new(),
        Some(count) => {
            let asked = (&recipe.budget, count as usize, args.seed);
            let mut watch = |done, of| watch("check", "architectures", done, of);
            let pairs = accuracy(&predictor, (&students, settings), asked, stop, &mut watch).map_err(explained)?;
            context.progress.finish();
            measured.margin = Accuracy::margin(&pairs);
            measured.accuracy = Some(Accuracy::of(&pairs, args.seed, &maker.now));
            measured.write(path)?;
            pairs
        }
    };
    show(args, path, &measured, pairs)
}

/// The recipe's keys that options of `bench` say otherwise.
fn overrides(args: &BenchArgs) -> Result<Vec<Override>, CliError> {
    let mut all = args.set.clone();
    let mut push = |key: &str, value: String| all.push(Override { key: key.into(), value });
    if let Some(batch) = args.batch {
        push("latency.batch", batch.to_string());
    }
    if let Some(seq) = args.seq {
        push("latency.seq", seq.to_string());
    }
    if let Some(runs) = args.runs {
        push("latency.runs", runs.to_string());
    }
    if let Some(precision) = args.precision {
        push("latency.precision", json!(precision.name()).to_string());
    }
    if let Some(teacher) = &args.teacher {
        let path = std::path::absolute(PathBuf::from(teacher)).context(teacher.clone())?;
        let path = path.to_str().ok_or_else(|| CliError::usage(format!("--teacher {teacher}: not UTF-8")))?;
        push("teacher.model", json!(path).to_string());
    }
    Ok(all)
}

fn explained(error: pipeline::Error) -> CliError {
    match error {
        pipeline::Error::Interrupted => {
            CliError::interrupted("stopped before everything was measured; a table that was finished is in its file")
        }
        pipeline::Error::Search(nas::Error::Budget { .. } | nas::Error::Unreachable { .. }) => {
            CliError::usage(error.to_string())
        }
        other => other.into(),
    }
}

fn show(args: &BenchArgs, path: &Path, measured: &LatencyTable, mut pairs: Vec<Pair>) -> Result<(), CliError> {
    if args.json {
        return print_json(&json!({
            "what": "latency-table", "table": path, "networks": measured.networks, "parts": measured.parts_us.len(),
            "passes": measured.passes, "processor": measured.processor, "conditions": measured.conditions, "shape": measured.shape,
            "reference_ms": measured.reference.ms, "scale": measured.scale, "margin": measured.margin, "accuracy": measured.accuracy,
            "checked": pairs, "load": environment::load(),
        }));
    }
    let at = &measured.conditions;
    let percent = |part: f64| format!("{:.2}%", part * 100.0);
    let mut rows = vec![
        ("parts", format!("{} in {} networks, {} passes", measured.parts_us.len(), measured.networks, measured.passes)),
        ("pass", format!("{} x {} tokens, {}", at.batch, at.seq, at.precision)),
        ("device", format!("{}, {} threads, {}", at.device, at.threads, at.isa)),
        ("processor", measured.processor.clone()),
        ("reference", format!("{:.4} ms", measured.reference.ms)),
        ("whole by parts", format!("{:.4}", measured.scale)),
        ("margin", percent(measured.margin)),
    ];
    if let Some(found) = measured.accuracy.as_ref().filter(|_| !pairs.is_empty()) {
        let [low, high] = found.range_ms;
        let [slowest, fastest] = found.pace;
        rows.extend([
            ("architectures", format!("{}, {low:.4} to {high:.4} ms", found.architectures)),
            ("mean absolute error", percent(found.mean_abs_error)),
            ("nine of ten below", percent(found.p90_abs_error)),
            ("largest error", percent(found.max_abs_error)),
            ("mean error", percent(found.mean_error)),
            ("at the table's pace", format!("{} mean absolute error", percent(found.mean_abs_error_at_pace))),
            ("pace", format!("{slowest:.3} to {fastest:.3} of the table's reference")),
        ]);
    }
    if let Some(load) = environment::load() {
        rows.push(("load", format!("{load:.2} processes in the last minute")));
    }
    let rows: Vec<_> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    let mut text = table(&[&path.display().to_string(), ""], &rows, true);
    let error = |pair: &Pair| (pair.predicted_ms / pair.measured_ms - 1.0) * 100.0;
    pairs.sort_by(|a, b| error(b).abs().total_cmp(&error(a).abs()));
    for pair in pairs.iter().take(WORST) {
        text += &format!(
            "off by {:+.1}%: {:.4} ms predicted, {:.4} measured: {}\n",
            error(pair),
            pair.predicted_ms,
            pair.measured_ms,
            pair.architecture
        );
    }
    print(&text)
}
