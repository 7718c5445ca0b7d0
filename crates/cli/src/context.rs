//! What every command is given to work with.

use burn::tensor::Device;
use train::engine::Devices;

use crate::device::{DeviceKind, DeviceNames};
use crate::error::CliError;
use crate::global::Global;
use crate::progress::Progress;

/// Most threads accepted: beyond any machine, and before the pool runs out of memory.
const MAX_THREADS: usize = 4096;

/// The terminal, the device and the threads of this process.
pub struct Context {
    /// Reports long work on standard error.
    pub progress: Progress,
    pub names: DeviceNames,
    /// Where tensors live; the main one of [`Context::devices`].
    pub device: Device,
    /// All devices of this process, which share the steps of trainings.
    pub devices: Devices,
    pub threads: usize,
}

impl Context {
    /// Opens the devices and starts the global thread pool; once per process, before any tensor work.
    ///
    /// # Errors
    /// A device that is not part of this build or not there, or threads that cannot be started.
    pub fn new(global: &Global) -> Result<Self, CliError> {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = global.threads.map_or_else(available, usize::from);
        if threads > MAX_THREADS {
            return Err(CliError::usage(format!("--threads {threads}: at most {MAX_THREADS} are supported")));
        }
        let names = global.device.clone();
        // Several processors are one, whose threads they divide; of other devices each needs a thread that feeds it.
        let (here, each) = match names.kind() {
            DeviceKind::Cpu => (threads.div_ceil(names.count()), (threads / names.count()).max(1)),
            DeviceKind::Cuda | DeviceKind::Wgpu => (threads, 1),
        };
        rayon::ThreadPoolBuilder::new()
            .num_threads(here)
            // One of them is this one: handing a product over to another thread would wait for that thread to wake up.
            .use_current_thread()
            .build_global()
            .map_err(|e| CliError::failed(format!("cannot start {threads} threads: {e}")))?;
        let mut opened = names.open()?.into_iter();
        let device = opened.next().unwrap_or_else(Device::flex);
        let devices = Devices::new(device.clone(), opened, each)?;
        Ok(Self { progress: Progress::new(global.progress), names, device, devices, threads })
    }

    /// Kind of the devices.
    pub fn kind(&self) -> DeviceKind {
        self.names.kind()
    }

    /// For commands that have no use for several devices.
    pub fn one_device(&self) -> Result<(), CliError> {
        if self.names.count() == 1 {
            return Ok(());
        }
        let message =
            format!("--device {}: only teacher, distill and search share their work among devices", self.names);
        Err(CliError::usage(message).with_hint("name one device"))
    }
}
