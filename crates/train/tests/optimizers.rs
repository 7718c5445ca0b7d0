//! AdamW and LAMB equal an independent reference in f64.

#[allow(dead_code)]
#[path = "../../bert-core/tests/device/mod.rs"]
mod device;
#[allow(dead_code)]
mod tiny;

use std::collections::BTreeMap;

use bert_core::weights::{HostTensor, Tensors, collect_internal};
use bert_core::{EncodeOptions, TokenBatch};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use device::TestDevice;
use tiny::Model;
use train::losses::cross_entropy;
use train::optim::{Gradients, Group, Optimizer, OptimizerConfig, OptimizerKind, Pace};

const RATE: f64 = 1e-2;
const SCALE: f64 = 0.5;

/// One parameter by the formulas of the papers, nothing shared with the crate.
#[derive(Clone)]
struct Reference {
    w: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
}

impl Reference {
    fn step(&mut self, g: &[f32], c: OptimizerConfig, t: i32, rate: f64, decay: f64, adapts: bool) {
        let mut u = vec![0.0; g.len()];
        for i in 0..g.len() {
            let g = f64::from(g[i]) * SCALE;
            self.m[i] = c.beta1 * self.m[i] + (1.0 - c.beta1) * g;
            self.v[i] = c.beta2 * self.v[i] + (1.0 - c.beta2) * g * g;
            let (m, v) = (self.m[i] / (1.0 - c.beta1.powi(t)), self.v[i] / (1.0 - c.beta2.powi(t)));
            u[i] = m / (v.sqrt() + c.eps) + decay * self.w[i];
        }
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let (w, n) = (norm(&self.w), norm(&u));
        let trust = if c.kind == OptimizerKind::Lamb && adapts && w > 0.0 && n > 0.0 { w / n } else { 1.0 };
        for (w, u) in self.w.iter_mut().zip(&u) {
            *w -= rate * trust * u;
        }
    }
}

fn is_plain(name: &str) -> bool {
    name.ends_with(".bias") || name.contains("norm")
}

fn three_steps_equal_the_reference(config: OptimizerConfig) {
    let at = TestDevice::get();
    let device = at.device;
    let tolerance = if at.is_cpu { 2e-6 } else { 1e-5 };
    let mut model = tiny::model(&device);
    // Without length a tensor has no trust ratio.
    let dense = model.heads[0].dense.as_mut().unwrap();
    dense.weight = dense.weight.clone().map(|w| w.zeros_like());
    let mut model = model.train();
    let batch = TokenBatch::from_host([2, 3], &[1, 5, 2, 1, 6, 2], &[0; 6], &[1; 6], &device);
    let labels = Tensor::<1, Int>::from_ints([0, 1], &device);
    let groups = [Group { factor: 0.5, weight_decay: Some(0.2), ..Group::new("pooler.*") }];
    let mut optimizer = Optimizer::new(config);
    let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let mut references: BTreeMap<String, Reference> = collect_internal(&model)
        .0
        .iter()
        .map(|(name, t)| {
            let zeros = vec![0.0; t.data.len()];
            (name.clone(), Reference { w: wide(&t.data), m: zeros.clone(), v: zeros })
        })
        .collect();
    let layout: BTreeMap<String, Vec<usize>> =
        collect_internal(&model).0.iter().map(|(name, t)| (name.clone(), t.shape.clone())).collect();
    for t in 1..=3 {
        let (_, logits) = fused_ops::with_dropout_seed(t, || model.forward(&batch, 0, EncodeOptions::LAST));
        let gradients = Gradients::of(&cross_entropy(logits, labels.clone()), &model);
        for (name, reference) in &mut references {
            let Some(g) = gradients.get(name) else { continue };
            let shape = &layout[name];
            // Gradients are in burn's layout, [in, out] for linear weights; collected weights are not.
            let linear = shape.len() == 2 && !name.contains("embeddings.weight");
            let own = if linear { vec![shape[1], shape[0]] } else { shape.clone() };
            let g = HostTensor { shape: own, data: g };
            let g = if linear { g.transposed() } else { g };
            let pooler = name.starts_with("pooler.");
            let decay = if is_plain(name) {
                0.0
            } else if pooler {
                0.2
            } else {
                config.weight_decay
            };
            reference.step(&g.data, config, t as i32, RATE * if pooler { 0.5 } else { 1.0 }, decay, !is_plain(name));
        }
        let pace = Pace { learning_rate: RATE, scale: SCALE, step: t - 1, groups: &groups };
        model = optimizer.step(model, gradients, &pace);
        let found = collect_internal(&model);
        assert_eq!(found.0.len(), references.len());
        for (name, reference) in &references {
            let ours = wide(&found.0[name].data);
            let worst = ours.iter().zip(&reference.w).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < tolerance, "{}, step {t}, {name}: largest difference {worst:e}", config.kind);
        }
    }
}

