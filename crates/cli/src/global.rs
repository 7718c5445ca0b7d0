//! Options of every command.

use clap::Args;

use crate::device::DeviceNames;
use crate::progress::ProgressMode;

/// Options of every command.
#[derive(Args, Debug)]
pub struct Global {
    /// How progress is shown on standard error.
    #[arg(long, global = true, value_enum, default_value_t = ProgressMode::Auto, help_heading = "Global options")]
    pub progress: ProgressMode,
    /// Number of CPU threads [default: all that the machine gives us].
    #[arg(long, global = true, value_name = "N", help_heading = "Global options")]
    pub threads: Option<std::num::NonZeroUsize>,
    /// Where tensors live: cpu, cuda (an NVIDIA card; feature `cuda`) or wgpu (a graphics card through Vulkan, Metal or
    /// DirectX; feature `wgpu`).
    ///
    /// A number names one of several cards: cuda:1. Trainings share their steps among several devices: cuda:0,cuda:1.
    #[arg(long, global = true, value_name = "DEVICE[,..]", default_value = "cpu", help_heading = "Global options")]
    pub device: DeviceNames,
}
