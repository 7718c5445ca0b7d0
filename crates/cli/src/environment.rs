//! What this program knows about where it runs.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use cpu_kernels::Isa;
use pipeline::summary::Environment;
use report::Machine;

use crate::context::Context;
use crate::error::CliError;

/// Names the instruction set that the processor's kernels use at most.
const ISA: &str = "EFFICIENTBERT_ISA";

/// Lets the kernels use at most the instructions that the environment allows; a machine that has less uses less.
///
/// # Errors
/// The variable names no instruction set.
pub fn limit_instructions() -> Result<(), CliError> {
    let Some(value) = std::env::var_os(ISA).filter(|v| !v.is_empty()) else { return Ok(()) };
    let name = value.to_string_lossy();
    let isa: Isa = name.parse().map_err(|e| CliError::usage(format!("{ISA}={name}: {e}")))?;
    Isa::limit(isa);
    Ok(())
}

/// Name of this machine, for the run folder's lock.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_string())
        .or_else(|| std::env::var("COMPUTERNAME").or_else(|_| std::env::var("HOSTNAME")).ok())
        .unwrap_or_else(|| "unknown host".into())
}

/// Unix time, milliseconds.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// Versions, machine and device of this process.
pub fn describe(context: &Context, started_ms: i64) -> Environment {
    Environment {
        versions: BTreeMap::from([("efficientbert".to_string(), env!("CARGO_PKG_VERSION").to_string())]),
        machine: Machine {
            cpu: cpu_name(),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        },
        device: context.names.to_string(),
        threads: context.threads,
        started: pipeline::summary::utc(started_ms),
    }
}

/// The processor's name where the operating system tells it in a file.
fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, v)| v.trim()));
    name.unwrap_or("unknown processor").to_string()
}

/// Most memory that this process has had so far, in MiB, where the operating system tells it in a file.
pub fn peak_mib() -> Option<f64> {
    memory_mib("VmHWM:")
}

/// Memory that this process has now, in MiB, where the operating system tells it in a file.
pub fn resident_mib() -> Option<f64> {
    memory_mib("VmRSS:")
}

fn memory_mib(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|l| l.strip_prefix(field))?;
    let kib: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
