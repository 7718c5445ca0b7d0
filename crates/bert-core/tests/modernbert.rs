//! ModernBERTs: what is trained, and that what is kept changes nothing.

use bert_core::weights::{NameFormat, Tensors};
use bert_core::{
    BertConfig, EncodeOptions, ModelDir, ModelType, Package, Parts, TaskHeadConfig, TaskHeadKind, TaskModel,
    TokenBatch, WEIGHTS_FILE,
};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Int, Tensor};
use encoder_spec::{Activation, Encoder};

const SEQ: usize = 90;

/// Two layers, of which the second sees two tokens on each side, with all biases.
fn config() -> BertConfig {
    let labels = vec!["no".into(), "yes".into()];
    let mut config = BertConfig {
        max_position_embeddings: SEQ,
        initializer_range: 0.3,
        task_heads: vec![
            TaskHeadConfig::new("rte", TaskHeadKind::Classification, labels),
            TaskHeadConfig::new("squad-v1", TaskHeadKind::Span, Vec::new()),
        ],
        ..BertConfig::modernbert(30, 16, 2, 2, 10)
    };
    let modern = config.modern.as_mut().unwrap();
    (modern.local_attention, modern.mean_pooling, modern.classifier_activation) = (4, true, Activation::Tanh);
    (modern.norm_bias, modern.attention_bias, modern.mlp_bias, modern.classifier_bias) = (true, true, true, true);
    config
}

fn built(device: &Device) -> TaskModel {
    let parts = Parts { mlm: true, ..Parts::POOLER };
    TaskModel::new(&config(), parts, device).unwrap().initialized(&config(), 5)
}

/// Two texts, of which the second is half padding.
fn batch(device: &Device) -> TokenBatch {
    let ids: Vec<i32> = (0..2 * SEQ).map(|i| (i * 7 % 29) as i32 + 1).collect();
    let mask: Vec<u8> = (0..2 * SEQ).map(|i| u8::from(i < SEQ + SEQ / 2)).collect();
    TokenBatch::from_host([2, SEQ], &ids, &vec![0; 2 * SEQ], &mask, device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.try_into_vec_as().unwrap()
}

/// Names of the parameters without a gradient.
struct Untouched<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: Vec<String>,
    count: usize,
}

impl ModuleVisitor for Untouched<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.count += 1;
        let gradient = param.val().grad(self.gradients).map(values);
        if !gradient.is_some_and(|values| values.iter().any(|v| v.abs() > 1e-9)) {
            self.found.push(self.path.join("."));
        }
    }
}

#[test]
fn every_weight_is_trained_by_the_heads() {
    let device = Device::flex().autodiff();
    let (model, batch) = (built(&device), batch(&device));
    let (output, classes) = model.forward(&batch, 0, EncodeOptions::LAST);
    let (_, spans) = model.forward_tokens(&batch, 1, EncodeOptions::LAST);
    let words = model.words(output.last_hidden, Tensor::<1, Int>::from_ints([3, 95], &device)).unwrap();
    let loss = (classes.clone() * classes).sum() + (spans.clone() * spans).sum() + (words.clone() * words).sum();
    let gradients = loss.backward();
    let mut untouched = Untouched { gradients: &gradients, path: Vec::new(), found: Vec::new(), count: 0 };
    model.visit(&mut untouched);
    // A softmax does not see what is added to all scores of a query.
    untouched.found.retain(|path| !path.ends_with("attention.key.bias"));
    assert_eq!(untouched.found, Vec::<String>::new());
    assert_eq!(untouched.count, Encoder::describe(&config(), model.parts()).unwrap().weights().len());
}

#[test]
fn scores_and_values_that_are_kept_change_nothing() {
    let device = Device::flex();
    let (model, batch) = (built(&device), batch(&device));
    let (alone, kept) = (model.encode(&batch, EncodeOptions::LAST), model.encode(&batch, EncodeOptions::ALL));
    let difference = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference(&values(alone.last_hidden), &values(kept.last_hidden.clone())) < 1e-5);
    assert_eq!(values(kept.hidden_states[2].clone()), values(kept.last_hidden), "the last state is behind its norm");
    assert_eq!(kept.values[1].dims(), [2, 2, SEQ, 8]);
    let blocked = |scores: Tensor<4>| values(scores).iter().filter(|score| **score < -15_000.0).count();
    let [global, local] = [0, 1].map(|layer| blocked(kept.attention_scores[layer].clone()));
    let near: usize = (0..SEQ).map(|i| i.min(2) + 1 + (SEQ - 1 - i).min(2)).sum();
    assert_eq!((global, local), (0, 4 * (SEQ * SEQ - near)));
}

#[test]
fn a_directory_holds_queries_keys_and_values_as_one_tensor_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("model");
    let model = built(&Device::flex());
    ModelDir::save(&dir, &config(), &model, Package::default()).unwrap();
    let file = Tensors::read_safetensors(&dir.join(WEIGHTS_FILE)).unwrap();
    assert_eq!(file.0["model.layers.1.attn.Wqkv.weight"].shape, [48, 16]);
    assert_eq!(file.0["model.layers.1.mlp.Wi.bias"].shape, [20]);
    let own = model.collect_internal();
    let part = |name: &str, path: &str, at: usize| {
        let (whole, own) = (&file.0[name].data, &own.0[path].data);
        assert_eq!(&whole[at..at + own.len()], &own[..], "{path}");
    };
    for (at, path) in [(0, "query"), (256, "key"), (512, "value")] {
        part("model.layers.1.attn.Wqkv.weight", &format!("encoder.layers.1.attention.{path}.weight"), at);
    }
    for (at, path) in [(0, "dense1"), (160, "gate")] {
        part("model.layers.1.mlp.Wi.weight", &format!("encoder.layers.1.feed_forward.blocks.0.{path}.weight"), at);
    }
    let read = ModelDir::load(&dir, &Device::flex()).unwrap();
    assert_eq!(read.model.collect_internal(), own);
    assert_eq!(read.config.modern, config().modern);

    // A tensor of another shape is named with the shape of the whole.
    let mut cut = file.clone();
    cut.0.get_mut("model.layers.1.attn.Wqkv.weight").unwrap().shape = vec![16, 48];
    let format = NameFormat::HuggingFace(ModelType::ModernBert);
    let fresh = TaskModel::new(&config(), model.parts(), &Device::flex()).unwrap();
    let message = fresh.apply(cut, format, &dir).unwrap_err().to_string();
    assert!(message.contains("`layers.1.attn.Wqkv.weight`") && message.contains("[48, 16]"), "{message}");
}
