//! The kernels by themselves, on shapes of EfficientBERT at 2048 tokens (a training step of 32 x 64) and at 128 (one pass).
//!
//! `cargo xtask bench kernels` runs them: products on all threads with both operands packed anew, packed products (on every instruction
//! set from AVX2 to the machine's best) and elementwise operations on one thread.

use std::hint::black_box;
use std::time::Duration;

use cpu_kernels::Isa;
use cpu_kernels::elementwise::{
    Activation, norm,
    optimizer::{AdamWStep, MomentStep},
    softmax,
};
use cpu_kernels::matmul::{Epilogue, Input, MatMut, MatRef, Precision, Weights, matmul, multiply};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Rows, inner size and columns: a forward product, the gradient of its weights, a wide feed-forward.
const PRODUCTS: [(usize, usize, usize); 4] = [(128, 540, 540), (2048, 540, 540), (540, 2048, 540), (2048, 384, 1536)];

/// Values in -0.5..0.5 without a short period: what products cost depends on the bits.
fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i.wrapping_mul(7919) % 1009) as f32 / 1009.0 - 0.5).collect()
}

fn products(criterion: &mut Criterion) {
    for (m, k, n) in PRODUCTS {
        let (a, b, mut out) = (values(m * k), values(k * n), vec![0.0; m * n]);
        let mut group = criterion.benchmark_group(format!("kernels/product/{m}x{k}x{n}"));
        // Multiply-adds, counted once.
        group.throughput(Throughput::Elements((m * k * n) as u64));
        for precision in [Precision::F32, Precision::Bf16] {
            group.bench_function(format!("{precision:?}"), |bencher| {
                bencher.iter(|| {
                    let out = MatMut::row_major(black_box(&mut out), m, n);
                    let (a, b) = (MatRef::row_major(&a, m, k), MatRef::row_major(&b, k, n));
                    matmul(a, b, out, precision, &Epilogue::default());
                });
            });
        }
        group.finish();
    }
}

fn packed(criterion: &mut Criterion) {
    let (m, k, n) = PRODUCTS[0];
    let (a, b, mut out) = (values(m * k), values(k * n), vec![0.0; m * n]);
    let mut group = criterion.benchmark_group(format!("kernels/packed/{m}x{k}x{n}"));
    group.throughput(Throughput::Elements((m * k * n) as u64));
    // What other processors would do, besides this one's best; operands are packed for the set in use.
    let best = Isa::current();
    let sets = Isa::ALL.into_iter().filter(|isa| (Isa::Avx2..=best).contains(isa) || *isa == best);
    let precisions = [Precision::F32, Precision::Bf16, Precision::Int8];
    for (isa, precision) in sets.flat_map(|isa| precisions.map(|precision| (isa, precision))) {
        Isa::limit(isa);
        let weights = Weights::pack(MatRef::row_major(&b, k, n), precision);
        let mut input = Input::default();
        input.reserve(m, k, precision);
        let epilogue = Epilogue { activation: Some(Activation::GeluTanh), ..Epilogue::default() };
        group.bench_function(format!("{isa}/{precision:?}"), |bencher| {
            bencher.iter(|| {
                let out = black_box(&mut out);
                // SAFETY: `a` and `out` have all rows, and no other thread is involved.
                unsafe {
                    input.pack(0..m, a.as_ptr(), k);
                    multiply(&input, &weights, 0..m, 0..n, out.as_mut_ptr(), n, &epilogue);
                }
            });
        });
    }
    Isa::limit(best);
    group.finish();
}

fn elementwise(criterion: &mut Criterion) {
    let (rows, width) = (128, 540);
    let (x, gamma, beta) = (values(rows * width), vec![1.0; width], vec![0.0; width]);
    let mut y = vec![0.0; x.len()];
    let mut group = criterion.benchmark_group("kernels/elementwise");
    group.throughput(Throughput::Elements(x.len() as u64));
    for f in [Activation::GeluErf, Activation::GeluTanh, Activation::Tanh, Activation::Elu] {
        group.bench_function(format!("{f:?}"), |bencher| bencher.iter(|| _ = f.forward(black_box(&x), &mut y)));
    }
    group.bench_function("GeluTanh backward", |bencher| {
        bencher.iter(|| _ = Activation::GeluTanh.backward(black_box(&x), &x, &mut y));
    });
    group.bench_function("layer_norm", |bencher| {
        bencher.iter(|| _ = norm::layer_norm(black_box(&x), &gamma, &beta, 1e-5, &mut y, None));
    });
    group.bench_function("softmax", |bencher| {
        bencher.iter(|| softmax::masked_softmax_rows(black_box(&x), width, 1.0, None, &mut y));
    });
    let moments = MomentStep { scale: 1.0, beta1: 0.9, keep1: 0.1, beta2: 0.999, keep2: 0.001, root: 1.0, eps: 1e-8 };
    let step = AdamWStep { moments, decay: 0.999, step_size: 1e-6 };
    let (mut w, mut m, mut v) = (x.clone(), vec![0.0; x.len()], vec![0.0; x.len()]);
    group.bench_function("adamw", |bencher| bencher.iter(|| step.update(&mut w, black_box(&x), &mut m, &mut v)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = products, packed, elementwise
}
criterion_main!(benches);
