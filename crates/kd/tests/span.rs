//! SQuAD: batches by step, losses of the jobs, and the way from scores to official metrics.

use std::ops::ControlFlow;
use std::path::Path;

use bert_core::{BertConfig, Parts, TaskModel, freeze, init};
use burn::module::Module;
use burn::tensor::Device;
use cpu_runtime::{Precision, Session};
use glue_squad::squad::{Dataset, DecodeConfig, SpanLogits, SquadVersion, WindowConfig, WindowSet};
use kd::job::SpanDistillation;
use kd::objective::{Objective, Plan, Shape, Source};
use predict::span::{SpanEval, SpanEvalSet, SpanScores, span_logits, span_logits_compiled};
use tokenizer::TextEncoder;
use train::data::BatchSettings;
use train::engine::{Job, MicroBatch};
use train::optim::Gradients;
use train::span::{SpanFineTune, SpanTrainSet};

type Model = TaskModel;

/// Two windows for each question, with more overlap than an answer is long.
const WINDOWS: WindowConfig = WindowConfig { max_len: 20, stride: 4, max_query: 4, ..WindowConfig::bert() };
const BOTH: [SquadVersion; 2] = SquadVersion::ALL;

fn encoder() -> TextEncoder {
    let dir = tempfile::tempdir().unwrap();
    let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nriver\nlake\nis\ndeep\n##er\n.\n?\na\nb\nc\nd\ne\nf\n";
    std::fs::write(dir.path().join("vocab.txt"), words).unwrap();
    TextEncoder::from_dir(dir.path()).unwrap()
}

