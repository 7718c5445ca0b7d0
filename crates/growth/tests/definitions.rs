//! Operators against their definitions, names, moments and refusals.

mod common;

use common::{QUANTITIES, difference, exact, forward, heads, text, weights};
use encoder_spec::{Activation, BertConfig, HostTensor, LayerSpec, ModelType, NameFormat, Parts, VectorConfig};
use growth::{Change, Copies, Depth, Growth, HiddenWidth, NewLayers, Plan, Quantity, grow};
use model_dir::{Tensors, named};

const WORDS: Parts = Parts { pooler: true, mlm: true, mlm_extra: false };

fn bert() -> BertConfig {
    BertConfig {
        hidden_act: Activation::GeluTanh,
        max_position_embeddings: 16,
        task_heads: heads(),
        ..BertConfig::bert(20, 16, 2, 2, 6)
    }
}

fn deeper(config: &BertConfig, layers: usize) -> BertConfig {
    BertConfig { num_hidden_layers: layers, ..config.clone() }
}

fn grown(small: &BertConfig, large: &BertConfig, growth: &Growth) -> (Tensors, Tensors, Plan) {
    let plan = Plan::new(small, large, WORDS, growth).unwrap();
    let before = weights(small, WORDS, 3);
    let after = plan.apply(&before, Quantity::Weights).unwrap();
    (before, after, plan)
}

#[test]
fn a_feed_forward_is_restored_as_compoundgrow_does_it() {
    // k = int(1 / r): W1 and b1 tiled, W2 tiled and divided by k, b2 as it is.
    let small = bert();
    let large = BertConfig { intermediate_size: 4 * 6, ..small.clone() };
    let (before, after, _) = grown(&small, &large, &Growth::default());
    let mut seen = 0;
    for (path, old) in &before.0 {
        let new = &after.0[path];
        let expected: Vec<f32> = if path.contains(".dense1.") {
            old.data.repeat(4)
        } else if path.ends_with(".dense2.weight") {
            old.data.chunks(6).flat_map(|row| row.repeat(4)).map(|v| v / 4.0).collect()
        } else {
            old.data.clone()
        };
        seen += usize::from(expected != old.data);
        assert_eq!(new.data, expected, "{path}");
    }
    assert_eq!(seen, 3 * 2, "two layers");
}

#[test]
fn copied_layers_are_those_of_the_order_and_all_else_is_copied() {
    let small = deeper(&bert(), 3);
    for (depth, sources) in [
        (Depth::Stack, [0, 1, 2, 0, 1, 2, 0]),
        (Depth::Interleave, [0, 0, 0, 1, 1, 2, 2]),
        (Depth::CopyLast, [0, 1, 2, 2, 2, 2, 2]),
    ] {
        let (before, after, plan) = grown(&small, &deeper(&small, 7), &Growth { depth, ..Growth::default() });
        assert_eq!(plan.layers().collect::<Vec<_>>(), sources);
        assert_eq!(plan.changes(), [Change::CopiedLayers { layers: 4 }]);
        for (path, tensor) in &after.0 {
            let from = match path.strip_prefix("encoder.layers.").and_then(|rest| rest.split_once('.')) {
                Some((layer, rest)) => format!("encoder.layers.{}.{rest}", sources[layer.parse::<usize>().unwrap()]),
                None => path.clone(),
            };
            assert_eq!(*tensor, before.0[&from], "{path}");
        }
        // Moments of copied layers are those of what they are copies of.
        for quantity in [Quantity::FirstMoment, Quantity::SecondMoment] {
            let moments = Tensors(before.0.iter().map(|(p, t)| (p.clone(), absolute(t))).collect());
            let grown = plan.apply(&moments, quantity).unwrap();
            let path = "attention.query.weight";
            let at = |layer: usize| format!("encoder.layers.{layer}.{path}");
            assert_eq!(grown.0[&at(6)], moments.0[&at(sources[6])]);
        }
    }
}

