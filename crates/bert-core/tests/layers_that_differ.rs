//! Students whose layers have attention of their own width, or lack a part: modules, the compiled runtime, gradients, files.

use bert_core::weights::{apply_internal, collect_internal};
use bert_core::{
    AttentionShape, BertConfig, EncodeOptions, LayerParts, ModelDir, Package, Parts, TaskModel, TokenBatch, init,
    layered_config, student_frame,
};
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use cpu_runtime::{Model, Outputs, Precision, Ragged, Session};
use encoder_spec::{Encoder, MappedTensor};
use mlp_space::StudentShape;

/// Four layers of 12 channels; plain feed-forwards of 40 and stacked ones of 20.
fn config() -> BertConfig {
    let shape =
        StudentShape { vocab: 20, embed: 5, hidden: 12, base: 40, heads: 3, max_positions: 8, segments: 2, fit: None };
    let frame = student_frame(&shape, 4).with_dropout(0.0);
    let (plain, stacked) = ("linear1_1(gelu(linear1_1(x,wb1)),wb2)", "linear2_2(relu(linear2_2(x,wb1)),wb2)");
    let usual = LayerParts::usual(&frame);
    let parts = [
        LayerParts { attention: Some(AttentionShape { heads: 2, width: 10 }), ..usual },
        LayerParts { attention: None, ..usual },
        LayerParts { attention: Some(AttentionShape { heads: 4, width: 28 }), feed_forward: false },
        usual,
    ];
    layered_config(&frame, &[plain, stacked, plain, plain].join("; ").parse().unwrap(), &parts).unwrap()
}

/// Weights that are all drawn, biases and norms too.
fn drawn(device: &Device) -> TaskModel {
    let model = TaskModel::new(&config(), Parts::POOLER, device).unwrap();
    let mut weights = collect_internal(&init::normal(model.clone(), 5, 0.4));
    for tensor in weights.0.values_mut().filter(|t| t.shape.len() == 1) {
        tensor.data.iter_mut().enumerate().for_each(|(i, x)| *x += (i as f32 * 0.7).sin() * 0.2);
    }
    apply_internal(model, weights, "weights".as_ref()).unwrap()
}

const IDS: [i32; 14] = [3, 7, 1, 10, 4, 2, 9, 5, 19, 6, 8, 1, 0, 0];
const SEGMENTS: [i32; 14] = [0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0];
const MASK: [u8; 14] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0];

fn batch(device: &Device) -> TokenBatch {
    TokenBatch::from_host([2, 7], &IDS, &SEGMENTS, &MASK, device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.try_into_vec_as::<f32>().unwrap()
}

#[test]
fn the_compiled_runtime_computes_what_the_modules_do_in_every_number_format() {
    let device = Device::flex();
    let model = drawn(&device);
    let hidden = values(model.encode(&batch(&device), EncodeOptions::LAST).last_hidden);
    // Twelve real tokens: seven of the first text, five of the second.
    let expected: Vec<f32> =
        hidden.chunks(12).zip(MASK).filter(|(_, m)| *m == 1).flat_map(|(x, _)| x.to_vec()).collect();
    let weights = collect_internal(&model).0.into_iter().map(|(path, tensor)| (path, MappedTensor::from(tensor)));
    let spec = Encoder::describe(&config(), Parts::POOLER).unwrap();
    let encoder = spec.filled(weights.collect()).unwrap();
    let mut ragged = Ragged::new();
    for row in 0..2 {
        let at = row * 7..(row + 1) * 7;
        let unsigned = |list: &[i32]| list.iter().map(|&v| v as u32).collect::<Vec<_>>();
        ragged.push_row(&unsigned(&IDS[at.clone()]), &unsigned(&SEGMENTS[at.clone()]), &MASK[at]);
    }
    for (precision, bound) in [(Precision::F32, 2e-5), (Precision::Bf16, 0.2), (Precision::Int8, 0.3)] {
        let compiled = Model::compile(encoder.clone(), precision).unwrap();
        let mut session = Session::new(2);
        let out = session.run(&compiled, &ragged.as_batch(), Outputs { pooled: false, heads: &[] }).unwrap();
        assert_eq!(out.hidden.len(), expected.len());
        let worst = out.hidden.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < bound, "{precision:?}: off by {worst}");
    }
}

