//! A task of one's own, from its description and examples in memory to a score.

use std::ops::ControlFlow;

use bert_core::weights::collect_internal;
use bert_core::{BertConfig, EncodeOptions, Parts, TaskModel, TokenBatch, init};
use burn::tensor::Device;
use glue_squad::features;
use glue_squad::metrics::Metric;
use glue_squad::squad::SquadVersion;
use glue_squad::task::{Answer, Example, Label, Split, Task, TaskSpec};
use predict::evaluate::predictions;
use predict::heads::{AnsweringHead, answering_head, task_head};
use predict::majority::{ChosenBy, MajorityBaseline, doubts};
use tokenizer::TextEncoder;
use train::data::{BatchSettings, EvalSet, TaskMix, TrainSet};
use train::engine::{Evaluated, Job, LossTerms, MicroBatch, Silent, TrainConfig, Watch, train};
use train::fine_tune::FineTune;
use train::losses::label_loss;

const WORDS: [[&str; 3]; 3] =
    [["senate", "treaty", "border"], ["goal", "match", "striker"], ["cell", "quark", "orbit"]];
const SETTINGS: BatchSettings = BatchSettings::new(8, 16, 3);

/// Three classes, one text, two metrics of which the second decides.
fn topic() -> Task {
    Task::new(TaskSpec {
        title: "Topics".into(),
        metrics: vec![Metric::Accuracy, Metric::Matthews],
        headline: Some(Metric::Matthews),
        splits: vec![Split::Train, Split::Dev],
        ..TaskSpec::new("topic", &["text"], Answer::Class(["world", "sports", "science"].map(Into::into).to_vec()))
    })
    .unwrap()
}

/// Half of the texts are about the first class, a quarter about each of the others.
fn examples(count: usize) -> Vec<Example> {
    let example = |id: usize| {
        let class = [0, 1, 0, 2][id % 4];
        let word = WORDS[class][id / 4 % 3];
        let text_a = ["the # was near", "a # , the end", "near the # a"][id % 3].replace('#', word);
        Example { id, text_a, text_b: None, label: Some(Label::Class(class)) }
    };
    (0..count).map(example).collect()
}

fn encoder() -> TextEncoder {
    let dir = tempfile::tempdir().unwrap();
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "was", "near", "a", "end", ","];
    let vocab: String = words.iter().chain(WORDS.iter().flatten()).map(|word| format!("{word}\n")).collect();
    std::fs::write(dir.path().join("vocab.txt"), vocab).unwrap();
    TextEncoder::from_dir(dir.path()).unwrap()
}

#[test]
fn a_task_from_a_description_and_examples_in_memory_is_trained_scored_and_judged() {
    let (task, encoder, device) = (topic(), encoder(), Device::flex());
    let encode = |count| features::encode(&encoder, &examples(count), SETTINGS.max_len).unwrap();
    let pad = encoder.pad_id();
    let data = TaskMix::new(vec![TrainSet::new(&task, encode(72), pad, SETTINGS).unwrap()], 1).unwrap();
    let eval = [(0, EvalSet::new(&task, encode(36), pad, SETTINGS).unwrap())];
    let baselines = MajorityBaseline::of_sets(|task| data.labels(task), &eval).unwrap();
    assert_eq!((baselines[0].answer.as_str(), baselines[0].chosen_by), ("world", ChosenBy::Train));
    assert_eq!((baselines[0].score, baselines[0].metrics["topic/accuracy"]), (0.0, 0.5), "Matthews decides");

    let config = BertConfig {
        max_position_embeddings: 16,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        task_heads: vec![task_head(&task)],
        ..BertConfig::bert(encoder.vocab_size(), 16, 1, 2, 32)
    };
    assert_eq!(config.task_heads[0].labels, ["world", "sports", "science"]);
    let model = init::normal(TaskModel::new(&config, Parts::POOLER, &device).unwrap(), 5, 0.1);
    let on_dev = |model: &TaskModel, head: &AnsweringHead| {
        predictions(model, head, &eval[0].1, &device, &mut |_, _| ControlFlow::Continue(())).unwrap()
    };
    let untrained = on_dev(&model, &AnsweringHead::in_order(0, 3));
    let job = FineTune { data: &data, heads: vec![0], eval: &eval };
    let steps = TrainConfig { eval_every: 30, ..TrainConfig::new(90, 2e-2) };
    let trained = train(model, device.clone(), &job, &steps, None, &mut Silent).unwrap();
    let evaluation = trained.evaluation.unwrap();
    assert_eq!(evaluation.score, evaluation.metrics["topic/matthews"]);
    assert!(evaluation.metrics["topic/accuracy"] > 0.9, "{evaluation}");
    assert_eq!(doubts(&evaluation, &baselines), Vec::<String>::new());

    // Its head is found by name, whatever the order of its classes.
    let head = answering_head(&config, &task).unwrap();
    let answers = on_dev(&trained.model, &head);
    assert_ne!(answers, untrained);
    assert_eq!(task.score(&answers, &eval[0].1.labels).unwrap().primary, evaluation.score);
    let mut other = config.clone();
    other.task_heads[0].labels.rotate_left(1);
    assert_eq!(answering_head(&other, &task).unwrap().order.outputs(), [2, 0, 1]);
}

