//! `cargo xtask bench --peers`: this program and the systems a user would pick instead, in alternation.
//!
//! Every round runs ours and each peer once, one after the other, so that both see the same machine at nearly the same time; what
//! counts is the ratio inside a round, and of the rounds the median.

mod cold_start;
mod measure;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::command;
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
/// Engines of the peers' script.
const ENGINES: [&str; 4] = ["torch", "torch-bf16", "ort", "ort-int8"];
/// Number formats of ours.
const PRECISIONS: [&str; 3] = ["f32", "bf16", "int8"];

/// Compares speed with PyTorch and ONNX Runtime.
///
/// Needs Python with torch, onnx, onnxruntime, numpy and tokenizers, and the script that times them: `peer_bench.py`.
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
    /// Leave out the distillation step.
    #[arg(long)]
    no_kd: bool,
    /// A model directory with a head: adds the time from process start to the first prediction; the peers get a model of the same
    /// architecture. `efficientbert distill --arch efficientbert --steps 1` makes one of that size.
    #[arg(long, value_name = "DIR")]
    student: Option<PathBuf>,
    /// Threads of every system.
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: u32,
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
        threads: args.threads,
        isa: args.isa.clone(),
    };
    let mut table = Table::new(measure.versions()?, &args);
    // Inference: shapes of a pass, ours in three formats against four engines.
    for model in &args.models {
        let peer = MODELS.iter().find(|(ours, _)| ours == model).map(|(_, peer)| *peer).expect("checked by the parser");
        for batch in &args.batches {
            let line = rounds(&measure, &args, &format!("infer {model}, batch {batch} x 128"), |m| {
                let batch = batch.to_string();
                let ours = PRECISIONS.map(|p| m.ours(p, &["--model", model, "--batch", &batch, "--precision", p]));
                let peers = ENGINES.map(|e| m.peer(e, &["infer", "--model", peer, "--batch", &batch, "--engine", e]));
                ours.into_iter().chain(peers).collect()
            })?;
            add(&mut table, line, &args)?;
        }
    }
    if !args.no_kd {
        let line = rounds(&measure, &args, "one KD step, efficientbert from minilm-l6, batch 32 x 64", |m| {
            let kd = ["--model", "efficientbert", "--batch", "32", "--seq", "64", "--runs", "9", "--teacher"];
            let ours = ["f32", "bf16"].map(|p| m.ours(p, &[&kd[..], &["minilm-l6", "--precision", p]].concat()));
            let peers =
                ["torch", "torch-bf16"].map(|e| m.peer(e, &[&["kd"], &kd[..], &["minilm", "--engine", e]].concat()));
            ours.into_iter().chain(peers).collect()
        })?;
        add(&mut table, line, &args)?;
    }
    if let Some(student) = &args.student {
        let start = cold_start::ColdStart::prepare(&measure, student)?;
        let name = format!(
            "process start to first prediction, one architecture, {:.1} million parameters there",
            start.parameters as f64 / 1e6
        );
        let line = rounds(&measure, &args, &name, |_| vec![start.ours("f32"), start.ours("bf16"), start.peer()])?;
        add(&mut table, line, &args)?;
    }
    print!("{}", table.markdown());
    eprintln!("written to {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Adds a row and writes what there is: a later row that fails loses none of it.
fn add(table: &mut Table, line: Line, args: &PeerArguments) -> Result<(), String> {
    table.add(line);
    std::fs::write(&args.out, table.markdown()).map_err(|e| format!("{}: {e}", args.out.display()))
}

/// Runs everything of one row once per round.
fn rounds(
    measure: &Measure,
    args: &PeerArguments,
    name: &str,
    one: impl Fn(&Measure) -> Vec<Result<measure::Sample, String>>,
) -> Result<Line, String> {
    let mut line = Line::new(name);
    for round in 1..=args.rounds {
        eprintln!("{name}: round {round} of {}", args.rounds);
        line.add(one(measure).into_iter().collect::<Result<_, _>>()?);
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
