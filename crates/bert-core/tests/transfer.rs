//! EfficientBERT's feed-forwards in the shape of a plain BERT: the wider operand is kept.

use bert_core::weights::{apply_internal, collect_internal};
use bert_core::{
    BertConfig, FeedForward, Parts, TaskModel, architecture, init, preset, student_config, transferred_config,
};
use burn::tensor::{Device, Tensor, TensorData};
use encoder_spec::Encoder;
use mlp_space::cost::feed_forward;
use mlp_space::{Architecture, released};

fn found() -> Architecture {
    released::preset("efficientbert").unwrap()
}

#[test]
fn the_preset_is_the_released_architecture_transferred_to_tinybert_6() {
    let transferred = transferred_config(&preset("tinybert-6").unwrap(), &found()).unwrap();
    assert_eq!(preset("efficientbert-tinybert-6").unwrap(), transferred);
    assert_eq!(architecture(&transferred).unwrap(), found());
}

#[test]
fn its_parameters_are_tinybert_6_s_with_the_searched_feed_forwards_in_place_of_its_own() {
    let config = preset("efficientbert-tinybert-6").unwrap();
    let count = Encoder::describe(&config, Parts::NONE).unwrap().count(128);
    // BERT-base's embedding, and six times its attention.
    let embedding = (30_522 + 512 + 2 + 2) * 768;
    let attention = 6 * (4 * (768 * 768 + 768) + 2 * 768);
    let costs: Vec<_> = found().ids().iter().map(|&id| feed_forward(id, 768, 3072)).collect();
    let expected = embedding + attention + costs.iter().map(|c| c.params).sum::<u64>();
    assert_eq!((count.params(), count.params()), (expected, 69_526_016));
    let layers: Vec<_> = count.layers.iter().map(|l| (l.params, l.macs)).collect();
    assert_eq!(layers, costs.iter().map(|c| (c.params, 128 * c.macs)).collect::<Vec<_>>());
}

#[test]
fn other_shapes_are_refused_where_they_cannot_be() {
    let message = transferred_config(&preset("mobilebert").unwrap(), &found()).unwrap_err().to_string();
    assert!(message.contains("no bottleneck"), "{message}");
    // Cut to the 768 of the residual, the product would not fit the second matrix.
    let cut = BertConfig { pad_operands: false, ..preset("efficientbert-tinybert-6").unwrap() };
    let message = TaskModel::new(&cut, Parts::NONE, &Device::flex()).unwrap_err().to_string();
    assert!(message.contains("layer 5") && message.contains("1536"), "{message}");
    let plain = BertConfig { pad_operands: true, ..preset("tinybert-6").unwrap() };
    assert!(plain.validate().unwrap_err().to_string().contains("pad_operands"));
}

const HIDDEN: usize = 4;
const INNER: usize = 6;

