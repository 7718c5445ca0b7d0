//! How fast text becomes shards and shards become batches, and how much memory that takes.
//!
//! `cargo run --example pack_speed -- MODEL_DIR OUT_DIR THREADS INPUT...` packs the inputs (files or folders) into an empty folder with
//! the settings of BERT, reads the shards with one thread, and prints one JSON object. Peak memory is of the whole process, as Linux has it.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a program")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use corpus::{
    Loader, LoaderSettings, MaskSettings, PackSettings, Prefetch, Shards, Verify, Vocabulary, WindowPlan, build,
    inputs_of,
};
use serde_json::json;
use tokenizer::TextEncoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, out, threads, paths @ ..] = arguments.as_slice() else {
        return Err("usage: pack_speed MODEL_DIR OUT_DIR THREADS INPUT...".into());
    };
    let encoder = TextEncoder::from_dir(Path::new(model))?;
    let mut inputs = Vec::new();
    for path in paths {
        inputs.extend(inputs_of(Path::new(path), "text")?);
    }
    let start = Instant::now();
    let go_on = |_| ControlFlow::Continue(());
    let manifest = build(&inputs, &encoder, &PackSettings::default(), Path::new(out), threads.parse()?, &go_on)?;
    let pack_seconds = start.elapsed().as_secs_f64();
    let peak_after_packing = peak_bytes();

    let start = Instant::now();
    build(&inputs, &encoder, &PackSettings::default(), Path::new(out), threads.parse()?, &go_on)?;
    let rerun_seconds = start.elapsed().as_secs_f64();

    let mut loaded = Vec::new();
    let vocabulary = Vocabulary::of(&encoder)?;
    for (masking, threads) in [(None, 0), (Some(MaskSettings::default()), 0), (Some(MaskSettings::default()), 1)] {
        let shards = Shards::open_with(Path::new(out), Verify::Now)?;
        let plan = WindowPlan::new(shards.len(), 32, 1)?;
        let masked = masking.is_some();
        let settings = LoaderSettings { masking, ..LoaderSettings::default() };
        let loader = Arc::new(Loader::new(shards, plan, Some(&vocabulary), &settings)?);
        let (mut tokens, mut padded) = (0, 0);
        let start = Instant::now();
        let ahead = Prefetch { threads, ahead: 8 };
        let steps = loader.batches_per_epoch();
        let (mut memory, quarter) = (vec![memory_now()], steps.div_ceil(4).max(1));
        for (step, batch) in (1..).zip(loader.batches(0, Some(steps), ahead)?) {
            let batch = batch?;
            if step % quarter == 0 || step == steps {
                memory.push(memory_now());
            }
            tokens += batch.tokens.tokens();
            padded += batch.tokens.ids.len();
        }
        let seconds = start.elapsed().as_secs_f64();
        loaded.push(json!({
            "batch": 32, "masked": masked, "threads": threads, "seconds": seconds,
            "tokens_per_second": tokens as f64 / seconds, "with_padding_per_second": padded as f64 / seconds,
            "anonymous_and_mapped_kb": memory,
        }));
    }
    let result = json!({
        "threads": threads, "inputs": inputs.len(), "text_bytes": manifest.text_bytes, "documents": manifest.documents,
        "sentences": manifest.sentences, "sequences": manifest.sequences, "tokens": manifest.tokens,
        "shards": manifest.shards.len(), "pack_seconds": pack_seconds,
        "tokens_per_second": manifest.tokens as f64 / pack_seconds,
        "text_mb_per_second": manifest.text_bytes as f64 / 1e6 / pack_seconds,
        "peak_bytes_packing": peak_after_packing, "rerun_seconds": rerun_seconds, "loader": loaded,
    });
    println!("{}", serde_json::to_string_pretty(&result)?);
    Ok(())
}

/// The most memory this process has had at once; nothing on systems that do not tell.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Kilobytes of this process at the moment: its own, and pages of mapped files, which the system takes back when it needs them.
fn memory_now() -> Vec<Option<u64>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    vec![value("RssAnon:"), value("RssFile:")]
}
