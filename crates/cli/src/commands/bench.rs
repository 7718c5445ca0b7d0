//! `bench`: how long one forward pass takes, one step of distillation, or the parts of a search's students.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bert_core::{BertConfig, TaskModel};
use clap::Args;
use cpu_kernels::Isa;
use encoder_spec::{Encoder, Precision, Shape};
use glue_squad::batch::{EncodedBatch, Labels};
use pipeline::recipe::Override;
use predict::{Inference, Target};
use rand::Rng;
use serde_json::json;

use crate::arch_spec::{Arch, is_directory, preset_arch};
use crate::commands::arch::sequence;
use crate::commands::bench_step::Distillation;
use crate::commands::bench_table;
use crate::context::Context;
use crate::device::DeviceKind;
use crate::error::CliError;
use crate::hub::Named;
use crate::output::{print, print_json, table};
use crate::predictor::{formats, load_model, target};
use crate::units::{gmac, grouped, spread};
use crate::{environment, hub, interrupt, models};

/// Passes that are timed where nobody says how many.
const RUNS: u32 = 20;
/// Passes before the clock starts: caches fill, kernels compile, the processor leaves its idle frequency.
const WARM_UP: u32 = 3;
/// Seed of random weights and token ids; times do not depend on it.
const SEED: u64 = 0;

#[derive(Args, Debug)]
pub struct BenchArgs {
    /// A model directory, or a preset with random weights.
    #[arg(long, value_name = "DIR|PRESET", required_unless_present_any = ["table", "latency_table"])]
    model: Option<String>,
    /// Sequences in a pass [default: 1, or what the recipe says].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) batch: Option<u32>,
    /// Tokens in a sequence [default: 128, or what the models take or the recipe says].
    #[arg(long, value_name = "N")]
    pub(super) seq: Option<usize>,
    /// Passes that are timed, after 3 that are not [default: 20, or what the recipe says].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) runs: Option<u32>,
    /// Number format of weights and products; other than f32 on the cpu only [default: f32, or what the recipe says].
    #[arg(long, value_parser = formats(), value_name = "FORMAT")]
    pub(super) precision: Option<Precision>,
    /// Time a step of distillation from this teacher into the model (at random weights) instead of a forward pass: both
    /// forward passes, the loss over all layers, the backward pass and the update. With --table the teacher of the search, whose
    /// vocabulary its students have.
    #[arg(long, value_name = "DIR|PRESET")]
    pub(super) teacher: Option<String>,
    /// Measure the parts of the students of a recipe, and write them into FILE, for `search --latency-table`.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub(super) table: Option<PathBuf>,
    /// Read that table, to --check it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "table"], requires = "check")]
    pub(super) latency_table: Option<PathBuf>,
    /// The recipe whose students the table is for [default: pocket].
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "model")]
    pub(super) recipe: Option<String>,
    /// Change one key of the recipe, for example student.hidden=128.
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "model")]
    pub(super) set: Vec<Override>,
    /// Measure so many random architectures within the recipe's budget too, compare them with what the table predicts, and write into the
    /// table how far they are apart.
    #[arg(long, value_name = "N", conflicts_with = "model", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) check: Option<u32>,
    /// Seed of the architectures of --check.
    #[arg(long, value_name = "N", conflicts_with = "model", requires = "check", default_value_t = 0)]
    pub(super) seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

impl BenchArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        let texts = [("--model", &mut self.model), ("--teacher", &mut self.teacher)];
        texts.into_iter().filter_map(|(option, text)| Some(Named::text(option, text.as_mut()?))).collect()
    }
}

pub fn run(args: &BenchArgs, context: &Context) -> Result<(), CliError> {
    let Some(model) = &args.model else { return bench_table::run(args, context) };
    let precision = args.precision.unwrap_or_default();
    if let Some(teacher) = &args.teacher {
        return step(args, (model, teacher), context);
    }
    let runs = args.runs.unwrap_or(RUNS);
    let target = target(precision, context)?;
    let Subject { name, config, outline, mut model } = open(model, (precision, &target), context)?;
    let seq = sequence(args.seq, &[&config])?;
    let batch_size = args.batch.unwrap_or(1) as usize;
    let batch = model.place(&random_batch(&config, batch_size, seq));
    interrupt::install(&context.progress)?;
    let mut times = Vec::new();
    context.progress.start("bench", u64::from(runs), "passes");
    for run in 0..WARM_UP + runs {
        interrupt::check("no result, the passes were not finished")?;
        let start = Instant::now();
        model.pass(&batch)?;
        if run >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
            context.progress.step(u64::from(run - WARM_UP + 1), &[("ms", times[times.len() - 1])]);
        }
    }
    context.progress.finish();

    let count = outline.count(seq);
    let (median, min, max) = spread(times);
    let isa = (context.kind() == DeviceKind::Cpu).then(|| Isa::current().name());
    if args.json {
        return print_json(&json!({
            "what": "pass", "model": name, "device": context.kind().name(), "threads": context.threads,
            "precision": precision.name(), "isa": isa, "peak_mib": environment::peak_mib(),
            "batch": batch_size, "seq": seq, "runs": runs, "warm_up": WARM_UP,
            "median_ms": median, "min_ms": min, "max_ms": max,
            "params": count.params(), "params_without_fit": count.params_without_fit(),
            "macs": count.macs(), "gmac": gmac(count.macs()),
        }));
    }
    let rows = [
        ("median", format!("{median:.2} ms")),
        ("fastest", format!("{min:.2} ms")),
        ("slowest", format!("{max:.2} ms")),
        ("pass", format!("{batch_size} x {} tokens, {}, {} timed", seq, precision.name(), runs)),
        ("device", device(context)),
        ("parameters", grouped(count.params())),
        ("MACs", format!("{:.3} GMAC for one sequence", gmac(count.macs()))),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    print(&table(&[&name, ""], &rows, true))
}

