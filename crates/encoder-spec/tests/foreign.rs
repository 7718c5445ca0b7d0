//! Models of other families become BERTs: keys, names, shapes, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use encoder_spec::{
    Activation, BertConfig, Converted, Encoder, ForeignError, ForeignModel, HostTensor, ModelType, NameFormat, Parts,
};
use serde_json::{Value, json};

/// Keys that RoBERTa and ELECTRA write.
fn common(kind: &str, more: Value) -> Value {
    let mut all = json!({
        "model_type": kind, "vocab_size": 11, "hidden_size": 4, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 6, "max_position_embeddings": 9, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
        "transformers_version": "5.24.0", "use_cache": true, "is_decoder": false
    });
    extend(&mut all, more);
    all
}

fn distilbert(more: Value) -> Value {
    let mut all = json!({
        "model_type": "distilbert", "vocab_size": 11, "dim": 4, "n_layers": 2, "n_heads": 2, "hidden_dim": 6,
        "max_position_embeddings": 9, "activation": "relu", "dropout": 0.3, "attention_dropout": 0.4, "qa_dropout": 0.5,
        "seq_classif_dropout": 0.6, "sinusoidal_pos_embds": true, "tie_weights_": true, "transformers_version": "5.24.0"
    });
    extend(&mut all, more);
    all
}

fn extend(all: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("an object") };
    for (key, value) in more {
        all[&key] = value;
    }
}

fn model(config: &Value) -> ForeignModel {
    ForeignModel::read(config).unwrap().expect("a family that is known")
}

fn config(file: &Value) -> BertConfig {
    BertConfig::from_json(&model(file).config_json()).unwrap()
}

fn tensor(shape: &[usize]) -> HostTensor {
    let count: usize = shape.iter().product();
    HostTensor { shape: shape.to_vec(), data: (0..count).map(|i| i as f32).collect() }
}

/// Tensors of a plain BERT under Hugging Face's names, with `rows` positions and without prefix.
fn bert(config: &BertConfig, parts: Parts, rows: usize) -> BTreeMap<String, HostTensor> {
    let shapes = Encoder::describe(config, parts).unwrap().weights();
    let names = NameFormat::HuggingFace(ModelType::Bert).names(shapes.keys().map(String::as_str));
    let mut tensors: BTreeMap<String, HostTensor> =
        shapes.into_iter().map(|(path, shape)| (names[&path].clone(), tensor(&shape))).collect();
    tensors.insert(POSITIONS.into(), tensor(&[rows, config.hidden_size]));
    tensors
}

const POSITIONS: &str = "embeddings.position_embeddings.weight";
const SEGMENTS: &str = "embeddings.token_type_embeddings.weight";

fn renamed(tensors: BTreeMap<String, HostTensor>, name: impl Fn(&str) -> String) -> BTreeMap<String, HostTensor> {
    tensors.into_iter().map(|(old, tensor)| (name(&old), tensor)).collect()
}

/// Whether a BERT of this configuration takes the tensors: each of its names, each of its shape.
fn fits(config: &BertConfig, converted: &Converted) {
    let bare: BTreeMap<&str, &HostTensor> =
        converted.tensors.iter().map(|(name, t)| (name.strip_prefix("bert.").unwrap_or(name), t)).collect();
    let parts = Parts::of_names(converted.tensors.keys());
    let shapes = Encoder::describe(config, parts).unwrap().weights();
    let names = NameFormat::HuggingFace(ModelType::Bert).names(shapes.keys().map(String::as_str));
    let expected: BTreeSet<&str> = names.values().map(String::as_str).collect();
    assert_eq!(bare.keys().copied().collect::<BTreeSet<_>>(), expected);
    for (path, shape) in &shapes {
        assert_eq!(&bare[names[path].as_str()].shape, shape, "{path}");
    }
}

fn refused(file: &Value) -> String {
    match ForeignModel::read(file) {
        Err(error) => error.to_string(),
        Ok(Some(model)) => BertConfig::from_json(&model.config_json()).unwrap_err().to_string(),
        Ok(None) => panic!("{file} is of no family"),
    }
}

