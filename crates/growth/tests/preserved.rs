//! What grows by operators that preserve the function computes what it computed before.

mod common;

use common::{Draw, difference, exact, forward, heads, text, weights};
use cpu_runtime::{Model, Outputs, Precision, Ragged, Session};
use encoder_spec::{Activation, BertConfig, Encoder, LayerSpec, ModelType, NormKind, Parts};
use growth::{Change, Copies, Depth, Growth, NewLayers, Plan, Quantity};
use model_dir::Tensors;
use proptest::prelude::*;

const ALL: Parts = Parts { pooler: true, mlm: true, mlm_extra: false };

/// Hidden states, pooled vectors and the values of all heads of some texts.
fn outputs(config: &BertConfig, parts: Parts, tensors: Tensors, seed: u64) -> Vec<Vec<f64>> {
    let encoder = Encoder::describe(config, parts).unwrap().filled(tensors.0).unwrap().map(|_, t| t.clone().into());
    let model = Model::compile(encoder, Precision::F32).unwrap();
    let mut batch = Ragged::new();
    for (i, tokens) in [1, 7, 12].into_iter().enumerate() {
        let (ids, segments) = text(config, tokens, seed + i as u64);
        batch.push(&ids, segments.into_iter());
    }
    let all: Vec<usize> = (0..config.task_heads.len()).collect();
    let mut session = Session::new(1);
    let out = session.run(&model, &batch.as_batch(), Outputs { pooled: true, heads: &all }).unwrap();
    let values = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    [values(out.hidden), values(out.pooled)].into_iter().chain(out.heads().map(values)).collect()
}

/// Hidden states and scores of words of a text, by the definition.
fn defined(config: &BertConfig, parts: Parts, tensors: &Tensors, seed: u64) -> [Vec<f64>; 2] {
    let (ids, segments) = text(config, 9, seed);
    let (hidden, words) = forward(config, parts, &exact(tensors), &ids, &segments);
    [hidden.concat(), words.concat()]
}

/// Vectors as they stand after their width has grown by whole copies.
fn tiled(values: &[f64], from: usize, to: usize) -> Vec<f64> {
    values.chunks(from).flat_map(|row| (0..to).map(move |j| row[j % from])).collect()
}

/// Asserts that the grown model computes the same, in `f32` by the runtime and in `f64` by the definition, where there is one.
fn check(small: &BertConfig, large: &BertConfig, parts: Parts, growth: &Growth, seed: u64, tolerances: [f64; 2]) {
    let plan = Plan::new(small, large, parts, growth).unwrap();
    assert_eq!(plan.changes(), []);
    let before = weights(small, parts, seed);
    let after = plan.apply(&before, Quantity::Weights).unwrap();
    let (from, to) = (small.hidden_size, large.hidden_size);
    if small.model_type != ModelType::MobileBert && small.model_type != ModelType::EfficientBert {
        let [hidden, words] = defined(small, parts, &before, seed);
        let [grown, grown_words] = defined(large, parts, &after, seed);
        let error = difference(&grown, &tiled(&hidden, from, to)).max(difference(&grown_words, &words));
        assert!(error <= tolerances[0], "by the definition: {error:e}");
    }
    let (old, new) = (outputs(small, parts, before, seed), outputs(large, parts, after, seed));
    for (i, (old, new)) in old.iter().zip(&new).enumerate() {
        // Without a pooler what is pooled is as wide as the hidden states too.
        let mut expected = if i < 2 { tiled(old, from, to) } else { old.clone() };
        // What scores of words are made of is divided before, since the word table is not; it is the pooled vector of a ModernBERT too.
        if i == 1 && small.modern.is_some() && parts.mlm {
            expected.iter_mut().for_each(|v| *v *= from as f64 / to as f64);
        }
        let error = difference(new, &expected);
        assert!(error <= tolerances[1], "output {i}: {error:e}");
    }
}

/// In `f64` nothing but rounding of the weights' `f32` is left; in the runtime also that of its sums.
const EXACT: [f64; 2] = [1e-6, 1e-5];

fn bert(draw: &mut Draw) -> BertConfig {
    // A LayerNorm over very few channels may divide by next to nothing, which makes much of rounding.
    let (heads, width) = (1 + draw.below(3), 8 + draw.below(4));
    let positions = 12 + draw.below(4);
    BertConfig {
        hidden_act: Activation::GeluTanh,
        max_position_embeddings: positions,
        task_heads: self::heads(),
        // Around 1e-12 every epsilon is far below the rounding of f32.
        layer_norm_eps: 1e-12,
        ..BertConfig::bert(20, heads * width, 1 + draw.below(3), heads, 1 + draw.below(9))
    }
}

