//! `import` of models of other families, which become BERTs.

use bert_core::weights::Tensors;
use serde_json::{Value, json};

use crate::support::{filled, folder, import_tiny, run, tiny_config, tiny_tensors, write_checkpoint};

/// The tokens of the tiny model as RoBERTa has them.
const VOCAB: &str = r#"{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"a":4,"b":5,"c":6,"d":7,"e":8,"Ġ":9,"<mask>":10}"#;

/// [`tiny_config`] as a RoBERTa's: positions begin at 2, and there is one segment.
fn roberta_config() -> Value {
    let mut config = tiny_config();
    config["model_type"] = json!("roberta");
    config["architectures"] = json!(["RobertaForSequenceClassification"]);
    config["max_position_embeddings"] = json!(10);
    config["type_vocab_size"] = json!(1);
    config["pad_token_id"] = json!(1);
    config["id2label"] = json!({ "0": "entailment", "1": "not_entailment" });
    config
}

/// Weights of [`roberta_config`] with the head for texts.
fn roberta_tensors() -> Tensors {
    let rename = |name: String| match name.strip_prefix("bert.pooler.dense.") {
        Some(leaf) => format!("classifier.dense.{leaf}"),
        None => name.replacen("bert.", "roberta.", 1),
    };
    let mut tensors = Tensors(tiny_tensors().0.into_iter().map(|(name, t)| (rename(name), t)).collect());
    for (name, shape) in [
        ("roberta.embeddings.position_embeddings.weight", vec![10, 4]),
        ("roberta.embeddings.token_type_embeddings.weight", vec![1, 4]),
        ("classifier.out_proj.weight", vec![2, 4]),
        ("classifier.out_proj.bias", vec![2]),
    ] {
        tensors.0.insert(name.into(), filled(&shape));
    }
    tensors
}

fn saved(dir: &std::path::Path) -> (Value, Tensors) {
    let config = std::fs::read(dir.join("model/config.json")).unwrap();
    let tensors = Tensors::read_safetensors(&dir.join("model/model.safetensors")).unwrap();
    (serde_json::from_slice(&config).unwrap(), tensors)
}

#[test]
fn a_roberta_becomes_a_bert_and_answers_pairs_with_one_segment() {
    let dir = folder();
    let mut tensors = roberta_tensors();
    // Of pre-training; the head for texts does not use it.
    tensors.0.insert("roberta.pooler.dense.weight".into(), filled(&[4, 4]));
    tensors.0.insert("roberta.pooler.dense.bias".into(), filled(&[4]));
    write_checkpoint(dir.path(), &roberta_config(), &tensors);
    std::fs::write(dir.path().join("vocab.json"), VOCAB).unwrap();
    std::fs::write(dir.path().join("merges.txt"), "#version: 0.2\n").unwrap();
    let done = import_tiny(dir.path(), &["--task", "rte"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&[
        "the RoBERTa becomes a BERT that computes the same",
        "left behind: roberta.pooler.* (2 tensors)",
        "vocab.json and merges.txt are used, and one is made of them",
    ]);
    let names = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];
    assert_eq!(done.json()["tokenizer"], json!(names));
    let (config, found) = saved(dir.path());
    assert_eq!((&config["model_type"], &config["max_position_embeddings"]), (&json!("bert"), &json!(8)));
    assert_eq!((&config["type_vocab_size"], &config["pad_token_id"]), (&json!(1), &json!(1)));
    assert_eq!(config["architectures"], json!(["BertForSequenceClassification"]));
    let positions = &found.0["bert.embeddings.position_embeddings.weight"];
    assert_eq!((&positions.shape[..], &positions.data[..]), (&[8, 4][..], &filled(&[10, 4]).data[8..]));
    assert_eq!(found.0["bert.pooler.dense.weight"], tensors.0["classifier.dense.weight"]);
    assert_eq!(found.0["classifier.weight"], tensors.0["classifier.out_proj.weight"]);

    // <s> a </s></s> b </s>
    let answer = run(dir.path(), &["predict", "--model", "model", "--json", "a", "b"]).json();
    assert!(answer["answers"][0]["probability"].is_number(), "{answer}");
    // 8 positions hold four special tokens and four others.
    run(dir.path(), &["predict", "--model", "model", "abc", "de"]).says(&["9 tokens, cut to 8"]);
}

