//! Compiled models compute what plain loops in `f64` compute.

mod reference;

use cpu_runtime::{Model, Outputs, Packing, Precision, Session};
use encoder_spec::{Activation, Normalization, Rotary};
use mlp_space::Align;
use reference::{EPS, Forward, Modern, Narrow, Sequence, Sizes, difference, forward, ragged, relative, sequences};

/// Heads of a network: classes, spans, and four that make vectors.
const HEADS: usize = 6;
/// Absolute tolerance in `f32`, for hidden states of size 1.
const TOLERANCE: f64 = 2e-5;

fn plain(inner: usize) -> Forward {
    Forward::Plain { activation: Activation::GeluErf, blocks: 1, inner }
}

fn searched(expression: &str, inner: usize) -> Forward {
    Forward::Searched { expression: expression.into(), align: Align::Cut, blocks: 2, inner, extra: 0 }
}

struct Outcome {
    hidden: Vec<f32>,
    pooled: Vec<f32>,
    /// Of each head.
    logits: Vec<Vec<f32>>,
}

fn run(sizes: &Sizes, batch: &[Sequence], precision: Precision, threads: usize) -> Outcome {
    let model = Model::compile(sizes.encoder(7), precision).unwrap();
    let at_use = Model::compile_as(sizes.encoder(7), precision, Packing::AtUse).unwrap();
    let (mut session, mut other) = (Session::new(threads), Session::new(threads));
    let ragged = ragged(batch);
    let mut one = |head| {
        let want = Outputs { pooled: true, heads: &[head] };
        let again = other.run(&at_use, &ragged.as_batch(), want).unwrap();
        let out = session.run(&model, &ragged.as_batch(), want).unwrap();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(bits(out.hidden) == bits(again.hidden) && bits(out.pooled) == bits(again.pooled), "packed at use");
        assert_eq!(bits(out.heads().next().unwrap()), bits(again.heads().next().unwrap()), "packed at use");
        let out = session.run(&model, &ragged.as_batch(), Outputs { pooled: true, heads: &[head] }).unwrap();
        (out.hidden.to_vec(), out.pooled.to_vec(), out.heads().next().unwrap().to_vec())
    };
    let (hidden, pooled, first) = one(0);
    let others = (1..HEADS).map(|head| one(head).2);
    Outcome { hidden, pooled, logits: std::iter::once(first).chain(others).collect() }
}

/// Hidden states, pooled vectors, and the values of all heads of the whole batch.
fn expected(sizes: &Sizes, batch: &[Sequence]) -> Vec<Vec<f64>> {
    let encoder = sizes.encoder(7);
    let mut all = vec![vec![]; 2 + HEADS];
    for s in batch {
        let (hidden, pooled, heads) = forward(sizes, &encoder, s);
        all[0].extend(hidden.concat());
        all[1].extend(pooled);
        all[2..].iter_mut().zip(heads).for_each(|(all, head)| all.extend(head.concat()));
    }
    all
}

fn check(sizes: &Sizes, lengths: &[usize]) {
    let batch = sequences(sizes, lengths, 3);
    check_batch(sizes, &batch);
}

fn check_batch(sizes: &Sizes, batch: &[Sequence]) {
    check_within(TOLERANCE, sizes, batch);
}

fn check_within(tolerance: f64, sizes: &Sizes, batch: &[Sequence]) {
    let wanted = expected(sizes, batch);
    let found = run(sizes, batch, Precision::F32, 2);
    assert_eq!(found.logits.len() + 2, wanted.len());
    let found = [&found.hidden, &found.pooled].into_iter().chain(&found.logits);
    for ((found, wanted), what) in
        found.zip(&wanted).zip(["hidden", "pooled", "classes", "spans", "unit means", "firsts", "means", "unit firsts"])
    {
        let worst = difference(found, wanted);
        assert!(worst <= tolerance, "{what}: {worst:e} for {sizes:?}");
    }
}

