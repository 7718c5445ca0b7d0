//! Losses, gradients and AdamW steps equal those that PyTorch computed.

mod support;

use bert_core::EncoderOutput;
use bert_core::weights::Tensors;
use burn::tensor::Tensor;
use kd::losses;
use kd::objective::{Feature, LayerMatch, MatchLoss, Objective, Plan, Shape, Source};
use support::device::TestDevice;
use support::{
    five_steps_equal_pytorch, five_steps_in_short_floats_are_near_pytorchs, five_steps_on_two_devices_equal_pytorch,
    golden, json, scalar, tensor,
};

#[test]
fn every_distillation_loss_has_the_reference_value() {
    let at = TestDevice::get();
    let (device, tolerance) = (at.device.clone(), at.tolerance(1e-5));
    let file = Tensors::read_safetensors(&golden("kd-losses.safetensors")).unwrap();
    let expected = json("kd-losses.json");
    let check = |name: &str, ours: Tensor<1>| {
        let (ours, theirs) = (scalar(ours), expected[name].as_f64().unwrap());
        assert!((ours - theirs).abs() <= tolerance * theirs.abs(), "{name}: {ours} instead of {theirs}");
    };
    let t2 = |n: &str| tensor::<2>(&file.0[n], &device);
    let t3 = |n: &str| tensor::<3>(&file.0[n], &device);
    let t4 = |n: &str| tensor::<4>(&file.0[n], &device);

    let (weight, bias) = (t2("fit.weight"), tensor::<1>(&file.0["fit.bias"], &device));
    let fit = |x: Tensor<3>| x.matmul(weight.clone().transpose().unsqueeze()) + bias.clone().unsqueeze();
    let output = |who: &str, layers: usize, fitted: bool| EncoderOutput {
        hidden_states: (0..=layers)
            .map(|i| t3(&format!("{who}.hidden.{i}")))
            .map(|h| if fitted { fit(h) } else { h })
            .collect(),
        attention_scores: (0..layers).map(|i| t4(&format!("{who}.attn_scores.{i}"))).collect(),
        values: Vec::new(),
        last_hidden: t3(&format!("{who}.hidden.{layers}")),
    };
    let (student, teacher) = (output("student", 3, true), output("teacher", 6, false));
    let shape = |layers| Shape { layers, width: 32, heads: 4, words: None };
    let plan = Objective::default().plan(shape(3), shape(6), Source::Text, 1).unwrap();
    let tokens = t2("pad_mask") * -1.0 + 1.0;
    let terms = plan.at(0).layer_terms(&student, &teacher, &tokens, 1.0).0;
    assert_eq!(terms.iter().map(|t| t.0).collect::<Vec<_>>(), ["attention", "hidden"]);
    for (name, term) in terms {
        check(name, term);
    }
    let (s, t) = (t2("student.logits"), t2("teacher.logits"));
    check("soft_cross_entropy_t1", losses::soft_cross_entropy(s.clone(), t.clone(), 1.0));
    check("soft_cross_entropy_t2", losses::soft_cross_entropy(s, t, 2.0));
    let (s, l) = (tensor::<1>(&file.0["stsb.student"], &device), tensor::<1>(&file.0["stsb.label"], &device));
    check("stsb_mse", losses::mse(s, l));
    let mask = t2("pad_mask") * -1.0 + 1.0;
    let pair = |side: &str| (t2(&format!("squad.student_{side}")), t2(&format!("squad.teacher_{side}")));
    let spans = losses::span_sum(pair("start"), pair("end"), mask, losses::ClsPosition::Blocked, |s, t| {
        losses::soft_cross_entropy(s, t, 1.0)
    });
    check("squad_soft_cross_entropy", spans);
    // MobileBERT's terms, each as an entry of an objective.
    let side = |who: &str| EncoderOutput {
        hidden_states: vec![t3(&format!("mobile.{who}_hidden")); 2],
        attention_scores: vec![t4(&format!("mobile.{who}_attn"))],
        values: Vec::new(),
        last_hidden: t3(&format!("mobile.{who}_hidden")),
    };
    let (student, teacher) = (side("student"), side("teacher"));
    let [batch, heads, seq, _] = student.attention_scores[0].dims();
    let shape = Shape { layers: 1, width: student.last_hidden.dims()[2], heads, words: None };
    for (name, feature, loss) in [
        ("mobile_feature_map", Feature::Hidden, MatchLoss::FeatureMap),
        ("mobile_mean", Feature::Hidden, MatchLoss::Mean),
        ("mobile_variance", Feature::Hidden, MatchLoss::Variance),
        ("mobile_attention_ce", Feature::AttentionProbs, MatchLoss::CrossEntropy),
    ] {
        let entry = LayerMatch { teacher: 1, student: 1, feature, loss, weight: 1.0.into() };
        let plan = Plan::new(vec![entry], None, None, (shape, shape), 1).unwrap();
        let terms = plan.at(0).layer_terms(&student, &teacher, &Tensor::ones([batch, seq], &device), 1.0);
        check(name, terms.total());
    }
}

#[test]
fn five_distillation_steps_equal_pytorch() {
    five_steps_equal_pytorch(1);
}

#[test]
fn five_distillation_steps_in_two_halves_of_the_batch_equal_pytorch() {
    five_steps_equal_pytorch(2);
}

#[test]
fn five_distillation_steps_shared_by_two_devices_equal_pytorch() {
    five_steps_on_two_devices_equal_pytorch();
}

#[test]
fn five_distillation_steps_in_short_floats_are_near_pytorchs() {
    five_steps_in_short_floats_are_near_pytorchs();
}