fn modern(draw: &mut Draw) -> BertConfig {
    let (heads, width) = (1 + draw.below(3), 2 * (4 + draw.below(3)));
    let layers = 1 + draw.below(4);
    let config = BertConfig {
        hidden_act: Activation::GeluTanh,
        task_heads: self::heads(),
        max_position_embeddings: 32,
        ..BertConfig::modernbert(20, heads * width, layers, heads, 1 + draw.below(9))
    };
    with_modern(config, draw.below(2) == 1)
}

/// A short reach, an activation that the definition has, biases everywhere or nowhere.
fn with_modern(mut config: BertConfig, biases: bool) -> BertConfig {
    if let Some(modern) = &mut config.modern {
        modern.local_attention = 4;
        modern.classifier_activation = Activation::GeluTanh;
        (modern.norm_bias, modern.attention_bias, modern.mlp_bias, modern.classifier_bias) =
            (biases, biases, biases, biases);
        modern.mean_pooling = biases;
        modern.global_layers = (0..config.num_hidden_layers).map(|i| i % 3 == 0).collect();
    }
    config
}

fn deeper(config: &BertConfig, layers: usize) -> BertConfig {
    with_modern_layers(BertConfig { num_hidden_layers: layers, ..config.clone() })
}

fn with_modern_layers(mut config: BertConfig) -> BertConfig {
    if let Some(modern) = &mut config.modern {
        modern.global_layers = (0..config.num_hidden_layers).map(|i| i % 3 == 0).collect();
    }
    config
}

