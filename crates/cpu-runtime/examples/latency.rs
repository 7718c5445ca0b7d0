//! Latency of a compiled model with drawn weights, for work on the engine.
//!
//! `latency MODEL BATCH PRECISION [THREADS [RUNS [SEQ]]]`, e.g. `latency efficientbert 1 bf16 2`.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a program")]

use std::time::Instant;

use cpu_runtime::{Batch, Model, Outputs, Precision, Session};
use encoder_spec::{Encoder, MappedTensor, Parts, preset};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text = |i: usize, default: &str| args.get(i).map_or(default.to_string(), Clone::clone);
    let number = |i: usize, default: &str| text(i, default).parse::<usize>().expect("a number");
    let (model, batch, precision) = (text(0, "efficientbert"), number(1, "1"), text(2, "f32"));
    let (threads, runs, seq) = (number(3, "2"), number(4, "200"), number(5, "128"));
    let kind = Precision::ALL.into_iter().find(|p| p.name() == precision).expect("f32, bf16 or int8");
    let config = preset(&model).expect("a preset");
    let outline = Encoder::describe(&config, Parts::published(config.model_type)).expect("presets are valid");
    let encoder = outline.map(|path, shape| weight(path, shape));
    let start = Instant::now();
    let compiled = Model::compile(encoder, kind).expect("an encoder that fits");
    let compile = start.elapsed().as_secs_f64() * 1e3;
    let ids: Vec<u32> = (0..batch * seq).map(|i| (i * 7919 % config.vocab_size) as u32).collect();
    let offsets: Vec<usize> = (0..=batch).map(|s| s * seq).collect();
    let batch_of = Batch { ids: &ids, offsets: &offsets, ..Batch::default() };
    let mut session = Session::new(threads);
    let (mut times, mut busy) = (Vec::with_capacity(runs), Vec::with_capacity(runs));
    for run in 0..runs + 5 {
        let (start, before) = (Instant::now(), processor_ms());
        let out = session.run(&compiled, &batch_of, Outputs::default()).expect("a batch that fits");
        assert!(out.hidden[0].is_finite());
        if run >= 5 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
            busy.push(processor_ms() - before);
        }
    }
    times.sort_by(f64::total_cmp);
    busy.sort_by(f64::total_cmp);
    let mib = compiled.bytes() as f64 / f64::from(1 << 20);
    println!(
        "{model} {batch} x {seq} {precision} {threads} threads: median {:.3} ms, least {:.3} ms; this thread median {:.3} ms, least {:.3} ms ({mib:.0} MiB, compiled in {compile:.0} ms)",
        times[times.len() / 2],
        times[0],
        busy[busy.len() / 2],
        busy[0],
    );
}

/// Time that this thread has had a processor, where Linux tells: on a busy machine it says more than the clock.
fn processor_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).map_or(f64::NAN, |ns| ns / 1e6)
}

fn values(n: usize, scale: f32) -> Vec<f32> {
    (0..n as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0)
        .map(|v| v * scale)
        .collect()
}

/// A weight with values that keep hidden states at their size.
fn weight(path: &str, shape: &[usize]) -> MappedTensor {
    let count = shape.iter().product();
    let data = match shape {
        [_] if path.ends_with("norm.weight") => vec![1.0; count],
        [_, inputs] if !path.ends_with("embeddings.weight") => values(count, 1.7 / (*inputs as f32).sqrt()),
        _ => values(count, if shape.len() == 2 { 0.5 } else { 0.1 }),
    };
    MappedTensor { shape: shape.to_vec(), data: data.into() }
}