/// Eight questions; in v2.0 every fourth has no answer.
fn dataset(version: SquadVersion) -> Dataset {
    let context = "The river, a b c, is deeper. The lake d e f is deep.";
    let answers = ["river", "a b c", "deeper.", "d e f", "lake d", "The river, a", "deep", "is deep"];
    let asked = ["a", "b", "c", "d", "e", "f", "lake", "river"];
    let questions = answers.iter().zip(asked).enumerate().map(|(number, (text, asked))| {
        let impossible = version == SquadVersion::V2 && number % 4 == 3;
        let start = context.find(text).unwrap();
        let answers = if impossible { String::new() } else { format!(r#"{{"text":"{text}","answer_start":{start}}}"#) };
        format!(r#"{{"id":"q{number}","question":"is {asked}?","is_impossible":{impossible},"answers":[{answers}]}}"#)
    });
    let questions: Vec<String> = questions.collect();
    let text = format!(r#"{{"data":[{{"paragraphs":[{{"context":"{context}","qas":[{}]}}]}}]}}"#, questions.join(","));
    Dataset::parse(text.as_bytes(), Path::new("dev.json")).unwrap()
}

fn config(version: SquadVersion) -> BertConfig {
    BertConfig {
        max_position_embeddings: 20,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        task_heads: vec![predict::heads::task_head(version.task())],
        ..BertConfig::bert(19, 8, 2, 2, 16)
    }
}

fn model(version: SquadVersion, seed: u64, device: &Device) -> Model {
    let config = config(version);
    let model = TaskModel::new(&config, Parts::POOLER, device).unwrap();
    init::normal(model, seed, 0.5)
}

fn train_set(version: SquadVersion) -> SpanTrainSet {
    SpanTrainSet::new(&dataset(version), &encoder(), version, WINDOWS, BatchSettings::new(4, 24, 7)).unwrap()
}

fn eval_set(version: SquadVersion) -> SpanEvalSet {
    SpanEvalSet::new(dataset(version), &encoder(), version, WINDOWS, 4).unwrap()
}

#[test]
fn scores_that_point_at_the_targets_decode_to_the_gold_answers() {
    for version in BOTH {
        let set = eval_set(version);
        let targets = WindowSet::for_training(&dataset(version), &encoder(), WINDOWS, version).unwrap();
        assert!(targets.len() == set.len() && set.len() > 8, "several windows for a question");
        let pointing = |window: usize| {
            let (start, end) = targets.windows()[window].target.unwrap();
            let side = |at: usize| {
                let mut scores = vec![0.0; targets.length(window)];
                scores[at] = 10.0;
                scores
            };
            SpanLogits { start: side(start), end: side(end) }
        };
        let logits: Vec<SpanLogits> = (0..set.len()).map(pointing).collect();
        let decoded = set.decode(&logits, &DecodeConfig::default()).unwrap();
        let scores = SpanScores::of(&set, &decoded, 0.0).unwrap();
        assert_eq!((scores.primary(), scores.official.get("f1")), (1.0, Some(100.0)), "{version}");
        assert_eq!(scores.best.is_some(), version == SquadVersion::V2);
        assert_eq!(scores.values().get("best_f1").is_some(), version == SquadVersion::V2);
    }
}

#[test]
fn compiled_models_score_every_token_as_modules_do() {
    let device = Device::flex();
    for version in BOTH {
        let (set, model) = (eval_set(version), model(version, 3, &device));
        let mut done = Vec::new();
        let modules = span_logits(&model, 0, &set, &device, &mut |n, _| {
            done.push(n);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((done.len(), done.last()), (set.len().div_ceil(4), Some(&set.len())));
        let compiled = freeze(&model, &config(version), Precision::F32).unwrap();
        let compiled =
            span_logits_compiled(&compiled, &mut Session::new(2), 0, &set, &mut |_, _| ControlFlow::Continue(()))
                .unwrap();
        for (a, b) in modules.iter().zip(&compiled) {
            assert_eq!(a.start.len(), b.start.len());
            let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(close(&a.start, &b.start) && close(&a.end, &b.end), "{a:?} {b:?}");
        }
    }
}

#[test]
fn batches_are_a_function_of_the_step_and_hold_every_window_once_an_epoch() {
    let (one, other) = (train_set(SquadVersion::V2), train_set(SquadVersion::V2));
    let epoch = one.batches_per_epoch();
    let mut seen = Vec::new();
    for step in (0..epoch).rev() {
        let batch = one.batch(step).unwrap();
        assert_eq!(batch, other.batch(step).unwrap(), "step {step}");
        seen.extend(batch.tokens.indices);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..one.len()).collect::<Vec<_>>());
    assert_ne!(one.batch(0).unwrap().tokens.indices, one.batch(epoch).unwrap().tokens.indices, "another epoch");
}

#[test]
fn fine_tuning_moves_the_head_and_the_encoder_and_steps_reduce_the_loss() {
    let device = Device::flex();
    for version in BOTH {
        let (data, set) = (train_set(version), eval_set(version));
        let eval = SpanEval { set, decode: DecodeConfig::default(), threshold: 0.0 };
        let job = SpanFineTune { data: &data, head: 0, eval: Some(&eval) };
        let start = init::normal(model(version, 3, &device), 3, 0.05);
        let first = job.loss(&start.clone().train(), MicroBatch::whole(0), &device).unwrap();
        assert_eq!(first.0[0].0, "label");
        let norm = Gradients::of(&first.total(), &start.clone().train()).global_norm();
        assert!(norm.is_finite(), "{norm}");
        let settings = train::engine::TrainConfig::new(300, 5e-3);
        let trained = train::engine::train(start, &device, &job, &settings, None, &mut train::engine::Silent).unwrap();
        let evaluation = trained.evaluation.unwrap();
        assert!(evaluation.metrics.contains_key(&format!("{version}/f1")), "{evaluation:?}");
        assert!(evaluation.metrics.values().all(|v| (0.0..=1.0).contains(v)), "fractions, no counts: {evaluation:?}");
        let last = Job::<Model>::loss(&job, &trained.model.train(), MicroBatch::whole(0), &device).unwrap();
        let value = |terms: train::engine::LossTerms| terms.total().inner().into_scalar::<f32>();
        let (first, last) = (value(first), value(last));
        assert!(last < 0.9 * first, "{version}: {first} to {last}");
    }
}

fn distillation<'a>(plan: &'a Plan, teacher: &'a Model, data: &'a SpanTrainSet) -> SpanDistillation<'a> {
    SpanDistillation { teacher, teacher_head: 0, student_head: 0, plan, data, eval: None }
}

#[test]
fn answers_are_learned_softened_as_scores_or_from_the_gold_ones_alone() {
    let device = Device::flex();
    for version in BOTH {
        let (data, teacher, student) = (train_set(version), model(version, 3, &device), model(version, 4, &device));
        let shape = Shape::of(&config(version));
        let value = |prediction: &str, student: &Model| {
            let text = format!("[distill.prediction]\n{prediction}");
            let plan = Objective::from_toml(&text).unwrap().plan(shape, shape, Source::Tasks, 2).unwrap();
            let job = distillation(&plan, &teacher, &data);
            job.loss(student, MicroBatch::whole(1), &device).unwrap().total().into_scalar::<f32>()
        };
        for soft in ["loss = \"kl\"\ntemperature = 2.0", "loss = \"mse\""] {
            let (same, other) = (value(soft, &teacher), value(soft, &student));
            assert!(same.abs() < 1e-6 && other > 1e-5, "{soft}: {same} and {other}");
        }
        let gold = SpanFineTune { data: &data, head: 0, eval: None };
        let gold =
            Job::<Model>::loss(&gold, &student, MicroBatch::whole(1), &device).unwrap().total().into_scalar::<f32>();
        assert_eq!(value("hard_label = 1.0", &student), gold);
        let (soft, half) = (value("", &student), value("hard_label = 0.5", &student));
        assert!((half - (soft + gold) / 2.0).abs() < 1e-5, "{soft} {half} {gold}");
    }
}

#[test]
fn a_student_that_is_its_teacher_has_nothing_to_learn_and_another_one_has() {
    let device = Device::flex();
    for version in BOTH {
        let (data, teacher) = (train_set(version), model(version, 3, &device));
        let shape = Shape::of(&config(version));
        let plan = Objective::default().plan(shape, shape, Source::Tasks, 2).unwrap();
        let job = distillation(&plan, &teacher, &data);
        let norm = |student: Model| {
            let student = student.train();
            let terms = job.loss(&student, MicroBatch::whole(1), &device).unwrap();
            assert_eq!(terms.0.iter().map(|t| t.0).collect::<Vec<_>>(), ["attention", "hidden", "prediction"]);
            Gradients::of(&terms.total(), &student).global_norm()
        };
        let (same, other) = (norm(teacher.clone()), norm(model(version, 4, &device)));
        assert!(same < 1e-4 && other > 0.1 && other.is_finite(), "{same} {other}");
        assert!(
            Job::<Model>::evaluate(&job, &teacher, 1, &device, &mut |_, _| ControlFlow::Continue(()))
                .unwrap()
                .is_none()
        );
    }
}

#[test]
fn a_file_without_answers_can_be_predicted_and_not_scored() {
    let device = Device::flex();
    let texts = Dataset::from_texts([("is a b?", "the river is deep"), ("a?", "\u{200b}")]);
    let set = SpanEvalSet::new(texts, &encoder(), SquadVersion::V2, WINDOWS, 4).unwrap();
    let logits =
        span_logits(&model(SquadVersion::V2, 3, &device), 0, &set, &device, &mut |_, _| ControlFlow::Continue(()))
            .unwrap();
    let decoded = set.decode(&logits, &DecodeConfig::default()).unwrap();
    assert_eq!(decoded.predictions(0.0).len(), 2);
    assert_eq!(decoded.answers.get("1").unwrap().prediction(0.0), "", "a text without a token has no answer");
    assert!(SpanScores::of(&set, &decoded, 0.0).unwrap_err().to_string().contains("no question has an answer"));
    let nothing = Dataset::from_texts([("a?", "\u{200b}")]);
    let set = SpanEvalSet::new(nothing, &encoder(), SquadVersion::V1, WINDOWS, 4).unwrap();
    assert!(set.is_empty() && set.batches().next().is_none() && set.restore(Vec::new()).unwrap().is_empty());
}
