//! Token ids from tensors, and what a model makes of them.

use encoder_spec::{BertConfig, HostTensor};
use glue_squad::batch::{EncodedBatch, Labels};
use model_dir::Tensors;

use crate::{Error, Result};

const KNOWN: [&str; 4] = ["token_ids", "segment_ids", "pad_mask", "position_ids"];

/// The batch in tensors of shape `[batch, seq]`: `token_ids`; `segment_ids` and `pad_mask` (1 where a position is blocked), 0 where they
/// are absent; `position_ids`, which may only count. Everything is checked that a table look-up or a shape would otherwise fail at.
///
/// # Errors
/// [`Error::TokenIds`] or [`Error::Positions`]: another tensor, another shape, a number that the model has no row for.
pub fn token_ids(inputs: &Tensors, config: &BertConfig) -> Result<EncodedBatch> {
    let refuse = |message: String| Err(Error::TokenIds(message));
    if let Some(name) = inputs.0.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return refuse(format!("`input.{name}` is not known; known: {}", KNOWN.join(", ")));
    }
    let Some(ids) = inputs.0.get("token_ids") else { return refuse("`input.token_ids` is missing".into()) };
    let [size, seq] = ids.shape[..] else {
        return refuse(format!("`input.token_ids` has shape {:?}, not [batch, seq]", ids.shape));
    };
    let longest = config.max_position_embeddings;
    if size == 0 || !(1..=longest).contains(&seq) {
        return refuse(format!("`input.token_ids` has shape {:?}; the model takes 1 to {longest} tokens", ids.shape));
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
            return Err(Error::Positions { found: positions[at], row: at / seq, column: at % seq });
        }
    }
    let mask: Vec<u8> = blocked.iter().map(|&b| u8::from(b == 0)).collect();
    let (labels, indices) = (Labels::None, (0..size).collect());
    Ok(EncodedBatch { batch: size, seq, ids: tokens, type_ids: segments, mask, labels, indices, second: None })
}

fn whole_numbers(name: &str, tensor: &HostTensor, shape: &[usize], limit: usize) -> Result<Vec<i32>> {
    if tensor.shape != shape {
        let message = format!("`input.{name}` has shape {:?}, `input.token_ids` has {shape:?}", tensor.shape);
        return Err(Error::TokenIds(message));
    }
    let value = |&v: &f32| {
        if v >= 0.0 && v.fract() == 0.0 && (v as usize) < limit {
            return Ok(v as i32);
        }
        let most = limit - 1;
        Err(Error::TokenIds(format!("`input.{name}` holds {v}; allowed are whole numbers from 0 to {most}")))
    };
    tensor.data.iter().map(value).collect()
}

/// Hidden states of the embedding and of every layer and attention scores before the softmax, as `hidden.I`, `attn_scores.I` and
/// `last_hidden`.
///
/// # Shapes
/// - `hidden.I`, `last_hidden`: `[batch, seq, hidden]`; the former after the distillation projection where there is one
/// - `attn_scores.I`: `[batch, heads, seq, seq]`; of no heads where a layer has no attention
#[cfg(feature = "burn")]
pub fn states_and_scores(model: &bert_core::TaskModel, batch: &EncodedBatch, device: &burn::tensor::Device) -> Tensors {
    let output = model.encode(&crate::data::to_device(batch, device), bert_core::EncodeOptions::STATES_AND_SCORES);
    let hidden = output.hidden_states.into_iter().enumerate().map(|(i, t)| (format!("hidden.{i}"), host(t)));
    let scores = output.attention_scores.into_iter().enumerate().map(|(i, t)| (format!("attn_scores.{i}"), host(t)));
    let last = [("last_hidden".to_owned(), host(output.last_hidden))];
    Tensors(hidden.chain(scores).chain(last).collect())
}

#[cfg(feature = "burn")]
fn host<const D: usize>(tensor: burn::tensor::Tensor<D>) -> HostTensor {
    let shape = tensor.dims().to_vec();
    HostTensor { shape, data: tensor.try_into_vec_as::<f32>().expect("float tensors convert to f32") }
}
