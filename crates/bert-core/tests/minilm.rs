//! A real Hugging Face checkpoint gives the hidden states that transformers computes.

mod device;

use bert_core::weights::{NameFormat, Tensors, apply};
use bert_core::{EncodeOptions, ModelType, Parts, TaskModel, TokenBatch};
use burn::tensor::activation::softmax;
use device::TestDevice;
use test_support::shared;

const TOLERANCE: f64 = 1e-4;

#[test]
fn minilm_reproduces_hugging_face() {
    let (Some(folder), Some(golden)) =
        (shared("models/minilm-l6-h384-uncased"), shared("golden/minilm-hf.safetensors"))
    else {
        return;
    };
    let device = TestDevice::get().device;
    let config = model_dir::read_config(&folder.join("config.json")).unwrap();
    let weights = folder.join("model.safetensors");
    let model = TaskModel::new(&config, Parts::POOLER, &device);
    let format = NameFormat::HuggingFace(ModelType::Bert);
    let tensors = Tensors::read_safetensors(&weights).unwrap();
    let model = apply(model.unwrap(), tensors, format, &weights).unwrap();

    let golden = Tensors::read_safetensors(&golden).unwrap();
    let ints = |name: &str| golden.0[name].data.iter().map(|&v| v as i32).collect::<Vec<_>>();
    let mask: Vec<u8> = ints("attention_mask").iter().map(|&v| v as u8).collect();
    let shape = &golden.0["input_ids"].shape;
    let [batch_size, seq] = [shape[0], shape[1]];
    let batch = TokenBatch::from_host([batch_size, seq], &ints("input_ids"), &ints("token_type_ids"), &mask, &device);
    let out = model.encode(&batch, EncodeOptions::STATES_AND_SCORES);
    let pooled: Vec<f32> = model.pool(out.last_hidden.clone(), &batch.mask).try_into_vec_as().unwrap();
    assert_close("pooler", &pooled, &golden.0["pooler_output"].data, None);
    for (i, hidden) in out.hidden_states.into_iter().enumerate() {
        let ours: Vec<f32> = hidden.try_into_vec_as().unwrap();
        assert_close("hidden", &ours, &golden.0[&format!("hidden_states.{i}")].data, Some((&mask, 384)));
    }
    for i in [0, 5] {
        let probs = softmax(out.attention_scores[i].clone(), 3);
        let ours: Vec<f32> = probs.try_into_vec_as().unwrap();
        assert_close("attention", &ours, &golden.0[&format!("attention_probs.{i}")].data, None);
    }
}

/// With `rows`, compares only the rows of real tokens: what stands on padding is nobody's business.
fn assert_close(what: &str, ours: &[f32], theirs: &[f32], rows: Option<(&[u8], usize)>) {
    assert_eq!(ours.len(), theirs.len());
    let worst = (0..ours.len())
        .filter(|i| rows.is_none_or(|(mask, width)| mask[i / width] == 1))
        .map(|i| (ours[i] - theirs[i]).abs())
        .fold(0.0f32, f32::max);
    assert!(f64::from(worst) <= TestDevice::get().tolerance(TOLERANCE), "{what}: largest difference {worst:e}");
}
