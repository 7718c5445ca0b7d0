//! Students that begin as their teacher.

use std::path::Path;

use bert_core::weights::{apply_internal, collect_internal};
use bert_core::{
    AttentionShape, BertConfig, EncodeOptions, LayerParts, NormKind, Parts, TaskModel, init, layered_config,
    student_config, student_frame, supernet_architecture,
};
use burn::tensor::Device;
use encoder_spec::{Encoder, Shape};
use glue_squad::batch::{EncodedBatch, Labels};
use glue_squad::task::TaskKind;
use kd::from_teacher::{Part, Sample, Settings, Start, begin, layer_map};
use mlp_space::{Architecture, Expression, LinearId, Space, StudentShape, Unary, Widths};
use predict::heads::{AnsweringHead, task_head};
use proptest::prelude::*;
use rand::Rng;
use train::data::to_device;

fn heads() -> Vec<encoder_spec::TaskHeadConfig> {
    [TaskKind::Sst2, TaskKind::Stsb].into_iter().map(|task| task_head(task.task())).collect()
}

fn answering() -> Vec<Option<AnsweringHead>> {
    vec![Some(AnsweringHead::in_order(0, 2)), Some(AnsweringHead::in_order(1, 1))]
}

/// A BERT all of whose weights are drawn, biases and norms too; some channels are louder than others, in all layers, and some neurons.
fn drawn(config: &BertConfig, seed: u64, std: f64, loud: f64) -> TaskModel {
    let model = TaskModel::new(config, Parts::POOLER, &Device::flex()).unwrap();
    let mut weights = collect_internal(&init::normal(model.clone(), seed, std));
    let loudness = init::normal_values(config.hidden_size, seed, "loudness", loud);
    let of_neurons = init::normal_values(config.intermediate_size, seed, "neurons", 2.0 * loud);
    for (name, tensor) in &mut weights.0 {
        let more = init::normal_values(tensor.data.len(), seed, &format!("more {name}"), 0.1);
        tensor.data.iter_mut().zip(more).for_each(|(value, more)| *value += more);
        if name.ends_with("norm.weight") {
            tensor.data.iter_mut().zip(&loudness).for_each(|(value, loudness)| *value *= loudness.exp());
        }
        if name.ends_with("dense2.weight") {
            let columns = of_neurons.iter().cycle();
            tensor.data.iter_mut().zip(columns).for_each(|(value, loudness)| *value *= loudness.exp());
        }
    }
    apply_internal(model, weights, Path::new("drawn")).unwrap()
}

fn teacher_config(hidden: usize, layers: usize, heads_: usize, inner: usize) -> BertConfig {
    BertConfig {
        max_position_embeddings: 10,
        task_heads: heads(),
        ..BertConfig::bert(40, hidden, layers, heads_, inner).with_dropout(0.0)
    }
}

/// Texts of drawn words, with padding.
fn texts(count: usize, seed: u64) -> EncodedBatch {
    let mut rng = run_store::rng::keyed(seed, "texts", &[]);
    let seq = 10;
    let (mut ids, mut mask, mut type_ids) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let length = rng.random_range(3..=seq);
        for place in 0..seq {
            let real = place < length;
            // Some words are frequent, most are not.
            let word = 1.0 + 39.0 * rng.random::<f64>().powi(3);
            ids.push(if real { word as i32 } else { 0 });
            mask.push(u8::from(real));
            type_ids.push(i32::from(real && place > length / 2));
        }
    }
    EncodedBatch {
        batch: count,
        seq,
        ids,
        type_ids,
        mask,
        labels: Labels::None,
        indices: (0..count).collect(),
        second: None,
    }
}

fn sample(count: usize, seed: u64) -> Sample {
    Sample::new([&texts(count, seed)], &Device::flex()).unwrap()
}

/// What of the beginning a test varies.
struct Beginning<'a> {
    teacher: (&'a TaskModel, &'a BertConfig),
    settings: Settings,
    slices: bool,
    sample: Sample,
}

impl<'a> Beginning<'a> {
    fn new(teacher: (&'a TaskModel, &'a BertConfig)) -> Self {
        Self { teacher, settings: Settings::new(7), slices: false, sample: sample(120, 5) }
    }