#[test]
fn plain_encoders_agree_with_the_definition() {
    check(&Sizes::plain(90, 2, vec![plain(180), plain(33)]), &[1, 33, 7]);
    check(&Sizes { pooler: false, ..Sizes::plain(16, 4, vec![plain(64)]) }, &[5]);
    check(&Sizes { norm: Normalization::NoNorm, ..Sizes::plain(45, 1, vec![plain(45)]) }, &[2, 64]);
}

#[test]
fn every_activation_agrees_inside_a_plain_feed_forward() {
    use Activation::{Elu, GeluErf, GeluTanh, LeakyRelu, Relu, Sigmoid, Swish, Tanh};
    for activation in [GeluErf, GeluTanh, Relu, Sigmoid, Tanh, LeakyRelu, Elu, Swish] {
        check(&Sizes::plain(24, 2, vec![Forward::Plain { activation, blocks: 2, inner: 35 }]), &[9]);
    }
}

#[test]
fn factorized_and_trigram_embeddings_see_what_stands_behind_the_end() {
    for trigram in [false, true] {
        let sizes = Sizes { embed: Some((13, trigram)), ..Sizes::plain(36, 3, vec![plain(20)]) };
        check(&sizes, &[1, 1, 2, 40]);
    }
}

#[test]
fn searched_feed_forwards_agree_with_their_expressions() {
    for expression in [
        "tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2))",
        "sigmoid(linear1_2(relu(linear1_2(x,wb1)),wb2))",
        "linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2)",
        "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)",
        "leaky_relu(linear2_2(gelu(linear2_2(x,wb1)),wb2))",
        // The same value twice, and a product that an activation and an operator read.
        "linear1_2(mul(tanh(linear1_2(x,wb1)),linear1_2(x,wb1)),wb2)",
        "add(mul(x,x),linear1_2(swish(add(linear1_2(sigmoid(x),wb1),elu(linear1_2(sigmoid(x),wb1)))),wb2))",
        "max(linear1_2(max(x,linear1_2(x,wb1)),wb2),linear1_2(max(x,linear1_2(x,wb1)),wb2))",
        // Without one or both linear maps, and the input itself.
        "mul(x,tanh(x))",
        "x",
        "add(x,x)",
    ] {
        check(&Sizes::plain(30, 3, vec![searched(expression, 15)]), &[3, 35]);
    }
}

#[test]
fn operators_cut_and_pad_operands_of_different_width() {
    for operator in ["add", "mul", "max"] {
        for (align, inner) in [(Align::Cut, 11), (Align::Cut, 24), (Align::Pad, 40), (Align::Pad, 24)] {
            for operands in ["linear1_1(x,wb1),x", "x,linear1_1(x,wb1)", "tanh(x),gelu(linear1_1(x,wb1))"] {
                let expression = format!("linear1_1({operator}({operands}),wb2)");
                let forward = Forward::Searched { expression, align, blocks: 2, inner, extra: 5 };
                check(&Sizes::plain(24, 2, vec![forward]), &[6]);
            }
        }
    }
}

#[test]
fn bottlenecks_agree_with_all_three_sources_of_attention() {
    for narrow in [Narrow::Wide, Narrow::Shared, Narrow::Inner] {
        for (tied, bottleneck_norm, norm) in
            [(false, true, EPS), (true, false, EPS), (false, false, Normalization::NoNorm)]
        {
            let blocks = Forward::Plain { activation: Activation::Relu, blocks: 2, inner: 40 };
            let sizes =
                Sizes { narrow, width: 20, tied, bottleneck_norm, norm, ..Sizes::plain(48, 2, vec![blocks; 2]) };
            check(&Sizes { embed: Some((10, true)), ..sizes }, &[34, 3]);
        }
    }
}

#[test]
fn keys_tied_to_queries_agree() {
    check(&Sizes { tied: true, ..Sizes::plain(32, 4, vec![plain(50)]) }, &[17]);
}

#[test]
fn masked_tokens_inside_a_sequence_are_not_attended_to() {
    let sizes = Sizes { embed: Some((8, true)), ..Sizes::plain(32, 2, vec![plain(40); 2]) };
    let mut batch = sequences(&sizes, &[6, 40, 5], 1);
    batch[0].mask = vec![0, 1, 0, 0, 1, 1];
    // The last of 40 stays: what is masked at the end counts as padding.
    batch[1].mask.iter_mut().skip(1).step_by(3).for_each(|m| *m = 0);
    check_batch(&sizes, &batch);
    // Nothing to look at: scores of -10000 in f32 have 10 bits behind the point.
    batch[2].mask = vec![0; 5];
    batch[2].follower = None;
    check_within(2e-3, &sizes, &batch);
}

