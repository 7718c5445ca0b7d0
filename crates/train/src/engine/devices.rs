//! The devices of a training.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{DType, Device};
use fused_ops::Precision;
use rayon::ThreadPool;

use crate::{Error, Result};

/// Where a training computes: a device that keeps the weights and evaluates, and others that share its steps.
///
/// This is data parallelism by replication, as burn's own trainer has it for several devices: in every step each device gets a copy
/// of the weights and a part of the batch, and the gradients are summed on the host in the order of the parts. The batch of a
/// step stays what it is on one device, so nothing else in the settings changes with the number of devices; with `n` of them a step
/// is, to the bit, the one that a single device takes in `n` parts.
///
/// Each of the other devices has threads of its own for what is computed on processors: work of one never waits
/// for, or runs within, that of another.
#[derive(Clone, Debug)]
pub struct Devices {
    main: Device,
    others: Vec<Replica>,
}

#[derive(Clone, Debug)]
struct Replica {
    device: Device,
    threads: Arc<ThreadPool>,
}

impl From<Device> for Devices {
    fn from(main: Device) -> Self {
        Self { main, others: Vec::new() }
    }
}

impl From<&Device> for Devices {
    fn from(main: &Device) -> Self {
        main.clone().into()
    }
}

impl From<&Devices> for Devices {
    fn from(devices: &Devices) -> Self {
        devices.clone()
    }
}

impl Devices {
    /// `main` and `others`, each of which gets `threads` processor threads of its own; all without autodiff.
    ///
    /// A device may appear more than once, which is useful only for the CPU.
    ///
    /// # Errors
    /// Threads that cannot be started.
    pub fn new(main: Device, others: impl IntoIterator<Item = Device>, threads: usize) -> Result<Self> {
        let replica = |device| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let threads = Arc::new(pool.map_err(|e| Error::Devices(format!("cannot start {threads} threads: {e}")))?);
            Ok(Replica { device, threads })
        };
        Ok(Self { main, others: others.into_iter().map(replica).collect::<Result<_>>()? })
    }

    /// The device that keeps the weights and evaluates.
    pub fn main(&self) -> &Device {
        &self.main
    }

    /// Checks that every device can train in this number format; [`train`](super::train) asks too, before its first step.
    ///
    /// # Errors
    /// A device does not compute in this format.
    pub fn check_precision(&self, precision: Precision) -> Result<()> {
        // The CPU has its own kernels, whatever burn says of its formats.
        let is_on = |precision: Precision, device: &Device| match (precision, *device == Device::flex()) {
            (Precision::F32, _) | (Precision::Bf16, true) => true,
            (Precision::Bf16, false) => device.supports_dtype(DType::BF16),
            (Precision::F16, on_cpu) => !on_cpu && device.supports_dtype(DType::F16),
        };
        let on_all = |precision: &Precision| self.all().all(|device| is_on(*precision, device));
        if on_all(&precision) {
            return Ok(());
        }
        let others = Precision::ALL
            .into_iter()
            .filter(on_all)
            .map(|precision| precision.to_string())
            .collect::<Vec<_>>()
            .join(" or ");
        let message = format!("{precision} is not available on this device; use {others}");
        Err(Error::Setting { field: "precision", message })
    }

    /// All of them, the main one first.
    pub fn all(&self) -> impl Iterator<Item = &Device> {
        std::iter::once(&self.main).chain(self.others.iter().map(|replica| &replica.device))
    }

    /// How many there are, at least 1.
    pub fn count(&self) -> u32 {
        1 + self.others.len() as u32
    }

    /// `model`, which is on the main device, for each of the others: training modules with graphs of their own.
    pub(super) fn copies<M: Module>(&self, model: &M) -> Vec<M> {
        self.others.iter().map(|replica| model.clone().fork(&replica.device.clone().autodiff())).collect()
    }

    /// Runs `work` for each device at the same time, with its place, `model` or its one of the [`Self::copies`], and the device;
    /// results in the order of the devices.
    ///
    /// A panic of one is a panic here, after all others have ended.
    pub(super) fn each<M: Module, R: Send>(
        &self,
        model: &M,
        copies: &mut Vec<M>,
        work: impl Fn(u32, &M, &Device) -> R + Sync,
    ) -> Vec<R> {
        if self.others.is_empty() {
            return vec![work(0, model, &self.main)];
        }
        std::thread::scope(|scope| {
            let work = &work;
            // Modules can be moved between threads, but not shared: a copy is moved there and back.
            let started: Vec<_> = (1..)
                .zip(&self.others)
                .zip(copies.drain(..))
                .map(|((place, Replica { device, threads }), copy)| {
                    let task = move || (fused_ops::busy_wait(|| work(place, &copy, device)), copy);
                    scope.spawn(move || threads.install(task))
                })
                .collect();
            let mut results = vec![work(0, model, &self.main)];
            for thread in started {
                let (result, copy) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                results.push(result);
                copies.push(copy);
            }
            results
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;

    use super::*;

    fn devices(others: usize) -> Devices {
        Devices::new(Device::flex(), vec![Device::flex(); others], 1).expect("threads")
    }

    #[test]
    fn results_come_in_the_order_of_the_devices() {
        let model = LinearConfig::new(2, 2).init(&Device::flex().autodiff());
        for others in [0, 1, 3] {
            let devices = devices(others);
            assert_eq!(devices.count() as usize, devices.all().count());
            let mut copies = devices.copies(&model);
            let places = devices.each(&model, &mut copies, |place, model, _| {
                assert!(model.weight.val().is_require_grad());
                place
            });
            assert_eq!(places, (0..=others as u32).collect::<Vec<_>>());
            assert_eq!(copies.len(), others, "for the next part");
        }
    }

    #[test]
    #[should_panic(expected = "in a replica")]
    fn a_panic_of_one_device_is_not_lost() {
        let model = LinearConfig::new(2, 2).init(&Device::flex().autodiff());
        let devices = devices(2);
        devices.each(&model, &mut devices.copies(&model), |place, _, _| assert_ne!(place, 2, "in a replica"));
    }
}
