//! `export`: a model for other programs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use model_dir::ModelDir;
use onnx::{Cost, Format, Int8, Method, Output, Report, Request, Weights};
use pipeline::quantize::{OnnxInt8, Scored, onnx_int8};
use serde::Serialize;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::interrupt;
use crate::models::{check_model_directory, refuse_occupied};
use crate::output::{print, print_json, table};
use crate::predictor;
use crate::scored::ScoredArgs;
use crate::units::megabytes;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert export --model run/student --out onnx
  efficientbert export --model run/student --precision int8 --task sst-2 --data glue --out onnx
  efficientbert export --model run/student --precision int8 --ranges percentile --dev dev.csv --text review --label stars --out onnx
  efficientbert export --model run/student --outputs hidden --out onnx

The folder gets model.onnx, config.json and the tokenizer. Inputs are input_ids, attention_mask and, where segments make a difference, \
token_type_ids. The file is run before it is written, and its outputs are compared with the model's. An int8 file is scored on the dev \
examples, and where it loses more than --max-drop, nothing is written.")]
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
    /// Number format of the file.
    #[arg(long, value_enum, default_value_t = Numbers::F32)]
    precision: Numbers,
    /// How inputs of products become integers in an int8 file.
    #[arg(long, value_enum, default_value_t = Ranges::Dynamic)]
    ranges: Ranges,
    /// Write an int8 file without scoring it.
    #[arg(long)]
    unscored: bool,
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
    #[command(flatten)]
    scored: ScoredArgs,
}

impl ExportArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        self.scored.named()
    }
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

/// Where the ranges of the inputs of products come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ranges {
    /// From the input itself, at each run.
    Dynamic,
    /// From least to greatest on 256 training texts; the form is QDQ.
    Minmax,
    /// 99.99% of the values there.
    Percentile,
    /// The bound that keeps the distribution of values best there.
    Entropy,
}

impl Ranges {
    fn method(self) -> Option<Method> {
        match self {
            Self::Dynamic => None,
            Self::Minmax => Some(Method::MinMax),
            Self::Percentile => Some(Method::Percentile(99.99)),
            Self::Entropy => Some(Method::Entropy),
        }
    }
}

pub fn run(args: &ExportArgs, context: &Context) -> Result<(), CliError> {
    check_model_directory("--model", &args.model)?;
    refuse_occupied(&args.out)?;
    let FileFormat::Onnx = args.format;
    let is_int8 = args.precision == Numbers::Int8;
    let of_int8 = [
        ("--keep", !args.keep.is_empty()),
        ("--ranges", args.ranges != Ranges::Dynamic),
        ("--unscored", args.unscored),
    ];
    let of_int8 = of_int8.into_iter().find(|(_, given)| *given).map(|(option, _)| option);
    if let Some(option) = of_int8.or(args.scored.first_given()).filter(|_| !is_int8) {
        return Err(CliError::usage(format!("{option}: goes with --precision int8; other formats are exact enough")));
    }
    let (format, gate) = match args.precision {
        Numbers::F32 => (Format::F32, None),
        Numbers::F16 => (Format::F16, None),
        Numbers::Int8 => int8(args, context)?,
    };
    let weights = if args.external_data { Weights::Beside } else { Weights::AsFits };
    let request = Request { outputs: args.outputs.clone(), format, weights };
    let report = onnx::export(&args.model, &args.out, &request)?;
    if args.json {
        let mut value = serde_json::to_value(&report)?;
        if let (Some(gate), Some(object)) = (&gate, value.as_object_mut()) {
            object.insert("scored".into(), json!(gate));
        }
        return print_json(&value);
    }
    print(&shown(&report, gate.as_ref()))
}

