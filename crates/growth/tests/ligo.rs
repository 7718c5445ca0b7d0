//! Learned growth against its plan, its definition, central differences and linearity.

mod common;

use std::collections::BTreeMap;

use common::ligo::{
    WORDS, assert_close, bert, combined, drawn, drawn_like, larger, mobile, modern, moved, planned, scalar,
};
use common::{Draw, Exact, difference, exact, loss, text, weights};
use encoder_spec::{Activation, BertConfig, HostTensor, Parts};
use growth::{Growth, HiddenWidth, LayerWidths, Ligo, Plan, Quantity};
use model_dir::Tensors;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_growth_that_is_not_yet_learned_is_that_of_its_plan(seed: u64) {
        let (small, large, growth) = drawn(seed);
        let (plan, ligo) = planned(&small, &large, &growth);
        let before = weights(&small, WORDS, seed);
        assert_close(&ligo.expand(&before).unwrap(), &plan.apply(&before, Quantity::Weights).unwrap(), 1e-6);
    }

    #[test]
    fn gradients_of_the_matrices_are_central_differences_of_the_expansion(seed: u64) {
        let (small, large, growth) = drawn(seed);
        let mut ligo = moved(planned(&small, &large, &growth).1, seed);
        let before = weights(&small, WORDS, seed);
        let gradients = drawn_like(&ligo.expand(&before).unwrap(), seed);
        let pulled = ligo.pullback(&before, &gradients).unwrap();
        prop_assert!(pulled.0.keys().eq(ligo.parameters().0.keys()));
        // The expansion is at most quadratic in one element, so that a central difference of any step is exact.
        let draw = &mut Draw(seed ^ 1);
        for (name, gradient) in &pulled.0 {
            let size = gradient.data.iter().fold(0f32, |size, v| size.max(v.abs()));
            for _ in 0..3 {
                let i = draw.below(gradient.data.len());
                let mut at = |by: f32| {
                    change(&mut ligo, name, i, by);
                    let loss = scalar(&ligo.expand(&before).unwrap(), &gradients);
                    change(&mut ligo, name, i, -by);
                    loss
                };
                let expected = (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP);
                let found = f64::from(gradient.data[i]);
                // In units of the element, but for elements that are next to nothing among those of their matrix.
                let unit = expected.abs().max(1e-2 * f64::from(size));
                prop_assert!((found - expected).abs() <= 1e-3 * unit, "{name} {i}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn the_expansion_is_linear_in_the_small_model_and_the_pullback_in_the_gradients(seed: u64) {
        let (small, large, growth) = drawn(seed);
        let ligo = moved(planned(&small, &large, &growth).1, seed);
        let (x, y) = (weights(&small, WORDS, seed), weights(&small, WORDS, seed ^ 7));
        let (a, b) = (0.5, -1.5);
        let expanded = |small: &Tensors| ligo.expand(small).unwrap();
        let (of_x, of_y) = (expanded(&x), expanded(&y));
        assert_close(&expanded(&combined((a, &x), (b, &y))), &combined((a, &of_x), (b, &of_y)), 1e-5);
        let (g, h) = (drawn_like(&of_x, seed), drawn_like(&of_x, seed ^ 3));
        let pulled = |gradients: &Tensors| ligo.pullback(&x, gradients).unwrap();
        assert_close(&pulled(&combined((a, &g), (b, &h))), &combined((a, &pulled(&g)), (b, &pulled(&h))), 1e-5);
    }

    #[test]
    fn the_expansion_of_layers_is_linear_in_the_mixes_of_layers(seed: u64, more in 1usize..4) {
        // By Euler's theorem the scalar product of the mixes and their gradients is then that of the weights and theirs.
        let small = [bert, modern, mobile][Draw(seed).below(3)]();
        let large = larger(&small, more, 1, 2);
        let ligo = moved(planned(&small, &large, &Growth::default()).1, seed);
        let before = weights(&small, WORDS, seed);
        let after = ligo.expand(&before).unwrap();
        let mut gradients = drawn_like(&after, seed);
        gradients.0.retain(|path, _| path.starts_with("encoder.layers."));
        let mut pulled = ligo.pullback(&before, &gradients).unwrap();
        pulled.0.retain(|name, _| name.starts_with("depth."));
        let (expected, found) = (scalar(&gradients, &after), scalar(&pulled, ligo.parameters()));
        let unit = scalar(&gradients, &gradients);
        prop_assert!((expected - found).abs() < 1e-5 * unit, "{found} for {expected}");
    }
}

const STEP: f32 = 0.5;

fn change(ligo: &mut Ligo, name: &str, i: usize, by: f32) {
    let (_, values) = ligo.parameters_mut().find(|(own, _)| *own == name).unwrap();
    values[i] += by;
}

/// Rows of `f64`.
type Rows = Vec<Vec<f64>>;

fn rows(t: &Exact) -> Rows {
    t.data.chunks(*t.shape.last().unwrap()).map(<[f64]>::to_vec).collect()
}

fn transposed(x: &Rows) -> Rows {
    (0..x[0].len()).map(|j| x.iter().map(|row| row[j]).collect()).collect()
}

fn product(a: &Rows, b: &Rows) -> Rows {
    let b = transposed(b);
    a.iter().map(|a| b.iter().map(|b| a.iter().zip(b).map(|(a, b)| a * b).sum()).collect()).collect()
}

#[test]
fn each_weight_of_a_bert_is_what_the_definition_says() {
    let small = BertConfig { task_heads: Vec::new(), num_hidden_layers: 3, ..bert() };
    let large = larger(&small, 2, 4, 2);
    let ligo = moved(planned(&small, &large, &Growth::default()).1, 5);
    let before = exact(&weights(&small, WORDS, 5));
    let after = exact(&ligo.expand(&weights(&small, WORDS, 5)).unwrap());
    let parameters = exact(ligo.parameters());
    let mut used = std::collections::BTreeSet::new();
    // [I; C] of a width, the identity for others.
    let mut matrix = |name: &str, size: usize| -> Rows {
        let unit = |i: usize| (0..size).map(|j| f64::from(u8::from(i == j))).collect();
        let mut all: Rows = (0..size).map(unit).collect();
        if !name.is_empty() {
            used.insert(name.to_owned());
            all.extend(rows(&parameters[name]));
        }
        all
    };
    // Copies of a channel at the beginning: two of hidden channels and heads, and of four of five neurons.
    let copies = |name: &str, j: usize| match name {
        "" => 1.0,
        name if name.contains("feed_forward") && j == 4 => 1.0,
        _ => 2.0,
    };
    for (path, found) in &after {
        let (layer, rest) = match path.strip_prefix("encoder.layers.").and_then(|rest| rest.split_once('.')) {
            Some((layer, rest)) => (layer.parse::<usize>().ok(), rest),
            None => (None, path.as_str()),
        };
        let own = |part: &str| format!("width.layers.{}.{part}", layer.unwrap_or_default());
        let hidden = || "width.hidden".to_owned();
        let none = String::new;
        // What a weight writes, what it reads, and whether the channels that it writes are divided.
        let part = rest.rsplit_once('.').unwrap().0;
        let (writes, reads) = match part {
            "attention.query" | "attention.key" | "attention.value" => (own(part), hidden()),
            "attention.output" => (hidden(), own("attention.value")),
            "feed_forward.blocks.0.dense1" => (own("feed_forward.blocks.0"), hidden()),
            "feed_forward.blocks.0.dense2" => (hidden(), own("feed_forward.blocks.0")),
            "attention.norm" | "feed_forward.blocks.0.norm" | "encoder.embeddings.norm" | "mlm.norm" => {
                (hidden(), none())
            }
            "pooler" | "mlm.dense" => (hidden(), hidden()),
            "mlm" => (none(), none()),
            _ if part.starts_with("encoder.embeddings.") => (none(), hidden()),
            _ => panic!("{path}"),
        };
        let is_table = part.starts_with("encoder.embeddings.") && part != "encoder.embeddings.norm";
        let mut x = match layer {
            None => rows(&before[path]),
            Some(layer) => {
                let mix = &rows(&parameters[&format!("depth.{rest}")])[layer];
                let of = |j: usize| rows(&before[&format!("encoder.layers.{j}.{rest}")]);
                let mut sum = of(0).iter().map(|row| vec![0.0; row.len()]).collect::<Rows>();
                for (j, weight) in mix.iter().enumerate() {
                    let terms = of(j).concat();
                    sum.iter_mut().flatten().zip(terms).for_each(|(sum, v)| *sum += weight * v);
                }
                sum
            }
        };
        let is_vector = found.shape.len() == 1;
        if is_vector {
            x = transposed(&x);
        }
        let (out, inner) = (matrix(&writes, x.len()), matrix(if is_vector { "" } else { &reads }, x[0].len()));
        for (i, row) in x.iter_mut().enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value /= if part == "mlm.norm" { copies(&writes, i) } else { 1.0 };
                *value /= if is_vector || is_table { 1.0 } else { copies(&reads, j) };
            }
        }
        let expected = product(&product(&out, &x), &transposed(&inner));
        let error = difference(&found.data, &expected.concat());
        assert!(error < 1e-6, "{path}: {error:e}");
    }
    used.extend(parameters.keys().filter(|name| name.starts_with("depth.")).cloned());
    assert!(used.iter().eq(parameters.keys()), "all matrices are used");
}

