//! `bench`: how long one forward pass takes, or one step of distillation.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bert_core::{BertConfig, TaskModel};
use clap::Args;
use cpu_kernels::Isa;
use encoder_spec::{Encoder, Precision, Shape};
use glue_squad::batch::{EncodedBatch, Labels};
use predict::{Inference, Target};
use rand::Rng;
use serde_json::json;

use crate::arch_spec::{Arch, is_directory, preset_arch};
use crate::commands::arch::sequence;
use crate::commands::bench_step::Distillation;
use crate::context::Context;
use crate::device::DeviceKind;
use crate::error::CliError;
use crate::output::{print, print_json, table};
use crate::predictor::{PrecisionArgs, load_model, target};
use crate::units::{gmac, grouped, spread};
use crate::{environment, interrupt, models};

/// Passes before the clock starts: caches fill, kernels compile, the processor leaves its idle frequency.
const WARM_UP: u32 = 3;
/// Seed of random weights and token ids; times do not depend on it.
const SEED: u64 = 0;

#[derive(Args, Debug)]
pub struct BenchArgs {
    /// A model directory, or a preset with random weights.
    #[arg(long, value_name = "DIR|PRESET")]
    model: String,
    /// Sequences in a pass.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Tokens in a sequence [default: 128, or what the models take].
    #[arg(long, value_name = "N")]
    seq: Option<usize>,
    /// Passes that are timed, after 3 that are not.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// Time a step of distillation from this teacher into the model (at random weights) instead of a forward pass: both
    /// forward passes, the loss over all layers, the backward pass and the update.
    #[arg(long, value_name = "DIR|PRESET")]
    teacher: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &BenchArgs, context: &Context) -> Result<(), CliError> {
    let precision = args.precision.precision;
    if let Some(teacher) = &args.teacher {
        return step(args, teacher, context);
    }
    let target = target(precision, context)?;
    let Subject { name, config, outline, mut model } = open(&args.model, (precision, &target), context)?;
    let seq = sequence(args.seq, &[&config])?;
    let batch_size = args.batch as usize;
    let batch = model.place(&random_batch(&config, batch_size, seq));
    interrupt::install(&context.progress)?;
    let mut times = Vec::new();
    context.progress.start("bench", u64::from(args.runs), "passes");
    for run in 0..WARM_UP + args.runs {
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
            "batch": batch_size, "seq": seq, "runs": args.runs, "warm_up": WARM_UP,
            "median_ms": median, "min_ms": min, "max_ms": max,
            "params": count.params(), "params_without_fit": count.params_without_fit(),
            "macs": count.macs(), "gmac": gmac(count.macs()),
        }));
    }
    let rows = [
        ("median", format!("{median:.2} ms")),
        ("fastest", format!("{min:.2} ms")),
        ("slowest", format!("{max:.2} ms")),
        ("pass", format!("{batch_size} x {} tokens, {}, {} timed", seq, precision.name(), args.runs)),
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
fn step(args: &BenchArgs, teacher: &str, context: &Context) -> Result<(), CliError> {
    let precision = match args.precision.precision {
        Precision::F32 => train::engine::Precision::F32,
        Precision::Bf16 => train::engine::Precision::Bf16,
        Precision::Int8 => {
            let message = "--precision int8: trainings compute in f32 or bf16";
            return Err(CliError::usage(message).with_hint("leave out --teacher to time forward passes in int8"));
        }
    };
    let weighted = |text: &str| -> Result<(String, BertConfig, TaskModel), CliError> {
        if is_directory(text) {
            let dir = models::load("--teacher", Path::new(text), &context.device)?;
            return Ok((text.to_owned(), dir.config, dir.model));
        }
        let Arch { name, config, outline } = preset_arch(text)?;
        let model = TaskModel::new(&config, outline.parts(), &context.device)?.initialized(&config, SEED);
        Ok((name, config, model))
    };
    let student = if is_directory(&args.model) {
        models::check_folder("--model", Path::new(&args.model))?;
        model_dir::outline(Path::new(&args.model))?.0
    } else {
        preset_arch(&args.model)?.config
    };
    let (teacher_name, teacher_config, teacher) = weighted(teacher)?;
    let seq = sequence(args.seq, &[&student, &teacher_config])?;
    // Ids that both vocabularies have.
    let smaller = if teacher_config.vocab_size < student.vocab_size { &teacher_config } else { &student };
    let batch = random_batch(smaller, args.batch as usize, seq);
    interrupt::install(&context.progress)?;
    let job = Distillation {
        student: &student,
        teacher: (&teacher_config, &teacher),
        tokens: train::data::to_device(&batch, &context.device),
        device: &context.device,
        precision,
        seed: SEED,
    };
    let (median, min, max) = spread(job.times(WARM_UP, args.runs)?);
    let peak = environment::peak_mib();
    if args.json {
        let isa = (context.kind() == DeviceKind::Cpu).then(|| Isa::current().name());
        return print_json(&json!({
            "what": "kd-step", "model": args.model, "teacher": teacher_name, "device": context.kind().name(),
            "threads": context.threads, "precision": precision, "isa": isa, "peak_mib": peak,
            "batch": args.batch, "seq": seq, "runs": args.runs, "warm_up": WARM_UP,
            "median_ms": median, "min_ms": min, "max_ms": max,
        }));
    }
    let tokens = f64::from(args.batch) * seq as f64;
    let rows = [
        ("median", format!("{median:.1} ms")),
        ("fastest", format!("{min:.1} ms")),
        ("slowest", format!("{max:.1} ms")),
        ("step", format!("{} x {} tokens, {}, {} timed", args.batch, seq, precision, args.runs)),
        ("tokens", format!("{:.0} a second", tokens / median * 1e3)),
        ("device", device(context)),
        ("peak memory", peak.map_or("n/a".to_owned(), |mib| format!("{mib:.0} MiB"))),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    print(&table(&[&format!("{} from {teacher_name}", args.model), ""], &rows, true))
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
        let path = std::path::absolute(text).unwrap_or_else(|_| PathBuf::from(text));
        let name = path.file_name().map_or_else(|| text.to_owned(), |n| n.to_string_lossy().into_owned());
        return Ok(Subject { name, config, outline, model });
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
    }
}
