//! Hidden states, attention scores and logits equal those of the PyTorch reference code.

mod device;
mod reference;

use std::path::Path;

use bert_core::weights::{HostTensor, NameFormat, Tensors, apply};
use bert_core::{EncodeOptions, MlmHead, Parts, TaskModel, TokenBatch};
use burn::tensor::Tensor;
use device::TestDevice;
use reference::{golden, reference_config};

/// Absolute tolerance in f32 on the CPU for models of a few layers.
const TOLERANCE: f64 = 2e-5;
/// The reference blocks a position by adding -10000; its scores there carry rounding of that size.
const BLOCKED: f32 = -5_000.0;

fn ints(t: &HostTensor) -> Vec<i32> {
    t.data.iter().map(|&v| v as i32).collect()
}

fn assert_close(what: &str, ours: Vec<f32>, reference: &HostTensor, skip_blocked: bool) {
    assert_eq!(ours.len(), reference.data.len(), "{what}: number of values");
    let worst = ours
        .iter()
        .zip(&reference.data)
        .filter(|&(_, &r)| !(skip_blocked && r < BLOCKED))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0f32, f32::max);
    let tolerance = TestDevice::get().tolerance(TOLERANCE);
    assert!(f64::from(worst) <= tolerance, "{what}: largest difference {worst:e}");
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.try_into_vec_as().unwrap()
}

fn check(name: &str) {
    let device = TestDevice::get().device;
    let config = reference_config(name);
    let file = Tensors::read_safetensors(&golden(&format!("{name}.safetensors"))).unwrap();
    let params = file.under("param.");
    let has_mlm = params.0.contains_key("lm_head.dense.weight");
    let model = TaskModel::new(&config, Parts { mlm: has_mlm, ..Parts::NONE }, &device);
    let model = apply(model.unwrap(), params, NameFormat::Reference, Path::new(name)).unwrap();

    let ids = &file.0["input.token_ids"];
    let mask: Vec<u8> = file.0["input.pad_mask"].data.iter().map(|&v| u8::from(v == 0.0)).collect();
    let batch = TokenBatch::from_host(
        [ids.shape[0], ids.shape[1]],
        &ints(ids),
        &ints(&file.0["input.segment_ids"]),
        &mask,
        &device,
    );
    let out = model.encode(&batch, EncodeOptions::STATES_AND_SCORES);
    assert_eq!(out.hidden_states.len(), config.num_hidden_layers + 1);
    for (i, hidden) in out.hidden_states.iter().enumerate() {
        let key = format!("output.hidden.{i}");
        assert_close(&format!("{name} {key}"), values(hidden.clone()), &file.0[&key], false);
    }
    for (i, scores) in out.attention_scores.iter().enumerate() {
        let key = format!("output.attn_scores.{i}");
        assert_close(&format!("{name} {key}"), values(scores.clone()), &file.0[&key], true);
    }
    // Without the scores attention runs as one operation.
    let alone = model.encode(&batch, EncodeOptions { attention_scores: false, ..EncodeOptions::STATES_AND_SCORES });
    assert!(alone.attention_scores.is_empty());
    for (i, hidden) in alone.hidden_states.iter().enumerate() {
        let key = format!("output.hidden.{i}");
        assert_close(&format!("{name} {key} without scores"), values(hidden.clone()), &file.0[&key], false);
    }
    if TestDevice::get().computes_bf16() {
        short_floats_stay_near(name, &model, &batch, &file);
    }
    let logits = &file.0["output.logits"];
    // The rows that are asked for, out of order, are those of all.
    let tokens = (ids.shape[0] * ids.shape[1]) as i32;
    let places = [tokens - 1, 0, 3];
    let some = model.words(out.last_hidden.clone(), Tensor::from_ints(places, &device));
    assert_eq!(some.is_some(), has_mlm, "{name}");
    if let Some(some) = some {
        let vocab = config.vocab_size;
        let rows = places.iter().flat_map(|&at| logits.data[at as usize * vocab..][..vocab].to_vec()).collect();
        assert_close(&format!("{name} words"), values(some), &HostTensor { shape: vec![3, vocab], data: rows }, false);
    }
    let ours = match &model.mlm {
        Some(mlm) => mlm_logits(mlm, &model, out.last_hidden),
        None => values(out.last_hidden),
    };
    assert_close(&format!("{name} logits"), ours, logits, false);
}

/// Products in short floats keep hidden states within 2%.
fn short_floats_stay_near(name: &str, model: &TaskModel, batch: &TokenBatch, file: &Tensors) {
    let short =
        fused_ops::with_precision(fused_ops::Precision::Bf16, || model.encode(batch, EncodeOptions::STATES_AND_SCORES));
    for (i, hidden) in short.hidden_states.iter().enumerate() {
        let reference = &file.0[&format!("output.hidden.{i}")].data;
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
        let ours = values(hidden.clone());
        let off = square(&mut ours.iter().zip(reference).map(|(a, b)| a - b)).sqrt();
        let size = square(&mut reference.iter().copied()).sqrt();
        assert!(off <= 0.02 * size, "{name} hidden {i} in short floats: off by {off:e} of {size:e}");
    }
}

fn mlm_logits(mlm: &MlmHead, model: &TaskModel, hidden: Tensor<3>) -> Vec<f32> {
    values(mlm.forward(hidden, model.encoder.embeddings.word_embeddings.weight.val()))
}

#[test]
fn bert_reproduces_the_reference() {
    check("bert");
}

#[test]
fn tiny_bert_with_projection_reproduces_the_reference() {
    check("tiny-bert");
}

#[test]
fn mobile_bert_with_no_norm_reproduces_the_reference() {
    check("mobile-bert");
}

#[test]
fn mobile_bert_tiny_with_tied_keys_reproduces_the_reference() {
    check("mobile-bert-tiny");
}

#[test]
fn mobile_bert_with_layer_norm_reproduces_the_reference() {
    check("mobile-bert-layernorm");
}
