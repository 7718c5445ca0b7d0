//! `cargo xtask bench --peers`: this program and the systems a user would pick instead, in alternation.
//!
//! Every round runs ours and each peer once, one after the other, so that both see the same machine at nearly the same time; what
//! counts is the ratio inside a round, and of the rounds the median.

mod cold_start;
mod engines;
mod measure;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::command;
use engines::{Engines, Shape};
use measure::Measure;
use table::{Line, Table};

/// Models that inference is compared on, and what the peers' script calls them.
const MODELS: [(&str, &str); 5] = [
    ("efficientbert", "efficientbert"),
    ("bert-base", "bert-base"),
    ("efficientbert-tiny", "efficientbert-tiny"),
    ("minilm-l6", "minilm"),
    ("tinybert-4", "tinybert4"),
];
/// Engines of the peers.
const ENGINES: [&str; 11] = [
    "torch",
    "torch-bf16",
    "torch-compile",
    "torch-compile-bf16",
    "ort",
    "ort-int8",
    "ov",
    "ov-bf16",
    "ov-int8",
    "ct2",
    "ct2-int8",
];
/// Number formats of ours.
const PRECISIONS: [&str; 3] = ["f32", "bf16", "int8"];

/// Compares speed with OpenVINO, CTranslate2, ONNX Runtime and PyTorch.
///
/// Needs Python with torch, onnx, onnxruntime, openvino, nncf, ctranslate2, transformers, numpy and tokenizers, and the script that describes the
/// models: `peer_bench.py`. An engine that is missing is left out, which is said.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask bench --peers")]
pub struct PeerArguments {
    /// Rounds; the table shows medians over them.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Models, of those that both sides know.
    #[arg(long, value_name = "NAME", num_args = 1.., default_values = ["efficientbert", "bert-base"],
          value_parser = clap::builder::PossibleValuesParser::new(MODELS.map(|(ours, _)| ours)))]
    models: Vec<String>,
    /// Sequences in a pass.
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [1, 8])]
    batches: Vec<u32>,
    /// Tokens in a sequence.
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [128])]
    seqs: Vec<u32>,
    /// Engines of the peers.
    #[arg(long, value_name = "NAME", num_args = 1.., default_values = ENGINES,
          value_parser = clap::builder::PossibleValuesParser::new(ENGINES))]
    engines: Vec<String>,
    /// Leave out the distillation step.
    #[arg(long)]
    no_kd: bool,
    /// A model directory with a head: adds the time from process start to the first prediction; the peers get a model of the same
    /// architecture. `efficientbert distill --arch efficientbert --steps 1` makes one of that size.
    #[arg(long, value_name = "DIR")]
    student: Option<PathBuf>,
    /// Threads of every system: a row for each number.
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [2])]
    threads: Vec<u32>,
    /// Instruction set that ours may use at most: portable, avx2, avx512, amx.
    #[arg(long, value_name = "ISA")]
    isa: Option<String>,
    /// Python with the peers installed [default: EFFICIENTBERT_PEERS, or python3].
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// The script that times the peers [default: tools/peer_bench.py in EFFICIENTBERT_SHARED].
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Our program [default: the one that `cargo xtask` builds].
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the table goes.
    #[arg(long, value_name = "FILE", default_value = "docs/results/cpu.md")]
    out: PathBuf,
    /// Where every measured value goes, as JSON [default: the table's name with .json].
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the comparison with the arguments after `--peers`.
pub fn run(args: Vec<std::ffi::OsString>) -> Result<ExitCode, String> {
    let name = std::ffi::OsString::from("bench");
    let args = match PeerArguments::try_parse_from([name].into_iter().chain(args)) {
        Ok(args) => args,
        Err(e) => e.exit(),
    };
    let script = args.script.clone().unwrap_or_else(|| {
        let shared = std::env::var_os("EFFICIENTBERT_SHARED").unwrap_or_else(|| "../shared".into());
        PathBuf::from(shared).join("tools/peer_bench.py")
    });
    if !script.is_file() {
        return Err(format!("{}: no such file; name the peers' script with --script", script.display()));
    }
    let measure = Measure {
        binary: match &args.binary {
            Some(binary) => binary.clone(),
            None => command::build_binary(vec![])?,
        },
        python: args
            .python
            .clone()
            .or_else(|| std::env::var_os("EFFICIENTBERT_PEERS").map(Into::into))
            .unwrap_or_else(|| "python3".into()),
        script,
        isa: args.isa.clone(),
    };
    let mut table = Table::new(measure.versions()?, &args);
    for model in &args.models {
        for (&threads, (&batch, &seq)) in args.threads.iter().flat_map(|threads| {
            let shapes = args.batches.iter().flat_map(|batch| args.seqs.iter().map(move |seq| (batch, seq)));
            shapes.map(move |shape| (threads, shape))
        }) {
            let line = inference((&measure, &mut table), &args, model, (batch, seq, threads))?;
            add(&mut table, line, &args)?;
        }
    }
    for &threads in args.threads.iter().filter(|_| !args.no_kd) {
        let name = format!("one KD step, efficientbert from minilm-l6, batch 32 x 64, {}", of(threads));
        let line = rounds(&args, &name, || {
            let kd = ["--model", "efficientbert", "--batch", "32", "--seq", "64", "--runs", "9", "--teacher"];
            let ours = |p| measure.ours(p, threads, &[&kd[..], &["minilm-l6", "--precision", p]].concat());
            let peer = |e| measure.peer(e, threads, &[&["kd"], &kd[..], &["minilm", "--engine", e]].concat());
            let all = ["f32", "bf16"].map(ours).into_iter().chain(["torch", "torch-bf16"].map(peer));
            all.collect()
        })?;
        add(&mut table, line, &args)?;
    }
    if let Some(student) = &args.student {
        let threads = args.threads.iter().copied().max().unwrap_or(1);
        let start = cold_start::ColdStart::prepare(&measure, threads, student)?;
        let name = format!(
            "process start to first prediction, one architecture, {:.1} million parameters there",
            start.parameters as f64 / 1e6
        );
        let line = rounds(&args, &name, || vec![start.ours("f32"), start.ours("bf16"), start.peer()])?;
        add(&mut table, line, &args)?;
    }
    print!("{}", table.markdown());
    eprintln!("written to {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// One row: a model and the shape of a pass, ours in three formats and every engine of theirs.
fn inference(
    (measure, table): (&Measure, &mut Table),
    args: &PeerArguments,
    model: &str,
    (batch, seq, threads): (u32, u32, u32),
) -> Result<Line, String> {
    let peer = MODELS.iter().find(|(ours, _)| *ours == model).map(|(_, peer)| *peer).expect("checked by the parser");
    let name = format!("{model}, {batch} x {seq}, {}", of(threads));
    eprintln!("{name}: building the engines");
    let mut engines = Engines::start(measure, Shape { model: peer, batch, seq, threads }, &args.engines)?;
    for (engine, why) in &engines.left_out {
        eprintln!("{name}: without {engine}: {why}");
    }
    table.versions(&engines.versions);
    table.without(&name, &engines.left_out);
    let names = engines.ready.clone();
    rounds(args, &name, || {
        let (batch, seq) = (batch.to_string(), seq.to_string());
        let shape = ["--model", model, "--batch", &batch, "--seq", &seq, "--precision"];
        let ours = PRECISIONS.map(|p| measure.ours(p, threads, &[&shape[..], &[p]].concat()));
        let theirs = names.iter().map(|engine| engines.time(engine));
        ours.into_iter().chain(theirs).collect()
    })
}

/// A number of threads in words.
fn of(threads: u32) -> String {
    if threads == 1 { "1 thread".into() } else { format!("{threads} threads") }
}

/// Adds a row and writes what there is: a later row that fails loses none of it.
fn add(table: &mut Table, line: Line, args: &PeerArguments) -> Result<(), String> {
    table.add(line);
    let json = args.json.clone().unwrap_or_else(|| args.out.with_extension("json"));
    for (path, text) in [(&args.out, table.markdown()), (&json, table.json())] {
        std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// Runs everything of one row once per round.
fn rounds(
    args: &PeerArguments,
    name: &str,
    mut one: impl FnMut() -> Vec<Result<measure::Sample, String>>,
) -> Result<Line, String> {
    let mut line = Line::new(name);
    for round in 1..=args.rounds {
        eprintln!("{name}: round {round} of {}", args.rounds);
        line.add(one().into_iter().collect::<Result<_, _>>()?);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        PeerArguments::command().debug_assert();
    }
}
