//! How long a tokenizer takes to learn, and how much memory.
//!
//! `cargo run --example learn_speed -- wordpiece|unigram|bpe VOCAB_SIZE THREADS OUT_DIR INPUT...` learns a tokenizer from the inputs (files
//! or folders), writes its files into an existing folder and prints one JSON object. Peak memory is of the whole process, as Linux has it.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use corpus::{LearnProgress, LearnSettings, TokenizerKind, inputs_of, learn_tokenizer};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, vocab_size, threads, out, paths @ ..] = arguments.as_slice() else {
        return Err("usage: learn_speed wordpiece|unigram|bpe VOCAB_SIZE THREADS OUT_DIR INPUT...".into());
    };
    let kind: TokenizerKind = serde_json::from_value(json!(kind))?;
    let mut inputs = Vec::new();
    for path in paths {
        inputs.extend(inputs_of(Path::new(path), "text")?);
    }
    let settings = LearnSettings {
        kind,
        vocab_size: vocab_size.parse()?,
        lowercase: kind == TokenizerKind::WordPiece,
        sample: kind.default_sample(),
        ..LearnSettings::default()
    };
    let start = Instant::now();
    let read = Mutex::new(0.0);
    let learned = learn_tokenizer(&inputs, &settings, threads.parse()?, &|progress| {
        if let (LearnProgress::Reading { .. }, Ok(mut read)) = (progress, read.lock()) {
            *read = start.elapsed().as_secs_f64();
        }
        ControlFlow::Continue(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    for (name, bytes) in learned.encoder.files(512)? {
        std::fs::write(Path::new(out).join(name), bytes)?;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(str::trim);
    println!(
        "{}",
        json!({
            "kind": kind, "pieces": learned.encoder.vocab_size(), "sentences": learned.sentences, "used": learned.used,
            "words": learned.words, "distinct": learned.distinct_words, "alphabet": learned.alphabet,
            "forgotten": learned.forgotten, "read_seconds": *read.lock().map_err(|_| "a panic")?, "seconds": seconds, "peak": peak,
        })
    );
    Ok(())
}
