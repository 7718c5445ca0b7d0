//! The peers' engines, all built in one process that times whichever is asked.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::measure::{Measure, RUNS, Sample};

/// The script, in the repository.
const SCRIPT: &str = "benches/peers/infer.py";

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape<'a> {
    /// The model as the peers' script calls it.
    pub model: &'a str,
    /// Sequences in a pass.
    pub batch: u32,
    /// Tokens in a sequence.
    pub seq: u32,
    /// Threads of every engine.
    pub threads: u32,
}

/// Engines that wait for their turn.
#[derive(Debug)]
pub struct Engines {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Those that run this model.
    pub ready: Vec<String>,
    /// Those that do not, and why.
    pub left_out: Vec<(String, String)>,
    /// Libraries and their versions.
    pub versions: Vec<(String, String)>,
}

impl Engines {
    /// Builds a model in each of `names`.
    pub fn start(measure: &Measure, shape: Shape<'_>, names: &[String]) -> Result<Self, String> {
        let mut command = Command::new(&measure.python);
        command.arg(Path::new(SCRIPT)).arg("--script").arg(&measure.script);
        let Shape { model, batch, seq, threads } = shape;
        command.args(["--model", model, "--runs", RUNS, "--batch", &batch.to_string()]);
        command.args(["--seq", &seq.to_string(), "--threads", &threads.to_string()]).args(names);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("cannot start {}: {e}", measure.python.display()))?;
        let input = child.stdin.take().ok_or("no way to ask the engines")?;
        let output = BufReader::new(child.stdout.take().ok_or("no way to hear the engines")?).lines();
        let mut engines = Self { child, input, output, ready: Vec::new(), left_out: Vec::new(), versions: Vec::new() };
        let said = engines.line()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = |key: &str| -> Vec<(String, String)> {
            let object = said[key].as_object();
            object.into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
        };
        engines.ready = said["ready"].as_array().into_iter().flatten().map(text).collect();
        (engines.left_out, engines.versions) = (pairs("left_out"), pairs("versions"));
        if engines.ready.is_empty() {
            return Err(format!("no engine runs {model}: {:?}", engines.left_out));
        }
        Ok(engines)
    }

    /// One turn of an engine.
    pub fn time(&mut self, engine: &str) -> Result<Sample, String> {
        writeln!(self.input, "{engine}").map_err(|e| format!("the engines have ended: {e}"))?;
        let said = self.line()?;
        let ms = said["ms_median"].as_f64().ok_or_else(|| format!("{engine} said no median: {said}"))?;
        Ok(Sample { system: engine.to_owned(), ours: false, ms, peak_mib: None })
    }

    fn line(&mut self) -> Result<Value, String> {
        let ended = || format!("the engines have ended; `python {SCRIPT} --help` says how to run them alone");
        let line = self.output.next().ok_or_else(ended)?.map_err(|e| format!("the engines: {e}"))?;
        serde_json::from_str(&line).map_err(|e| format!("the engines said `{line}`: {e}"))
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
