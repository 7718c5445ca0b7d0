//! What this program knows about where it runs.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use cpu_kernels::Isa;
use pipeline::summary::Environment;
use report::Machine;
use sysinfo::{CpuRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::context::Context;
use crate::error::CliError;

/// Names the instruction set that the processor's kernels use at most.
const ISA: &str = "EFFICIENTBERT_ISA";

/// Lets the kernels use at most the instructions that the environment allows; a machine that has less uses less.
pub fn limit_instructions() -> Result<(), CliError> {
    let Some(value) = std::env::var_os(ISA).filter(|v| !v.is_empty()) else { return Ok(()) };
    let name = value.to_string_lossy();
    let isa: Isa = name.parse().map_err(|e| CliError::usage(format!("{ISA}={name}: {e}")))?;
    Isa::limit(isa);
    Ok(())
}

/// Name of this machine, for the run folder's lock.
pub fn host_name() -> String {
    System::host_name().unwrap_or_else(|| "unknown host".into())
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

/// The processor's name where the operating system tells it.
pub fn cpu_name() -> String {
    let mut system = System::new();
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    let name = system.cpus().first().map(|cpu| cpu.brand().trim()).filter(|name| !name.is_empty());
    name.unwrap_or("unknown processor").to_string()
}

/// Processes that wanted to run in the last minute, on average, where the operating system tells.
pub fn load() -> Option<f64> {
    let one = System::load_average().one;
    (one > 0.0).then_some(one)
}

/// Most memory that this process has had so far, in MiB, where the operating system tells it in a file.
pub fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Memory that this process has now, in MiB, where the operating system tells it.
pub fn resident_mib() -> Option<f64> {
    let own = sysinfo::get_current_pid().ok()?;
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, what);
    Some(system.process(own)?.memory() as f64 / f64::from(1 << 20))
}
