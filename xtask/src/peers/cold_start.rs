//! From the start of a process to its first prediction.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::measure::{Measure, Sample, output};

/// Starts in a round.
const STARTS: usize = 9;

const TEXT: &str = "a gripping and surprisingly tender film";

/// Writes a model of the student's architecture as ONNX, once, and says how many parameters it has.
const EXPORT: &str = "\
import json, runpy, sys, torch, warnings
warnings.filterwarnings('ignore')
peers = runpy.run_path(sys.argv[1], run_name='peers')
config = json.load(open(sys.argv[2]))
hidden, inner = config['hidden_size'], config['intermediate_size']
if config['model_type'] == 'efficientbert':
    if inner != hidden: sys.exit('the peers know searched feed-forwards of the hidden width only')
    layers = [dict(expr=layer['expression']) for layer in config['layers']]
elif config['model_type'] == 'bert':
    layers = [dict(ffn=inner)] * config['num_hidden_layers']
else: sys.exit('the peers do not know models of type ' + config['model_type'])
spec = dict(hidden=hidden, heads=config['num_attention_heads'], vocab=config['vocab_size'], embed=config.get('embedding_size'), layers=layers)
model = peers['Encoder'](**spec).eval()
ids = torch.ones(1, 16, dtype=torch.int64)
torch.onnx.export(model, (ids, torch.ones(1, 16)), sys.argv[3], input_names=['ids', 'mask'], dynamo=False, opset_version=17,
                  dynamic_axes={'ids': {0: 'b', 1: 's'}, 'mask': {0: 'b', 1: 's'}})
print(peers['params'](model))";

/// What a user of ONNX Runtime writes for one prediction.
const PREDICT: &str = "\
import sys, numpy, onnxruntime, tokenizers
ids = tokenizers.Tokenizer.from_file(sys.argv[1]).encode(sys.argv[3]).ids
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[4])
session = onnxruntime.InferenceSession(sys.argv[2], options, providers=['CPUExecutionProvider'])
ids = numpy.array([ids], dtype=numpy.int64)
print(session.run(None, {'ids': ids, 'mask': numpy.ones(ids.shape, dtype=numpy.float32)})[0].argmax())";

/// Both models on disk.
#[derive(Debug)]
pub struct ColdStart<'a> {
    measure: &'a Measure,
    threads: String,
    student: PathBuf,
    onnx: PathBuf,
    /// Parameters of the peers' model, which has the student's architecture.
    pub parameters: u64,
}

impl<'a> ColdStart<'a> {
    pub fn prepare(measure: &'a Measure, threads: u32, student: &Path) -> Result<Self, String> {
        let tokenizer = student.join("tokenizer.json");
        if !tokenizer.is_file() {
            return Err(format!("--student {}: no tokenizer.json there", student.display()));
        }
        let onnx = std::env::temp_dir().join(format!("efficientbert-peer-{}.onnx", std::process::id()));
        let mut start =
            Self { measure, threads: threads.to_string(), student: student.to_path_buf(), onnx, parameters: 0 };
        let mut export = Command::new(&measure.python);
        export.args(["-c", EXPORT]).arg(&measure.script).arg(student.join("config.json")).arg(&start.onnx);
        let said = output(&mut export)?;
        let count = said.lines().last().and_then(|line| line.trim().parse().ok());
        start.parameters = count.ok_or_else(|| format!("cannot read the number of parameters from `{said}`"))?;
        Ok(start)
    }

    /// `efficientbert predict` as a whole process.
    pub fn ours(&self, precision: &str) -> Result<Sample, String> {
        let mut command = self.measure.program();
        command.arg("predict").arg("--model").arg(&self.student);
        command.args(["--precision", precision, "--threads", &self.threads, TEXT]);
        timed(command, precision, true)
    }

    /// Python with ONNX Runtime as a whole process.
    pub fn peer(&self) -> Result<Sample, String> {
        let mut command = Command::new(&self.measure.python);
        command.args(["-c", PREDICT]).arg(self.student.join("tokenizer.json")).arg(&self.onnx).arg(TEXT);
        command.arg(&self.threads);
        timed(command, "ort", false)
    }
}

impl Drop for ColdStart<'_> {
    fn drop(&mut self) {
        // A leftover in the folder for temporary files does no harm.
        let _ = std::fs::remove_file(&self.onnx);
    }
}

/// The median of some starts: one alone says more about what else the machine does at that moment.
fn timed(mut command: Command, system: &str, ours: bool) -> Result<Sample, String> {
    command.stdin(Stdio::null());
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let start = Instant::now();
        let answer = output(&mut command)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        if answer.trim().is_empty() {
            return Err(format!("{system} predicted nothing"));
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(Sample { system: system.into(), ours, ms: times[STARTS / 2], peak_mib: None })
}