    fn of(&self, student: TaskModel, spec: &Encoder<Shape>) -> kd::Result<TaskModel> {
        let layers = layer_map(None, spec.layers.len(), self.teacher.1.num_hidden_layers)?;
        let start = Start {
            teacher: self.teacher.0,
            config: self.teacher.1,
            layers: &layers,
            heads: &answering(),
            sample: &self.sample,
            settings: &self.settings,
            slices: self.slices,
        };
        begin(student, spec, &start)
    }

    fn fresh(&self, config: &BertConfig) -> kd::Result<TaskModel> {
        let fresh = TaskModel::new(config, Parts::POOLER, &Device::flex()).unwrap().initialized(config, 3);
        self.of(fresh, &Encoder::describe(config, Parts::POOLER).unwrap())
    }
}

/// Answers of both heads, then the last hidden states of real tokens, projected where the model does that.
fn answers(model: &TaskModel, batch: &EncodedBatch) -> [Vec<f32>; 2] {
    let tokens = to_device(batch, &Device::flex());
    let (output, first) = model.forward(&tokens, 0, EncodeOptions::STATES_AND_SCORES);
    let second = model.heads[1].forward_pooled(model.pool(output.last_hidden.clone(), &tokens.mask));
    let values = |t: burn::tensor::Tensor<2>| t.try_into_vec_as::<f32>().unwrap();
    let states = output.hidden_states.last().unwrap().clone();
    let width = states.dims()[2];
    let states = states.try_into_vec_as::<f32>().unwrap();
    let real = states.chunks(width).zip(&batch.mask).filter(|(_, mask)| **mask == 1).flat_map(|(row, _)| row.to_vec());
    ([values(first), values(second)].concat(), real.collect()).into()
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn mean_square(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_student_as_wide_and_deep_as_its_teacher_is_its_teacher(
        // Norms over two or three channels have jumps, at which rounding shows.
        (heads, head_width) in (2usize..4, 3usize..6),
        (layers, inner, seed) in (1usize..4, 1usize..30, any::<u64>()),
        fit in any::<bool>(),
        left_out in prop::option::of(prop::sample::select(vec![
            Part::Channels, Part::Neurons, Part::Covariance, Part::Reconstruction, Part::Mending,
        ])),
    ) {
        let hidden = heads * head_width;
        let config = teacher_config(hidden, layers, heads, inner);
        let teacher = drawn(&config, seed, 0.25, 0.2);
        let student_config = BertConfig { fit_size: fit.then_some(hidden), ..config.clone() };
        let mut beginning = Beginning::new((&teacher, &config));
        beginning.settings.without.extend(left_out);
        let student = beginning.fresh(&student_config).unwrap();
        // Of texts that it has not seen.
        let others = texts(20, 99);
        let ([theirs, their_states], [ours, our_states]) = (answers(&teacher, &others), answers(&student, &others));
        let size = theirs.iter().fold(1.0f32, |most, value| most.max(value.abs()));
        prop_assert!(furthest(&theirs, &ours) < 1e-5 * size, "{} of {size}", furthest(&theirs, &ours));
        // Without a projection the hidden states are compared as they are.
        let size = their_states.iter().fold(1.0f32, |most, value| most.max(value.abs()));
        let bound = if fit { 1e-3 } else { 2e-5 } * size;
        prop_assert!(furthest(&their_states, &our_states) < bound, "{} of {size}", furthest(&their_states, &our_states));
    }
}

/// EfficientBERT students of a teacher with 24 channels.
fn frame(layers: usize, hidden: usize, embed: usize) -> BertConfig {
    let shape = StudentShape {
        vocab: 40,
        embed,
        hidden,
        base: hidden,
        heads: 4,
        max_positions: 10,
        segments: 2,
        fit: Some(24),
    };
    BertConfig { task_heads: heads(), ..student_frame(&shape, layers).with_dropout(0.0) }
}

fn searched(frame: &BertConfig, expressions: Vec<Expression>) -> BertConfig {
    student_config(frame, &Architecture::new(expressions).unwrap()).unwrap()
}

fn plain(stacks: u8, ratio: u8) -> Expression {
    Expression::plain(LinearId::new(stacks, ratio).unwrap(), Unary::Gelu)
}

/// How far a student is from its teacher on texts that neither has seen: answers and projected hidden states.
fn distance(teacher: &TaskModel, student: &TaskModel) -> [f64; 2] {
    let others = texts(60, 1234);
    let ([theirs, their_states], [ours, our_states]) = (answers(teacher, &others), answers(student, &others));
    [mean_square(&theirs, &ours), mean_square(&their_states, &our_states)]
}

#[test]
fn a_smaller_student_is_near_its_teacher_and_no_part_of_the_method_takes_it_away() {
    let config = teacher_config(24, 4, 4, 60);
    let student = searched(&frame(2, 16, 8), vec![plain(2, 1); 2]);
    let parts = [Part::Channels, Part::Covariance, Part::Neurons, Part::Reconstruction, Part::Mending];
    let mut sums = [0.0; 6];
    let mut fresh = 0.0;
    for seed in 0..6 {
        let teacher = drawn(&config, seed, 0.3, 0.6);
        let mut beginning = Beginning::new((&teacher, &config));
        beginning.sample = sample(600, 5);
        sums[0] += distance(&teacher, &beginning.fresh(&student).unwrap())[1];
        for (sum, part) in sums[1..].iter_mut().zip(parts) {
            beginning.settings.without = vec![part];
            *sum += distance(&teacher, &beginning.fresh(&student).unwrap())[1];
        }
        let random = TaskModel::new(&student, Parts::POOLER, &Device::flex()).unwrap().initialized(&student, 3);
        fresh += distance(&teacher, &random)[1];
    }
    assert!(sums[0] < 0.6 * fresh, "{} of {fresh}", sums[0]);
    for (sum, part) in sums[1..].iter().zip(parts) {
        // Weights that are drawn have much the same low-rank factors with and without the moments of data, and channels that say little of
        // each other.
        let alike = matches!(part, Part::Covariance | Part::Reconstruction);
        let bound = if alike { 1.02 * sum } else { *sum };
        assert!(sums[0] < bound, "without {part:?}: {sum}, with it {}", sums[0]);
    }
}

#[test]
fn slices_of_a_supernet_that_began_as_its_teacher_are_the_better_the_larger_they_are() {
    let config = teacher_config(24, 2, 4, 90);
    let frame = frame(2, 20, 12);
    let largest = student_config(&frame, &supernet_architecture(2).unwrap()).unwrap();
    let of = |id: (u8, u8)| Architecture::new(vec![plain(id.0, id.1); 2]).unwrap();
    let stacks = [(1, 1), (2, 1), (3, 1), (4, 1)];
    let ratios = [(1, 4), (1, 3), (1, 2), (1, 1)];
    let (mut by_stacks, mut by_ratio) = ([0.0; 4], [0.0; 4]);
    for seed in 0..4 {
        let teacher = drawn(&config, seed, 0.3, 0.2);
        let beginning = Beginning { slices: true, sample: sample(600, 5), ..Beginning::new((&teacher, &config)) };
        let fresh = TaskModel::supernet(&largest, Parts::POOLER, &Device::flex()).unwrap().initialized(&largest, 3);
        let supernet = beginning.of(fresh, &Encoder::supernet(&largest, Parts::POOLER).unwrap()).unwrap();
        for (sums, ids) in [(&mut by_stacks, stacks), (&mut by_ratio, ratios)] {
            for (sum, id) in sums.iter_mut().zip(ids) {
                *sum += distance(&teacher, &supernet.clone().activate(&of(id)))[1];
            }
        }
    }
    assert!(by_ratio.windows(2).all(|pair| pair[1] < pair[0]), "{by_ratio:?}");
    // Each further stack is a further norm too, which costs about what little a second stack brings to weights that are drawn.
    assert!(by_stacks.windows(2).all(|pair| pair[1] < 1.02 * pair[0]), "{by_stacks:?}");
    assert!(by_stacks[3] < 0.97 * by_stacks[0], "{by_stacks:?}");
}

#[test]
fn students_of_any_expression_begin_nearer_than_at_random() {
    let config = teacher_config(24, 2, 4, 60);
    let frame = frame(2, 16, 8);
    let space = Space::runnable(Widths::square(16));
    let mut rng = run_store::rng::keyed(3, "expressions", &[]);
    let teacher = drawn(&config, 1, 0.3, 0.3);
    let beginning = Beginning::new((&teacher, &config));
    for _ in 0..12 {
        let expressions = (0..2).map(|_| space.sample(None, &mut rng).unwrap()).collect();
        let student = searched(&frame, expressions);
        let random = TaskModel::new(&student, Parts::POOLER, &Device::flex()).unwrap().initialized(&student, 3);
        let [far, near] = [random, beginning.fresh(&student).unwrap()].map(|model| distance(&teacher, &model)[1]);
        assert!(near.is_finite() && near < 0.8 * far, "{:?}: {near}, at random {far}", student.layers);
    }
}

#[test]
fn the_same_models_and_texts_give_the_same_weights() {
    let config = teacher_config(24, 3, 4, 60);
    let teacher = drawn(&config, 1, 0.3, 0.3);
    let beginning = Beginning::new((&teacher, &config));
    let student = searched(&frame(3, 16, 8), vec![plain(1, 1); 3]);
    let [one, two] = [(); 2].map(|()| collect_internal(&beginning.fresh(&student).unwrap()).0);
    assert_eq!(one, two);
}

#[test]
fn fewer_heads_are_those_of_most_effect_and_wider_ones_have_room() {
    let config = teacher_config(24, 2, 4, 60);
    let teacher = drawn(&config, 1, 0.3, 0.3);
    let beginning = Beginning::new((&teacher, &config));
    // Two heads of 12 where the teacher has four of 6; one layer for two.
    let student = BertConfig { num_attention_heads: 2, num_hidden_layers: 1, fit_size: Some(24), ..config.clone() };
    let random = TaskModel::new(&student, Parts::POOLER, &Device::flex()).unwrap().initialized(&student, 3);
    let [far, near] = [random, beginning.fresh(&student).unwrap()].map(|model| distance(&teacher, &model)[1]);
    assert!(near < 0.8 * far, "{near} of {far}");
}

/// Layers of a student of `frame` with that attention and plain feed-forwards.
fn layered(frame: &BertConfig, parts: &[LayerParts]) -> BertConfig {
    layered_config(frame, &Architecture::new(vec![plain(1, 1); parts.len()]).unwrap(), parts).unwrap()
}

#[test]
fn heads_fit_any_number_and_any_width_of_each_layer() {
    let config = teacher_config(24, 4, 4, 60);
    let frame = frame(2, 16, 8);
    let heads = |heads, width| LayerParts { attention: Some(AttentionShape { heads, width }), feed_forward: true };
    // Fewer and narrower, fewer and wider, more, and as many in all channels of the teacher's.
    for pair in [[heads(2, 6), heads(4, 24)], [heads(3, 24), heads(6, 36)], [heads(1, 3), heads(8, 16)]] {
        let student = layered(&frame, &pair);
        let (mut near, mut far) = (0.0, 0.0);
        for seed in 0..3 {
            let teacher = drawn(&config, seed, 0.3, 0.3);
            let beginning = Beginning::new((&teacher, &config));
            near += distance(&teacher, &beginning.fresh(&student).unwrap())[1];
            let random = TaskModel::new(&student, Parts::POOLER, &Device::flex()).unwrap().initialized(&student, 3);
            far += distance(&teacher, &random)[1];
        }
        assert!(near < 0.7 * far, "{pair:?}: {near}, at random {far}");
    }
}

#[test]
fn wider_attention_begins_nearer_to_the_teacher() {
    let config = teacher_config(24, 2, 4, 60);
    let frame = frame(2, 20, 12);
    let mut sums = [0.0; 3];
    for seed in 0..6 {
        let teacher = drawn(&config, seed, 0.5, 0.2);
        let beginning = Beginning { sample: sample(600, 5), ..Beginning::new((&teacher, &config)) };
        for (sum, (heads, width)) in sums.iter_mut().zip([(1, 2), (4, 8), (4, 24)]) {
            let parts = LayerParts { attention: Some(AttentionShape { heads, width }), feed_forward: true };
            *sum += distance(&teacher, &beginning.fresh(&layered(&frame, &[parts; 2])).unwrap())[1];
        }
    }
    assert!(sums[0] > sums[1] && sums[1] > sums[2], "{sums:?}");
}

#[test]
fn layers_without_attention_or_without_feed_forward_begin_nearer_than_at_random() {
    let config = teacher_config(24, 4, 4, 60);
    let frame = frame(2, 16, 8);
    let usual = LayerParts::usual(&frame);
    let lone = [LayerParts { attention: None, ..usual }, LayerParts { feed_forward: false, ..usual }];
    for pair in [[lone[0], usual], [lone[1], usual], [usual, lone[1]], lone] {
        let student = layered(&frame, &pair);
        let (mut near, mut far) = (0.0, 0.0);
        for seed in 0..3 {
            let teacher = drawn(&config, seed, 0.3, 0.3);
            let beginning = Beginning::new((&teacher, &config));
            near += distance(&teacher, &beginning.fresh(&student).unwrap())[1];
            let random = TaskModel::new(&student, Parts::POOLER, &Device::flex()).unwrap().initialized(&student, 3);
            far += distance(&teacher, &random)[1];
        }
        assert!(near < 0.8 * far, "{pair:?}: {near}, at random {far}");
    }
}

#[test]
fn a_student_with_heads_beside_those_of_its_teacher_is_its_teacher() {
    let config = teacher_config(16, 2, 2, 24);
    let teacher = drawn(&config, 4, 0.25, 0.2);
    let frame = BertConfig {
        task_heads: heads(),
        trigram_input: false,
        embedding_size: None,
        fit_size: None,
        layer_norm_eps: config.layer_norm_eps,
        num_attention_heads: 2,
        hidden_size: 16,
        intermediate_size: 24,
        ..frame(2, 16, 8)
    };
    let own = LayerParts { attention: Some(AttentionShape { heads: 4, width: 40 }), feed_forward: true };
    let mut student = layered(&frame, &[own; 2]);
    // The teacher's activation is the erf form, which no expression has: the neurons' outputs are near, not equal.
    student.max_position_embeddings = config.max_position_embeddings;
    let student = Beginning::new((&teacher, &config)).fresh(&student).unwrap();
    let others = texts(20, 99);
    let ([theirs, _], [ours, _]) = (answers(&teacher, &others), answers(&student, &others));
    assert!(furthest(&theirs, &ours) < 0.05, "{}", furthest(&theirs, &ours));
}

#[test]
fn what_does_not_go_together_is_refused_with_both_sizes() {
    let config = teacher_config(24, 2, 4, 60);
    let teacher = drawn(&config, 1, 0.3, 0.3);
    let of = |student: BertConfig, words: &[&str]| {
        let message = Beginning::new((&teacher, &config)).fresh(&student).unwrap_err().to_string();
        for word in ["cannot begin as its teacher"].iter().chain(words) {
            assert!(message.contains(word), "{message}");
        }
    };
    of(BertConfig { hidden_size: 28, ..config.clone() }, &["hidden width", "28", "24"]);
    of(BertConfig { num_hidden_layers: 3, ..config.clone() }, &["3 layers", "2"]);
    of(BertConfig { vocab_size: 41, ..config.clone() }, &["vocabulary", "41", "40"]);
    of(BertConfig { max_position_embeddings: 12, ..config.clone() }, &["positions", "12", "10"]);
    of(BertConfig { fit_size: Some(32), ..config.clone() }, &["projection", "32", "24"]);
    of(BertConfig { normalization_type: NormKind::NoNorm, ..config.clone() }, &["norms"]);
    of(BertConfig { intra_bottleneck_size: Some(12), ..config.clone() }, &["bottlenecks"]);
    let factorized = BertConfig { embedding_size: Some(8), ..config.clone() };
    let other = drawn(&factorized, 1, 0.3, 0.3);
    let message = Beginning::new((&other, &factorized)).fresh(&config).unwrap_err().to_string();
    assert!(message.contains("factorized already"), "{message}");
}
