//! A module that this workspace knows nothing of, with norms of burn's and of its own, is trained like any other.

use bert_core::init;
use bert_core::weights::collect_internal;
use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use train::optim::{Gradients, Group, Optimizer, OptimizerConfig, OptimizerKind, Pace};

/// `RMSNorm`, whose scale has an axis for each group of channels.
#[derive(Module, Debug)]
struct GroupedScale {
    scale: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct Network {
    dense: Linear,
    norm: LayerNorm,
    grouped: GroupedScale,
    /// One axis, and no norm.
    query: Param<Tensor<1>>,
}

impl Network {
    fn new(device: &Device) -> Self {
        Self {
            dense: LinearConfig::new(4, 6).init(device),
            norm: LayerNormConfig::new(6).init(device),
            grouped: GroupedScale { scale: Initializer::Ones.init([2, 3], device) },
            query: Initializer::Constant { value: 0.5 }.init([6], device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<1> {
        let y = self.norm.forward(self.dense.forward(x));
        (y * self.grouped.scale.val().reshape([1, 6]) * self.query.val().unsqueeze()).sum()
    }
}

/// Names of the parameters whose value after a step depends on the weight decay.
fn decayed(kind: OptimizerKind, groups: &[Group]) -> Vec<String> {
    let device = Device::flex().autodiff();
    let start = init::normal(Network::new(&device), 3, 0.5);
    let x = Tensor::random([5, 4], Distribution::Normal(0.0, 1.0), &device);
    let step = |weight_decay| {
        let config = OptimizerConfig { weight_decay, ..OptimizerConfig::of(kind) };
        let gradients = Gradients::of(&start.forward(x.clone()), &start);
        let pace = Pace { groups, ..Pace::uniform(1e-2, 1.0) };
        collect_internal(&Optimizer::new(config).step(start.clone(), gradients, &pace)).0
    };
    let (with, without) = (step(0.3), step(0.0));
    with.into_iter().filter(|(name, tensor)| without[name] != *tensor).map(|(name, _)| name).collect()
}

#[test]
fn norms_of_other_crates_do_not_decay_and_the_owner_of_a_module_says_what_else_is_one() {
    for kind in [OptimizerKind::AdamW, OptimizerKind::Lamb] {
        assert_eq!(decayed(kind, &[]), ["dense.weight", "grouped.scale"], "{kind}");
        let said = |pattern: &str, norm| Group { norm: Some(norm), ..Group::new(pattern) };
        let groups = [Group::new("grouped.*"), said("*.scale", true), said("query", false)];
        assert_eq!(decayed(kind, &groups), ["dense.weight", "query"], "{kind}");
    }
}

#[test]
fn random_weights_leave_scales_and_shifts_of_norms_as_they_are() {
    let tensors = collect_internal(&init::normal(Network::new(&Device::flex()), 3, 0.5)).0;
    let all = |name: &str, value: f32| tensors[name].data.iter().all(|&v| v == value);
    assert!(all("norm.gamma", 1.0) && all("norm.beta", 0.0) && all("dense.bias", 0.0) && all("query", 0.5));
    assert!(!all("dense.weight", tensors["dense.weight"].data[0]));
}
