//! `quantize`: a model directory in 8-bit integers.

use std::path::PathBuf;

use clap::Args;
use model_dir::{CONFIG_FILE, read_config};
use pipeline::quantize::{Quantized, Scored, is_in_integers, quantize};

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::interrupt;
use crate::models::{check_model_directory, refuse_occupied};
use crate::output::{print, print_json, table};
use crate::predictor;
use crate::scored::ScoredArgs;
use crate::training::shown;
use crate::units::megabytes;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert quantize --model run/student --task sst-2 --data glue --out small
  efficientbert quantize --model run/student --dev dev.csv --text review --label stars --mend --out small

The new folder's matrices are 8-bit integers with a scale for each row, about a quarter of the size. Every command reads it; `--precision \
int8` computes with the integers. The model is scored before and after on the dev examples, and on some of them by portable code, which \
computes on other machines. Where it loses more than --max-drop, nothing is written.")]
pub struct QuantizeArgs {
    /// Model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The folder to make; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    scored: ScoredArgs,
}

impl QuantizeArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        self.scored.named()
    }
}

pub fn run(args: &QuantizeArgs, context: &Context) -> Result<(), CliError> {
    check_model_directory("--model", &args.model)?;
    refuse_occupied(&args.out)?;
    let config = read_config(&args.model.join(CONFIG_FILE))?;
    if is_in_integers(&args.model)? {
        let message = format!("--model {}: its matrices are in integers already", args.model.display());
        return Err(CliError::usage(message).with_hint("quantize the model that it was made of"));
    }
    let on = args.scored.read(&args.model, &config, context)?;
    on.warn_of_others(&config, &(0..config.task_heads.len()).collect::<Vec<_>>(), context);
    interrupt::install(&context.progress)?;
    let limits = args.scored.limits();
    let scored = Scored { set: &on.dev, head: &on.head, threads: context.threads };
    let name = args.out.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let card = format!("# {name}\n\n`{}` with its matrices in 8-bit integers.\n", shown(&args.model));
    context.progress.start("int8", on.dev.len() as u64, "examples");
    let mut watch = predictor::shown(&context.progress);
    let done = quantize(&args.model, &args.out, scored, limits, &card, &mut watch);
    context.progress.finish();
    let done = done.hint("--mend keeps the costliest parts in floating point; --max-drop POINTS allows more")?;
    if args.json {
        return print_json(&done);
    }
    print(&said(&done, on.task.name()))
}

fn said(done: &Quantized, task: &str) -> String {
    let score = |value: f64| format!("{:.2}", value * 100.0);
    let two = |[before, after]: [u64; 2]| [megabytes(before), megabytes(after)];
    let row = |name: String, [before, after]: [String; 2]| vec![name, before, after];
    let portable = &done.portable;
    let mut rows = vec![
        row(format!("{task} dev, {}", done.instructions), [score(done.before), score(done.after)]),
        row(
            format!("{} of them, int8 by portable code", portable.examples),
            [score(portable.before), score(portable.after)],
        ),
        row("model.safetensors".into(), two(done.file_bytes)),
        row("weights in memory".into(), two(done.resident_bytes.map(|bytes| bytes as u64))),
    ];
    if !done.kept.is_empty() {
        rows.push(row("in floating point".into(), [String::new(), done.kept.join(", ")]));
    }
    table(&["", "f32", "int8"], &rows, true)
}