#[test]
fn layers_can_share_the_matrices_inside_them() {
    let small = bert();
    let large = larger(&small, 3, 2, 2);
    let plan = Plan::new(&small, &large, WORDS, &Growth::default()).unwrap();
    let shared = moved(Ligo::new(&plan, LayerWidths::Shared).unwrap(), 3);
    let mut own = Ligo::new(&plan, LayerWidths::Own).unwrap();
    let mut copied = Tensors::default();
    for name in own.parameters().0.keys() {
        // Without `layers.I.` a name is that of the shared matrix.
        let from = match name.strip_prefix("width.layers.").and_then(|rest| rest.split_once('.')) {
            Some((_, rest)) => format!("width.{rest}"),
            None => name.clone(),
        };
        copied.0.insert(name.clone(), shared.parameters().0[&from].clone());
    }
    own.set_parameters(copied).unwrap();
    let before = weights(&small, WORDS, 3);
    let after = own.expand(&before).unwrap();
    assert_eq!(after, shared.expand(&before).unwrap());
    let gradients = drawn_like(&after, 3);
    let (one, all) = (shared.pullback(&before, &gradients).unwrap(), own.pullback(&before, &gradients).unwrap());
    let mut sums = Tensors::default();
    for name in one.0.keys() {
        let part = name.strip_prefix("width.").unwrap_or(name);
        let of_layers: Vec<&HostTensor> = match all.0.get(name) {
            Some(same) => vec![same],
            None => (0..5).map(|i| &all.0[&format!("width.layers.{i}.{part}")]).collect(),
        };
        let mut sum = of_layers[0].clone();
        for more in &of_layers[1..] {
            sum.data.iter_mut().zip(&more.data).for_each(|(sum, v)| *sum += v);
        }
        sums.0.insert(name.clone(), sum);
    }
    assert_close(&one, &sums, 1e-5);
}

