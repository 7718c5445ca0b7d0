//! Drawn networks and batches.

mod reference;

use cpu_runtime::{Model, Outputs, Precision, Session};
use encoder_spec::{Activation, Normalization};
use mlp_space::Align;
use proptest::prelude::*;
use reference::{EPS, Forward, Narrow, Own, Sizes, difference, forward, ragged, sequences};

const ACTIVATIONS: [Activation; 8] = [
    Activation::GeluErf,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::LeakyRelu,
    Activation::Elu,
    Activation::Swish,
];

/// Well-typed expressions for an inner width equal to the outer one, so that any nesting runs.
fn expression() -> impl Strategy<Value = String> {
    let leaf = Just("x".to_string());
    leaf.prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            (
                prop::sample::select(vec!["gelu", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "swish"]),
                inner.clone()
            )
                .prop_map(|(op, a)| format!("{op}({a})")),
            (prop::sample::select(vec!["add", "mul", "max"]), inner.clone(), inner.clone())
                .prop_map(|(op, a, b)| format!("{op}({a},{b})")),
            (inner, 1..=2).prop_map(|(a, slot)| format!("linear1_1({a},wb{slot})")),
        ]
    })
}

fn feed_forward(width: usize) -> impl Strategy<Value = Forward> {
    prop_oneof![
        (prop::sample::select(ACTIVATIONS.to_vec()), 0..3usize, 1..70usize)
            .prop_map(|(activation, blocks, inner)| Forward::Plain { activation, blocks, inner }),
        (expression(), 1..3usize, 0..4usize).prop_map(move |(expression, blocks, extra)| Forward::Searched {
            expression,
            align: Align::Cut,
            blocks,
            inner: width,
            extra
        }),
    ]
}

fn own() -> impl Strategy<Value = Own> {
    prop_oneof![
        2 => Just(Own::Usual),
        2 => (1..5usize, 1..20usize).prop_map(|(heads, each)| Own::Heads(heads, each)),
        1 => Just(Own::Absent),
    ]
}

/// Attention stands in every bottleneck, and a layer has one of the two parts at least.
fn possible(narrow: Narrow, (forward, own): &(Forward, Own)) -> bool {
    let has_blocks = !matches!(forward, Forward::Plain { blocks: 0, .. });
    *own != Own::Absent || narrow == Narrow::None && has_blocks
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let narrow = prop::sample::select(vec![Narrow::None, Narrow::Wide, Narrow::Shared, Narrow::Inner]);
    let shape = (1..4usize, 1..20usize, 1..20usize, narrow, any::<bool>(), any::<bool>(), any::<bool>());
    let more = (prop::option::of((1..12usize, any::<bool>())), any::<bool>());
    (shape, more).prop_flat_map(|((heads, head, extra, narrow, tied, layer_norm, bottleneck_norm), (embed, pooler))| {
        let width = heads * head;
        let hidden = if narrow == Narrow::None { width } else { width + extra };
        let norm = if layer_norm { EPS } else { Normalization::NoNorm };
        let layer = (feed_forward(width), own()).prop_filter("a layer", move |layer| possible(narrow, layer));
        prop::collection::vec(layer, 0..3).prop_map(move |layers| {
            let (layers, attention) = layers.into_iter().unzip();
            Sizes {
                embed,
                norm,
                tied,
                narrow,
                width,
                bottleneck_norm,
                pooler,
                attention,
                ..Sizes::plain(hidden, heads, layers)
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_network_agrees_with_the_definition(
        sizes in sizes(),
        lengths in prop::collection::vec(1..40usize, 1..5),
        threads in 1..4usize,
        seed in any::<u64>(),
    ) {
        let encoder = sizes.encoder(seed);
        let batch = sequences(&sizes, &lengths, seed);
        let model = Model::compile(encoder.clone(), Precision::F32).unwrap();
        let mut session = Session::new(threads);
        let ragged = ragged(&batch);
        let out = session.run(&model, &ragged.as_batch(), Outputs { pooled: true, heads: &[0] }).unwrap();
        let (mut hidden, mut logits) = (vec![], vec![]);
        for s in &batch {
            let (h, _, heads) = forward(&sizes, &encoder, s);
            hidden.extend(h.concat());
            logits.extend(heads[0].concat());
        }
        // Products of values and norms of narrow rows amplify rounding: relative to the largest value.
        let scale = hidden.iter().chain(&logits).fold(1.0f64, |m, v| m.max(v.abs()));
        prop_assume!(scale < 1e6);
        prop_assert!(difference(out.hidden, &hidden) <= 2e-3 * scale, "hidden: {}", difference(out.hidden, &hidden));
        prop_assert!(difference(out.heads().next().unwrap(), &logits) <= 2e-3 * scale, "logits: {}", difference(out.heads().next().unwrap(), &logits));
    }
}
