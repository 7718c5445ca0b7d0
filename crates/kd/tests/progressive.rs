//! MobileBERT's progressive knowledge transfer: in a layer's turn that layer learns.

use bert_core::weights::{Tensors, collect_internal};
use bert_core::{BertConfig, Parts, TaskModel, init, preset};
use burn::tensor::Device;
use glue_squad::batch::{BatchPlan, EncodedBatch};
use glue_squad::features::{Features, lengths};
use kd::inherit::with_embedding_of;
use kd::job::{GeneralDistillation, as_is};
use kd::objective::{Objective, Plan, Shape, Source};
use tokenizer::Padding;
use train::engine::{Monitor, TrainConfig, TrainEvent, train};
use train::optim::{Gate, Group, OptimizerConfig, OptimizerKind, Schedule};
use train::text::TextSource;

type Model = TaskModel;

const LAYERS: usize = 3;
/// Steps of a layer's turn.
const TURN: u64 = 4;

/// A preset in small: its bottleneck and its norm stay.
fn small(name: &str, inside: usize) -> BertConfig {
    BertConfig {
        vocab_size: 12,
        hidden_size: 8,
        num_hidden_layers: LAYERS,
        num_attention_heads: 2,
        intermediate_size: 2 * inside,
        max_position_embeddings: 8,
        embedding_size: Some(4),
        intra_bottleneck_size: Some(inside),
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..preset(name).unwrap()
    }
}

fn model(config: &BertConfig, seed: u64) -> Model {
    let device = Device::flex();
    let model = TaskModel::new(config, Parts::POOLER, &device).unwrap();
    init::normal(model, seed, 0.3)
}

#[derive(Debug)]
struct Text(Vec<Features>);

impl TextSource for Text {
    fn batches_per_epoch(&self) -> u64 {
        3
    }
    fn batch(&self, step: u64) -> train::Result<EncodedBatch> {
        let plan = BatchPlan::new(lengths(&self.0), 4, 5)?;
        let padding = Padding { pad_id: 0, multiple: 8, max_len: 8 };
        Ok(EncodedBatch::collate(&self.0, &plan.batch_at_step(step), padding)?)
    }
}

fn text() -> Text {
    let row = |i: usize| {
        let ids: Vec<u32> = (0..4 + i % 3).map(|j| (i * 3 + j * 5) as u32 % 11 + 1).collect();
        Features { type_ids: vec![0; ids.len()], ids, label: None, words: None, second: None }
    };
    Text((0..12).map(row).collect())
}

struct Quiet;

impl Monitor for Quiet {
    fn event(&mut self, _: &TrainEvent<'_>) {}
}

/// The published groups and objective with turns of [`TURN`] steps and another factor after a layer's turn.
fn method(after: f64) -> (Vec<Group>, Objective) {
    let file: toml::Table =
        include_str!("../../pipeline/recipes/methods/mobilebert-progressive.toml").parse().expect("the file is TOML");
    let mut groups: Vec<Group> = file["train"]["groups"].clone().try_into().expect("groups");
    for group in &mut groups {
        group.gate = group.gate.map(|gate| Gate { from: 0, to: TURN, after, ..gate });
    }
    assert_eq!(groups.len(), 2);
    (groups, file["distill"].clone().try_into().expect("an objective"))
}

/// The student's weights before the first turn and after each.
fn turns(after: f64) -> Vec<Tensors> {
    let device = Device::flex();
    let (ours, theirs) = (small("mobilebert", 4), small("ib-bert-large", 12));
    let teacher = model(&theirs, 1);
    let (groups, objective) = method(after);
    let steps = TURN * LAYERS as u64;
    let plan: Plan = objective.plan(Shape::of(&ours), Shape::of(&theirs), Source::Text, steps).unwrap();
    let start = with_embedding_of(model(&ours, 2), &collect_internal(&teacher), false, "teacher".as_ref()).unwrap();
    let mut all = vec![collect_internal(&start)];
    for turn in 1..=LAYERS as u64 {
        let config = TrainConfig {
            groups: groups.clone(),
            schedule: Schedule::Phases { length: TURN },
            warmup_ratio: 0.0,
            optimizer: OptimizerConfig::of(OptimizerKind::Lamb),
            ..TrainConfig::new(turn * TURN, 5e-3)
        };
        let text = text();
        let job = GeneralDistillation { teacher: &teacher, plan: &plan, text: &text, words: None, prepare: as_is() };
        let trained = train(start.clone(), &device, &job, &config, None, &mut Quiet).unwrap();
        all.push(collect_internal(&trained.model));
    }
    all
}

/// How far the parameters of `part` moved from one state to the other.
fn moved(from: &Tensors, to: &Tensors, part: &str) -> f64 {
    let of_part = from.0.iter().filter(|(name, _)| name.starts_with(part));
    let pairs = of_part.flat_map(|(name, t)| t.data.iter().zip(&to.0[name].data));
    pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

fn layer(index: usize) -> String {
    format!("encoder.layers.{index}.")
}

#[test]
fn with_the_lower_layers_frozen_a_turn_moves_its_layer_and_nothing_else() {
    let states = turns(0.0);
    for (turn, pair) in states.windows(2).enumerate() {
        for name in pair[0].0.keys() {
            let distance = moved(&pair[0], &pair[1], name);
            // Keys add the same to all scores of a row, which a softmax does not see.
            if !name.starts_with(&layer(turn)) {
                assert_eq!(distance, 0.0, "turn {turn}: {name}");
            } else if !name.ends_with("attention.key.bias") {
                assert!(distance > 0.0, "turn {turn}: {name}");
            }
        }
    }
}

#[test]
fn as_published_the_lower_layers_go_on_slowly_and_the_upper_ones_wait() {
    let states = turns(0.1);
    for (turn, pair) in states.windows(2).enumerate() {
        let distances: Vec<f64> = (0..LAYERS).map(|i| moved(&pair[0], &pair[1], &layer(i))).collect();
        for (i, distance) in distances.iter().enumerate() {
            match i.cmp(&turn) {
                std::cmp::Ordering::Less => {
                    assert!(*distance > 0.0 && *distance < 0.4 * distances[turn], "turn {turn}: {distances:?}");
                }
                std::cmp::Ordering::Equal => assert!(*distance > 0.0, "turn {turn}: {distances:?}"),
                std::cmp::Ordering::Greater => assert_eq!(*distance, 0.0, "turn {turn}: {distances:?}"),
            }
        }
        assert_eq!(moved(&pair[0], &pair[1], "encoder.embeddings."), 0.0);
    }
}
