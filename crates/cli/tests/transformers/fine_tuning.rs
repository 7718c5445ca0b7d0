//! A small random model of each family that is imported, fine-tuned by PyTorch and by this program's engine on the same batches: loss,
//! gradient norm and learning rate of each step are the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use bert_core::weights::{NameFormat, Tensors};
use bert_core::{EncodeOptions, ModelDir, ModelType, Parts, TaskModel, TokenBatch};
use burn::tensor::Device;
use glue_squad::batch::Labels;
use glue_squad::task::TaskKind;
use predict::heads::task_head;
use serde_json::Value;
use train::engine::{Evaluated, Job, LossTerms, MicroBatch, Monitor, TrainConfig, TrainEvent, Watch, train};
use train::losses::label_loss;
use train::optim::{Group, OptimizerConfig};

use super::{output, python};

const FAMILIES: [&str; 8] =
    ["bert", "camembert", "distilbert", "electra", "mobilebert", "modernbert", "roberta", "xlm-roberta"];
const SEED: &str = "3";
/// Largest difference of a loss, and of a gradient norm as a part of it. Measured: 1e-7 of a loss.
const TOLERANCE: f64 = 1e-5;

/// What a family was trained on, and what PyTorch measured.
struct Recorded {
    dir: PathBuf,
    batches: Tensors,
    recorded: Value,
}

impl Recorded {
    fn read(dir: PathBuf) -> Self {
        let text = std::fs::read_to_string(dir.join("recorded.json")).expect("a file of the script");
        let batches = Tensors::read_safetensors(&dir.join("batches.safetensors")).expect("a file of the script");
        Self { batches, recorded: serde_json::from_str(&text).expect("JSON"), dir }
    }

    fn setting(&self, key: &str) -> f64 {
        self.recorded["settings"][key].as_f64().expect("a number")
    }

    fn config(&self) -> TrainConfig {
        let optimizer = OptimizerConfig {
            beta1: self.setting("beta1"),
            beta2: self.setting("beta2"),
            eps: self.setting("eps"),
            weight_decay: self.setting("weight_decay"),
            ..OptimizerConfig::default()
        };
        // A DistilBERT has no segments; what is imported has, and would train them.
        let segments = Group { frozen: true, ..Group::new("*token_type_embeddings*") };
        TrainConfig {
            optimizer,
            warmup_steps: Some(self.setting("warmup_steps") as u64),
            clip_norm: self.setting("clip_norm"),
            groups: if self.dir.ends_with("distilbert") { vec![segments] } else { Vec::new() },
            log_every: 1,
            keep_best: false,
            ..TrainConfig::new(self.setting("steps") as u64, self.setting("learning_rate"))
        }
    }

