//! `export`: a model for other programs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use onnx::{Format, Int8, Report, Request, Weights};

use crate::context::Context;
use crate::error::CliError;
use crate::models::{check_model_directory, refuse_occupied};
use crate::output::{print, print_json, table};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert export --model run/student --out onnx
  efficientbert export --model run/student --precision int8 --out onnx
  efficientbert export --model run/student --outputs hidden --out onnx

The folder gets model.onnx, config.json and the tokenizer. Inputs are input_ids, attention_mask and, where segments make a difference, \
token_type_ids. The file is run before it is written, and its outputs are compared with the model's.")]
pub struct ExportArgs {
    /// Model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The folder to make; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// File format.
    #[arg(long, value_enum, default_value_t = FileFormat::Onnx)]
    format: FileFormat,
    /// Number format of the weights: int8 quantizes products' inputs at each run.
    #[arg(long, value_enum, default_value_t = Numbers::F32)]
    precision: Numbers,
    /// Products that stay in 32-bit floating point in an int8 file, e.g. encoder.layers.0.attention.query; may be repeated.
    #[arg(long, value_name = "PRODUCT")]
    keep: Vec<String>,
    /// What the file gives: the task of a head, `hidden` (last hidden states) or `words` (scores of words); may be repeated [default: all
    /// heads].
    #[arg(long, value_name = "OUTPUT")]
    outputs: Vec<String>,
    /// Write weights into a file of their own. Above 2 GiB they always are.
    #[arg(long)]
    external_data: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    /// Open Neural Network Exchange, for ONNX Runtime, OpenVINO and many others.
    Onnx,
}

/// Number formats of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Numbers {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// 8-bit integers.
    Int8,
}

pub fn run(args: &ExportArgs, _: &Context) -> Result<(), CliError> {
    check_model_directory("--model", &args.model)?;
    refuse_occupied(&args.out)?;
    let FileFormat::Onnx = args.format;
    let keep: BTreeSet<String> = args.keep.iter().cloned().collect();
    if args.precision != Numbers::Int8 && !keep.is_empty() {
        return Err(CliError::usage("--keep is for --precision int8: other formats have no integers"));
    }
    let format = match args.precision {
        Numbers::F32 => Format::F32,
        Numbers::F16 => Format::F16,
        Numbers::Int8 => Format::Int8(Int8 { keep, ranges: None }),
    };
    let weights = if args.external_data { Weights::Beside } else { Weights::AsFits };
    let request = Request { outputs: args.outputs.clone(), format, weights };
    let report = onnx::export(&args.model, &args.out, &request)?;
    if args.json {
        return print_json(&report);
    }
    print(&shown(&report))
}

fn shown(report: &Report) -> String {
    let percent = 100.0 * report.bytes as f64 / report.model_bytes.max(1) as f64;
    let mut rows = vec![
        vec!["file".to_owned(), format!("{}, {}", report.file, report.format)],
        vec!["size".into(), format!("{} ({percent:.0}% of model.safetensors)", megabytes(report.bytes))],
        vec!["outputs".into(), report.outputs.join(", ")],
    ];
    if let Some(difference) = report.difference {
        rows.push(vec!["difference".into(), format!("{difference:.1e} at most from the model's outputs")]);
    }
    table(&["", ""], &rows, false)
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