#[test]
fn what_no_training_is_for_yet_and_labels_of_another_task_are_refused_before_anything_runs() {
    let encoder = encoder();
    let rows = features::encode(&encoder, &examples(8), 16).unwrap();
    let pad = encoder.pad_id();
    let labels = Answer::Labels((0..300).map(|n| format!("l{n}").as_str().into()).collect());
    let many = Task::new(TaskSpec::new("many", &["text"], labels)).unwrap();
    let two = Task::new(TaskSpec::new("two", &["text"], Answer::Class(["a", "b"].map(Into::into).to_vec()))).unwrap();
    for (task, part) in [
        (many, "many: 300 labels; at most 256 can be trained"),
        (SquadVersion::V1.into(), "squad-v1: spans are trained"),
        (two, "two: Class(2) is no label of this task"),
    ] {
        let message = TrainSet::new(&task, rows.clone(), pad, SETTINGS).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
        assert_eq!(EvalSet::new(&task, rows.clone(), pad, SETTINGS).unwrap_err().to_string(), message);
    }
    let message = topic().read_split(std::path::Path::new("data"), Split::Train).unwrap_err().to_string();
    assert!(message.contains("topic: its description names no files"), "{message}");
}

/// [`FineTune`] on padded batches.
struct Padded<'a>(&'a TaskMix);

impl Job<TaskModel> for Padded<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> train::Result<LossTerms> {
        let (_, whole) = self.0.batch(part.step)?;
        let Some(cut) = part.cut(whole.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = whole.rows(cut.rows());
        let shape = [batch.batch, batch.seq];
        let tokens = TokenBatch::from_host(shape, &batch.ids, &batch.type_ids, &batch.mask, device);
        let (_, logits) = model.forward(&tokens, 0, EncodeOptions::LAST);
        Ok(cut.weigh(LossTerms(vec![("label", label_loss(logits, &batch.labels, None, device)?)])))
    }

    fn evaluate(&self, _: &TaskModel, _: u64, _: &Device, _: &mut Watch<'_>) -> Evaluated {
        Ok(None)
    }
}

#[test]
fn a_training_without_padding_ends_where_one_with_padding_ends() {
    let (encoder, device) = (encoder(), Device::flex());
    let examples: Vec<Example> = examples(40)
        .into_iter()
        .map(|example| Example { text_a: format!("{}{}", example.text_a, " near".repeat(example.id % 6)), ..example })
        .collect();
    for (parts, rest) in [(1, 1e-4), (3, 1e-4)] {
        let features = features::encode(&encoder, &examples, SETTINGS.max_len).unwrap();
        let data =
            TaskMix::new(vec![TrainSet::new(topic(), features, encoder.pad_id(), SETTINGS).unwrap()], 1).unwrap();
        let padded = (0..5).filter(|step| {
            let (_, batch) = data.batch(*step).unwrap();
            batch.tokens() < batch.batch * batch.seq
        });
        assert!(padded.count() > 2, "there is padding");
        let config = BertConfig {
            max_position_embeddings: 16,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            task_heads: vec![task_head(&topic())],
            ..BertConfig::bert(encoder.vocab_size(), 16, 2, 2, 32)
        };
        let model = init::normal(TaskModel::new(&config, Parts::POOLER, &device).unwrap(), 5, 0.1);
        let steps = TrainConfig { accumulate: parts, ..TrainConfig::new(5, 1e-2) };
        let job = FineTune { data: &data, heads: vec![0], eval: &[] };
        let without = train(model.clone(), device.clone(), &job, &steps, None, &mut Silent).unwrap();
        let with = train(model, device.clone(), &Padded(&data), &steps, None, &mut Silent).unwrap();
        let [with, without] = [with, without].map(|trained| collect_internal(&trained.model));
        for (name, expected) in &with.0 {
            // What is added to all scores of a row alike has no gradient but rounding, of which AdamW makes steps.
            if name.contains("key.bias") {
                continue;
            }
            for (a, b) in without.0[name].data.iter().zip(&expected.data) {
                assert!((a - b).abs() < rest, "{name} in {parts} parts: {a} instead of {b}");
            }
        }
    }
}
