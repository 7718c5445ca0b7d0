//! Distillation on tasks: what a step's loss is made of.

#[allow(dead_code)]
mod counted;

use bert_core::{BertConfig, EncodeOptions, Parts, TaskModel, init};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use counted::Counted;
use glue_squad::features::Features;
use glue_squad::task::{Label, TaskKind};
use kd::job::{GeneralDistillation, TaskDistillation, Teacher, as_is};
use kd::losses;
use kd::objective::{
    Feature, LayerMatch, MatchLoss, Objective, Plan, Prediction, PredictionLoss, Preset, Shape, Source,
};
use predict::heads::task_head;
use train::data::{BatchSettings, TaskMix, TrainSet, to_device};
use train::engine::{Job, LossTerms, MicroBatch};
use train::fine_tune::FineTune;
use train::optim::Gradients;

type Model = TaskModel;

const SETTINGS: BatchSettings = BatchSettings::new(4, 8, 5);
const STEPS: u64 = 8;

/// Sequences of two lengths.
fn data(task: TaskKind) -> TaskMix {
    let row = |i: usize| {
        let ids: Vec<u32> = (0..4 + i % 3).map(|j| (i * 3 + j * 5) as u32 % 11 + 1).collect();
        let label = if task == TaskKind::Stsb { Label::Score(i as f64 / 2.0) } else { Label::Class(i % 2) };
        Features { type_ids: vec![0; ids.len()], ids, label: Some(label), words: None, second: None }
    };
    let set = TrainSet::new(task, (0..9).map(row).collect::<Vec<_>>(), 0, SETTINGS).unwrap();
    TaskMix::new(vec![set], 9).unwrap()
}

fn config(task: TaskKind) -> BertConfig {
    BertConfig {
        max_position_embeddings: 8,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        task_heads: vec![task_head(task.task())],
        ..BertConfig::bert(12, 8, 2, 2, 16)
    }
}

fn model(task: TaskKind, seed: u64) -> Model {
    let (config, device) = (config(task), Device::flex());
    init::normal(TaskModel::new(&config, Parts::POOLER, &device).unwrap(), seed, 0.3)
}

fn plan(text: &str, task: TaskKind) -> Plan {
    let shape = Shape::of(&config(task));
    Objective::from_toml(text).unwrap().plan(shape, shape, Source::Tasks, STEPS).unwrap()
}

fn preset(preset: Preset, task: TaskKind) -> Plan {
    plan(&format!("[distill]\npreset = \"{preset}\""), task)
}

fn loss(plan: &Plan, task: TaskKind, teacher: &dyn Teacher, student: &Model, step: u64) -> LossTerms {
    let data = data(task);
    distillation(plan, teacher, &data).loss(student, MicroBatch::whole(step), &Device::flex()).unwrap()
}

fn distillation<'a>(plan: &'a Plan, teacher: &'a dyn Teacher, data: &'a TaskMix) -> TaskDistillation<'a> {
    TaskDistillation {
        teacher,
        teacher_heads: vec![0],
        student_heads: vec![0],
        plan,
        data,
        eval: &[],
        prepare: as_is(),
    }
}

fn labels_loss(task: TaskKind, student: &Model, step: u64) -> f32 {
    let data = data(task);
    let job = FineTune { data: &data, heads: vec![0], eval: &[] };
    value(&Job::<Model>::loss(&job, student, MicroBatch::whole(step), &Device::flex()).unwrap().total())
}

fn value(term: &Tensor<1>) -> f32 {
    term.clone().inner().into_scalar::<f32>()
}

#[test]
fn labels_alone_are_fine_tuning_and_run_no_teacher() {
    for task in [TaskKind::Sst2, TaskKind::Stsb] {
        let (teacher, student) = (model(task, 1), model(task, 2));
        let counted = Counted::of(config(task), teacher);
        let terms = loss(&preset(Preset::Labels, task), task, &counted, &student, 3);
        assert_eq!(terms.0.len(), 1);
        assert_eq!(value(&terms.total()), labels_loss(task, &student, 3), "to the bit");
        assert_eq!(counted.asked(), [0; 3]);
    }
}

