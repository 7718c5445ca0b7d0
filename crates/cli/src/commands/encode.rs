//! `encode`: hidden states and attention scores of given token ids.

use std::path::PathBuf;

use bert_core::weights::{HostTensor, Tensors};
use bert_core::{BertConfig, EncodeOptions, Encoder, EncoderOutput, ModelDir};
use burn::tensor::Tensor;
use clap::Args;
use glue_squad::batch::{EncodedBatch, Labels};
use serde_json::json;
use train::data::to_device;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inference::{self, Precision};
use crate::models;
use crate::output::{check_targets, print_json};

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
    /// Model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Token ids; other tensors than `input.*` are not looked at.
    #[arg(long, value_name = "FILE.safetensors")]
    inputs: PathBuf,
    /// Where to write; a file that stands there is replaced.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Write `output.last_hidden` only, computed as `predict` and `eval` do.
    #[arg(long)]
    last_only: bool,
    /// Number format of weights and products, with --last-only; other than f32 on the cpu only [default: f32].
    #[arg(long, value_enum, value_name = "FORMAT", requires = "last_only")]
    precision: Option<Precision>,
}

const KNOWN_INPUTS: [&str; 4] = ["token_ids", "segment_ids", "pad_mask", "position_ids"];

pub fn run(args: &EncodeArgs, context: &Context) -> Result<(), CliError> {
    let read = [models::model_paths(&args.model), vec![args.inputs.clone()]].concat();
    check_targets([("--out", Some(args.out.as_path()))], &read)?;
    let inputs = Tensors::read_safetensors(&args.inputs)?;
    if args.last_only {
        return last_only(args, &inputs, context);
    }
    let ModelDir { config, model, .. } = models::load("--model", &args.model, &context.device)?;
    let batch = to_device(&read_batch(args, &inputs, &config)?, &context.device);
    let output = model.encode(&batch, EncodeOptions::STATES_AND_SCORES);
    let (hidden, scores) = (output.hidden_states.len(), output.attention_scores.len());
    tensors(output).write_safetensors(&args.out)?;
    let [size, seq] = batch.dims();
    print_json(&json!({
        "out": args.out, "batch": size, "seq": seq, "hidden_states": hidden, "attention_scores": scores,
    }))
}

fn last_only(args: &EncodeArgs, inputs: &Tensors, context: &Context) -> Result<(), CliError> {
    let precision = args.precision.unwrap_or_default();
    let (config, mut model) = inference::load("--model", &args.model, precision, context)?;
    let batch = read_batch(args, inputs, &config)?;
    let shape = vec![batch.batch, batch.seq, config.hidden_size];
    let last = HostTensor { shape, data: model.last_hidden(&batch)? };
    Tensors([("output.last_hidden".to_string(), last)].into()).write_safetensors(&args.out)?;
    print_json(&json!({
        "out": args.out, "batch": batch.batch, "seq": batch.seq, "hidden_states": 0, "attention_scores": 0,
        "precision": precision.name(),
    }))
}

fn read_batch(args: &EncodeArgs, inputs: &Tensors, config: &BertConfig) -> Result<EncodedBatch, CliError> {
    batch(&inputs.under("input."), config).context(format!("{}: not usable as inputs", args.inputs.display()))
}

/// Checks everything that a table look-up or a shape would otherwise fail at.
fn batch(inputs: &Tensors, config: &BertConfig) -> Result<EncodedBatch, CliError> {
    if let Some(name) = inputs.0.keys().find(|name| !KNOWN_INPUTS.contains(&name.as_str())) {
        let known = KNOWN_INPUTS.join(", ");
        return Err(CliError::failed(format!("`input.{name}` is not known; known: {known}")));
    }
    let ids = inputs.0.get("token_ids").ok_or_else(|| CliError::failed("`input.token_ids` is missing"))?;
    let [size, seq] = ids.shape[..] else {
        return Err(CliError::failed(format!("`input.token_ids` has shape {:?}, not [batch, seq]", ids.shape)));
    };
    let longest = config.max_position_embeddings;
    if size == 0 || !(1..=longest).contains(&seq) {
        let message = format!("`input.token_ids` has shape {:?}; the model takes 1 to {longest} tokens", ids.shape);
        return Err(CliError::failed(message));
    }
    let read = |name: &str, limit: usize| match inputs.0.get(name) {
        Some(tensor) => whole_numbers(name, tensor, &ids.shape, limit),
        None => Ok(vec![0; size * seq]),
    };
    let tokens = read("token_ids", config.vocab_size)?;
    let segments = read("segment_ids", config.type_vocab_size)?;
    let blocked = read("pad_mask", 2)?;
    if inputs.0.contains_key("position_ids") {
        let positions = read("position_ids", longest)?;
        if let Some(at) = (0..size * seq).find(|&i| positions[i] as usize != i % seq) {
            let message = format!("`input.position_ids` is {} at row {}, column {}", positions[at], at / seq, at % seq);
            return Err(CliError::failed(message).with_hint("positions must count 0, 1, 2, ... in every row"));
        }
    }
    let mask: Vec<u8> = blocked.iter().map(|&b| u8::from(b == 0)).collect();
    let (labels, indices) = (Labels::None, (0..size).collect());
    Ok(EncodedBatch { batch: size, seq, ids: tokens, type_ids: segments, mask, labels, indices })
}

fn whole_numbers(name: &str, tensor: &HostTensor, shape: &[usize], limit: usize) -> Result<Vec<i32>, CliError> {
    if tensor.shape != shape {
        let message = format!("`input.{name}` has shape {:?}, `input.token_ids` has {shape:?}", tensor.shape);
        return Err(CliError::failed(message));
    }
    let value = |&v: &f32| {
        if v >= 0.0 && v.fract() == 0.0 && (v as usize) < limit {
            return Ok(v as i32);
        }
        Err(CliError::failed(format!("`input.{name}` holds {v}; allowed are whole numbers from 0 to {}", limit - 1)))
    };
    tensor.data.iter().map(value).collect()
}

fn tensors(output: EncoderOutput) -> Tensors {
    let mut tensors = Tensors::default();
    for (i, hidden) in output.hidden_states.into_iter().enumerate() {
        tensors.0.insert(format!("output.hidden.{i}"), host(hidden));
    }
    for (i, scores) in output.attention_scores.into_iter().enumerate() {
        tensors.0.insert(format!("output.attn_scores.{i}"), host(scores));
    }
    tensors.0.insert("output.last_hidden".into(), host(output.last_hidden));
    tensors
}

fn host<const D: usize>(tensor: Tensor<D>) -> HostTensor {
    let shape = tensor.dims().to_vec();
    HostTensor { shape, data: tensor.try_into_vec_as::<f32>().expect("float tensors convert to f32") }
}
