//! Gradients of a grown model are the grown gradients of the small one, by central differences of the loss of masked words.

mod common;

use std::collections::BTreeMap;

use common::{Weights, exact, loss, text, weights};
use encoder_spec::{Activation, BertConfig, HostTensor, Parts};
use growth::{Copies, Depth, Growth, NewLayers, Plan, Quantity};
use model_dir::Tensors;

const STEP: f64 = 1e-5;
/// Of central differences with this step, in units of the largest element of a gradient.
const TOLERANCE: f64 = 1e-6;

fn words() -> Parts {
    Parts { mlm: true, ..Parts::NONE }
}

/// The gradient of the loss on one text by each weight.
fn gradients(config: &BertConfig, tensors: &Tensors, seed: u64) -> BTreeMap<String, Vec<f64>> {
    let (ids, segments) = text(config, 4, seed);
    let (answers, _) = text(config, 4, seed + 1);
    let mut weights: Weights = exact(tensors);
    let paths: Vec<String> = weights.keys().cloned().collect();
    let of = |path: &String| {
        let gradient = (0..weights[path].data.len()).map(|i| {
            let mut at = |by: f64| {
                let value = |w: &mut Weights, by: f64| w.get_mut(path).unwrap().data[i] += by;
                value(&mut weights, by);
                let loss = loss(config, words(), &weights, &ids, &segments, &answers);
                value(&mut weights, -by);
                loss
            };
            (at(STEP) - at(-STEP)) / (2.0 * STEP)
        });
        (path.clone(), gradient.collect())
    };
    paths.iter().map(of).collect()
}

fn tensors_of(gradients: &BTreeMap<String, Vec<f64>>, like: &Tensors, f: impl Fn(f64) -> f64) -> Tensors {
    let of = |(path, values): (&String, &Vec<f64>)| {
        let data = values.iter().map(|v| f(*v) as f32).collect();
        (path.clone(), HostTensor { shape: like.0[path].shape.clone(), data })
    };
    Tensors(gradients.iter().map(of).collect())
}

/// Checks all weights but those for which `is_begun_anew`, whose moments are to be 0.
fn check(small: &BertConfig, large: &BertConfig, growth: &Growth, is_begun_anew: impl Fn(&str) -> bool) {
    let seed = 11;
    let before = weights(small, words(), seed);
    let plan = Plan::new(small, large, words(), growth).unwrap();
    assert_eq!(plan.changes(), []);
    let after = plan.apply(&before, Quantity::Weights).unwrap();
    let (old, new) = (gradients(small, &before, seed), gradients(large, &after, seed));
    let first = plan.apply(&tensors_of(&old, &before, |g| g), Quantity::FirstMoment).unwrap();
    let second = plan.apply(&tensors_of(&old, &before, |g| g * g), Quantity::SecondMoment).unwrap();
    let size = old.values().flatten().fold(0f64, |size, g| size.max(g.abs()));
    assert!(size > 0.1, "{size}");
    assert_eq!(first.0.len(), new.len());
    for (path, expected) in &new {
        let (m, v) = (&first.0[path].data, &second.0[path].data);
        if is_begun_anew(path) {
            assert!(m.iter().chain(v).all(|v| *v == 0.0), "{path}");
            continue;
        }
        for (i, expected) in expected.iter().enumerate() {
            let (m, v) = (f64::from(m[i]), f64::from(v[i]));
            assert!((m - expected).abs() < TOLERANCE * size, "{path} {i}: {m} for {expected}");
            assert!((v - m * m).abs() <= 1e-6 * m * m + 1e-30, "{path} {i}: {v} for the square of {m}");
        }
    }
}

fn bert() -> BertConfig {
    BertConfig { hidden_act: Activation::GeluTanh, max_position_embeddings: 4, ..BertConfig::bert(7, 8, 2, 2, 5) }
}

fn modern() -> BertConfig {
    let mut config = BertConfig { hidden_act: Activation::GeluTanh, ..BertConfig::modernbert(7, 8, 2, 2, 5) };
    if let Some(modern) = &mut config.modern {
        modern.classifier_activation = Activation::GeluTanh;
        modern.local_attention = 2;
    }
    config
}

fn wider(config: BertConfig) -> BertConfig {
    BertConfig { hidden_size: 16, num_attention_heads: 4, ..config }
}

#[test]
fn of_wider_feed_forwards() {
    for copies in [Copies::First, Copies::Random] {
        for small in [bert(), modern()] {
            let large = BertConfig { intermediate_size: 13, ..small.clone() };
            check(&small, &large, &Growth { copies, seed: 4, ..Growth::default() }, |_| false);
        }
    }
}

#[test]
fn of_wider_hidden_states_and_more_heads() {
    for small in [bert(), modern()] {
        check(&small, &wider(small.clone()), &Growth::default(), |_| false);
    }
}

#[test]
fn of_a_wider_word_table() {
    let small = BertConfig { embedding_size: Some(4), ..bert() };
    let large = BertConfig { embedding_size: Some(8), ..small.clone() };
    check(&small, &large, &Growth::default(), |_| false);
}

#[test]
fn of_all_widths_and_layers_that_pass_on_what_they_get() {
    let is_zeroed = |path: &str, layer: usize| {
        path.starts_with(&format!("encoder.layers.{layer}."))
            && (path.contains(".attention.output.") || path.contains(".dense2."))
    };
    let growth = Growth { new_layers: NewLayers::Identity, depth: Depth::CopyLast, ..Growth::default() };
    let mut small = modern();
    small.num_hidden_layers = 1;
    small.modern.as_mut().unwrap().global_layers = vec![true];
    let mut large = wider(BertConfig { num_hidden_layers: 2, intermediate_size: 7, ..small.clone() });
    large.modern.as_mut().unwrap().global_layers = vec![true, false];
    check(&small, &large, &growth, |path| is_zeroed(path, 1));

    let small = BertConfig { num_hidden_layers: 1, ..bert() };
    let large = wider(BertConfig { num_hidden_layers: 2, intermediate_size: 7, ..small.clone() });
    // The scale and shift that moved away from the old layer leave a norm without a past, and so does the new layer's first one.
    let is_unit = |path: &str| {
        path.starts_with("encoder.layers.0.feed_forward.blocks.0.norm")
            || path.starts_with("encoder.layers.1.attention.norm")
    };
    check(&small, &large, &growth, |path| is_zeroed(path, 1) || is_unit(path));
}
