//! Latency of a compiled model with drawn weights, for work on the engine.
//!
//! `latency MODEL BATCH PRECISION [THREADS [RUNS [SEQ]]]`, e.g. `latency efficientbert 1 bf16 2`.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a program")]

use std::time::Instant;

use cpu_runtime::{
    Activation, Attention, Batch, Embeddings, FeedForward, Layer, Layout, Linear, Model, Network, Norm, NormKind,
    Outputs, PlainBlock, Precision, Projection, SearchedBlock, SearchedStack, Session, Table,
};
use mlp_space::{Align, Architecture, released};

const VOCAB: usize = 30_522;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text = |i: usize, default: &str| args.get(i).map_or(default.to_string(), Clone::clone);
    let number = |i: usize, default: &str| text(i, default).parse::<usize>().expect("a number");
    let (model, batch, precision) = (text(0, "efficientbert"), number(1, "1"), text(2, "f32"));
    let (threads, runs, seq) = (number(3, "2"), number(4, "200"), number(5, "128"));
    let kind = match precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        "int8" => Precision::Int8,
        other => panic!("no precision {other}"),
    };
    let network = match model.as_str() {
        "bert-base" => bert(768, 12, 12, 3072),
        name => efficientbert(&released::preset(name).expect("a released architecture"), 540),
    };
    let start = Instant::now();
    let compiled = Model::compile(network, kind).expect("a network that fits");
    let compile = start.elapsed().as_secs_f64() * 1e3;
    let ids: Vec<u32> = (0..batch * seq).map(|i| (i * 7919 % VOCAB) as u32).collect();
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

fn linear(inputs: usize, outputs: usize) -> Linear {
    let weight = values(inputs * outputs, 1.7 / (inputs as f32).sqrt());
    Linear { inputs, outputs, layout: Layout::OutIn, weight: weight.into(), bias: values(outputs, 0.1) }
}

fn norm(width: usize) -> Norm {
    Norm { kind: NormKind::LayerNorm { eps: 1e-5 }, weight: vec![1.0; width], bias: vec![0.0; width] }
}

fn table(rows: usize, width: usize) -> Table {
    Table { rows, width, data: values(rows * width, 0.5).into() }
}

fn attention(hidden: usize, heads: usize) -> Attention {
    Attention {
        heads,
        query: linear(hidden, hidden),
        key: Some(linear(hidden, hidden)),
        value: linear(hidden, hidden),
        output: linear(hidden, hidden),
        norm: norm(hidden),
    }
}

fn bert(hidden: usize, layers: usize, heads: usize, inner: usize) -> Network {
    let block = || PlainBlock {
        dense1: linear(hidden, inner),
        activation: Activation::GeluErf,
        dense2: linear(inner, hidden),
        norm: norm(hidden),
    };
    let layer = |_| Layer {
        attention: attention(hidden, heads),
        feed_forward: FeedForward::Plain(vec![block()]),
        bottleneck: None,
    };
    Network {
        embeddings: Embeddings {
            words: table(VOCAB, hidden),
            projection: None,
            positions: table(512, hidden),
            segments: table(2, hidden),
            norm: norm(hidden),
        },
        layers: (0..layers).map(layer).collect(),
        pooler: Some(linear(hidden, hidden)),
        heads: vec![],
    }
}

fn efficientbert(architecture: &Architecture, hidden: usize) -> Network {
    let layer = |expression: &mlp_space::Expression| {
        let id = expression.id().expect("a linear map");
        let inner = id.inner_size(hidden);
        let block =
            |_| SearchedBlock { dense1: linear(hidden, inner), dense2: linear(inner, hidden), norm: norm(hidden) };
        Layer {
            attention: attention(hidden, 12),
            feed_forward: FeedForward::Searched(SearchedStack {
                expression: expression.clone(),
                align: Align::Cut,
                inner,
                blocks: (0..id.stacks()).map(block).collect(),
            }),
            bottleneck: None,
        }
    };
    Network {
        embeddings: Embeddings {
            words: table(VOCAB, 128),
            projection: Some(Projection { linear: linear(384, hidden), trigram: true }),
            positions: table(512, hidden),
            segments: table(2, hidden),
            norm: norm(hidden),
        },
        layers: architecture.layers().iter().map(layer).collect(),
        pooler: None,
        heads: vec![],
    }
}
