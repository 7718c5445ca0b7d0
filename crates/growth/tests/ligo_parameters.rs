//! The matrices of a learned growth: which there are, how they are kept, and what is refused.

mod common;

use common::ligo::{WORDS, bert, drawn_like, larger, mobile, moved, planned};
use common::weights;
use encoder_spec::{BertConfig, LayerSpec, ModelType};
use growth::{Copies, Growth, LayerWidths, Ligo, LigoConfig, NewLayers, Plan};
use model_dir::Tensors;

#[test]
fn what_grows_has_matrices_and_nothing_else_has() {
    let names = |small: &BertConfig, large: &BertConfig| -> Vec<(String, Vec<usize>)> {
        let ligo = planned(small, large, &Growth::default()).1;
        ligo.parameters().0.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
    };
    let small = bert();
    let parts = [
        "attention.key",
        "attention.norm",
        "attention.output",
        "attention.query",
        "attention.value",
        "feed_forward.blocks.0.dense1",
        "feed_forward.blocks.0.dense2",
        "feed_forward.blocks.0.norm",
    ];
    let depth: Vec<_> = parts
        .iter()
        .flat_map(|part| ["bias", "weight"].map(|leaf| (format!("depth.{part}.{leaf}"), vec![5, 2])))
        .collect();
    assert_eq!(names(&small, &larger(&small, 3, 0, 1)), depth);
    let inner: Vec<_> = (0..2).map(|i| (format!("width.layers.{i}.feed_forward.blocks.0"), vec![3, 5])).collect();
    assert_eq!(names(&small, &larger(&small, 0, 3, 1)), inner);
    let mut wide = vec![("width.hidden".to_owned(), vec![8, 8])];
    for i in 0..2 {
        wide.extend(["key", "query", "value"].map(|part| (format!("width.layers.{i}.attention.{part}"), vec![8, 8])));
    }
    assert_eq!(names(&small, &larger(&small, 0, 0, 2)), wide);
    // A word table and a bottleneck have widths of their own, for all layers.
    let small = mobile();
    let all = names(&small, &larger(&small, 0, 0, 2));
    for (name, size) in [("width.embedding", 6), ("width.bottleneck", 8), ("width.hidden", 12)] {
        assert!(all.contains(&(name.to_owned(), vec![size, size])), "{all:?}");
    }
}

#[test]
fn noise_makes_new_channels_differ_from_their_copies_by_that_share() {
    let small = BertConfig { intermediate_size: 64, ..BertConfig::bert(20, 64, 2, 2, 64) };
    let large = BertConfig { intermediate_size: 192, ..small.clone() };
    let before = weights(&small, WORDS, 9);
    let grown = |noise, seed| {
        let growth = Growth { noise, seed, ..Growth::default() };
        planned(&small, &large, &growth).1.expand(&before).unwrap()
    };
    let (without, with) = (grown(0.0, 1), grown(0.1, 1));
    assert_eq!(with, grown(0.1, 1));
    assert_ne!(with, grown(0.1, 2));
    let path = "encoder.layers.1.feed_forward.blocks.0.dense1.weight";
    let (old, new) = (&without.0[path].data, &with.0[path].data);
    assert_eq!(old[..64 * 64], new[..64 * 64]);
    let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let by = squares(&mut old.iter().zip(new).skip(64 * 64).map(|(a, b)| a - b));
    let share = (by / squares(&mut old[64 * 64..].iter().copied())).sqrt();
    assert!((0.09..0.11).contains(&share), "{share}");
}

#[test]
fn matrices_are_kept_and_set_again_and_those_that_do_not_fit_are_refused() {
    let small = bert();
    let (_, fresh) = planned(&small, &larger(&small, 1, 2, 2), &Growth::default());
    let learned = moved(fresh.clone(), 3);
    let kept = learned.parameters().clone();
    let mut again = fresh.clone();
    again.set_parameters(kept.clone()).unwrap();
    let before = weights(&small, WORDS, 3);
    assert_eq!(again.expand(&before).unwrap(), learned.expand(&before).unwrap());
    let refused = |change: &dyn Fn(&mut Tensors), words: &[&str]| {
        let (mut given, mut ligo) = (kept.clone(), fresh.clone());
        change(&mut given);
        let message = ligo.set_parameters(given).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert_eq!(ligo.parameters(), fresh.parameters());
    };
    refused(&|t| drop(t.0.remove("width.hidden")), &["parameter `width.hidden` is missing"]);
    refused(&|t| t.0.get_mut("width.hidden").unwrap().shape = vec![4, 16], &["`width.hidden`", "[4, 16]", "[8, 8]"]);
    refused(&|t| t.0.get_mut("width.hidden").unwrap().data[1] = f32::NAN, &["`width.hidden`", "NaN"]);
    refused(&|t| drop(t.0.insert("more".into(), t.0["width.hidden"].clone())), &["`more`"]);
}