fn absolute(tensor: &HostTensor) -> HostTensor {
    HostTensor { shape: tensor.shape.clone(), data: tensor.data.iter().map(|v| v.abs()).collect() }
}

#[test]
fn a_modernberts_copy_of_the_first_layer_has_the_embeddings_norm() {
    let small = BertConfig::modernbert(20, 8, 2, 2, 6);
    let mut large = deeper(&small, 4);
    large.modern.as_mut().unwrap().global_layers = vec![true, false, false, true];
    let (before, after, _) = grown(&small, &large, &Growth::default());
    assert_eq!(after.0["encoder.layers.2.attention.norm.weight"], before.0["encoder.embeddings.norm.weight"]);
    assert_eq!(after.0["encoder.layers.3.attention.norm.weight"], before.0["encoder.layers.1.attention.norm.weight"]);
    assert!(!after.0.contains_key("encoder.layers.0.attention.norm.weight"));
}

#[test]
fn an_approximate_hidden_width_copies_some_channels_and_divides_what_reads_them() {
    let small = bert();
    // Three heads of the same width: the first one stands there twice.
    let large = BertConfig { hidden_size: 24, num_attention_heads: 3, ..small.clone() };
    let message = Plan::new(&small, &large, WORDS, &Growth::default()).unwrap_err().to_string();
    assert!(message.contains("24 is no multiple of 16") && message.contains("approximate"), "{message}");
    let growth = Growth { hidden: HiddenWidth::Approximate, ..Growth::default() };
    let (before, after, plan) = grown(&small, &large, &growth);
    assert_eq!(plan.changes(), [Change::Approximate { what: "`hidden_size`".into() }]);
    let copies = |j: usize| if j % 16 < 8 { 2.0 } else { 1.0 };
    let (old, new) =
        (&before.0["encoder.embeddings.word_embeddings.weight"], &after.0["encoder.embeddings.word_embeddings.weight"]);
    for row in 0..20 {
        for j in 0..24 {
            assert_eq!(new.data[row * 24 + j], old.data[row * 16 + j % 16]);
        }
    }
    let path = "encoder.layers.1.feed_forward.blocks.0.dense1.weight";
    let (old, new) = (&before.0[path], &after.0[path]);
    for row in 0..6 {
        for j in 0..24 {
            assert_eq!(new.data[row * 24 + j], old.data[row * 16 + j % 16] / copies(j));
        }
    }
    let path = "encoder.layers.0.attention.output.weight";
    let (old, new) = (&before.0[path], &after.0[path]);
    for i in 0..24 {
        for j in 0..24 {
            assert_eq!(new.data[i * 24 + j], old.data[i % 16 * 16 + j % 16] / copies(j));
        }
    }
    assert_eq!(
        after.0["mlm.norm.weight"].data[..8],
        before.0["mlm.norm.weight"].data[..8].iter().map(|v| v / 2.0).collect::<Vec<_>>()
    );
    // It does change what is computed.
    let (ids, segments) = text(&small, 8, 1);
    let scores = |config, tensors| forward(config, WORDS, &exact(tensors), &ids, &segments).1.concat();
    assert!(difference(&scores(&large, &after), &scores(&small, &before)) > 1e-3);
}