    /// The model as `import` makes it, with the script's new head where the family's classifiers are refused.
    fn model(&self, device: &Device) -> TaskModel {
        let head = Some(self.dir.join("head.safetensors")).filter(|path| path.is_file());
        let more: &[&str] = if head.is_some() { &["--encoder-only"] } else { &["--task", "sst-2"] };
        let import = ["import", "model.safetensors", "--config", "config.json", "--format", "hf", "--out", "imported"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_efficientbert"));
        output(command.current_dir(&self.dir).args(import).args(more), "");
        let ModelDir { mut config, model, .. } = ModelDir::load(&self.dir.join("imported"), device).expect("imported");
        let Some(head) = head else { return model };
        let names = NameFormat::HuggingFace(ModelType::Bert);
        let mut tensors = model.collect(names);
        tensors.0.extend(Tensors::read_safetensors(&head).expect("a file of the script").0);
        config.task_heads = vec![task_head(TaskKind::Sst2.task())];
        let model = TaskModel::new(&config, Parts::POOLER, device).expect("a valid configuration");
        model.apply(tensors, names, &head).expect("the tensors of this model")
    }

    /// The whole numbers of a batch.
    fn numbers(&self, name: &str, step: usize) -> Vec<i32> {
        let tensor = &self.batches.0[name];
        let size = tensor.shape[1..].iter().product::<usize>();
        tensor.data[step * size..][..size].iter().map(|&value| value as i32).collect()
    }

    /// The largest difference of a loss, after the other measures were compared.
    fn worst(&self) -> f64 {
        let device = Device::flex();
        let mut steps = Steps::default();
        let trained = train(self.model(&device), &device, self, &self.config(), None, &mut steps);
        trained.expect("a training that goes well");
        let expected = self.recorded["steps"].as_array().expect("a list");
        assert_eq!(steps.0.len(), expected.len(), "{}", self.dir.display());
        let number = |step: &Value, key: &str| step[key].as_f64().expect("a number");
        let mut worst: f64 = 0.0;
        for ([loss, norm, rate], expected) in steps.0.iter().zip(expected) {
            let [of_loss, of_norm, of_rate] = ["loss", "norm", "rate"].map(|key| number(expected, key));
            assert!((rate - of_rate).abs() < 1e-12, "{}: rate {rate}, {of_rate} expected", self.dir.display());
            let difference = (norm - of_norm).abs() / of_norm;
            assert!(difference < TOLERANCE, "{}: norm {norm}, {of_norm} expected", self.dir.display());
            worst = worst.max((loss - of_loss).abs());
        }
        // Else neither clipping nor what is learned would have been compared.
        let clipped = expected.iter().filter(|step| number(step, "norm") > self.setting("clip_norm")).count();
        let sum = |steps: &[Value]| steps.iter().map(|step| number(step, "loss")).sum::<f64>();
        let (begun, ended) = (sum(&expected[..4]), sum(&expected[16..]));
        assert!(clipped > 3 && clipped < 20, "{}: {clipped} steps were clipped", self.dir.display());
        assert!(ended < begun - 0.2, "{}: {begun} to {ended}", self.dir.display());
        worst
    }
}

impl Job<TaskModel> for Recorded {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> train::Result<LossTerms> {
        let step = part.step as usize;
        let [_, rows, seq] = self.batches.0["ids"].shape[..] else { panic!("ids have three axes") };
        let mask: Vec<u8> = self.numbers("mask", step).into_iter().map(|value| value as u8).collect();
        let (ids, segments) = (self.numbers("ids", step), self.numbers("segments", step));
        let batch = TokenBatch::from_host([rows, seq], &ids, &segments, &mask, device);
        let (_, logits) = model.forward(&batch, 0, EncodeOptions::LAST);
        let labels = Labels::Classes(self.numbers("labels", step));
        Ok(LossTerms(vec![("label", label_loss(logits, &labels, None, device)?)]))
    }

    fn evaluate(&self, _: &TaskModel, _: u64, _: &Device, _: &mut Watch<'_>) -> Evaluated {
        Ok(None)
    }
}

/// Loss, gradient norm and learning rate of each step.
#[derive(Default)]
struct Steps(Vec<[f64; 3]>);

impl Monitor for Steps {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if let TrainEvent::Step(step) = event {
            self.0.push([step.loss, step.grad_norm, step.learning_rate]);
        }
    }
}

#[test]
fn fine_tuning_goes_step_by_step_as_that_of_transformers() {
    let Some(python) = python() else { return };
    let root = tempfile::tempdir().expect("a temporary folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transformers/fine_tune.py");
    output(Command::new(&python).arg(script).arg(root.path()).arg(SEED), "");
    let mut measured = Vec::new();
    for family in FAMILIES {
        measured.push((Recorded::read(root.path().join(family)).worst(), family));
    }
    let text: Vec<String> = measured.iter().map(|(worst, family)| format!("{worst:.1e} {family}")).collect();
    eprintln!("largest differences of a loss:\n{}", text.join("\n"));
    assert!(
        measured.iter().all(|(worst, _)| *worst <= TOLERANCE),
        "more than {TOLERANCE:e} away:\n{}",
        text.join("\n")
    );
}