#[test]
fn a_hidden_width_that_grows_by_no_whole_factor_can_be_learned() {
    let small = bert();
    let large = BertConfig { hidden_size: 12, num_attention_heads: 3, ..small.clone() };
    let growth = Growth { hidden: HiddenWidth::Approximate, ..Growth::default() };
    let (plan, ligo) = planned(&small, &large, &growth);
    let before = weights(&small, WORDS, 4);
    assert_eq!(ligo.expand(&before).unwrap(), plan.apply(&before, Quantity::Weights).unwrap());
}

/// The gradient of the loss by each weight, by central differences.
fn gradients(tensors: &Tensors, of: impl Fn(&common::Weights) -> f64) -> Tensors {
    let mut all = exact(tensors);
    let by = 1e-5;
    let mut found = BTreeMap::new();
    for (path, tensor) in &tensors.0 {
        let mut at = |i: usize, by: f64| {
            all.get_mut(path).unwrap().data[i] += by;
            let loss = of(&all);
            all.get_mut(path).unwrap().data[i] -= by;
            loss
        };
        let data = (0..tensor.data.len()).map(|i| ((at(i, by) - at(i, -by)) / (2.0 * by)) as f32).collect();
        found.insert(path.clone(), HostTensor { shape: tensor.shape.clone(), data });
    }
    Tensors(found)
}