#[test]
fn roberta_loses_the_rows_before_its_first_position() {
    for kind in ["roberta", "xlm-roberta", "camembert"] {
        for (padding, rows) in [(None, 9), (Some(1), 9), (Some(0), 5), (Some(3), 12)] {
            let mut file = common(kind, json!({ "max_position_embeddings": rows, "type_vocab_size": 1 }));
            if let Some(padding) = padding {
                file["pad_token_id"] = json!(padding);
            }
            let first = padding.unwrap_or(1) + 1;
            let config = config(&file);
            assert_eq!((config.model_type, config.type_vocab_size), (ModelType::Bert, 1));
            assert_eq!((config.max_position_embeddings, config.pad_token_id), (rows - first, first - 1));
            assert_eq!((config.layer_norm_eps, config.unknown_keys().next()), (1e-5, None));
            let tensors = renamed(bert(&config, Parts::POOLER, rows), |name| format!("roberta.{name}"));
            let converted = model(&file).convert(tensors, false).unwrap();
            fits(&config, &converted);
            let positions = &converted.tensors[&format!("bert.{POSITIONS}")];
            let expected: Vec<f32> = (first * 4..rows * 4).map(|i| i as f32).collect();
            assert_eq!((&positions.shape, &positions.data), (&vec![rows - first, 4], &expected));
            assert_eq!(converted.left_behind, [""; 0]);
        }
    }
}

#[test]
fn a_bare_roberta_has_bare_names() {
    let file = common("roberta", json!({}));
    let config = config(&file);
    assert_eq!((config.type_vocab_size, config.hidden_dropout_prob, config.pad_token_id), (2, 0.1, 1));
    let converted = model(&file).convert(bert(&config, Parts::NONE, 9), false).unwrap();
    assert!(converted.tensors.keys().all(|name| !name.starts_with("bert.")));
    fits(&config, &converted);
}

/// RoBERTa's names of a BERT with a pooler that stands for the head's own layer, and of its masked-LM head.
fn roberta_heads(name: &str) -> String {
    for (bert, roberta) in [
        ("pooler.dense.", "classifier.dense."),
        ("classifier.", "classifier.out_proj."),
        ("cls.predictions.transform.dense.", "lm_head.dense."),
        ("cls.predictions.transform.LayerNorm.", "lm_head.layer_norm."),
        ("cls.predictions.", "lm_head."),
    ] {
        if let Some(rest) = name.strip_prefix(bert) {
            return format!("{roberta}{rest}");
        }
    }
    format!("roberta.{name}")
}

#[test]
fn robertas_heads_become_pooler_classifier_and_masked_words() {
    let file = common("roberta", json!({}));
    let config = config(&file);
    let parts = Parts { mlm: true, ..Parts::POOLER };
    let mut tensors = renamed(bert(&config, parts, 9), roberta_heads);
    for (name, shape) in [
        ("classifier.out_proj.weight", vec![3, 4]),
        ("classifier.out_proj.bias", vec![3]),
        ("lm_head.decoder.weight", vec![11, 4]),
        ("lm_head.decoder.bias", vec![11]),
        // Older files hold the pooler of pre-training too, which the classifier does not use.
        ("roberta.pooler.dense.weight", vec![4, 4]),
        ("roberta.pooler.dense.bias", vec![4]),
    ] {
        tensors.insert(name.into(), tensor(&shape));
    }
    tensors.get_mut("classifier.dense.bias").unwrap().data[0] = 7.5;
    let converted = model(&file).convert(tensors.clone(), false).unwrap();
    assert_eq!(converted.left_behind, ["roberta.pooler.dense.bias", "roberta.pooler.dense.weight"]);
    assert_eq!(converted.tensors["bert.pooler.dense.bias"].data[0], 7.5);
    assert_eq!(converted.tensors["classifier.weight"].shape, [3, 4]);
    for name in [
        "cls.predictions.transform.dense.weight",
        "cls.predictions.transform.LayerNorm.bias",
        "cls.predictions.bias",
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    ] {
        assert!(converted.tensors.contains_key(name), "{name}");
    }
    assert_eq!(converted.tensors.len(), tensors.len() - 2);

    // The encoder alone: what is outside keeps its name, and the pooler is the encoder's.
    let converted = model(&file).convert(tensors.clone(), true).unwrap();
    assert_eq!(converted.tensors["bert.pooler.dense.bias"].data[0], 0.0);
    assert!(converted.tensors.contains_key("classifier.dense.weight"));
    assert_eq!(converted.tensors.len(), tensors.len());

    // A file with the bias of words under one of its names alone.
    tensors.remove("lm_head.bias");
    let converted = model(&file).convert(tensors, false).unwrap();
    assert!(converted.tensors.contains_key("cls.predictions.bias"));
    assert!(!converted.tensors.contains_key("cls.predictions.decoder.bias"));
}