/// The model and optimizer after `steps` steps from these.
fn stepped(model: Model, mut optimizer: Optimizer, steps: std::ops::Range<u64>) -> (Model, Optimizer) {
    let device = Device::flex();
    let mut model = model.train();
    let batch = TokenBatch::from_host([2, 3], &[1, 5, 2, 1, 6, 2], &[0; 6], &[1; 6], &device);
    let labels = Tensor::<1, Int>::from_ints([0, 1], &device);
    for step in steps {
        let (_, logits) = fused_ops::with_dropout_seed(step, || model.forward(&batch, 0, EncodeOptions::LAST));
        let gradients = Gradients::of(&cross_entropy(logits, labels.clone()), &model);
        model = optimizer.step(model, gradients, &Pace::uniform(RATE, 1.0));
    }
    (model, optimizer)
}

#[test]
fn an_optimizer_goes_on_to_the_bit_from_its_state_in_a_file() {
    for kind in OptimizerKind::ALL {
        let config = OptimizerConfig::of(kind);
        let start = tiny::model(&Device::flex());
        let (straight, _) = stepped(start.clone(), Optimizer::new(config), 0..5);
        let (model, optimizer) = stepped(start, Optimizer::new(config), 0..3);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("optimizer.safetensors");
        optimizer.state().write_safetensors(&path).unwrap();
        let read = Optimizer::from_state(config, &Tensors::read_safetensors(&path).unwrap()).unwrap();
        assert_eq!(read.state(), optimizer.state());
        let (resumed, _) = stepped(model, read, 3..5);
        assert!(collect_internal(&resumed) == collect_internal(&straight), "{kind}: weights differ");
    }
}

#[test]
fn a_state_keeps_many_steps_exactly_and_is_refused_where_something_is_missing() {
    let config = OptimizerConfig::default();
    let (_, optimizer) = stepped(tiny::model(&Device::flex()), Optimizer::new(config), 0..1);
    let state = optimizer.state();
    let name = state.0.keys().find_map(|key| key.strip_suffix(".steps")).unwrap().to_string();

    let mut many = state.clone();
    // 2^24 + 1 steps, which no f32 holds.
    many.0.get_mut(&format!("{name}.steps")).unwrap().data = vec![256.0, 1.0];
    assert_eq!(Optimizer::from_state(config, &many).unwrap().state(), many);
    for part in ["first", "second", "steps"] {
        let mut cut = state.clone();
        cut.0.remove(&format!("{name}.{part}"));
        assert!(Optimizer::from_state(config, &cut).is_none(), "without {part}");
    }
}

#[test]
fn adamw_equals_the_reference() {
    three_steps_equal_the_reference(OptimizerConfig::default());
    let other = OptimizerConfig { beta1: 0.8, beta2: 0.98, eps: 1e-4, weight_decay: 0.1, ..OptimizerConfig::default() };
    three_steps_equal_the_reference(other);
}

#[test]
fn lamb_equals_the_reference() {
    three_steps_equal_the_reference(OptimizerConfig::of(OptimizerKind::Lamb));
    let other = OptimizerConfig { beta1: 0.8, weight_decay: 0.0, ..OptimizerConfig::of(OptimizerKind::Lamb) };
    three_steps_equal_the_reference(other);
}