fn wider(config: &BertConfig, factor: usize) -> BertConfig {
    BertConfig {
        hidden_size: factor * config.hidden_size,
        num_attention_heads: factor * config.num_attention_heads,
        ..config.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_wider_feed_forward_computes_the_same(seed: u64, more in 0usize..12, random: bool, is_modern: bool) {
        let draw = &mut Draw(seed);
        let small = if is_modern { modern(draw) } else { bert(draw) };
        let large = BertConfig { intermediate_size: small.intermediate_size + more, ..small.clone() };
        let copies = if random { Copies::Random } else { Copies::First };
        check(&small, &large, ALL, &Growth { copies, seed, ..Growth::default() }, seed, EXACT);
    }

    #[test]
    fn a_hidden_width_grown_by_a_whole_factor_computes_the_same(seed: u64, factor in 2usize..4, is_modern: bool) {
        let draw = &mut Draw(seed);
        let small = if is_modern { modern(draw) } else { bert(draw) };
        let large = BertConfig { intermediate_size: small.intermediate_size + 3, ..wider(&small, factor) };
        for parts in [ALL, Parts::POOLER, Parts::NONE] {
            check(&small, &large, parts, &Growth::default(), seed, EXACT);
        }
    }

    #[test]
    fn new_layers_that_pass_on_what_they_get_compute_the_same(seed: u64, more in 1usize..4, depth in 0usize..3, is_modern: bool) {
        let draw = &mut Draw(seed);
        let small = if is_modern { modern(draw) } else { bert(draw) };
        // Copies between the old layers would move a ModernBERT's local ones to where its configuration has global ones.
        let depth = if is_modern { Depth::Stack } else { [Depth::Stack, Depth::Interleave, Depth::CopyLast][depth] };
        let growth = Growth { depth, new_layers: NewLayers::Identity, ..Growth::default() };
        let large = deeper(&small, small.num_hidden_layers + more);
        check(&small, &large, ALL, &growth, seed, EXACT);
    }

    #[test]
    fn operators_that_preserve_the_function_compose(seed: u64, factor in 1usize..3, more in 0usize..3, neurons in 0usize..9, is_modern: bool) {
        let draw = &mut Draw(seed);
        let small = if is_modern { modern(draw) } else { bert(draw) };
        let growth = Growth { new_layers: NewLayers::Identity, copies: Copies::Random, seed, ..Growth::default() };
        let widest = BertConfig { intermediate_size: small.intermediate_size + neurons, ..wider(&small, factor) };
        let large = deeper(&widest, small.num_hidden_layers + more);
        check(&small, &large, ALL, &growth, seed, EXACT);
        // In two steps too.
        let plan = Plan::new(&small, &widest, ALL, &growth).unwrap();
        let between = plan.apply(&weights(&small, ALL, seed), Quantity::Weights).unwrap();
        let plan = Plan::new(&widest, &large, ALL, &growth).unwrap();
        let after = plan.apply(&between, Quantity::Weights).unwrap();
        let once = Plan::new(&small, &large, ALL, &growth).unwrap().apply(&weights(&small, ALL, seed), Quantity::Weights).unwrap();
        for (a, b) in outputs(&large, ALL, after, seed).iter().zip(&outputs(&large, ALL, once, seed)) {
            prop_assert!(difference(a, b) < 1e-5);
        }
    }

    #[test]
    fn a_word_table_grown_by_a_whole_factor_computes_the_same(seed: u64, factor in 1usize..4, hidden in 1usize..3) {
        let small = BertConfig { embedding_size: Some(8), ..bert(&mut Draw(seed)) };
        let large = BertConfig { embedding_size: Some(8 * factor), ..wider(&small, hidden) };
        check(&small, &large, ALL, &Growth::default(), seed, EXACT);
        // Without scores of words no norm goes over it.
        let large = BertConfig { embedding_size: Some(8 * factor + 1), ..wider(&small, hidden) };
        check(&small, &large, Parts::POOLER, &Growth::default(), seed, EXACT);
    }
}

fn mobilebert(norm: NormKind, shared: bool, narrow: bool) -> BertConfig {
    BertConfig {
        model_type: ModelType::MobileBert,
        hidden_act: Activation::Relu,
        embedding_size: Some(6),
        trigram_input: true,
        normalization_type: norm,
        intra_bottleneck_size: Some(8),
        key_query_shared_bottleneck: shared,
        use_bottleneck_attention: narrow,
        num_feedforward_networks: 2,
        max_position_embeddings: 12,
        task_heads: heads(),
        ..BertConfig::bert(20, 12, 2, 2, 5)
    }
}

#[test]
fn a_mobilebert_grows_in_all_its_widths_and_in_depth() {
    for (shared, narrow) in [(false, false), (true, false), (false, true)] {
        for norm in [NormKind::LayerNorm, NormKind::NoNorm] {
            let small = mobilebert(norm, shared, narrow);
            let identity = Growth { new_layers: NewLayers::Identity, ..Growth::default() };
            for depth in [Depth::Stack, Depth::Interleave, Depth::CopyLast] {
                check(&small, &deeper(&small, 5), Parts::POOLER, &Growth { depth, ..identity }, 3, EXACT);
            }
            let words = Parts { mlm: true, mlm_extra: true, ..Parts::POOLER };
            check(&small, &BertConfig { intermediate_size: 9, ..deeper(&small, 3) }, words, &identity, 4, EXACT);
            let inside = BertConfig { intra_bottleneck_size: Some(16), num_attention_heads: 4, ..small.clone() };
            check(&small, &inside, words, &identity, 5, EXACT);
            let wide = BertConfig { hidden_size: 24, embedding_size: Some(12), ..inside };
            check(&small, &wide, Parts::POOLER, &identity, 6, EXACT);
            // Without LayerNorm no factor has to be whole.
            let odd = BertConfig { hidden_size: 17, embedding_size: Some(7), ..small.clone() };
            let plan = Plan::new(&small, &odd, Parts::POOLER, &identity);
            assert_eq!(plan.is_ok(), norm == NormKind::NoNorm);
        }
    }
}

#[test]
fn without_layernorm_any_hidden_width_computes_the_same() {
    let small = mobilebert(NormKind::NoNorm, true, false);
    let large = BertConfig { hidden_size: 17, embedding_size: Some(7), ..small.clone() };
    check(&small, &large, Parts::POOLER, &Growth::default(), 6, EXACT);
}

fn searched(expressions: &[(&str, usize, usize)]) -> BertConfig {
    let spec = |&(expression, stacks, ratio): &(&str, usize, usize)| LayerSpec {
        expression: expression.into(),
        stacks,
        ratio,
        ..LayerSpec::without_feed_forward()
    };
    BertConfig {
        model_type: ModelType::EfficientBert,
        hidden_act: Activation::GeluTanh,
        embedding_size: Some(6),
        trigram_input: true,
        layers: expressions.iter().map(spec).collect(),
        max_position_embeddings: 12,
        task_heads: heads(),
        ..BertConfig::bert(20, 12, expressions.len(), 2, 12)
    }
}

const STACKED: (&str, usize, usize) = ("tanh(linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2))", 2, 2);

#[test]
fn a_searched_student_grows_where_its_expressions_allow_it() {
    let identity = Growth { new_layers: NewLayers::Identity, ..Growth::default() };
    let small = searched(&[STACKED, ("linear1_4(relu(linear1_4(x,wb1)),wb2)", 1, 4)]);
    check(&small, &wider(&small, 2), ALL, &identity, 7, EXACT);
    let mut deep = searched(&[STACKED, ("linear1_4(relu(linear1_4(x,wb1)),wb2)", 1, 4), STACKED]);
    check(&small, &deep, ALL, &identity, 8, EXACT);
    // More heads in one layer alone.
    deep.layers[1].attention_heads = Some(3);
    deep.layers[1].attention_size = Some(18);
    check(&small, &deep, ALL, &identity, 9, EXACT);
    // Feed-forwards that are smaller in some layers, as CompoundGrow's.
    let gelu = |r: usize| match r {
        4 => ("linear1_4(gelu(linear1_4(x,wb1)),wb2)", 1, 4),
        _ => ("linear1_1(gelu(linear1_1(x,wb1)),wb2)", 1, 1),
    };
    check(&searched(&[gelu(4), gelu(1)]), &searched(&[gelu(1), gelu(1)]), ALL, &identity, 10, EXACT);
}

#[test]
fn copies_inserted_among_a_modernberts_layers_move_its_local_ones_and_the_plan_says_so() {
    let small = with_modern(BertConfig::modernbert(20, 8, 4, 2, 6), true);
    let growth = Growth { depth: Depth::Interleave, new_layers: NewLayers::Identity, ..Growth::default() };
    let plan = Plan::new(&small, &deeper(&small, 8), ALL, &growth).unwrap();
    // 0 0 1 1 2 2 3 3: the small layers 0, 1, 2 and 3 stand at 0, 2, 4 and 6, where every third one is global.
    assert_eq!(plan.layers().collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(plan.changes(), []);
    let plan = Plan::new(&small, &deeper(&small, 5), ALL, &growth).unwrap();
    assert_eq!(plan.layers().collect::<Vec<_>>(), [0, 0, 1, 2, 3]);
    assert_eq!(plan.changes(), [Change::Reach { layers: vec![4, 5] }]);
}

#[test]
fn what_epsilon_changes_in_layers_with_norms_after_their_residuals_is_what_is_documented() {
    // Each token's normalized state is multiplied by 1 + (1 - v - eps) / 2, where v is its variance below scale and shift, for any number of
    // new layers.
    let eps = 1e-4;
    let small = BertConfig { layer_norm_eps: eps, num_hidden_layers: 2, ..bert(&mut Draw(5)) };
    let growth = Growth { new_layers: NewLayers::Identity, ..Growth::default() };
    let mut before = weights(&small, ALL, 5);
    // What is added to the last residual, and the residual itself, are made small, so that epsilon counts.
    for (path, tensor) in &mut before.0 {
        let is_last = path.starts_with("encoder.layers.1.");
        if is_last && (path.contains("attention.norm") || path.contains("dense2")) {
            tensor.data.iter_mut().for_each(|v| *v *= 0.1);
        }
    }
    let old = defined(&small, ALL, &before, 5)[0].clone();
    let norm = |leaf: &str| &before.0[&format!("encoder.layers.1.feed_forward.blocks.0.norm.{leaf}")].data;
    let width = small.hidden_size;
    let states = |values: &[f64]| -> Vec<Vec<f64>> {
        let at = |(i, v): (usize, &f64)| (v - f64::from(norm("bias")[i])) / f64::from(norm("weight")[i]);
        values.chunks(width).map(|row| row.iter().enumerate().map(at).collect()).collect()
    };
    for more in [1, 3] {
        let large = deeper(&small, small.num_hidden_layers + more);
        let after = Plan::new(&small, &large, ALL, &growth).unwrap().apply(&before, Quantity::Weights).unwrap();
        let new = defined(&large, ALL, &after, 5)[0].clone();
        let mut largest = 0f64;
        for (old, new) in states(&old).iter().zip(states(&new)) {
            let variance = old.iter().map(|v| v * v).sum::<f64>() / width as f64;
            let change = (1.0 - variance - eps) / 2.0;
            let expected: Vec<f64> = old.iter().map(|v| v * (1.0 + change)).collect();
            assert!(difference(&new, &expected) < 4.0 * change * change, "{change:e}");
            largest = largest.max(change);
        }
        assert!(largest > 10.0 * eps, "{largest:e}");
    }
}
