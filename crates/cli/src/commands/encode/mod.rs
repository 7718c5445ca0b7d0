//! `encode`: hidden states and attention scores of given token ids, and vectors of texts.

mod pooled;

use std::path::PathBuf;

use bert_core::BertConfig;
use bert_core::ModelDir;
use bert_core::weights::{HostTensor, Tensors};
use clap::Args;
use encoder_spec::Precision;
use glue_squad::batch::EncodedBatch;
use serde_json::json;
use table_rows::{Format, Layout};

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::inputs::must_exist;
use crate::models;
use crate::output::{check_targets, print_json};
use crate::predictor::{formats, layout, load_model};

#[derive(Args, Debug)]
#[command(after_help = "\
Inputs, all [batch, seq]:
  input.token_ids      required
  input.segment_ids    default 0
  input.pad_mask       1 where a position is blocked; default 0
  input.position_ids   must count 0, 1, 2, ... where given
Outputs:
  output.hidden.I      embedding (0) and layers, after the distillation projection where the model has one
  output.attn_scores.I before the softmax, -10000 added where blocked
  output.last_hidden   last layer, never projected
With --table FILE --text COLUMN --pool the file has one tensor, `vectors`, [rows, width]: a vector for each text, in their order.")]
pub struct EncodeArgs {
    /// Model directory, or its name on the Hugging Face hub.
    #[arg(long, value_name = "DIR|ORG/NAME")]
    model: PathBuf,
    /// Token ids; other tensors than `input.*` are not looked at.
    #[arg(long, value_name = "FILE.safetensors", required_unless_present = "table")]
    inputs: Option<PathBuf>,
    /// Read texts in place of token ids: CSV, TSV, JSON Lines or Parquet.
    #[arg(long, value_name = "FILE", conflicts_with = "inputs", requires_all = ["pool", "columns"])]
    table: Option<PathBuf>,
    /// Column of the texts in --table.
    #[arg(long = "text", id = "columns", value_name = "COLUMN", requires = "table")]
    columns: Vec<String>,
    /// Format of --table: csv, tsv, jsonl, parquet [default: as its name says].
    #[arg(long, value_name = "FORMAT", requires = "table")]
    table_format: Option<Format>,
    /// What separates the fields of a CSV file [default: a comma].
    #[arg(long, value_name = "CHARACTER", requires = "table")]
    separator: Option<char>,
    /// Write `vectors`, one for each text of --table, by the head that makes vectors.
    #[arg(long, requires = "table", conflicts_with = "last_only")]
    pool: bool,
    /// Where to write; an existing file is replaced.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Write `output.last_hidden` only, computed as `predict` and `eval` do.
    #[arg(long)]
    last_only: bool,
    /// Number format of weights and products, with --last-only or --pool; formats other than f32 on the cpu only [default: f32].
    #[arg(long, value_parser = formats(), value_name = "FORMAT")]
    precision: Option<Precision>,
}

impl EncodeArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        let table = self.table.as_mut().map(|path| Named::file("--table", path));
        [Named::model("--model", &mut self.model)].into_iter().chain(table).collect()
    }

    /// How --table holds its rows.
    fn layout(&self) -> Result<Layout, CliError> {
        layout(self.table_format, self.separator)
    }
}

pub fn run(args: &EncodeArgs, context: &Context) -> Result<(), CliError> {
    let files = args.inputs.iter().chain(&args.table).cloned().collect();
    let read = [models::model_paths(&args.model), files].concat();
    check_targets([("--out", Some(args.out.as_path()))], &read)?;
    must_exist("--table", &args.table)?;
    if let Some(table) = &args.table {
        return pooled::run(args, table, context);
    }
    if args.precision.is_some() && !args.last_only {
        return Err(CliError::usage("--precision: goes with --last-only or --pool"));
    }
    let path = args.inputs.as_ref().ok_or_else(|| CliError::usage("--inputs FILE or --table FILE is missing"))?;
    let inputs = Tensors::read_safetensors(path)?.under("input.");
    if args.last_only {
        return last_only(args, &inputs, context);
    }
    let ModelDir { config, model, .. } = models::load("--model", &args.model, context)?;
    let batch = batch(args, &inputs, &config)?;
    let outputs = predict::states_and_scores(&model, &batch, &context.device);
    let count = |of: &str| outputs.0.keys().filter(|name| name.starts_with(of)).count();
    let (hidden, scores) = (count("hidden."), count("attn_scores."));
    write(args, outputs)?;
    print_json(&json!({
        "out": args.out, "batch": batch.batch, "seq": batch.seq, "hidden_states": hidden, "attention_scores": scores,
    }))
}

fn last_only(args: &EncodeArgs, inputs: &Tensors, context: &Context) -> Result<(), CliError> {
    let precision = args.precision.unwrap_or_default();
    let (config, mut model) = load_model("--model", &args.model, precision, context)?;
    let batch = batch(args, inputs, &config)?;
    let shape = vec![batch.batch, batch.seq, config.hidden_size];
    let last = HostTensor { shape, data: model.last_hidden(&batch)? };
    write(args, Tensors([("last_hidden".to_owned(), last)].into()))?;
    print_json(&json!({
        "out": args.out, "batch": batch.batch, "seq": batch.seq, "hidden_states": 0, "attention_scores": 0,
        "precision": precision.name(),
    }))
}

fn batch(args: &EncodeArgs, inputs: &Tensors, config: &BertConfig) -> Result<EncodedBatch, CliError> {
    let found = predict::token_ids(inputs, config).map_err(|error| match error {
        predict::Error::Positions { .. } => {
            CliError::from(error).with_hint("positions must count 0, 1, 2, ... in every row")
        }
        other => other.into(),
    });
    found.context(format!("{}: not usable as inputs", args.inputs.clone().unwrap_or_default().display()))
}

fn write(args: &EncodeArgs, outputs: Tensors) -> Result<(), CliError> {
    let named = outputs.0.into_iter().map(|(name, tensor)| (format!("output.{name}"), tensor));
    Ok(Tensors(named.collect()).write_safetensors(&args.out)?)
}
