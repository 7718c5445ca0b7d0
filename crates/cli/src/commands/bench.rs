//! `bench`: how long one forward pass takes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bert_core::{BertConfig, EncodeOptions, Encoder, TokenBatch};
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use rand::Rng;
use searched_ffn::{AnyModel, ModelDir};
use serde_json::json;

use crate::arch_spec::{is_directory, preset_arch};
use crate::commands::arch::check_seq;
use crate::context::Context;
use crate::error::CliError;
use crate::interrupt;
use crate::models;
use crate::output::{print, print_json, table};
use crate::units::{gmac, grouped, spread};

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
    /// Tokens in a sequence.
    #[arg(long, value_name = "N", default_value_t = 128)]
    seq: usize,
    /// Passes that are timed, after 3 that are not.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Number format of weights and activations.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    F32,
    Bf16,
    Int8,
}

pub fn run(args: &BenchArgs, context: &Context) -> Result<(), CliError> {
    if args.precision != Precision::F32 {
        let name = format!("{:?}", args.precision).to_lowercase();
        return Err(CliError::usage(format!("--precision {name}: not available yet")).with_hint("use f32"));
    }
    let (name, config, model) = open(&args.model, &context.device)?;
    check_seq(args.seq, &config)?;
    let batch_size = args.batch as usize;
    let batch = random_batch(&config, batch_size, args.seq, &context.device);
    interrupt::install()?;
    let mut times = Vec::new();
    context.progress.start("bench", u64::from(args.runs));
    for run in 0..WARM_UP + args.runs {
        interrupt::check("no result, the passes were not finished")?;
        let start = Instant::now();
        // Reading one value waits for a device that computes in the background.
        let last = model.encode(&batch, EncodeOptions::LAST).last_hidden;
        let _ = last.narrow(2, 0, 1).narrow(1, 0, 1).narrow(0, 0, 1).into_data();
        if run >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
            context.progress.step(u64::from(run - WARM_UP + 1), &[("ms", times[times.len() - 1])]);
        }
    }
    context.progress.finish();

    let count = model.count(&config, args.seq);
    let (median, min, max) = spread(times);
    if args.json {
        return print_json(&json!({
            "model": name, "device": context.kind.name(), "threads": context.threads, "precision": "f32",
            "batch": batch_size, "seq": args.seq, "runs": args.runs, "warm_up": WARM_UP,
            "median_ms": median, "min_ms": min, "max_ms": max,
            "params": count.params(), "params_without_fit": count.params_without_fit(),
            "macs": count.macs(), "gmac": gmac(count.macs()),
        }));
    }
    let rows = [
        ("median", format!("{median:.2} ms")),
        ("fastest", format!("{min:.2} ms")),
        ("slowest", format!("{max:.2} ms")),
        ("pass", format!("{batch_size} x {} tokens, f32, {} timed", args.seq, args.runs)),
        ("device", format!("{}, {} threads", context.kind.name(), context.threads)),
        ("parameters", grouped(count.params())),
        ("MACs", format!("{:.3} GMAC for one sequence", gmac(count.macs()))),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    print(&table(&[&name, ""], &rows, true))
}

/// A model directory by path, or a preset with random weights.
fn open(text: &str, device: &Device) -> Result<(String, BertConfig, AnyModel), CliError> {
    if is_directory(text) {
        let ModelDir { config, model, .. } = models::load("--model", Path::new(text), device)?;
        let path = std::path::absolute(text).unwrap_or_else(|_| PathBuf::from(text));
        let name = path.file_name().map_or_else(|| text.to_owned(), |n| n.to_string_lossy().into_owned());
        return Ok((name, config, model));
    }
    let arch = preset_arch(text, device)?;
    let model = arch.model.initialised(&arch.config, SEED);
    Ok((arch.name, arch.config, model))
}

fn random_batch(config: &BertConfig, batch: usize, seq: usize, device: &Device) -> TokenBatch {
    let mut rng = durable::rng::keyed(SEED, "bench", &[]);
    // Sizes are validated to be far below i32::MAX.
    let vocab = config.vocab_size as i32;
    let ids: Vec<i32> = (0..batch * seq).map(|_| rng.random_range(0..vocab)).collect();
    TokenBatch::from_host([batch, seq], &ids, &vec![0; batch * seq], &vec![1; batch * seq], device)
}