#[test]
fn heads_that_are_computed_otherwise_are_refused_and_the_encoder_is_imported_without_them() {
    let dir = folder();
    let config = json!({
        "model_type": "distilbert", "vocab_size": 11, "dim": 4, "n_layers": 1, "n_heads": 2, "hidden_dim": 6,
        "max_position_embeddings": 8, "activation": "gelu", "architectures": ["DistilBertForSequenceClassification"]
    });
    let rename = |name: String| {
        let name = name.replacen("bert.", "distilbert.", 1).replace("encoder.layer", "transformer.layer");
        name.replace("attention.self.query", "attention.q_lin")
            .replace("attention.self.key", "attention.k_lin")
            .replace("attention.self.value", "attention.v_lin")
            .replace("attention.output.dense", "attention.out_lin")
            .replace("attention.output.LayerNorm", "sa_layer_norm")
            .replace("intermediate.dense", "ffn.lin1")
            .replace("output.dense", "ffn.lin2")
            .replace("output.LayerNorm", "output_layer_norm")
    };
    let mut source = tiny_tensors();
    source.0.retain(|name, _| !name.contains("token_type") && !name.contains("pooler"));
    let mut tensors = Tensors(source.0.clone().into_iter().map(|(name, t)| (rename(name), t)).collect());
    for (name, shape) in [
        ("pre_classifier.weight", vec![4, 4]),
        ("pre_classifier.bias", vec![4]),
        ("classifier.weight", vec![2, 4]),
        ("classifier.bias", vec![2]),
    ] {
        tensors.0.insert(name.into(), filled(&shape));
    }
    write_checkpoint(dir.path(), &config, &tensors);
    let parts = ["weights.safetensors: the classifier of DistilBERT", "ReLU", "hint: --encoder-only imports"];
    import_tiny(dir.path(), &["--task", "sst-2"]).fails_with(2, &parts);
    let done = import_tiny(dir.path(), &["--encoder-only"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["left behind: classifier.* (2 tensors), pre_classifier.* (2 tensors)"]);
    let (config, mut found) = saved(dir.path());
    assert_eq!((&config["type_vocab_size"], &config["hidden_size"]), (&json!(2), &json!(4)));
    let segments = found.0.remove("embeddings.token_type_embeddings.weight").unwrap();
    assert_eq!((&segments.shape[..], &segments.data[..]), (&[2, 4][..], &[0.0; 8][..]));
    assert_eq!(found, source.under("bert."));
}

#[test]
fn keys_of_other_families_are_refused_and_named_as_a_berts_are() {
    let dir = folder();
    for (key, value, parts) in [
        ("is_decoder", json!(true), ["`is_decoder`", "must be false, is true"]),
        ("position_embedding_type", json!("relative_key"), ["`position_embedding_type`", "is \"relative_key\""]),
        ("hidden_act", json!("quick_gelu"), ["quick_gelu", "gelu_new"]),
        ("max_position_embeddings", json!(2), ["`max_position_embeddings`", "leaves no position"]),
        ("pad_token_id", Value::Null, ["`pad_token_id`", "whole number"]),
    ] {
        let mut config = roberta_config();
        config[key] = value;
        write_checkpoint(dir.path(), &config, &roberta_tensors());
        import_tiny(dir.path(), &["--task", "rte"]).fails_with(1, &[&["config.json"], &parts[..]].concat());
    }
    let mut config = roberta_config();
    config["max_position_embeddings"] = json!(12);
    write_checkpoint(dir.path(), &config, &roberta_tensors());
    import_tiny(dir.path(), &["--task", "rte"])
        .fails_with(1, &["`roberta.embeddings.position_embeddings.weight`", "[10, 4]", "[12, 4]"]);
    let mut config = roberta_config();
    config["embedding_size"] = json!(2);
    config["adapter"] = json!("x");
    write_checkpoint(dir.path(), &config, &roberta_tensors());
    let done = import_tiny(dir.path(), &["--task", "rte"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&[
        "config.json: not used, as no RoBERTa of transformers reads it: `embedding_size`",
        "config.json: kept, but not used, as no RoBERTa of transformers reads it: `adapter`",
    ]);
}
