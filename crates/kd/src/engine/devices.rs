//! The devices of a training.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
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
    /// A device may be there more than once, which is of use on the processor alone.
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

    /// All of them, the main one first.
    pub fn all(&self) -> impl Iterator<Item = &Device> {
        std::iter::once(&self.main).chain(self.others.iter().map(|replica| &replica.device))
    }

    /// How many there are, at least 1.
    pub fn count(&self) -> u32 {
        1 + self.others.len() as u32
    }

    /// Runs `work` for each device at the same time, with its place, a model of its own and the device; results in the order of
    /// the devices.
    ///
    /// A panic of one is a panic here, after all others have ended.
    pub(super) fn each<M: Module, R: Send>(&self, model: &M, work: impl Fn(u32, &M, &Device) -> R + Sync) -> Vec<R> {
        if self.others.is_empty() {
            return vec![fused_ops::awake(|| work(0, model, &self.main))];
        }
        std::thread::scope(|scope| {
            let work = &work;
            let started: Vec<_> = (1..)
                .zip(&self.others)
                .map(|(place, Replica { device, threads })| {
                    // As a training module's tensors, with a graph of its own.
                    let copy = model.clone().fork(&device.clone().autodiff());
                    scope.spawn(move || threads.install(move || fused_ops::awake(|| work(place, &copy, device))))
                })
                .collect();
            let first = fused_ops::awake(|| work(0, model, &self.main));
            let rest = started.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            std::iter::once(first).chain(rest).collect()
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
            let places = devices.each(&model, |place, model, _| {
                assert!(model.weight.val().is_require_grad());
                place
            });
            assert_eq!(places, (0..=others as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "in a replica")]
    fn a_panic_of_one_device_is_not_lost() {
        let model = LinearConfig::new(2, 2).init(&Device::flex().autodiff());
        devices(2).each(&model, |place, _, _| assert_ne!(place, 2, "in a replica"));
    }
}
