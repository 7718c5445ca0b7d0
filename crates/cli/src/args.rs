//! The command line.

use clap::{Args, Parser};

use crate::commands::Command;
use crate::device::DeviceNames;
use crate::progress::ProgressMode;

/// Search, distil and prove compact BERT models.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 the work failed, 2 wrong usage,
/// 130 interrupted.
#[derive(Parser, Debug)]
#[command(
    name = "efficientbert",
    version,
    max_term_width = 100,
    after_help = "\
Environment:
  EFFICIENTBERT_ISA  use at most these instructions on the cpu: portable, avx2, avx512 or amx
                     [default: the best that the machine has]"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

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
