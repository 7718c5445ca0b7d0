//! A training step of distillation: EfficientBERT from MiniLM at random weights, 32 sequences of 64 tokens; forward passes of
//! both, the loss over all layers, the backward pass, clipping and the update.
//!
//! `cargo xtask bench training` runs it. Groups are named `training/kd-step/FORMAT`; a sample is a training of its own.

use std::time::{Duration, Instant};

use bert_core::{BertConfig, Parts, TaskModel, TokenBatch, preset};
use burn::tensor::Device;
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use kd::job::RepeatedBatch;
use kd::objective::Plan;
use train::engine::{Precision, Silent, TrainConfig, train};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 32;
const SEQ: usize = 64;
const SEED: u64 = 42;
const LEARNING_RATE: f64 = 1e-4;

fn kd_step(criterion: &mut Criterion) {
    let device = Device::flex();
    let teacher_config = preset("minilm-l6").expect("a published architecture");
    let config = BertConfig {
        fit_size: Some(teacher_config.hidden_size),
        ..preset("efficientbert").expect("a published architecture")
    };
    let build = |config: &BertConfig| {
        let model = TaskModel::new(config, Parts::default(), &device).expect("published architectures can be built");
        model.initialized(config, SEED)
    };
    let (teacher, student) = (build(&teacher_config), build(&config));
    let plan = Plan::between(&config, &teacher_config).expect("models of equal depth");
    let n = BATCH * SEQ;
    let ids: Vec<i32> = (0..n).map(|i| (i.wrapping_mul(7919) % config.vocab_size) as i32).collect();
    let tokens = TokenBatch::from_host([BATCH, SEQ], &ids, &vec![0; n], &vec![1; n], &device);
    let mut group = criterion.benchmark_group("training/kd-step");
    group.sampling_mode(SamplingMode::Flat);
    for precision in [Precision::F32, Precision::Bf16] {
        group.bench_function(precision.to_string(), |bencher| {
            bencher.iter_custom(|steps| {
                let settings = TrainConfig { precision, ..TrainConfig::new(steps, LEARNING_RATE) };
                let job = RepeatedBatch { teacher: &teacher, plan: &plan, tokens: &tokens };
                let start = Instant::now();
                let trained = train(student.clone(), &device, &job, &settings, None, &mut Silent);
                trained.expect("random weights and a small rate stay finite");
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(10));
    targets = kd_step
}
criterion_main!(benches);