#[test]
fn tensors_of_other_models_and_gradients_that_are_not_finite_are_refused() {
    let small = bert();
    let (_, ligo) = planned(&small, &larger(&small, 1, 2, 2), &Growth::default());
    let before = weights(&small, WORDS, 3);
    let gradients = drawn_like(&ligo.expand(&before).unwrap(), 3);
    let path = "encoder.layers.2.attention.query.bias";
    let refused = |change: &dyn Fn(&mut Tensors)| {
        let mut given = gradients.clone();
        change(&mut given);
        ligo.pullback(&before, &given).unwrap_err().to_string()
    };
    let message = refused(&|t| t.0.get_mut(path).unwrap().data[0] = f32::INFINITY);
    assert!(message.contains("gradient") && message.contains(path), "{message}");
    let message = refused(&|t| t.0.get_mut(path).unwrap().shape = vec![4, 4]);
    assert!(message.contains("[4, 4]") && message.contains("[16]"), "{message}");
    let message = refused(&|t| drop(t.0.insert("more".into(), t.0[path].clone())));
    assert!(message.contains("`more`"), "{message}");
    let mut less = before.clone();
    less.0.remove("pooler.weight");
    for message in [ligo.expand(&less).unwrap_err(), ligo.pullback(&less, &gradients).unwrap_err()] {
        assert!(message.to_string().contains("`pooler.weight` is missing"), "{message}");
    }
}

#[test]
fn growth_that_is_no_linear_map_of_the_layers_is_refused() {
    let refused = |small: &BertConfig, large: &BertConfig, growth: Growth, words: &[&str]| {
        let plan = Plan::new(small, large, WORDS, &growth).unwrap();
        let message = Ligo::new(&plan, LayerWidths::Shared).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let small = bert();
    let identity = Growth { new_layers: NewLayers::Identity, ..Growth::default() };
    refused(&small, &larger(&small, 1, 0, 1), identity, &["pass their input on", "copied"]);
    // Without new layers that choice says nothing.
    let plan = Plan::new(&small, &larger(&small, 0, 1, 1), WORDS, &identity).unwrap();
    assert!(Ligo::new(&plan, LayerWidths::Own).is_ok());
    refused(&small, &small, Growth::default(), &["nothing grows"]);
    let random = Growth { copies: Copies::Random, seed: 1, ..Growth::default() };
    refused(&small, &larger(&small, 1, 2, 1), random, &["has drawn its own", "`copies = \"first\"`"]);
    let spec = LayerSpec {
        expression: "linear1_1(gelu(linear1_1(x,wb1)),wb2)".into(),
        stacks: 1,
        ..LayerSpec::without_feed_forward()
    };
    let student = |layers: usize| BertConfig {
        model_type: ModelType::EfficientBert,
        layers: vec![spec.clone(); layers],
        num_hidden_layers: layers,
        intermediate_size: 8,
        ..small.clone()
    };
    refused(&student(2), &student(3), Growth::default(), &["searched encoder", "without `ligo`"]);
}

#[test]
fn a_recipe_says_how_long_growth_is_learned() {
    let config: LigoConfig = toml::from_str("steps = 30\nlearning_rate = 1e-3\nwidths = 'shared'").unwrap();
    assert_eq!(config, LigoConfig { steps: 30, learning_rate: 1e-3, widths: LayerWidths::Shared });
    config.validate().unwrap();
    assert_eq!(toml::from_str::<LigoConfig>("").unwrap(), LigoConfig::default());
    assert_eq!(LigoConfig::default(), LigoConfig { steps: 100, learning_rate: 2e-4, widths: LayerWidths::Own });
    assert!(toml::from_str::<LigoConfig>("step = 30").is_err());
    for (wrong, word) in
        [("steps = 0", "steps"), ("learning_rate = 0.0", "learning_rate"), ("learning_rate = nan", "NaN")]
    {
        let message = toml::from_str::<LigoConfig>(wrong).unwrap().validate().unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}