#[test]
fn distilbert_gets_berts_names_and_segments_of_zeros() {
    let file = distilbert(json!({}));
    let config = config(&file);
    assert_eq!((config.hidden_size, config.num_hidden_layers, config.num_attention_heads), (4, 2, 2));
    assert_eq!((config.intermediate_size, config.hidden_act, config.layer_norm_eps), (6, Activation::Relu, 1e-12));
    assert_eq!((config.hidden_dropout_prob, config.attention_probs_dropout_prob), (0.3, 0.4));
    assert_eq!((config.classifier_dropout, config.type_vocab_size, config.pad_token_id), (Some(0.6), 2, 0));
    assert_eq!(config.unknown_keys().next(), None);
    let asks = distilbert(json!({ "architectures": ["DistilBertForQuestionAnswering"] }));
    assert_eq!(self::config(&asks).classifier_dropout, Some(0.5));

    let own = |name: &str| {
        let layer = name.replace("encoder.layer.", "transformer.layer.");
        let own = layer
            .replace("attention.self.query.", "attention.q_lin.")
            .replace("attention.self.key.", "attention.k_lin.")
            .replace("attention.self.value.", "attention.v_lin.")
            .replace("attention.output.dense.", "attention.out_lin.")
            .replace("attention.output.LayerNorm.", "sa_layer_norm.")
            .replace("intermediate.dense.", "ffn.lin1.")
            .replace(".output.dense.", ".ffn.lin2.")
            .replace(".output.LayerNorm.", ".output_layer_norm.")
            .replace("cls.predictions.transform.dense.", "vocab_transform.")
            .replace("cls.predictions.transform.LayerNorm.", "vocab_layer_norm.")
            .replace("cls.predictions.bias", "vocab_projector.bias");
        if own.starts_with("vocab_") { own } else { format!("distilbert.{own}") }
    };
    let parts = Parts { mlm: true, ..Parts::NONE };
    let mut source = bert(&config, parts, 9);
    source.remove(SEGMENTS);
    let tensors = renamed(source.clone(), own);
    assert!(tensors.contains_key("distilbert.transformer.layer.1.ffn.lin2.weight"));
    assert!(tensors.contains_key("distilbert.transformer.layer.0.sa_layer_norm.bias"));
    let converted = model(&file).convert(tensors.clone(), false).unwrap();
    fits(&config, &converted);
    let segments = &converted.tensors[&format!("bert.{SEGMENTS}")];
    assert_eq!((&segments.shape[..], &segments.data[..]), (&[2, 4][..], &[0.0; 8][..]));
    for (name, tensor) in source {
        let name = if name.starts_with("cls.") { name } else { format!("bert.{name}") };
        assert_eq!(converted.tensors[&name], tensor, "{name}");
    }
    let mut with_segments = tensors;
    with_segments.insert(format!("distilbert.{SEGMENTS}"), tensor(&[2, 4]));
    let error = model(&file).convert(with_segments, false).unwrap_err();
    assert!(matches!(error, ForeignError::SameName { .. }), "{error}");
}

#[test]
fn electra_is_a_bert_where_its_embedding_is_as_wide_as_its_layers() {
    let file = common("electra", json!({ "embedding_size": 4, "summary_type": "first", "summary_use_proj": true }));
    let config = config(&file);
    assert_eq!((config.embedding_size, config.pad_token_id, config.max_position_embeddings), (None, 0, 9));
    assert_eq!(config.unknown_keys().next(), None);
    let own = |name: &str| match name.strip_prefix("cls.predictions.transform.") {
        Some(rest) => format!("generator_predictions.{rest}"),
        None if name == "cls.predictions.bias" => "generator_lm_head.bias".into(),
        None => format!("electra.{name}"),
    };
    let tensors = renamed(bert(&config, Parts { mlm: true, ..Parts::NONE }, 9), own);
    let converted = model(&file).convert(tensors, false).unwrap();
    fits(&config, &converted);

    let mut tensors = renamed(bert(&config, Parts::NONE, 9), own);
    tensors.insert("discriminator_predictions.dense.weight".into(), tensor(&[4, 4]));
    let converted = model(&file).convert(tensors, false).unwrap();
    fits(&config, &converted);
    assert_eq!(converted.left_behind, ["discriminator_predictions.dense.weight"]);

    let narrow = |size: Value| refused(&common("electra", json!({ "embedding_size": size })));
    let message = narrow(json!(3));
    assert!(message.contains("`embedding_size`: must equal `hidden_size` 4, is 3"), "{message}");
    assert!(message.contains("after the norm"), "{message}");
    assert!(refused(&common("electra", json!({}))).contains("is 128"), "the default of transformers");
}