#[test]
fn the_loss_of_hidden_words_falls_as_the_matrices_learn() {
    let parts = Parts { mlm: true, ..Parts::NONE };
    let small =
        BertConfig { hidden_act: Activation::GeluTanh, max_position_embeddings: 4, ..BertConfig::bert(7, 4, 2, 1, 5) };
    let large = larger(&small, 1, 2, 2);
    let mut ligo = Ligo::new(&Plan::new(&small, &large, parts, &Growth::default()).unwrap(), LayerWidths::Own).unwrap();
    let before = weights(&small, parts, 2);
    let ((ids, segments), (answers, _)) = (text(&large, 4, 2), text(&large, 4, 3));
    let of = |weights: &common::Weights| loss(&large, parts, weights, &ids, &segments, &answers);
    let now = |ligo: &Ligo| of(&exact(&ligo.expand(&before).unwrap()));
    let first = now(&ligo);
    let mut last = first;
    for step in 0..8 {
        let large_gradients = gradients(&ligo.expand(&before).unwrap(), of);
        let pulled = ligo.pullback(&before, &large_gradients).unwrap();
        if step == 0 {
            // Each matrix by itself: along its gradient the loss changes by the gradient's square.
            let size = scalar(&pulled, &pulled);
            let mut slopes = 0;
            for (name, gradient) in &pulled.0 {
                let square: f64 = gradient.data.iter().map(|g| f64::from(*g).powi(2)).sum();
                // The bias of keys moves all scores of a query alike, so that no loss depends on it.
                if square < 1e-9 * size {
                    assert_eq!(name, "depth.attention.key.bias");
                    continue;
                }
                slopes += 1;
                let by = (1e-3 / square.sqrt()) as f32;
                let at = |by: f32| {
                    let mut ligo = ligo.clone();
                    let (_, values) = ligo.parameters_mut().find(|(own, _)| own == name).unwrap();
                    values.iter_mut().zip(&gradient.data).for_each(|(v, g)| *v += by * g);
                    now(&ligo)
                };
                let slope = (at(by) - at(-by)) / (2.0 * f64::from(by));
                assert!((slope - square).abs() < 1e-3 * square, "{name}: {slope} for {square}");
            }
            assert!(slopes >= pulled.0.len() - 1, "{slopes}");
        }
        for (name, values) in ligo.parameters_mut() {
            values.iter_mut().zip(&pulled.0[name].data).for_each(|(v, g)| *v -= 0.05 * g);
        }
        let loss = now(&ligo);
        assert!(loss < last, "step {step}: {loss} after {last}");
        last = loss;
    }
    assert!(last < 0.9 * first, "{last} after {first}");
}

#[test]
fn a_weight_without_a_gradient_adds_nothing() {
    let small = bert();
    let ligo = moved(planned(&small, &larger(&small, 1, 2, 2), &Growth::default()).1, 3);
    let before = weights(&small, WORDS, 3);
    let all = drawn_like(&ligo.expand(&before).unwrap(), 3);
    let (mut some, mut zeroed) = (all.clone(), all);
    let is_left_out = |path: &str| path.contains("attention") || path.contains("embeddings");
    some.0.retain(|path, _| !is_left_out(path));
    for (_, tensor) in zeroed.0.iter_mut().filter(|(path, _)| is_left_out(path)) {
        tensor.data.fill(0.0);
    }
    assert_eq!(ligo.pullback(&before, &some).unwrap(), ligo.pullback(&before, &zeroed).unwrap());
    let none = ligo.pullback(&before, &Tensors::<HostTensor>::default()).unwrap();
    assert!(none.0.values().all(|t| t.data.iter().all(|v| *v == 0.0)) && none.0.len() == ligo.parameters().0.len());
}