#[test]
fn noise_is_added_to_copies_alone_and_only_if_asked_for() {
    let small = BertConfig { intermediate_size: 64, ..bert() };
    let large = BertConfig { intermediate_size: 160, ..small.clone() };
    let plain = Growth { copies: Copies::Random, seed: 5, ..Growth::default() };
    let noisy = Growth { noise: 0.1, ..plain };
    let (_, without, _) = grown(&small, &large, &plain);
    let (_, with, plan) = grown(&small, &large, &noisy);
    assert_eq!(plan.changes(), [Change::Noise]);
    assert_eq!(with, grown(&small, &large, &noisy).1, "the same seed");
    assert_ne!(with, grown(&small, &large, &Growth { seed: 6, ..noisy }).1);
    for (path, old) in &without.0 {
        let new = &with.0[path];
        if !path.ends_with("dense1.weight") && !path.ends_with("dense2.weight") {
            assert_eq!(new, old, "{path}");
            continue;
        }
        let (rows, columns) = (old.shape[0], old.shape[1]);
        let is_copy = |i: usize| if rows == 160 { i / columns >= 64 } else { i % columns >= 64 };
        let mut squares = (0.0, 0.0);
        for i in 0..old.data.len() {
            let by = f64::from(new.data[i]) - f64::from(old.data[i]);
            assert!(is_copy(i) || by == 0.0, "{path} {i}");
            squares.0 += by * by;
            squares.1 += f64::from(old.data[i]).powi(2);
        }
        // 96 of 160 channels have noise.
        let ratio = (squares.0 / squares.1 / 0.6).sqrt();
        assert!((0.09..0.11).contains(&ratio), "{path}: {ratio}");
    }
    // Moments have none.
    let plan_of = |growth| Plan::new(&small, &large, WORDS, growth).unwrap();
    let moments = weights(&small, WORDS, 3);
    let first = |growth| plan_of(growth).apply(&moments, Quantity::FirstMoment).unwrap();
    assert_eq!(first(&plain), first(&noisy));
    let message = Plan::new(&small, &large, WORDS, &Growth { noise: f64::NAN, ..plain }).unwrap_err().to_string();
    assert!(message.contains("`noise`"), "{message}");
}

#[test]
fn tensors_under_the_names_of_files_grow_alike() {
    let modern = BertConfig::modernbert(20, 8, 1, 2, 6);
    let bert = bert();
    for (small, prefix) in [(&bert, "bert."), (&modern, "model.")] {
        let mut large = BertConfig { intermediate_size: 9, ..deeper(small, 2) };
        if let Some(modern) = &mut large.modern {
            modern.global_layers = vec![true; 2];
        }
        let parts = WORDS;
        let growth = Growth { new_layers: NewLayers::Identity, ..Growth::default() };
        let before = weights(small, parts, 8);
        let plan = Plan::new(small, &large, parts, &growth).unwrap();
        let format = NameFormat::HuggingFace(small.model_type);
        let expected = named(plan.apply(&before, Quantity::Weights).unwrap(), format);
        let files = named(before, format);
        // With the family's prefix, as files of models with heads have it.
        let of = |(name, t): (String, HostTensor)| match small.model_type.is_head(&name) {
            true => (name, t),
            false => (format!("{prefix}{name}"), t),
        };
        let prefixed = Tensors(files.0.clone().into_iter().map(of).collect());
        for given in [files, prefixed] {
            assert_eq!(grow(small, given, &large, &growth, Quantity::Weights).unwrap(), expected);
        }
    }
    let mut files = named(weights(&bert, WORDS, 8), NameFormat::HuggingFace(ModelType::Bert));
    files.0.remove("encoder.layer.1.output.dense.bias");
    let message = grow(&bert, files, &bert, &Growth::default(), Quantity::Weights).unwrap_err().to_string();
    assert!(message.contains("encoder.layer.1.output.dense.bias"), "{message}");
}

#[test]
fn moments_may_be_missing_and_those_of_new_weights_are_zero() {
    let small = bert();
    let growth = Growth { new_layers: NewLayers::Identity, ..Growth::default() };
    let plan = Plan::new(&small, &deeper(&small, 3), WORDS, &growth).unwrap();
    let mut given = weights(&small, WORDS, 3);
    given.0.values_mut().for_each(|t| *t = absolute(t));
    given.0.remove("pooler.weight");
    for quantity in QUANTITIES {
        let grown = plan.apply(&given, quantity);
        if quantity == Quantity::Weights {
            assert!(grown.unwrap_err().to_string().contains("`pooler.weight` is missing"));
            continue;
        }
        let grown = grown.unwrap();
        assert!(!grown.0.contains_key("pooler.weight") && grown.0.contains_key("pooler.bias"));
        for (path, tensor) in &grown.0 {
            let is_moved = path.starts_with("encoder.layers.2.feed_forward.blocks.0.norm");
            let is_unit = path.starts_with("encoder.layers.1.feed_forward.blocks.0.norm");
            let is_anew = path.starts_with("encoder.layers.2.") && !is_moved || is_unit;
            assert_eq!(tensor.data.iter().all(|v| *v == 0.0), is_anew, "{path}");
        }
        let leaf = |layer: usize| format!("encoder.layers.{layer}.feed_forward.blocks.0.norm.weight");
        assert_eq!(grown.0[&leaf(2)], given.0[&leaf(1)]);
    }
}

