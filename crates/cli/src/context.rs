//! What every command is given to work with.

use burn::tensor::Device;

use crate::args::Global;
use crate::device::DeviceKind;
use crate::error::CliError;
use crate::progress::Progress;

/// Most threads accepted: beyond any machine, and before the pool runs out of memory.
const MAX_THREADS: usize = 4096;

/// The terminal, the device and the threads of this process.
pub struct Context {
    /// Reports long work on standard error.
    pub progress: Progress,
    /// Kind of [`Context::device`].
    pub kind: DeviceKind,
    /// Where tensors live.
    pub device: Device,
    /// Threads of the global pool.
    pub threads: usize,
}

impl Context {
    /// Opens the device and starts the global thread pool; once per process, before any tensor work.
    ///
    /// # Errors
    /// The device is not part of this build, or the threads cannot be started.
    pub fn new(global: &Global) -> Result<Self, CliError> {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = global.threads.map_or_else(available, usize::from);
        if threads > MAX_THREADS {
            return Err(CliError::usage(format!("--threads {threads}: at most {MAX_THREADS} are supported")));
        }
        let device = global.device.open()?;
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            // One of them is this one: handing a product over to another thread would wait for that thread to wake up.
            .use_current_thread()
            .build_global()
            .map_err(|e| CliError::failed(format!("cannot start {threads} threads: {e}")))?;
        Ok(Self { progress: Progress::new(global.progress), kind: global.device, device, threads })
    }
}
