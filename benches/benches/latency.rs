//! Forward passes of published models and of EfficientBERT's students: last hidden states, random weights (latency does
//! not depend on their values), sequences of 128 tokens.
//!
//! `cargo xtask bench` runs all of it, `cargo xtask bench efficientbert` what has that in its name. Groups are named
//! `latency/MODEL/BATCHx128`.

use std::hint::black_box;
use std::time::Duration;

use bert_core::{BertConfig, EncodeOptions, Encoder, TokenBatch, preset};
use burn::tensor::Device;
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use searched_ffn::{AnyModel, Parts};

/// As in the binary, whose latency this is about.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MODELS: [&str; 5] = ["bert-base", "minilm-l6", "tinybert-4", "efficientbert", "efficientbert-tiny"];
const BATCHES: [usize; 2] = [1, 8];
const SEQ: usize = 128;
const SEED: u64 = 42;

fn latency(criterion: &mut Criterion) {
    let device = Device::flex();
    for name in MODELS {
        // The distillation projection is no part of a shipped student.
        let config = BertConfig { fit_size: None, ..preset(name).expect("a published architecture") };
        let parts = Parts::published(config.model_type);
        // Built by the first pass: a filter that leaves the model out should not pay for its weights.
        let model = std::cell::OnceCell::new();
        let build = || {
            let model = AnyModel::build(&config, parts, &device).expect("published architectures can be built");
            model.initialised(&config, SEED)
        };
        for batch in BATCHES {
            let tokens = tokens(batch, config.vocab_size, &device);
            let mut group = criterion.benchmark_group(format!("latency/{name}"));
            // Long passes: the same number in every sample instead of more and more.
            group.sampling_mode(SamplingMode::Flat);
            group.bench_function(format!("{batch}x{SEQ}"), |bencher| {
                let model = model.get_or_init(build);
                bencher.iter(|| pass(model, black_box(&tokens)));
            });
            group.finish();
        }
    }
}

fn pass(model: &AnyModel, tokens: &TokenBatch) -> f32 {
    let hidden = model.encode(tokens, EncodeOptions::LAST).last_hidden;
    // Reading one value waits for the device.
    hidden.narrow(0, 0, 1).narrow(1, 0, 1).narrow(2, 0, 1).into_scalar::<f32>()
}

/// Full sequences with ids spread over the vocabulary, so that the table look-ups miss the cache as text does.
fn tokens(batch: usize, vocab: usize, device: &Device) -> TokenBatch {
    let n = batch * SEQ;
    let ids: Vec<i32> = (0..n).map(|i| (i.wrapping_mul(7919) % vocab) as i32).collect();
    TokenBatch::from_host([batch, SEQ], &ids, &vec![0; n], &vec![1; n], device)
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(12)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4));
    targets = latency
}
criterion_main!(benches);