#[test]
fn values_and_tensors_that_are_not_the_small_models_are_refused() {
    let small = bert();
    let plan = Plan::new(&small, &deeper(&small, 3), WORDS, &Growth::default()).unwrap();
    let path = "encoder.layers.0.attention.query.bias";
    let message = |change: &dyn Fn(&mut Tensors), quantity| {
        let mut given = weights(&small, WORDS, 3);
        given.0.values_mut().for_each(|t| *t = absolute(t));
        change(&mut given);
        plan.apply(&given, quantity).unwrap_err().to_string()
    };
    let set = |value: f32| move |t: &mut Tensors| t.0.get_mut(path).unwrap().data[1] = value;
    let refused = message(&set(f32::NAN), Quantity::Weights);
    assert!(refused.contains(path) && refused.contains("no weight"), "{refused}");
    let refused = message(&set(-1.0), Quantity::SecondMoment);
    assert!(refused.contains("-1") && refused.contains("second moment"), "{refused}");
    let refused = message(&|t| t.0.get_mut(path).unwrap().shape = vec![4, 4], Quantity::FirstMoment);
    assert!(refused.contains("[4, 4]") && refused.contains("[16]"), "{refused}");
    let refused =
        message(&|t| drop(t.0.insert("more".into(), HostTensor { shape: vec![], data: vec![1.0] })), Quantity::Weights);
    assert!(refused.contains("`more`"), "{refused}");
}

