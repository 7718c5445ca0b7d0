//! The five distillation steps that PyTorch computed.

use std::path::{Path, PathBuf};

use bert_core::weights::{HostTensor, NameFormat, Tensors, apply, collect, collect_internal};
use bert_core::{BertConfig, Encoder, EncoderOutput, ModelType, TaskModel, TokenBatch};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kd::objective::{Objective, Shape, Source};
use kd::optim::{AdamW, AdamWConfig, Gradients};
use mlp_space::Architecture;
use searched_ffn::{SearchedFfn, searched_model, student_config};
use serde_json::Value;

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden(name)).unwrap()).unwrap()
}

pub fn tensor<const D: usize>(t: &HostTensor, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(t.data.clone(), t.shape.clone()), device)
}

pub fn scalar(t: Tensor<1>) -> f64 {
    f64::from(t.into_scalar::<f32>())
}

/// The student of `kd-train-step` with the reference's weights, on a device with autodiff.
fn student(file: &Tensors, device: &Device) -> (BertConfig, TaskModel<SearchedFfn>) {
    let meta = json("kd-train-step.json");
    let c = &meta["config"];
    let size = |key: &str| c[key].as_u64().unwrap() as usize;
    let mut config = BertConfig::bert(
        size("vocab_size"),
        size("hidden_size"),
        size("num_layers"),
        size("num_attn_heads"),
        size("ffn_hidden_size"),
    );
    config.max_position_embeddings = size("position_size");
    config.layer_norm_eps = 1e-5;
    config.hidden_dropout_prob = 0.0;
    config.attention_probs_dropout_prob = 0.0;
    config.embedding_size = Some(size("embed_size"));
    config.trigram_input = true;
    config.fit_size = Some(size("fit_size"));
    let layers: Vec<String> = serde_json::from_value(meta["ffn_expressions"].clone()).unwrap();
    let architecture: Architecture = layers.join(";").parse().unwrap();
    let config = student_config(&config, &architecture).unwrap();
    assert_eq!(config.model_type, ModelType::EfficientBert);
    let model = searched_model(&config, false, false, device).unwrap();
    let model = apply(model, file.under("param."), NameFormat::Reference, "kd-train-step".as_ref()).unwrap();
    (config, model.train())
}

/// Five steps of `kd-train-step`: losses, gradients and weights.
pub fn five_steps_equal_pytorch() {
    let device = Device::flex();
    let file = Tensors::read_safetensors(&golden("kd-train-step.safetensors")).unwrap();
    let meta = json("kd-train-step.json");
    let (_, mut model) = student(&file, &device.clone().autodiff());
    let ids = &file.0["input.token_ids"];
    let ints = |n: &str| file.0[n].data.iter().map(|&v| v as i32).collect::<Vec<_>>();
    let dims = [ids.shape[0], ids.shape[1]];
    let batch = TokenBatch::from_host(
        dims,
        &ints("input.token_ids"),
        &ints("input.segment_ids"),
        &vec![1; dims[0] * dims[1]],
        &device,
    );
    let teacher = EncoderOutput {
        hidden_states: (0..=3).map(|i| tensor(&file.0[&format!("teacher.hidden.{i}")], &device)).collect(),
        attention_scores: (0..3).map(|i| tensor(&file.0[&format!("teacher.attn_scores.{i}")], &device)).collect(),
        values: Vec::new(),
        last_hidden: tensor(&file.0["teacher.hidden.3"], &device),
    };
    let shape = Shape { layers: 3, width: 32, heads: 3 };
    let plan = Objective::default().plan(shape, shape, Source::Text, 5).unwrap();
    let mut optimizer = AdamW::new(AdamWConfig::default());
    for (i, expected) in meta["steps"].as_array().unwrap().iter().enumerate() {
        let now = plan.at(i as u64);
        let output = model.encode(&batch, now.options());
        let terms = now.layer_terms(&output, &teacher, &batch.mask);
        for (name, term) in &terms.0 {
            let (ours, theirs) = (scalar(term.clone().inner()), expected[format!("{name}_loss")].as_f64().unwrap());
            assert!((ours - theirs).abs() < 1e-5 * theirs, "step {i} {name}: {ours} instead of {theirs}");
        }
        let gradients = Gradients::of(&terms.total(), &model);
        let norm = gradients.global_norm();
        let theirs = expected["grad_norm"].as_f64().unwrap();
        assert!((norm - theirs).abs() < 1e-4 * theirs, "step {i} gradient norm: {norm} instead of {theirs}");
        if i == 0 {
            check_gradients(&gradients, &model, &file);
        }
        model = optimizer.step(model, gradients, Gradients::clip_factor(norm, 1.0), 1e-3);
        if i == 0 || i == 4 {
            check_weights(&model, &file, &format!("after{}.", i + 1));
        }
    }
}

fn check_gradients(gradients: &Gradients, model: &TaskModel<SearchedFfn>, file: &Tensors) {
    let expected = file.under("grad.");
    let mut checked = 0;
    for (path, value) in collect_internal(model).0 {
        let name = NameFormat::Reference.external(&path, 1);
        let reference = &expected.0[&name];
        let ours = gradients.get(&path).unwrap_or_else(|| panic!("{path} has no gradient"));
        // Gradients are in burn's layout, [in, out] for linear weights.
        let linear = value.shape.len() == 2 && !path.contains("embeddings.weight");
        let reference = if linear { reference.transposed() } else { reference.clone() };
        let norm = reference.data.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let diff = ours.iter().zip(&reference.data).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        assert!(diff <= 1e-4 * norm.max(1e-6), "gradient of {name}: off by {diff:e} of {norm:e}");
        checked += 1;
    }
    assert_eq!(checked, expected.0.len());
}

fn check_weights(model: &TaskModel<SearchedFfn>, file: &Tensors, prefix: &str) {
    let ours = collect(model, NameFormat::Reference);
    let expected = file.under(prefix);
    assert_eq!(ours.0.keys().collect::<Vec<_>>(), expected.0.keys().collect::<Vec<_>>());
    for (name, reference) in &expected.0 {
        let worst = ours.0[name].data.iter().zip(&reference.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-5, "{prefix}{name}: largest difference {worst:e}");
    }
}
