//! Dropout whose masks are functions of a key.

use std::cell::Cell;

use burn::nn::Dropout;
use burn::tensor::{Device, Distribution, Tensor};
use cpu_kernels::elementwise::dropout::mix;

use super::applies;
use crate::extension::run;
use crate::kernels::dropout::Mask;

thread_local! {
    /// Seed of the scope and number of masks drawn in it.
    static STREAM: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Runs `work` with the masks of dropout keyed by `(seed, index of the call within the scope)`.
///
/// A training step that opens a scope with a seed of its own draws the same masks whenever it is repeated, on any number
/// of threads, whatever else the process draws. Outside any scope the keys come from the device's generator
/// ([`Device::seed`]), as they always do on devices other than the CPU. Scopes belong to one thread.
pub fn with_dropout_seed<R>(seed: u64, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<(u64, u64)>);
    impl Drop for Restore {
        fn drop(&mut self) {
            STREAM.set(self.0);
        }
    }
    let _restore = Restore(STREAM.replace(Some((seed, 0))));
    work()
}

/// The mask of the next call of `layer`; `None` where dropout does nothing: without autodiff, frozen, or probability 0.
pub(crate) fn next_mask(layer: &Dropout, device: &Device) -> Option<Mask> {
    if !layer.training.is_enabled() || !device.is_autodiff() || layer.prob == 0.0 {
        return None;
    }
    let key = match STREAM.get() {
        Some((seed, calls)) => {
            STREAM.set(Some((seed, calls + 1)));
            mix(seed ^ mix(calls))
        }
        None => {
            let draw = Tensor::<1>::random([2], Distribution::Uniform(0.0, 1.0), &device.clone().inner());
            let bits = draw.into_data().iter::<f32>().map(f32::to_bits).map(u64::from).collect::<Vec<_>>();
            mix(bits[0] << 32 | bits[1])
        }
    };
    Some(Mask { key, keep: 1.0 - layer.prob })
}

/// `x_i / keep` where value i is kept, 0 elsewhere; `x` itself without autodiff or with probability 0.
///
/// # Shapes
/// - input and output: any, equal
pub fn dropout<const D: usize>(x: Tensor<D>, layer: &Dropout) -> Tensor<D> {
    if !applies(&x) {
        return layer.forward(x);
    }
    match next_mask(layer, &x.device()) {
        Some(mask) => run([x.into_dispatch()], mask),
        None => x,
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::DropoutConfig;

    use super::*;
    use crate::testing::{draws, gradients, list, normal, on_one_and_two_threads};

    fn ones(n: usize, device: &Device) -> Tensor<1> {
        Tensor::ones([n], device)
    }

    #[test]
    fn values_are_kept_with_their_probability_and_scaled() {
        let layer = DropoutConfig::new(0.25).init();
        let device = Device::flex().autodiff();
        let y = list(with_dropout_seed(3, || dropout(ones(40_000, &device), &layer)).inner());
        let kept = y.iter().filter(|&&v| v != 0.0).count();
        assert!(y.iter().all(|&v| v == 0.0 || (v - 1.0 / 0.75).abs() < 1e-6));
        assert!((kept as f64 / 40_000.0 - 0.75).abs() < 0.01, "{kept} of 40000 kept");
    }

    #[test]
    fn masks_follow_from_seed_and_call_whatever_else_is_drawn() {
        let layer = DropoutConfig::new(0.5).init();
        let device = Device::flex().autodiff();
        let two = |seed: u64| {
            with_dropout_seed(seed, || {
                let first = list(dropout(ones(300, &device), &layer).inner());
                draws(&device);
                [first, list(dropout(ones(300, &device), &layer).inner())]
            })
        };
        assert_eq!(two(1), two(1));
        assert_ne!(two(1), two(2));
        let [first, second] = two(1);
        assert_ne!(first, second, "every call has a mask of its own");
    }

    #[test]
    fn outside_a_scope_the_devices_seed_decides() {
        let layer = DropoutConfig::new(0.5).init();
        let device = Device::flex().autodiff();
        let masks = || [0, 1].map(|_| list(dropout(ones(300, &device), &layer).inner()));
        let [first, second] = masks();
        assert_ne!(first, second);
    }

    #[test]
    fn nothing_is_dropped_without_autodiff_or_when_frozen_or_with_probability_0() {
        let plain = Device::flex();
        let device = plain.clone().autodiff();
        let layer = DropoutConfig::new(0.5).init();
        assert_eq!(list(dropout(ones(300, &plain), &layer)), vec![1.0; 300]);
        assert_eq!(list(dropout(ones(300, &device), &layer.freeze()).inner()), vec![1.0; 300]);
        assert_eq!(list(dropout(ones(300, &device), &DropoutConfig::new(0.0).init()).inner()), vec![1.0; 300]);
    }

    #[test]
    fn the_gradient_has_the_mask_of_the_value_on_any_number_of_threads() {
        let layer = DropoutConfig::new(0.4).init();
        let [one, two] = on_one_and_two_threads(|| {
            let f = |[x]: [Tensor<2>; 1]| with_dropout_seed(8, || dropout(x, &layer));
            let x = normal([50, 1000], 1.0, 1);
            let device = Device::flex().autodiff();
            let kept = list(f([Tensor::ones([50, 1000], &device)]).inner());
            (kept, gradients(&[x], f))
        });
        assert!(one == two, "different bits");
        let (kept, [gradient]) = one;
        let factors = list(normal([50, 1000], 1.0, 99));
        assert!(gradient.iter().zip(&kept).zip(&factors).all(|((g, k), f)| *g == f * k));
    }
}
