//! Zero-cost proxies.

use std::path::Path;

use bert_core::weights::{Tensors, apply_internal, collect_internal};
use bert_core::{AttentionOptions, BertConfig, Parts, TaskModel, TokenBatch, student_config, student_frame};
use burn::tensor::Device;
use encoder_spec::Encoder;
use glue_squad::batch::{EncodedBatch, Labels};
use kd::from_teacher::Sample;
use kd::proxy::{Proxy, VARIANCE_SHARE, nuclear_norm, principal_components, stable_rank};
use linear_fit::{Affine, Matrix, low_rank};
use mlp_space::StudentShape;
use train::data::to_device;

fn model(config: &BertConfig) -> TaskModel {
    TaskModel::new(config, Parts::POOLER, &Device::flex()).unwrap().initialized(config, 3)
}

fn score(proxy: Proxy, config: &BertConfig, model: &TaskModel) -> f64 {
    let sample = Sample::new([&texts(10)], &Device::flex()).unwrap();
    proxy.score(model, &Encoder::describe(config, Parts::POOLER).unwrap(), &sample).unwrap()
}

/// Five texts, padded to `seq`.
fn texts(seq: usize) -> EncodedBatch {
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for text in 0..5 {
        for place in 0..seq {
            let real = place < 4 + text;
            ids.push(if real { (1 + (text * 7 + place * 5) % 39) as i32 } else { 0 });
            mask.push(u8::from(real));
        }
    }
    let type_ids = vec![0; 5 * seq];
    EncodedBatch { batch: 5, seq, ids, type_ids, mask, labels: Labels::None, indices: (0..5).collect(), second: None }
}

fn changed(model: &TaskModel, change: impl Fn(&str, &mut Vec<f32>)) -> TaskModel {
    let mut weights: Tensors = collect_internal(model);
    weights.0.iter_mut().for_each(|(name, tensor)| change(name, &mut tensor.data));
    apply_internal(model.clone(), weights, Path::new("changed")).unwrap()
}

fn is_matrix(name: &str) -> bool {
    name.contains(".layers.") && name.ends_with(".weight") && !name.contains("norm")
}

fn plain() -> BertConfig {
    BertConfig { max_position_embeddings: 16, ..BertConfig::bert(40, 8, 2, 2, 12).with_dropout(0.0) }
}

/// A student of two layers, the first with two stacks and a first linear map that does not read the block's input as it is.
fn searched() -> BertConfig {
    let shape = StudentShape {
        vocab: 40,
        embed: 8,
        hidden: 12,
        base: 12,
        heads: 2,
        max_positions: 16,
        segments: 2,
        fit: Some(20),
    };
    let layers = "linear2_2(relu(linear2_2(tanh(x),wb1)),wb2); linear1_1(gelu(linear1_1(x,wb1)),wb2)";
    let frame = BertConfig { hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, ..student_frame(&shape, 2) };
    student_config(&frame, &layers.parse().unwrap()).unwrap()
}

#[test]
fn the_control_counts_what_a_budget_counts() {
    let config = searched();
    let without = BertConfig { fit_size: None, ..config.clone() };
    let count = Encoder::describe(&without, Parts::POOLER).unwrap().count(7).params();
    assert_eq!(score(Proxy::Parameters, &config, &model(&config)), count as f64, "no distillation projection");
}

