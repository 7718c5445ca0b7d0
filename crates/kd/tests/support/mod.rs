//! The five distillation steps that PyTorch computed.

#[path = "../../../bert-core/tests/device/mod.rs"]
pub mod device;

use std::ops::Range;
use std::path::{Path, PathBuf};

use bert_core::weights::{HostTensor, NameFormat, Tensors, apply, collect, collect_internal};
use bert_core::{BertConfig, EncoderOutput, ModelType, Parts, TaskModel, TokenBatch, student_config};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use device::TestDevice;
use kd::objective::{Objective, Plan, Shape, Source};
use mlp_space::Architecture;
use serde_json::Value;
use train::engine::{
    Devices, Evaluation, Job, LossTerms, MicroBatch, Monitor, Precision, TrainConfig, TrainEvent, train,
};
use train::optim::{Gradients, Schedule};

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
fn student(file: &Tensors, device: &Device) -> (BertConfig, TaskModel) {
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
    let model = TaskModel::new(&config, Parts::NONE, device).unwrap();
    let model = apply(model, file.under("param."), NameFormat::Reference, "kd-train-step".as_ref()).unwrap();
    (config, model.train())
}

/// The training of `kd-train-step`, whose teacher is what it answered.
struct Reference {
    batch: TokenBatch,
    teacher: EncoderOutput,
    plan: Plan,
}

impl Reference {
    fn read(file: &Tensors, device: &Device) -> Self {
        let ids = &file.0["input.token_ids"];
        let ints = |n: &str| file.0[n].data.iter().map(|&v| v as i32).collect::<Vec<_>>();
        let dims = [ids.shape[0], ids.shape[1]];
        let mask = vec![1; dims[0] * dims[1]];
        let teacher = EncoderOutput {
            hidden_states: (0..=3).map(|i| tensor(&file.0[&format!("teacher.hidden.{i}")], device)).collect(),
            attention_scores: (0..3).map(|i| tensor(&file.0[&format!("teacher.attn_scores.{i}")], device)).collect(),
            values: Vec::new(),
            last_hidden: tensor(&file.0["teacher.hidden.3"], device),
        };
        let shape = Shape { layers: 3, width: 32, heads: 3, words: None };
        let plan = Objective::default().plan(shape, shape, Source::Text, 5).unwrap();
        let batch = TokenBatch::from_host(dims, &ints("input.token_ids"), &ints("input.segment_ids"), &mask, device);
        Self { batch, teacher, plan }
    }
}

impl Job<TaskModel> for Reference {
    fn loss(&self, model: &TaskModel, part: MicroBatch, _: &Device) -> train::Result<LossTerms> {
        let cut = part.cut(self.batch.dims()[0]).expect("no more parts than sequences");
        let Range { start, end } = cut.rows();
        let now = self.plan.at(part.step);
        let tokens = self.batch.rows(start..end);
        let output = model.encode(&tokens, now.options());
        let hidden = |t: &Tensor<3>| t.clone().narrow(0, start, end - start);
        let teacher = EncoderOutput {
            hidden_states: self.teacher.hidden_states.iter().map(hidden).collect(),
            attention_scores: self
                .teacher
                .attention_scores
                .iter()
                .map(|t| t.clone().narrow(0, start, end - start))
                .collect(),
            values: Vec::new(),
            last_hidden: hidden(&self.teacher.last_hidden),
        };
        Ok(cut.weigh(now.layer_terms(&output, &teacher, &tokens.mask, 1.0)))
    }

    fn evaluate(
        &self,
        _: &TaskModel,
        _: u64,
        _: &Device,
        _: &mut train::engine::Watch<'_>,
    ) -> train::Result<Option<Evaluation>> {
        Ok(None)
    }
}

/// Compares every step with the reference's.
struct Check<'a> {
    steps: &'a [Value],
    /// Relative tolerances of losses and gradient norms.
    tolerances: [f64; 2],
    seen: usize,
}

impl Monitor for Check<'_> {
    fn event(&mut self, event: &TrainEvent<'_>) {
        let TrainEvent::Step(report) = event else { return };
        let expected = &self.steps[report.step as usize - 1];
        for (name, ours) in &report.terms {
            let theirs = expected[format!("{name}_loss")].as_f64().unwrap();
            assert!(
                (ours - theirs).abs() < self.tolerances[0] * theirs,
                "step {} {name}: {ours} instead of {theirs}",
                report.step
            );
        }
        assert_eq!(report.terms.len(), 2);
        let (ours, theirs) = (report.grad_norm, expected["grad_norm"].as_f64().unwrap());
        assert!(
            (ours - theirs).abs() < self.tolerances[1] * theirs,
            "step {} gradient norm: {ours} not {theirs}",
            report.step
        );
        self.seen += 1;
    }
}