/// The integers of the file, and what they score.
fn int8(args: &ExportArgs, context: &Context) -> Result<(Format, Option<Gate>), CliError> {
    let keep: BTreeSet<String> = args.keep.iter().cloned().collect();
    if args.unscored {
        if args.ranges != Ranges::Dynamic {
            let message =
                "--ranges: texts to measure on are missing; name them by --task and --data, or by --train or --dev";
            return Err(CliError::usage(message));
        }
        if let Some(option) = args.scored.first_given() {
            return Err(CliError::usage(format!("{option}: is about the score, and --unscored asks for none")));
        }
        context.progress.warn("the file is not scored: what int8 costs is not known");
        return Ok((Format::Int8(Int8 { keep, ranges: None }), None));
    }
    if !args.scored.is_given() {
        let message = "--precision int8: examples to score it on are missing";
        let hint = "--task and --data, or --dev FILE, name them; --unscored writes it as it comes";
        return Err(CliError::usage(message).with_hint(hint));
    }
    let read = ModelDir::map(&args.model)?;
    read.check_finite()?;
    let config = read.config.clone();
    let on = args.scored.read(&args.model, &config, context)?;
    interrupt::install(&context.progress)?;
    let encoder = read.into_encoder()?;
    let outputs = onnx::chosen_outputs(&config, &encoder, &args.outputs).or_usage()?;
    let Some(answer) = outputs.iter().position(|output| *output == Output::Head(on.head.index)) else {
        let head = &config.task_heads[on.head.index].task;
        let message = format!("--outputs: the file would not have the output `{head}`, by which it is scored");
        return Err(CliError::usage(message).with_hint(format!("add --outputs {head}, or use --unscored")));
    };
    let heads = outputs.iter().filter_map(|output| if let Output::Head(head) = output { Some(head) } else { None });
    on.warn_of_others(&config, heads, context);
    if args.ranges != Ranges::Dynamic && !on.texts_are_others {
        context.progress.warn("ranges are measured on the examples that are scored, since no training texts are named");
    }
    let model = onnx::Model { config: &config, encoder: &encoder, outputs: &outputs };
    let scored = Scored { set: &on.dev, head: &on.head, threads: context.threads };
    context.progress.start("int8", on.dev.len() as u64, "examples");
    let mut watch = predictor::shown(&context.progress);
    let (texts, limits) = ((&on.texts, args.ranges.method()), (args.scored.limits(), &keep));
    let done = onnx_int8(&model, texts, (scored, answer), limits, &mut watch);
    context.progress.finish();
    let done = done.hint("--mend keeps the costliest parts in floating point; --max-drop POINTS allows more")?;
    let OnnxInt8 { format, before, after, kept, costs } = done;
    Ok((format, Some(Gate { task: on.task.name().into(), examples: on.dev.len(), before, after, kept, costs })))
}

/// What an int8 file scores.
#[derive(Debug, Serialize)]
struct Gate {
    task: String,
    examples: usize,
    before: f64,
    after: f64,
    kept: Vec<String>,
    costs: Vec<Cost>,
}

fn shown(report: &Report, gate: Option<&Gate>) -> String {
    let percent = 100.0 * report.bytes as f64 / report.model_bytes.max(1) as f64;
    let mut rows = vec![
        vec!["file".to_owned(), format!("{}, {}", report.file, report.format)],
        vec!["size".into(), format!("{} ({percent:.0}% of model.safetensors)", megabytes(report.bytes as u64))],
        vec!["outputs".into(), report.outputs.join(", ")],
    ];
    if let Some(difference) = report.difference {
        rows.push(vec!["difference".into(), format!("{difference:.1e} at most from the model's outputs")]);
    }
    if let Some(Gate { task, examples, before, after, kept, .. }) = gate {
        let scores = format!("{:.2} in f32, {:.2} in int8 ({examples} examples)", before * 100.0, after * 100.0);
        rows.push(vec![format!("{task} dev"), scores]);
        if !kept.is_empty() {
            rows.push(vec!["in floating point".into(), kept.join(", ")]);
        }
    }
    table(&["", ""], &rows, true)
}