/// Where it runs, in words.
fn device(context: &Context) -> String {
    let isa = if context.kind() == DeviceKind::Cpu { format!(", {}", Isa::current()) } else { String::new() };
    format!("{}, {} threads{isa}", context.kind().name(), context.threads)
}

/// Times steps of distillation.
fn step(args: &BenchArgs, (model, teacher): (&str, &str), context: &Context) -> Result<(), CliError> {
    let (batch_size, runs) = (args.batch.unwrap_or(1), args.runs.unwrap_or(RUNS));
    let precision = match args.precision.unwrap_or_default() {
        Precision::F32 => train::engine::Precision::F32,
        Precision::Bf16 => train::engine::Precision::Bf16,
        Precision::Int8 => {
            let message = "--precision int8: trainings compute in f32 or bf16";
            return Err(CliError::usage(message).with_hint("leave out --teacher to time forward passes in int8"));
        }
    };
    let weighted = |text: &str| -> Result<(String, BertConfig, TaskModel), CliError> {
        if is_directory(text) {
            let dir = models::load("--teacher", Path::new(text), context)?;
            return Ok((text.to_owned(), dir.config, dir.model));
        }
        let Arch { name, config, outline } = preset_arch(text)?;
        let model = TaskModel::new(&config, outline.parts(), &context.device)?.initialized(&config, SEED);
        Ok((name, config, model))
    };
    let student = if is_directory(model) {
        models::check_model_directory("--model", Path::new(model))?;
        model_dir::outline(Path::new(model))?.0
    } else {
        preset_arch(model)?.config
    };
    let (teacher_name, teacher_config, teacher) = weighted(teacher)?;
    let seq = sequence(args.seq, &[&student, &teacher_config])?;
    // Ids that both vocabularies have.
    let smaller = if teacher_config.vocab_size < student.vocab_size { &teacher_config } else { &student };
    let batch = random_batch(smaller, batch_size as usize, seq);
    interrupt::install(&context.progress)?;
    let job = Distillation {
        student: &student,
        teacher: (&teacher_config, &teacher),
        tokens: train::data::to_device(&batch, &context.device),
        device: &context.device,
        precision,
        seed: SEED,
    };
    let (median, min, max) = spread(job.times(WARM_UP, runs)?);
    let peak = environment::peak_mib();
    if args.json {
        let isa = (context.kind() == DeviceKind::Cpu).then(|| Isa::current().name());
        return print_json(&json!({
            "what": "kd-step", "model": model, "teacher": teacher_name, "device": context.kind().name(),
            "threads": context.threads, "precision": precision, "isa": isa, "peak_mib": peak,
            "batch": batch_size, "seq": seq, "runs": runs, "warm_up": WARM_UP,
            "median_ms": median, "min_ms": min, "max_ms": max,
        }));
    }
    let tokens = f64::from(batch_size) * seq as f64;
    let rows = [
        ("median", format!("{median:.1} ms")),
        ("fastest", format!("{min:.1} ms")),
        ("slowest", format!("{max:.1} ms")),
        ("step", format!("{batch_size} x {seq} tokens, {precision}, {runs} timed")),
        ("tokens", format!("{:.0} a second", tokens / median * 1e3)),
        ("device", device(context)),
        ("peak memory", peak.map_or("n/a".to_owned(), |mib| format!("{mib:.0} MiB"))),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    print(&table(&[&format!("{model} from {teacher_name}"), ""], &rows, true))
}

/// What is timed.
struct Subject {
    name: String,
    config: BertConfig,
    /// For counting.
    outline: Encoder<Shape>,
    model: Inference,
}

/// A model directory by path, or a preset with random weights.
fn open(text: &str, (precision, target): (Precision, &Target), context: &Context) -> Result<Subject, CliError> {
    if is_directory(text) {
        let dir = Path::new(text);
        let (config, model) = load_model("--model", dir, precision, context)?;
        let (_, outline) = model_dir::outline(dir)?;
        return Ok(Subject { name: hub::last_name(dir), config, outline, model });
    }
    let Arch { name, config, outline } = preset_arch(text)?;
    let model = TaskModel::new(&config, outline.parts(), &context.device)?.initialized(&config, SEED);
    let model = Inference::of_model(model, &config, target, precision)?;
    Ok(Subject { name, config, outline, model })
}

fn random_batch(config: &BertConfig, batch: usize, seq: usize) -> EncodedBatch {
    let mut rng = run_store::rng::keyed(SEED, "bench", &[]);
    // Sizes are validated to be far below i32::MAX.
    let vocab = config.vocab_size as i32;
    let n = batch * seq;
    EncodedBatch {
        batch,
        seq,
        ids: (0..n).map(|_| rng.random_range(0..vocab)).collect(),
        type_ids: vec![0; n],
        mask: vec![1; n],
        labels: Labels::None,
        indices: (0..batch).collect(),
        second: None,
    }
}