/// The formula again, on one text after the other and without the code of the proxy.
#[test]
fn w_pca_is_the_parameters_times_the_components_before_each_activation() {
    let config = searched();
    let model = changed(&model(&config), |_, data| data.iter_mut().for_each(|w| *w *= 20.0));
    let weights = collect_internal(&model);
    let affine = |name: String| {
        let part = |kind: &str| &weights.0[&format!("{name}.{kind}")].data;
        Affine::from_rows(part("weight"), part("bias"))
    };
    // The values of real tokens before each stack, a column each.
    let mut states = Vec::new();
    for text in 0..5 {
        let all = texts(10);
        let batch = all.rows(text..text + 1);
        let tokens: TokenBatch = to_device(&batch, &Device::flex());
        let mask = ((tokens.mask.clone() * -1.0 + 1.0) * -10_000.0).reshape([1, 1, 1, tokens.dims()[1]]);
        let mut x = model.encoder.embeddings.forward(&tokens);
        let mut seen = Vec::new();
        for layer in &model.encoder.layers {
            x = layer.attention.as_ref().unwrap().forward_self(x, mask.clone(), AttentionOptions::default()).hidden;
            for stack in 0..layer.feed_forward.blocks.len() {
                seen.push(x.clone().try_into_vec_as::<f32>().unwrap()[..(4 + text) * 12].to_vec());
                let mut alone = layer.feed_forward.clone();
                alone.blocks = vec![layer.feed_forward.blocks[stack].clone()];
                x = alone.forward(x);
            }
        }
        states.push(seen);
    }
    let mut components = 0;
    for (stack, (layer, block)) in [(0, 0), (0, 1), (1, 0)].into_iter().enumerate() {
        let values: Vec<f64> = states.iter().flat_map(|text| &text[stack]).map(|&v| f64::from(v)).collect();
        let x = Matrix::from_vec(12, values.len() / 12, values);
        let x = if layer == 0 { x.map(f64::tanh) } else { x };
        let z = affine(format!("encoder.layers.{layer}.feed_forward.blocks.{block}.dense1")).apply(&x);
        components += low_rank::principal_components(&z, VARIANCE_SHARE);
    }
    assert!(components > 6, "{components} components of 3 maps");
    let parameters = score(Proxy::Parameters, &config, &model);
    assert_eq!(score(Proxy::WPca, &config, &model), parameters * components as f64);
}

#[test]
fn components_do_not_depend_on_the_padding_and_a_network_without_weights_has_none() {
    let config = plain();
    let spec = Encoder::describe(&config, Parts::POOLER).unwrap();
    let of = |model: &TaskModel, seq| {
        let sample = Sample::new([&texts(seq)], &Device::flex()).unwrap();
        principal_components(model, &spec, &sample, VARIANCE_SHARE).unwrap()
    };
    let model = model(&config);
    assert_eq!(of(&model, 9), of(&model, 16));
    let silent = changed(&model, |name, data| {
        if name.contains("dense1.weight") {
            data.fill(0.0);
        }
    });
    assert_eq!(of(&silent, 9), 0);
    let broken = changed(&model, |name, data| {
        if name.contains("dense1.weight") {
            data[0] = f32::NAN;
        }
    });
    let sample = Sample::new([&texts(9)], &Device::flex()).unwrap();
    let error = principal_components(&broken, &spec, &sample, VARIANCE_SHARE).unwrap_err().to_string();
    assert!(error.contains("finite"), "{error}");
}

/// Matrices of one entry of 2 have one singular value: 2.
#[test]
fn weight_statistics_of_matrices_with_a_single_entry_are_counted_by_hand() {
    let config = plain();
    let single = changed(&model(&config), |name, data| {
        if is_matrix(name) {
            data.fill(0.0);
            data[0] = if name.contains("attention") { 2.0 } else { 5.0 };
        }
    });
    // Two layers of four attention matrices and of two others.
    assert!((nuclear_norm(&single, 1.0) - 16.0).abs() < 1e-9);
    assert!((nuclear_norm(&single, 0.0) - 20.0).abs() < 1e-9);
    assert!((nuclear_norm(&single, 0.25) - 19.0).abs() < 1e-9);
    assert!((stable_rank(&single) - 12.0).abs() < 1e-9);
    // With the identity in it, a matrix has its full rank.
    let full = changed(&single, |name, data| {
        if name.contains("attention.query.weight") {
            (0..8).for_each(|i| data[i * 9] = 1.0);
        }
    });
    assert!((stable_rank(&full) - (12.0 + 2.0 * 7.0)).abs() < 1e-9, "two of them have 8 directions now");
    let none = changed(&single, |name, data| {
        if is_matrix(name) {
            data.fill(0.0);
        }
    });
    assert_eq!((stable_rank(&none), nuclear_norm(&none, 0.5)), (0.0, 0.0));
}

#[test]
fn every_proxy_repeats_and_its_name_is_its_own() {
    let config = searched();
    let names: std::collections::BTreeSet<&str> = Proxy::ALL.into_iter().map(Proxy::name).collect();
    assert_eq!(names.len(), Proxy::ALL.len());
    for proxy in Proxy::ALL {
        let [first, second] = [(); 2].map(|()| score(proxy, &config, &model(&config)));
        assert!(first.is_finite() && first > 0.0 && first == second, "{}: {first} {second}", proxy.name());
    }
}
