//! `encode`: hidden states and attention scores of given token ids.

use std::path::PathBuf;

use bert_core::BertConfig;
use bert_core::ModelDir;
use bert_core::weights::{HostTensor, Tensors};
use clap::Args;
use encoder_spec::Precision;
use glue_squad::batch::EncodedBatch;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::models;
use crate::output::{check_targets, print_json};
use crate::predictor::{formats, load_model};

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
  output.last_hidden   last layer, never projected")]
pub struct EncodeArgs {
    /// Model directory, or its name on the Hugging Face hub.
    #[arg(long, value_name = "DIR|ORG/NAME")]
    model: PathBuf,
    /// Token ids; other tensors than `input.*` are not looked at.
    #[arg(long, value_name = "FILE.safetensors")]
    inputs: PathBuf,
    /// Where to write; an existing file is replaced.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Write `output.last_hidden` only, computed as `predict` and `eval` do.
    #[arg(long)]
    last_only: bool,
    /// Number format of weights and products, with --last-only; formats other than f32 on the cpu only [default: f32].
    #[arg(long, value_parser = formats(), value_name = "FORMAT", requires = "last_only")]
    precision: Option<Precision>,
}

impl EncodeArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        vec![Named::model("--model", &mut self.model)]
    }
}

pub fn run(args: &EncodeArgs, context: &Context) -> Result<(), CliError> {
    let read = [models::model_paths(&args.model), vec![args.inputs.clone()]].concat();
    check_targets([("--out", Some(args.out.as_path()))], &read)?;
    let inputs = Tensors::read_safetensors(&args.inputs)?.under("input.");
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
    found.context(format!("{}: not usable as inputs", args.inputs.display()))
}

fn write(args: &EncodeArgs, outputs: Tensors) -> Result<(), CliError> {
    let named = outputs.0.into_iter().map(|(name, tensor)| (format!("output.{name}"), tensor));
    Ok(Tensors(named.collect()).write_safetensors(&args.out)?)
}