fn modern(reach: &[Option<usize>], biases: bool, mean: bool) -> Sizes {
    let modern = Modern { reach: reach.to_vec(), biases, mean, positions: Rotary { theta: 500.0 } };
    Sizes::modern(32, 4, &vec![40; reach.len()], modern)
}

#[test]
fn rotary_positions_local_attention_gates_and_norms_that_come_first_agree() {
    for (biases, mean) in [(false, false), (true, true), (false, true)] {
        let sizes = modern(&[None, Some(3), Some(40), None], biases, mean);
        check(&sizes, &[17, 1, 100, 33]);
        let lone = Sizes { pooler: false, tied: mean, ..modern(&[Some(0), Some(1)], biases, mean) };
        check(&lone, &[5, 2, 1]);
    }
}

#[test]
fn masked_tokens_of_a_modernbert_are_neither_near_nor_in_the_mean() {
    let sizes = modern(&[None, Some(2), Some(0), None], false, true);
    let mut batch = sequences(&sizes, &[6, 40], 1);
    batch[0].mask = vec![0, 1, 0, 0, 1, 1];
    batch[1].mask.iter_mut().skip(1).step_by(3).for_each(|m| *m = 0);
    check_batch(&sizes, &batch);
}

#[test]
fn what_a_modernbert_computes_does_not_depend_on_the_number_of_threads() {
    let sizes = modern(&[None, Some(5), Some(70)], false, true);
    let batch = sequences(&sizes, &[90, 7, 130], 2);
    let one = run(&sizes, &batch, Precision::F32, 1);
    for threads in [2, 3, 5] {
        let more = run(&sizes, &batch, Precision::F32, threads);
        assert!(one.hidden == more.hidden && one.pooled == more.pooled && one.logits == more.logits, "{threads}");
    }
}

fn efficientbert_like() -> Sizes {
    let layers = [
        "tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2))",
        "linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2)",
        "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)",
    ];
    let layers = layers.map(|e| searched(e, 67)).to_vec();
    Sizes { embed: Some((32, true)), ..Sizes::plain(135, 3, layers) }
}

#[test]
fn bf16_stays_within_two_percent() {
    for sizes in
        [efficientbert_like(), Sizes::plain(128, 4, vec![plain(256); 4]), modern(&[None, Some(9)], false, true)]
    {
        let batch = sequences(&sizes, &[64, 9], 5);
        let wanted = expected(&sizes, &batch);
        let found = run(&sizes, &batch, Precision::Bf16, 2);
        for (what, found, wanted) in [
            ("hidden", &found.hidden, &wanted[0]),
            ("pooled", &found.pooled, &wanted[1]),
            ("head", &found.logits[0], &wanted[2]),
        ] {
            let error = relative(found, wanted);
            assert!((1e-5..0.02).contains(&error), "{what}: {error}");
        }
    }
}

#[test]
fn int8_stays_within_five_percent() {
    for sizes in
        [efficientbert_like(), Sizes::plain(128, 4, vec![plain(256); 4]), modern(&[None, Some(9)], false, true)]
    {
        let batch = sequences(&sizes, &[64, 9], 5);
        let wanted = expected(&sizes, &batch);
        let error = relative(&run(&sizes, &batch, Precision::Int8, 2).hidden, &wanted[0]);
        assert!((1e-4..0.05).contains(&error), "{error}");
    }
}

#[test]
fn narrow_formats_take_less_memory() {
    let sizes = efficientbert_like();
    let bytes = |p| Model::compile(sizes.encoder(1), p).unwrap().bytes();
    let [f32, bf16, int8] = [Precision::F32, Precision::Bf16, Precision::Int8].map(bytes);
    assert!(int8 < bf16 && bf16 < f32, "{int8} {bf16} {f32}");
}