/// Five steps of `kd-train-step` by the training engine, each in so many parts: losses, gradients and weights.
pub fn five_steps_equal_pytorch(parts: u32) {
    let at = TestDevice::get();
    five_steps(&at, &Devices::from(&at.device), parts);
}

/// The same with each step shared by two copies of the model.
pub fn five_steps_on_two_devices_equal_pytorch() {
    let at = TestDevice::get();
    let devices = Devices::new(at.device.clone(), [at.device.clone()], 1).unwrap();
    five_steps(&at, &devices, 1);
}

fn five_steps(at: &TestDevice, devices: &Devices, parts: u32) {
    let device = at.device.clone();
    let file = Tensors::read_safetensors(&golden("kd-train-step.safetensors")).unwrap();
    let meta = json("kd-train-step.json");
    let job = Reference::read(&file, &device);

    let (_, model) = student(&file, &device.clone().autodiff());
    let mut gradients = Gradients::default();
    for index in 0..parts {
        let terms = job.loss(&model, MicroBatch { step: 0, index, of: parts }, &device).unwrap();
        gradients.add(Gradients::of(&terms.total(), &model));
    }
    check_gradients(&gradients, &model, &file, at);

    for steps in [1, 5] {
        let (_, model) = student(&file, &device.clone().autodiff());
        let config = TrainConfig { accumulate: parts, ..config(steps) };
        let tolerances = [at.tolerance(1e-5), at.tolerance(1e-4)];
        let mut check = Check { steps: meta["steps"].as_array().unwrap(), tolerances, seen: 0 };
        let trained = train(model, devices, &job, &config, None, &mut check).unwrap();
        assert_eq!(check.seen as u64, steps);
        check_weights(&trained.model, &file, &format!("after{steps}."), at);
    }
}

fn config(steps: u64) -> TrainConfig {
    TrainConfig { schedule: Schedule::Constant {}, warmup_ratio: 0.0, log_every: 1, ..TrainConfig::new(steps, 1e-3) }
}

/// Five steps with products in each of the short formats that the device has: losses and gradient norms.
pub fn five_steps_in_short_floats_are_near_pytorchs() {
    let at = TestDevice::get();
    let devices = Devices::from(&at.device);
    let file = Tensors::read_safetensors(&golden("kd-train-step.safetensors")).unwrap();
    let meta = json("kd-train-step.json");
    let job = Reference::read(&file, &at.device);
    for (precision, tolerances) in [(Precision::Bf16, [0.02, 0.05]), (Precision::F16, [0.003, 0.01])] {
        if devices.check_precision(precision).is_err() {
            test_support::skipped(&format!("this device has no {precision}"));
            continue;
        }
        let (_, model) = student(&file, &at.device.clone().autodiff());
        let mut check = Check { steps: meta["steps"].as_array().unwrap(), tolerances, seen: 0 };
        train(model, &devices, &job, &TrainConfig { precision, ..config(5) }, None, &mut check).unwrap();
        assert_eq!(check.seen, 5, "{precision}");
    }
}

fn check_gradients(gradients: &Gradients, model: &TaskModel, file: &Tensors, at: &TestDevice) {
    let expected = file.under("grad.");
    let mut checked = 0;
    let values = collect_internal(model).0;
    let names = NameFormat::Reference.names(values.keys().map(String::as_str));
    for (path, value) in values {
        let name = &names[&path];
        let reference = &expected.0[name];
        let ours = gradients.get(&path).unwrap_or_else(|| panic!("{path} has no gradient"));
        // Gradients are in burn's layout, [in, out] for linear weights.
        let linear = value.shape.len() == 2 && !path.contains("embeddings.weight");
        let reference = if linear { reference.transposed() } else { reference.clone() };
        let norm = reference.data.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let diff = ours.iter().zip(&reference.data).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        assert!(diff <= at.tolerance(1e-4) * norm.max(1e-6), "gradient of {name}: off by {diff:e} of {norm:e}");
        checked += 1;
    }
    assert_eq!(checked, expected.0.len());
}

fn check_weights(model: &TaskModel, file: &Tensors, prefix: &str, at: &TestDevice) {
    let ours = collect(model, NameFormat::Reference);
    let expected = file.under(prefix);
    assert_eq!(ours.0.keys().collect::<Vec<_>>(), expected.0.keys().collect::<Vec<_>>());
    for (name, reference) in &expected.0 {
        let worst = ours.0[name].data.iter().zip(&reference.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(f64::from(worst) <= at.tolerance(1e-5), "{prefix}{name}: largest difference {worst:e}");
    }
}
