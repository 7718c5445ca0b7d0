//! What the tests of this crate share.

use burn::tensor::{Device, Distribution, Tensor, TensorData};

/// Relative difference of fused operations and burn's primitives.
const TOLERANCE: f64 = 1e-5;

/// Values of `N(0, std)` that depend on the seed alone.
pub(crate) fn normal<const D: usize>(shape: [usize; D], std: f64, seed: u64) -> Tensor<D> {
    // Counters through a hash, four of them for the sum of four uniform values: no generator is shared between tests.
    let n = shape.iter().product::<usize>();
    let uniform = |i: u64| {
        let mut x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.wrapping_mul(0xd129_0d3b_3f5a_5a4d);
        for _ in 0..3 {
            x ^= x >> 29;
            x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        }
        (x >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    };
    let value = |i: u64| ((0..4).map(|k| uniform(4 * i + k)).sum::<f64>() * 3f64.sqrt() * std) as f32;
    let values: Vec<f32> = (0..n as u64).map(value).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// The values of a tensor.
pub(crate) fn list<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

/// The difference is at most 1e-5 of the norm.
pub(crate) fn assert_same<const D: usize>(what: &str, ours: Tensor<D>, reference: Tensor<D>) {
    assert_eq!(ours.dims(), reference.dims(), "{what}: shapes");
    assert_close(what, &list(ours), &list(reference), TOLERANCE);
}

/// The difference is at most `tolerance` of the norm.
pub(crate) fn assert_close(what: &str, ours: &[f32], reference: &[f32], tolerance: f64) {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>().sqrt();
    let size = norm(&mut reference.iter().map(|&v| f64::from(v)));
    let off = norm(&mut ours.iter().zip(reference).map(|(a, b)| f64::from(a - b)));
    assert!(off <= tolerance * size.max(1e-6), "{what}: off by {off:e} of {size:e}");
}

/// The gradients of `sum(f(inputs) * c)` with respect to all inputs, for a fixed pseudo-random `c`.
pub(crate) fn gradients<const D: usize, const E: usize, const N: usize>(
    inputs: &[Tensor<D>; N],
    f: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) -> [Vec<f32>; N] {
    let device = Device::flex().autodiff();
    let tracked = inputs.clone().map(|x| Tensor::from_data(x.into_data(), &device).require_grad());
    let y = f(tracked.clone());
    let factors = normal(y.dims(), 1.0, 99);
    let grads = (y * factors).sum().backward();
    tracked.map(|x| list(x.grad(&grads).expect("reached by the loss")))
}

/// Both functions have the same gradients with respect to all inputs.
pub(crate) fn gradients_agree<const D: usize, const E: usize, const N: usize>(
    what: &str,
    inputs: [Tensor<D>; N],
    fused: impl Fn([Tensor<D>; N]) -> Tensor<E>,
    reference: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) {
    let (ours, theirs) = (gradients(&inputs, fused), gradients(&inputs, reference));
    for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_close(&format!("{what}: gradient {i}"), ours, theirs, TOLERANCE);
    }
}

/// The gradients are the slopes of `f` by central differences, for a few values of each input.
pub(crate) fn gradients_are_slopes<const D: usize, const E: usize, const N: usize>(
    what: &str,
    inputs: [Tensor<D>; N],
    f: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) {
    const STEP: f32 = 1e-2;
    let found = gradients(&inputs, &f);
    let device = Device::flex();
    let value = |inputs: [Tensor<D>; N]| {
        let y = f(inputs);
        let factors = list(normal(y.dims(), 1.0, 99));
        list(y).iter().zip(&factors).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    for (k, gradient) in found.iter().enumerate() {
        let scale = gradient.iter().map(|v| v.abs()).fold(0.1, f32::max);
        for at in (0..gradient.len()).step_by(gradient.len().div_ceil(7).max(1)) {
            let moved = |by: f32| {
                let mut inputs = inputs.clone();
                let mut data = list(inputs[k].clone());
                data[at] += by;
                inputs[k] = Tensor::from_data(TensorData::new(data, inputs[k].dims()), &device);
                value(inputs)
            };
            let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            let off = (slope - f64::from(gradient[at])).abs();
            assert!(
                off <= 5e-3 * f64::from(scale),
                "{what}: input {k}, value {at}: {} against slope {slope}",
                gradient[at]
            );
        }
    }
}

/// The result of `work` on pools of one and of two threads.
pub(crate) fn on_one_and_two_threads<R: Send>(work: impl Fn() -> R + Send + Sync) -> [R; 2] {
    [1, 2].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        pool.install(&work)
    })
}

/// Values and gradients of `f` have the same bits on one thread and on two.
pub(crate) fn assert_same_bits_on_any_threads<const D: usize, const E: usize, const N: usize>(
    inputs: [Tensor<D>; N],
    f: impl Fn([Tensor<D>; N]) -> Tensor<E> + Send + Sync,
) {
    let [one, two] = on_one_and_two_threads(|| (list(f(inputs.clone())), gradients(&inputs, &f)));
    assert!(one == two, "different bits");
}

/// A device's draws, so that a test may seed them.
pub(crate) fn draws(device: &Device) -> Vec<f32> {
    list(Tensor::<1>::random([4], Distribution::Uniform(0.0, 1.0), device))
}