#[test]
fn every_layer_has_its_place_in_the_lists_of_scores_and_values() {
    let device = Device::flex();
    let out = drawn(&device).encode(&batch(&device), EncodeOptions::ALL);
    let scores: Vec<_> = out.attention_scores.iter().map(Tensor::dims).collect();
    assert_eq!(scores, [[2, 2, 7, 7], [2, 0, 7, 7], [2, 4, 7, 7], [2, 3, 7, 7]]);
    let heads: Vec<_> = out.values.iter().map(|v| (v.dims()[1], v.dims()[3])).collect();
    assert_eq!((heads[0], heads[1].0, heads[2], heads[3]), ((2, 5), 0, (4, 7), (3, 4)));
    assert_eq!(out.hidden_states.len(), 5);
}

/// A number that depends on every state of the last layer.
fn loss(model: &TaskModel, device: &Device) -> Tensor<1> {
    let hidden = model.encode(&batch(device), EncodeOptions::LAST).last_hidden;
    let count = hidden.shape().num_elements();
    let factors: Vec<f32> = (0..count).map(|i| (i as f32 * 1.3).sin()).collect();
    (hidden.clone() * Tensor::<1>::from_floats(factors.as_slice(), device).reshape(hidden.dims())).sum()
}

fn moved_loss(model: &TaskModel, device: &Device) -> f32 {
    loss(model, device).try_into_vec_as::<f32>().unwrap()[0]
}

fn first_query(model: &mut TaskModel) -> &mut Linear {
    &mut model.encoder.layers[0].attention.as_mut().unwrap().query
}
fn first_output(model: &mut TaskModel) -> &mut Linear {
    &mut model.encoder.layers[0].attention.as_mut().unwrap().output
}
fn wide_key(model: &mut TaskModel) -> &mut Linear {
    model.encoder.layers[2].attention.as_mut().unwrap().key.as_mut().unwrap()
}
fn wide_value(model: &mut TaskModel) -> &mut Linear {
    &mut model.encoder.layers[2].attention.as_mut().unwrap().value
}
fn lone_dense(model: &mut TaskModel) -> &mut Linear {
    &mut model.encoder.layers[1].feed_forward.blocks[1].dense1
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let device = Device::flex().autodiff();
    let model = drawn(&device);
    let gradients = loss(&model, &device).backward();
    let maps = [first_query, first_output, wide_key, wide_value, lone_dense];
    for (number, map) in maps.into_iter().enumerate() {
        let weight = map(&mut model.clone()).weight.val();
        let plain = Device::flex();
        // Of a fixed direction, since the test must not depend on what others draw.
        let [rows, columns] = weight.dims();
        let waves: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 1.7 + number as f32).sin()).collect();
        let direction = Tensor::<1>::from_floats(waves.as_slice(), &plain).reshape([rows, columns]);
        let gradient = weight.grad(&gradients).expect("every map is used");
        let along: f32 = values(gradient).iter().zip(values(direction.clone())).map(|(g, d)| g * d).sum();
        let at = |step: f32| {
            let mut moved = drawn(&plain);
            let linear = map(&mut moved);
            linear.weight = Param::from_tensor(linear.weight.val() + direction.clone() * step);
            f64::from(moved_loss(&moved, &plain))
        };
        let step = 1e-3;
        let difference = (at(step) - at(-step)) / f64::from(2.0 * step);
        let size = difference.abs().max(1.0);
        assert!(
            (f64::from(along) - difference).abs() < 0.02 * size,
            "map {number}: {along}, by differences {difference}"
        );
    }
}

