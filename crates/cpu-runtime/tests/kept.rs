//! Parts of an int8 model that stay in floating point.

mod reference;

use std::collections::BTreeSet;

use cpu_runtime::{Model, Outputs, Packing, Precision, Session};
use encoder_spec::{Activation, Rotary};
use mlp_space::Align;
use reference::{Encoder, Forward, Modern, Sizes, ragged, relative, sequences};

fn sizes() -> Sizes {
    let searched = Forward::Searched {
        expression: "add(linear1_1(gelu(linear1_1(x,wb1)),wb2),linear1_1(x,wb1))".into(),
        align: Align::Cut,
        blocks: 2,
        inner: 48,
        extra: 0,
    };
    let plain = Forward::Plain { activation: Activation::GeluErf, blocks: 1, inner: 100 };
    Sizes::plain(48, 3, vec![plain, searched])
}

fn hidden(sizes: &Sizes, encoder: &Encoder, precision: Precision, keep: &BTreeSet<String>) -> Vec<f32> {
    let batch = ragged(&sequences(sizes, &[3, 17], 6));
    let model = Model::compile_keeping(encoder.clone(), precision, Packing::Ahead, keep).unwrap();
    Session::new(1).run(&model, &batch.as_batch(), Outputs::default()).unwrap().hidden.to_vec()
}

#[test]
fn what_is_kept_of_an_int8_model_is_computed_in_bf16() {
    let sizes = sizes();
    let encoder = sizes.encoder(11);
    let all: BTreeSet<String> = encoder.weights().into_keys().collect();
    let of = |precision, keep: &BTreeSet<String>| hidden(&sizes, &encoder, precision, keep);
    let none = BTreeSet::new();
    let (int8, bf16) = (of(Precision::Int8, &none), of(Precision::Bf16, &none));
    assert_ne!(int8, bf16);
    assert_eq!(of(Precision::Int8, &all), bf16);
    // Other formats have nothing to keep.
    assert_eq!(of(Precision::F32, &all), of(Precision::F32, &none));
    let exact: Vec<f64> = of(Precision::F32, &none).into_iter().map(f64::from).collect();
    let part = |name: &str| all.iter().filter(|path| path.contains(name)).cloned().collect::<BTreeSet<String>>();
    for name in ["layers.0.attention", "layers.0.feed_forward", "layers.1.feed_forward", "word_embeddings"] {
        let some = of(Precision::Int8, &part(name));
        assert!(some != int8 && some != bf16, "{name}");
    }
    let most: BTreeSet<String> = all.difference(&part("layers.1.attention")).cloned().collect();
    assert!(relative(&of(Precision::Int8, &most), &exact) < relative(&int8, &exact));
}

#[test]
fn maps_that_are_computed_together_are_kept_together() {
    // One of the maps of a product, one of a block's two.
    let sizes = sizes();
    let encoder = sizes.encoder(11);
    let keep = |names: &[&str]| {
        let paths = encoder.weights().into_keys();
        paths.filter(|path| names.iter().any(|name| path.contains(name))).collect::<BTreeSet<String>>()
    };
    for (one, both) in [
        (
            "layers.0.attention.key",
            vec!["layers.0.attention.query", "layers.0.attention.key", "layers.0.attention.value"],
        ),
        ("layers.1.feed_forward.blocks.0.dense2", vec!["layers.1.feed_forward.blocks.0"]),
    ] {
        let of = |names: &[&str]| hidden(&sizes, &encoder, Precision::Int8, &keep(names));
        assert_eq!(of(&[one]), of(&both), "{one}");
    }
}

#[test]
fn a_map_that_stands_in_a_model_twice_is_kept_in_both_places() {
    // The transform before a ModernBERT's heads is that of pooled vectors and of tokens.
    let modern = Modern { reach: vec![None], biases: true, mean: false, positions: Rotary { theta: 10_000.0 } };
    let sizes = Sizes::modern(48, 3, &[64], modern);
    let encoder = sizes.encoder(5);
    let batch = ragged(&sequences(&sizes, &[3, 17], 6));
    let heads = |keep: &[&str]| {
        let keep = encoder.weights().into_keys().filter(|path| keep.contains(&path.as_str())).collect();
        let model = Model::compile_keeping(encoder.clone(), Precision::Int8, Packing::Ahead, &keep).unwrap();
        let wanted = Outputs { pooled: false, heads: &[0, 1] };
        let mut session = Session::new(1);
        session.run(&model, &batch.as_batch(), wanted).unwrap().heads().map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    let (kept, none) = (heads(&["prediction.dense.weight"]), heads(&[]));
    assert!(kept[0] != none[0] && kept[1] != none[1], "the pooled vector and the tokens");
}
