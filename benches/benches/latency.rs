//! Forward passes of published models and of EfficientBERT's students: last hidden states, random weights (latency does
//! not depend on their values), sequences of 128 tokens, compiled for inference in each number format.
//!
//! `cargo xtask bench` runs all of it, `cargo xtask bench efficientbert` what has that in its name. Groups are named
//! `latency/MODEL/BATCHx128/FORMAT`. Also `latency/MODEL/BATCHx128/modules`: the same pass by the modules that are trained.

use std::cell::OnceCell;
use std::hint::black_box;
use std::time::Duration;

use bert_core::{BertConfig, EncodeOptions, Parts, TaskModel, TokenBatch, freeze, preset};
use burn::tensor::Device;
use cpu_runtime::{Outputs, Precision, Ragged, Session};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};

/// As in the binary, whose latency this is about.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MODELS: [&str; 5] = ["bert-base", "minilm-l6", "tinybert-4", "efficientbert", "efficientbert-tiny"];
const BATCHES: [usize; 2] = [1, 8];
const FORMATS: [(&str, Precision); 3] = [("f32", Precision::F32), ("bf16", Precision::Bf16), ("int8", Precision::Int8)];
const SEQ: usize = 128;
const SEED: u64 = 42;

fn latency(criterion: &mut Criterion) {
    let device = Device::flex();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut session = Session::new(threads);
    for name in MODELS {
        // The distillation projection is no part of a shipped student.
        let config = BertConfig { fit_size: None, ..preset(name).expect("a published architecture") };
        // Built by the first pass: a filter that leaves the model out should not pay for its weights.
        let modules = OnceCell::new();
        let build = || {
            let parts = Parts::published(config.model_type);
            let model = TaskModel::new(&config, parts, &device).expect("published architectures can be built");
            model.initialized(&config, SEED)
        };
        let compiled = FORMATS.map(|_| OnceCell::new());
        for batch in BATCHES {
            let ids = ids(batch, config.vocab_size);
            let mut group = criterion.benchmark_group(format!("latency/{name}/{batch}x{SEQ}"));
            // Long passes: the same number in every sample instead of more and more.
            group.sampling_mode(SamplingMode::Flat);
            let mut ragged = Ragged::new();
            ids.chunks(SEQ).for_each(|row| {
                let row: Vec<u32> = row.iter().map(|&id| id as u32).collect();
                ragged.push(&row, std::iter::repeat_n(0, SEQ));
            });
            for ((format, precision), cell) in FORMATS.into_iter().zip(&compiled) {
                group.bench_function(format, |bencher| {
                    let model = cell.get_or_init(|| {
                        freeze(modules.get_or_init(build), &config, precision).expect("published architectures compile")
                    });
                    let want = Outputs { pooled: false, heads: &[] };
                    bencher.iter(|| {
                        let output = session.run(model, &black_box(&ragged).as_batch(), want).expect("the batch fits");
                        black_box(output.hidden[0])
                    });
                });
            }
            let tokens = tokens(&ids, &device);
            group.bench_function("modules", |bencher| {
                let model = modules.get_or_init(build);
                bencher.iter(|| pass(model, black_box(&tokens)));
            });
            group.finish();
        }
    }
}

fn pass(model: &TaskModel, tokens: &TokenBatch) -> f32 {
    let hidden = model.encode(tokens, EncodeOptions::LAST).last_hidden;
    // Reading one value waits for the device.
    hidden.narrow(0, 0, 1).narrow(1, 0, 1).narrow(2, 0, 1).into_scalar::<f32>()
}

/// Ids spread over the vocabulary, so that the table look-ups miss the cache as text does.
fn ids(batch: usize, vocab: usize) -> Vec<i32> {
    (0..batch * SEQ).map(|i| (i.wrapping_mul(7919) % vocab) as i32).collect()
}

fn tokens(ids: &[i32], device: &Device) -> TokenBatch {
    TokenBatch::from_host([ids.len() / SEQ, SEQ], ids, &vec![0; ids.len()], &vec![1; ids.len()], device)
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(12)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = latency
}
criterion_main!(benches);