#[test]
fn a_model_directory_of_such_layers_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("model");
    let model = drawn(&Device::flex());
    ModelDir::save(&dir, &config(), &model, Package { card: "# card", files: &[], keep_fit: true }).unwrap();
    let read = ModelDir::load(&dir, &Device::flex()).unwrap();
    // Further keys are for other programs.
    assert_eq!(BertConfig { extra: config().extra, ..read.config }, config());
    assert_eq!(collect_internal(&read.model), collect_internal(&model));
}

#[test]
fn a_supernet_of_such_layers_computes_what_its_leading_slices_do() {
    let device = Device::flex();
    let supernet = TaskModel::supernet(&config(), Parts::POOLER, &device).unwrap();
    let supernet = init::normal(supernet, 3, 0.3);
    let own = TaskModel::new(&config(), Parts::POOLER, &device).unwrap();
    let slices =
        bert_core::inherit(&own.shapes(), &collect_internal(&supernet), bert_core::LayerSource::Same, |_| false)
            .unwrap();
    let own = apply_internal(own, slices, "slices".as_ref()).unwrap();
    let [a, b] = [&supernet, &own].map(|model| values(model.encode(&batch(&device), EncodeOptions::LAST).last_hidden));
    let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5, "{worst}");
}

/// A student of one layer with that attention.
fn of_heads(heads: usize, width: usize) -> BertConfig {
    let shape =
        StudentShape { vocab: 20, embed: 5, hidden: 12, base: 12, heads: 3, max_positions: 8, segments: 2, fit: None };
    let frame = student_frame(&shape, 1).with_dropout(0.0);
    let parts = LayerParts { attention: Some(AttentionShape { heads, width }), feed_forward: true };
    layered_config(&frame, &"linear1_1(gelu(linear1_1(x,wb1)),wb2)".parse().unwrap(), &[parts]).unwrap()
}

#[test]
fn narrower_heads_are_the_leading_channels_of_the_same_heads() {
    let device = Device::flex();
    let (large, small) = (of_heads(3, 15), of_heads(2, 6));
    let [large_spec, small_spec] = [&large, &small].map(|config| Encoder::describe(config, Parts::POOLER).unwrap());
    let source = init::normal(TaskModel::new(&large, Parts::POOLER, &device).unwrap(), 3, 0.4);
    let mut tensors = collect_internal(&source);
    let inherited =
        bert_core::inherit_encoder(&small_spec, (&large_spec, &tensors), bert_core::LayerSource::Same, |_| false)
            .unwrap();
    let own = TaskModel::new(&small, Parts::POOLER, &device).unwrap();
    let own = apply_internal(own, inherited, "slices".as_ref()).unwrap();
    // The source itself, with nothing in the channels that the student lacks.
    for (path, tensor) in &mut tensors.0 {
        let lacks = |channel: usize| channel / 5 >= 2 || channel % 5 >= 3;
        if path.contains("attention.value.") || path.contains("attention.query.") {
            let columns = tensor.shape.get(1).copied().unwrap_or(1);
            for (row, values) in tensor.data.chunks_mut(columns).enumerate().filter(|(row, _)| lacks(*row)) {
                assert!(row < 15);
                values.fill(0.0);
            }
        }
    }
    let emptied = apply_internal(source, tensors.clone(), "emptied".as_ref()).unwrap();
    let [a, b] = [&own, &emptied].map(|model| values(model.encode(&batch(&device), EncodeOptions::LAST).last_hidden));
    let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5, "{worst}");
    let message = bert_core::inherit_encoder(
        &large_spec,
        (&small_spec, &collect_internal(&own)),
        bert_core::LayerSource::Same,
        |_| false,
    )
    .unwrap_err()
    .to_string();
    assert!(message.contains("encoder.layers.0.attention."), "{message}");
}
