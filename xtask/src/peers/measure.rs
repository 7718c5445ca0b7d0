//! One run of one system.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Passes of a run whose number the caller does not give.
pub(super) const RUNS: &str = "21";

/// Runs the peers' script and prints the process's peak memory on a line of its own.
const WITH_PEAK: &str = "\
import json, resource, runpy, sys
script = sys.argv[1]
sys.argv = sys.argv[1:]
runpy.run_path(script, run_name='__main__')
print(json.dumps({'peak_mib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))";

const VERSIONS: &str = "\
import datetime, platform, torch
name = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), platform.processor())
print(datetime.date.today().isoformat(), torch.__version__.split('+')[0], name, sep='|')";

/// How to run ours and theirs.
#[derive(Debug)]
pub struct Measure {
    /// Our program.
    pub binary: PathBuf,
    /// Python with the peers.
    pub python: PathBuf,
    /// The peers' script.
    pub script: PathBuf,
    /// Highest instruction set of ours.
    pub isa: Option<String>,
}

/// Result of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Who: a number format of ours, or an engine.
    pub system: String,
    /// True for this program.
    pub ours: bool,
    /// Median milliseconds of a pass.
    pub ms: f64,
    /// Peak memory of the process, where it says so.
    pub peak_mib: Option<f64>,
}

/// What the machine and the peers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// `YYYY-MM-DD`.
    pub date: String,
    /// Of PyTorch.
    pub torch: String,
    /// Name of the processor.
    pub processor: String,
}

impl Measure {
    /// Asks Python about itself; fails where a peer is missing.
    pub fn versions(&self) -> Result<Versions, String> {
        let text = output(Command::new(&self.python).args(["-c", VERSIONS]))?;
        let fields: Vec<_> = text.trim().split('|').map(str::to_owned).collect();
        let [date, torch, processor] =
            <[String; 3]>::try_from(fields).map_err(|_| format!("cannot read versions from `{text}`"))?;
        Ok(Versions { date, torch, processor })
    }

    /// Our program with its environment.
    pub fn program(&self) -> Command {
        let mut command = Command::new(&self.binary);
        if let Some(isa) = &self.isa {
            command.env("EFFICIENTBERT_ISA", isa);
        }
        command
    }

    /// One run of `efficientbert bench`.
    pub fn ours(&self, system: &str, threads: u32, args: &[&str]) -> Result<Sample, String> {
        let mut command = self.program();
        command.arg("bench").args(args).args(["--json", "--threads", &threads.to_string()]);
        if !args.contains(&"--runs") {
            command.args(["--runs", RUNS]);
        }
        sample(system, true, &output(&mut command)?)
    }

    /// One run of the peers' script.
    pub fn peer(&self, engine: &str, threads: u32, args: &[&str]) -> Result<Sample, String> {
        let mut command = Command::new(&self.python);
        command.args(["-c", WITH_PEAK]).arg(&self.script).args(args);
        command.args(["--threads", &threads.to_string()]);
        if !args.contains(&"--runs") {
            command.args(["--runs", RUNS]);
        }
        sample(engine, false, &output(&mut command)?)
    }
}

/// Standard output of a command that must succeed.
pub fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let result = command.stderr(Stdio::piped()).output().map_err(|e| format!("cannot start {name}: {e}"))?;
    if !result.status.success() {
        let errors = String::from_utf8_lossy(&result.stderr);
        return Err(format!("{name} failed ({}):\n{}", result.status, errors.trim()));
    }
    String::from_utf8(result.stdout).map_err(|_| format!("{name} printed something that is not UTF-8"))
}

/// Reads the objects of all lines, or of the whole text, into one sample.
fn sample(system: &str, ours: bool, text: &str) -> Result<Sample, String> {
    let objects: Vec<Value> = match serde_json::from_str(text) {
        Ok(value) => vec![value],
        Err(_) => text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
    };
    let find = |keys: &[&str]| {
        objects.iter().find_map(|object| keys.iter().find_map(|key| object.get(key).and_then(Value::as_f64)))
    };
    let ms = find(&["median_ms", "ms_median"]).ok_or_else(|| format!("{system} printed no median:\n{text}"))?;
    Ok(Sample { system: system.into(), ours, ms, peak_mib: find(&["peak_mib"]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_read() {
        let ours = sample("f32", true, "{\n \"median_ms\": 4.5,\n \"peak_mib\": 100\n}\n").unwrap();
        assert_eq!((ours.ms, ours.peak_mib), (4.5, Some(100.0)));
        let theirs = sample("ort", false, "warning: x\n{\"ms_median\": 9.25}\n{\"peak_mib\": 812.5}\n").unwrap();
        assert_eq!((theirs.ms, theirs.peak_mib), (9.25, Some(812.5)));
        assert!(sample("ort", false, "nothing").unwrap_err().contains("no median"));
    }
}