#[test]
fn what_cannot_grow_is_refused_before_anything_is_computed() {
    let small = bert();
    let refused = |small: &BertConfig, large: BertConfig, parts: Parts, growth: Growth, words: &[&str]| {
        let message = Plan::new(small, &large, parts, &growth).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let usual = |large: BertConfig, words: &[&str]| refused(&small, large, WORDS, Growth::default(), words);
    usual(BertConfig { vocab_size: 21, ..small.clone() }, &["`vocab_size`", "20", "21"]);
    usual(BertConfig { model_type: ModelType::MobileBert, ..small.clone() }, &["`model_type`", "bert", "mobilebert"]);
    usual(BertConfig { max_position_embeddings: 32, ..small.clone() }, &["`max_position_embeddings`", "16", "32"]);
    usual(BertConfig { hidden_act: Activation::Relu, ..small.clone() }, &["`hidden_act`", "Relu"]);
    usual(BertConfig { layer_norm_eps: 1e-5, ..small.clone() }, &["`layer_norm_eps`"]);
    usual(BertConfig { embedding_size: Some(16), ..small.clone() }, &["`embedding_size`", "absent"]);
    usual(
        BertConfig { task_heads: Vec::new(), ..small.clone() },
        &["`task_heads`", "classes (classification, 3 outputs)"],
    );
    usual(BertConfig { hidden_size: 8, ..small.clone() }, &["`hidden_size`", "8 is less than the 16"]);
    usual(deeper(&small, 1), &["`num_hidden_layers`", "1 is less than the 2"]);
    usual(BertConfig { intermediate_size: 5, ..small.clone() }, &["feed-forward of layer 1", "5 is less than the 6"]);
    usual(BertConfig { hidden_size: 32, ..small.clone() }, &["layer 1", "8 wide", "16 in the large", "needs 4 heads"]);
    usual(BertConfig { num_attention_heads: 4, ..small.clone() }, &["layer 1", "8 wide", "needs 2 heads"]);
    usual(BertConfig { num_attention_heads: 0, ..small.clone() }, &["the large model", "`num_attention_heads`"]);

    let mut vectors = small.clone();
    vectors.task_heads[2].vector = Some(VectorConfig::default());
    let wide = BertConfig { hidden_size: 32, num_attention_heads: 4, ..vectors.clone() };
    refused(&vectors, wide, WORDS, Growth::default(), &["vector of a text", "dense layer"]);

    let mobile = BertConfig {
        model_type: ModelType::MobileBert,
        embedding_size: Some(4),
        task_heads: Vec::new(),
        intra_bottleneck_size: Some(8),
        ..small.clone()
    };
    let words = Parts { mlm_extra: true, ..WORDS };
    refused(
        &mobile,
        BertConfig { hidden_size: 32, ..mobile.clone() },
        words,
        Growth::default(),
        &["masked-language-model head"],
    );
    refused(
        &mobile,
        BertConfig { num_feedforward_networks: 2, ..mobile.clone() },
        words,
        Growth::default(),
        &["`num_feedforward_networks`"],
    );

    let spec = |expression: &str, stacks| LayerSpec {
        expression: expression.into(),
        stacks,
        ..LayerSpec::without_feed_forward()
    };
    let student = |specs: &[LayerSpec]| BertConfig {
        model_type: ModelType::EfficientBert,
        layers: specs.to_vec(),
        num_hidden_layers: specs.len(),
        intermediate_size: 16,
        ..small.clone()
    };
    let plain = spec("linear1_1(gelu(linear1_1(x,wb1)),wb2)", 1);
    let sigmoid = spec("sigmoid(linear1_1(gelu(linear1_1(x,wb1)),wb2))", 1);
    let mixed = spec("linear1_1(relu(mul(linear1_1(x,wb1),x)),wb2)", 1);
    let stacked = spec("linear2_1(gelu(linear2_1(x,wb1)),wb2)", 2);
    let one = student(std::slice::from_ref(&plain));
    refused(
        &one,
        student(std::slice::from_ref(&sigmoid)),
        WORDS,
        Growth::default(),
        &["layer 1", "another expression"],
    );
    refused(
        &one,
        student(&[plain.clone(), stacked]),
        WORDS,
        Growth::default(),
        &["layer 2 comes from layer 1", "stacks 2"],
    );
    let identity = Growth { new_layers: NewLayers::Identity, ..Growth::default() };
    let twice = student(&[sigmoid.clone(), sigmoid.clone()]);
    refused(&student(&[sigmoid]), twice, WORDS, identity, &["layer 2", "more than 0", "copied"]);
    let wide = BertConfig { hidden_size: 32, num_attention_heads: 4, ..student(std::slice::from_ref(&mixed)) };
    refused(
        &student(&[mixed]),
        wide,
        WORDS,
        Growth::default(),
        &["feed-forward of layer 1", "inner and outer channels"],
    );
    let without = LayerSpec { attention_heads: Some(0), ..plain };
    refused(&one, student(&[without]), WORDS, Growth::default(), &["attention", "has none"]);
}

#[test]
fn a_recipe_names_the_operators() {
    let growth: Growth =
        toml::from_str("depth = 'interleave'\nnew_layers = 'identity'\ncopies = 'random'\nseed = 3").unwrap();
    let expected = Growth {
        depth: Depth::Interleave,
        new_layers: NewLayers::Identity,
        copies: Copies::Random,
        seed: 3,
        ..Growth::default()
    };
    assert_eq!(growth, expected);
    assert_eq!(toml::from_str::<Growth>(&toml::to_string(&growth).unwrap()).unwrap(), growth);
    assert_eq!(toml::from_str::<Growth>("").unwrap(), Growth::default());
    for wrong in ["dept = 'stack'", "depth = 'copy-last'", "noise = 'a'"] {
        assert!(toml::from_str::<Growth>(wrong).is_err(), "{wrong}");
    }
}