#[test]
fn the_default_is_efficientberts_loss_to_the_bit() {
    let (teacher, student) = (model(TaskKind::Sst2, 1), model(TaskKind::Sst2, 2));
    let found = loss(&preset(Preset::EfficientBert, TaskKind::Sst2), TaskKind::Sst2, &teacher, &student, 2);
    let (_, batch) = data(TaskKind::Sst2).batch(2).unwrap();
    let tokens = to_device(&batch, &Device::flex());
    let (t, taught) = teacher.forward(&tokens, 0, EncodeOptions::STATES_AND_SCORES);
    let (s, logits) = student.forward(&tokens, 0, EncodeOptions::STATES_AND_SCORES);
    let scores = |i: usize| losses::attention_scores(s.attention_scores[i].clone(), t.attention_scores[i].clone());
    let states = |i: usize| losses::mse(s.hidden_states[i].clone(), t.hidden_states[i].clone());
    let attention = scores(0) + scores(1);
    let hidden = states(0) + states(1) + states(2);
    let prediction = losses::soft_cross_entropy(logits, taught, 1.0);
    let expected = [("attention", attention), ("hidden", hidden), ("prediction", prediction)];
    let bits = |terms: &[(&'static str, Tensor<1>)]| terms.iter().map(|(n, t)| (*n, value(t))).collect::<Vec<_>>();
    assert_eq!(bits(&found.0), bits(&expected));
}

#[test]
fn labels_and_answers_are_mixed_as_the_shares_say() {
    for task in [TaskKind::Sst2, TaskKind::Stsb] {
        let (teacher, student) = (model(task, 1), model(task, 2));
        let at = |share: f64| {
            let text = format!(
                "[distill.prediction]\nloss = \"kl\"\ntemperature = 3.0\nhard_label = {share:?}\nregression = \"mix\"\nweight = 2.0"
            );
            value(&loss(&plan(&text, task), task, &teacher, &student, 1).total())
        };
        let (soft, half, hard) = (at(0.0), at(0.5), at(1.0));
        assert!((hard - 2.0 * labels_loss(task, &student, 1)).abs() < 1e-5);
        assert!((half - (soft + hard) / 2.0).abs() < 1e-5 && (soft - hard).abs() > 1e-3, "{soft} {half} {hard}");
        let logits_only = value(&loss(&plan("[distill.prediction]", task), task, &teacher, &teacher, 1).total());
        match task {
            // Gold scores are all that counts, unless a mix is asked for.
            TaskKind::Stsb => assert_eq!(logits_only, labels_loss(task, &teacher, 1)),
            _ => assert!(logits_only > 0.0),
        }
    }
}

#[test]
fn the_teacher_is_asked_for_layers_alone_where_its_answers_do_not_count() {
    let task = TaskKind::Sst2;
    let (teacher, student) = (model(task, 1), model(task, 2));
    let counted = Counted::of(config(task), teacher);
    let plan = preset(Preset::TinyBert, task);
    let names = |step| loss(&plan, task, &counted, &student, step).0.iter().map(|t| t.0).collect::<Vec<_>>();
    assert_eq!(names(0), ["attention", "hidden"]);
    assert_eq!(counted.asked(), [1, 0, 0]);
    assert_eq!(names(STEPS - 1), ["prediction"]);
    assert_eq!(counted.asked(), [1, 1, 0]);
}

#[test]
fn where_gold_scores_count_alone_the_teacher_is_not_asked_for_its_own() {
    let task = TaskKind::Stsb;
    let (student, asks) = (model(task, 2), |regression: &str| {
        let text = format!("[distill]\npreset = \"tinybert\"\n[distill.prediction]\nregression = \"{regression}\"");
        let (plan, counted) = (plan(&text, task), Counted::of(config(task), model(task, 1)));
        let value = value(&loss(&plan, task, &counted, &model(task, 2), STEPS - 1).total());
        (counted.asked(), value)
    });
    let (asked, value) = asks("labels");
    assert_eq!(asked, [0; 3]);
    assert_eq!(value, labels_loss(task, &student, STEPS - 1), "to the bit");
    assert_eq!(asks("mix").0, [0, 1, 0]);
}

#[test]
fn a_student_that_is_its_teacher_has_no_gradient_in_any_layer_term_and_another_has() {
    let task = TaskKind::Sst2;
    let teacher = model(task, 1);
    let layers =
        ["minilm", "mobilebert", "tinybert-intermediate"].map(|name| format!("[distill]\npreset = \"{name}\""));
    let row = |feature: &str, loss: &str| {
        format!("[[distill.match]]\nteacher = 2\nstudent = 2\nfeature = \"{feature}\"\nloss = \"{loss}\"\n")
    };
    let rows = ["mse", "cross_entropy", "kl", "cosine"];
    let rows = ["attention_probs", "value_relation"].into_iter().flat_map(|f| rows.map(|l| row(f, l)));
    for text in layers.into_iter().chain(rows).chain([row("hidden", "cosine"), row("hidden", "variance")]) {
        let shape = Shape::of(&config(task));
        let plan = Objective::from_toml(&text).unwrap().plan(shape, shape, Source::Text, STEPS).unwrap();
        let text_of_task = TaskText(data(task));
        let job =
            GeneralDistillation { teacher: &teacher, plan: &plan, text: &text_of_task, words: None, prepare: as_is() };
        let norm = |student: Model| {
            let student = student.train();
            let terms = job.loss(&student, MicroBatch::whole(0), &Device::flex()).unwrap();
            Gradients::of(&terms.total(), &student).global_norm()
        };
        let (same, other) = (norm(teacher.clone()), norm(model(task, 2)));
        assert!(same < 1e-4 && other > 1e-3, "{text}: {same} and {other}");
    }
}

#[test]
fn the_parts_of_a_step_add_up_to_the_whole_for_every_comparison_with_texts_of_any_length() {
    let row = |(feature, loss): (Feature, MatchLoss)| {
        let layer = usize::from(feature != Feature::Embedding);
        LayerMatch { teacher: layer, student: layer, feature, loss, weight: 3.0.into() }
    };
    let pairs = Feature::ALL.into_iter().flat_map(|f| f.losses().iter().map(move |&loss| (f, loss)));
    let matches: Vec<_> = pairs.map(row).collect();
    for task in [TaskKind::Sst2, TaskKind::Stsb] {
        let (teacher, student, data) = (model(task, 1), model(task, 2).train(), data(task));
        let uneven = |step: &u64| {
            let (_, batch) = data.batch(*step).unwrap();
            batch.batch == 4 && batch.rows(0..2).tokens() != batch.rows(2..4).tokens()
        };
        let step = (0..STEPS).find(uneven).expect("a batch of texts of several lengths");
        let shape = Shape::of(&config(task));
        let prediction = Prediction { hard_label: 0.5.into(), loss: PredictionLoss::Kl, ..Prediction::default() };
        let alone = matches.iter().map(|m| Plan::new(vec![*m], None, None, (shape, shape), STEPS).unwrap());
        let all = Plan::new(matches.clone(), Some(prediction), None, (shape, shape), STEPS).unwrap();
        for plan in alone.chain([all]) {
            let job = distillation(&plan, &teacher, &data);
            let taken_in = |of: u32| {
                let (mut sum, mut gradients) = (0.0, Gradients::default());
                for index in 0..of {
                    let terms = job.loss(&student, MicroBatch { step, index, of }, &Device::flex()).unwrap();
                    if !terms.0.is_empty() {
                        sum += f64::from(value(&terms.total()));
                        gradients.add(Gradients::of(&terms.total(), &student));
                    }
                }
                (sum, gradients.global_norm())
            };
            let whole = taken_in(1);
            for of in [2, 3, 5] {
                let parts = taken_in(of);
                let close = |a: f64, b: f64| (a - b).abs() <= 2e-5 * b.abs();
                assert!(
                    close(parts.0, whole.0) && close(parts.1, whole.1),
                    "{of} parts: {parts:?} {whole:?}, {plan:?}"
                );
            }
        }
    }
}

/// The texts of a task without their labels.
#[derive(Debug)]
struct TaskText(TaskMix);

impl train::text::TextSource for TaskText {
    fn batches_per_epoch(&self) -> u64 {
        self.0.batches_per_epoch()
    }
    fn batch(&self, step: u64) -> train::Result<glue_squad::batch::EncodedBatch> {
        self.0.batch(step).map(|(_, batch)| batch)
    }
}