/// One feed-forward by loops: `wide` makes the second matrix's input of channel `c` from `x_c`, where there is one, and
/// `(W1 x + b1)_c`.
fn by_hand(expression: &str, wide: impl Fn(Option<f64>, f64) -> f64) {
    let device = Device::flex();
    let frame = BertConfig {
        pad_operands: true,
        layer_norm_eps: 1e-5,
        hidden_dropout_prob: 0.0,
        ..BertConfig::bert(9, HIDDEN, 1, 2, 2 * INNER)
    };
    let config = student_config(&frame, &expression.parse().unwrap()).unwrap();
    let spec = Encoder::describe(&config, Parts::NONE).unwrap();
    let module = FeedForward::new(&spec.layers[0].feed_forward, false, &config, &device);
    let mut weights = collect_internal(&init::normal(module.clone(), 3, 0.7));
    for tensor in weights.0.values_mut().filter(|t| t.shape.len() == 1) {
        tensor.data.iter_mut().enumerate().for_each(|(i, x)| *x += (i as f32 * 0.9).sin() * 0.3);
    }
    let module = apply_internal(module, weights.clone(), "weights".as_ref()).unwrap();
    let values = |name: &str| -> Vec<f64> { weights.0[name].data.iter().map(|&v| f64::from(v)).collect() };
    let [w1, b1, w2, b2] = ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"]
        .map(|name| values(&format!("blocks.0.{name}")));
    let (scale, shift) = (values("blocks.0.norm.weight"), values("blocks.0.norm.bias"));

    let x: Vec<f32> = (0..3 * HIDDEN).map(|i| (i as f32 * 1.3).cos() * 1.5).collect();
    let input = Tensor::<3>::from_data(TensorData::new(x.clone(), [1, 3, HIDDEN]), &device);
    let found = module.forward(input).try_into_vec_as::<f32>().unwrap();
    for (x, found) in x.chunks_exact(HIDDEN).zip(found.chunks_exact(HIDDEN)) {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let dot = |row: &[f64], v: &[f64]| row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>();
        let inner: Vec<f64> =
            (0..INNER).map(|c| wide(x.get(c).copied(), dot(&w1[c * HIDDEN..(c + 1) * HIDDEN], &x) + b1[c])).collect();
        let sum: Vec<f64> = (0..HIDDEN).map(|c| x[c] + dot(&w2[c * INNER..(c + 1) * INNER], &inner) + b2[c]).collect();
        let mean = sum.iter().sum::<f64>() / HIDDEN as f64;
        let variance = sum.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / HIDDEN as f64;
        for (c, found) in found.iter().enumerate() {
            let expected = (sum[c] - mean) / (variance + 1e-5).sqrt() * scale[c] + shift[c];
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{expression}, channel {c}: {found} not {expected}");
        }
    }
}

#[test]
fn a_product_is_padded_with_ones() {
    // The fifth of the released feed-forwards.
    by_hand(released::FINAL[4], |x, y| (x.unwrap_or(1.0) * y).max(0.0));
}

#[test]
fn a_sum_is_padded_with_zeros() {
    by_hand("linear1_2(relu(add(x,linear1_2(x,wb1))),wb2)", |x, y| (x.unwrap_or(0.0) + y).max(0.0));
}

#[test]
fn a_maximum_is_padded_with_next_to_nothing_below_zero() {
    by_hand("linear1_2(tanh(max(linear1_2(x,wb1),x)),wb2)", |x, y| x.unwrap_or(-1e-10).max(y).tanh());
}

#[test]
fn all_layers_train_in_the_new_shape() {
    let device = Device::flex().autodiff();
    let shape = BertConfig { hidden_dropout_prob: 0.0, ..BertConfig::bert(9, 6, 6, 2, 18) };
    let config = transferred_config(&shape, &found()).unwrap();
    let model: TaskModel = init::normal(TaskModel::new(&config, Parts::NONE, &device).unwrap(), 3, 0.5);
    let x = Tensor::<3>::from_data(
        TensorData::new((0..24).map(|i| (i as f32 * 0.8).sin()).collect::<Vec<_>>(), [1, 4, 6]),
        &device,
    );
    for (index, layer) in model.encoder.layers.iter().enumerate() {
        let y = layer.feed_forward.forward(x.clone());
        // The norm keeps the sum of its output as it is: weigh channels.
        let weights =
            Tensor::<3>::from_data(TensorData::new(vec![1.0f32, -2.0, 0.5, 3.0, -1.0, 0.3], [1, 1, 6]), &device);
        let gradients = (y * weights).sum().backward();
        for (i, block) in layer.feed_forward.blocks.iter().enumerate() {
            for linear in [&block.dense1, &block.dense2] {
                let gradient = linear.weight.val().grad(&gradients).expect("the matrix is used");
                let columns = gradient.clone().abs().sum_dim(0).try_into_vec_as::<f32>().unwrap();
                assert!(columns.iter().sum::<f32>() > 1e-4, "layer {}, block {i}", index + 1);
            }
        }
    }
}