#[test]
fn heads_that_a_bert_computes_otherwise_are_refused_unless_the_encoder_alone_is_wanted() {
    let gelu_new = json!({ "hidden_act": "gelu_new", "embedding_size": 4 });
    let electra = || common("electra", json!({ "embedding_size": 4 }));
    for (file, head, parts) in [
        (distilbert(json!({})), "pre_classifier.weight", ["DistilBERT", "ReLU"]),
        (electra(), "classifier.dense.weight", ["ELECTRA", "GELU"]),
        (electra(), "sequence_summary.summary.weight", ["ELECTRA", "multiple choice"]),
        (
            common("electra", gelu_new.clone()),
            "generator_predictions.dense.weight",
            ["`generator_predictions`", "\"gelu_new\""],
        ),
        (common("roberta", gelu_new), "lm_head.dense.weight", ["`lm_head`", "\"gelu_new\""]),
        (common("camembert", json!({})), "classifier.weight", ["`classifier.weight`", "for tokens"]),
    ] {
        let tensors = || BTreeMap::from([(head.to_owned(), tensor(&[4, 4]))]);
        let error = model(&file).convert(tensors(), false).unwrap_err();
        assert!(matches!(error, ForeignError::Head { .. }), "{error}");
        assert!(parts.iter().all(|part| error.to_string().contains(part)), "{error}");
        let converted = model(&file).convert(tensors(), true).unwrap();
        assert!(converted.tensors.contains_key(head), "{head}");
    }
}

#[test]
fn keys_that_change_the_computation_are_refused_with_their_value() {
    let roberta = |key: &str, value: Value| {
        let mut file = common("roberta", json!({}));
        file[key] = value;
        refused(&file)
    };
    for (key, value) in [
        ("is_decoder", json!(true)),
        ("add_cross_attention", json!(true)),
        ("position_embedding_type", json!("relative_key")),
        ("pruned_heads", json!({ "0": [1] })),
        ("quantization_config", json!({ "bits": 4 })),
        ("pad_token_id", Value::Null),
        ("vocab_size", json!("many")),
    ] {
        let message = roberta(key, value.clone());
        assert!(message.contains(&format!("`{key}`")) && message.contains(&format!("is {value}")), "{message}");
    }
    assert!(roberta("hidden_act", json!("quick_gelu")).contains("quick_gelu"));
    let message = roberta("max_position_embeddings", json!(2));
    assert!(message.contains("`max_position_embeddings`") && message.contains("is 2"), "{message}");
    assert!(roberta("pad_token_id", json!(u64::MAX)).contains("max_position_embeddings"));
    let mut file = common("roberta", json!({}));
    file.as_object_mut().unwrap().remove("num_attention_heads");
    assert!(refused(&file).contains("`num_attention_heads`: is missing"));
    for (key, value, part) in [
        ("activation", json!("quick_gelu"), "`activation`: unknown variant `quick_gelu`"),
        ("activation", json!(1), "`activation`"),
        ("n_heads", json!(3), "`num_attention_heads`: must divide"),
        ("is_decoder", json!(true), "`is_decoder`"),
    ] {
        let mut file = distilbert(json!({}));
        file[key] = value;
        let message = refused(&file);
        assert!(message.contains(part), "{message}");
    }
    let two = refused(&distilbert(json!({ "hidden_size": 8 })));
    assert!(two.contains("`dim`: is 4, and `hidden_size`, which means the same, is 8"), "{two}");
}

#[test]
fn keys_of_a_bert_that_mean_nothing_to_the_family_are_left_out_and_named() {
    let file = distilbert(json!({ "layer_norm_eps": 0.1, "hidden_act": "tanh", "task_heads": [], "note": "kept" }));
    assert_eq!(model(&file).ignored_keys(), ["hidden_act", "layer_norm_eps", "task_heads"]);
    let read = config(&file);
    assert_eq!((read.layer_norm_eps, read.hidden_act), (1e-12, Activation::Relu));
    assert_eq!(read.unknown_keys().collect::<Vec<_>>(), ["note"]);
    let file = common("roberta", json!({ "embedding_size": 2, "trigram_input": true }));
    assert_eq!(model(&file).ignored_keys(), ["embedding_size", "trigram_input"]);
    assert_eq!(config(&file).embedding_size, None);
}

#[test]
fn a_position_table_of_another_shape_is_named_as_in_the_file() {
    let file = common("roberta", json!({}));
    for shape in [vec![7, 4], vec![9, 5], vec![9]] {
        let tensors = BTreeMap::from([(format!("roberta.{POSITIONS}"), tensor(&shape))]);
        let message = model(&file).convert(tensors, true).unwrap_err().to_string();
        let expected = format!("tensor `roberta.{POSITIONS}` has shape {shape:?}, the configuration asks for [9, 4]");
        assert_eq!(message, expected);
    }
}

#[test]
fn other_files_are_of_no_family() {
    for file in [json!({}), json!([]), json!({ "model_type": "bert" }), json!({ "model_type": 1 })] {
        assert!(ForeignModel::read(&file).unwrap().is_none(), "{file}");
    }
    let message = BertConfig::from_json(&json!({ "model_type": "roberta" }).to_string()).unwrap_err().to_string();
    assert!(message.contains("an import converts roberta, xlm-roberta, camembert, distilbert, electra"), "{message}");
}
