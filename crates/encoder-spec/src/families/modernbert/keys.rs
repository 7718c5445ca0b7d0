//! The keys of a ModernBERT's `config.json`.
//!
//! `transformers` 5 lists the kind of every layer (`layer_types`) and the rotary positions of each kind (`rope_parameters`); version 4 has
//! `global_attn_every_n_layers`, `global_rope_theta` and `local_rope_theta`. Both are read, the newer keys first, as version 5 does, and
//! both are written where they can say the same.

use serde_json::{Map, Value, json};

use super::{ModernBertConfig, every};
use crate::config::config;
use crate::{Activation, BertConfig, Result};

/// What holds where a key is absent.
pub(super) const GLOBAL_EVERY: usize = 3;
pub(super) const LOCAL_ATTENTION: usize = 128;
pub(super) const GLOBAL_THETA: f64 = 160_000.0;
pub(super) const LOCAL_THETA: f64 = 10_000.0;
/// The longest sequence of any model: tables of positions are made for so many.
pub(super) const LONGEST: usize = 1 << 17;

/// Names in `layer_types` and `rope_parameters`.
const GLOBAL: &str = "full_attention";
const LOCAL: &str = "sliding_attention";

/// Keys that a BERT has and no ModernBERT reads; the release's configuration names some of them.
const IDLE: [&str; 7] = [
    "layer_norm_eps",
    "default_norm_eps",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "type_vocab_size",
    "modern",
];
/// Keys of the other families: what they ask for is not there.
const FOREIGN: [&str; 10] = [
    "embedding_size",
    "trigram_input",
    "normalization_type",
    "intra_bottleneck_size",
    "key_query_shared_bottleneck",
    "use_bottleneck_attention",
    "tie_key_query",
    "num_feedforward_networks",
    "layers",
    "pad_operands",
];

/// Brings a ModernBERT's keys to the fields of [`BertConfig`].
///
/// # Errors
/// A key has a value of another type, or asks for what is not supported.
pub(super) fn read(keys: &mut Map<String, Value>) -> Result<()> {
    for key in FOREIGN {
        if keys.remove(key).is_some_and(|value| !value.is_null()) {
            return Err(config(key, "means nothing for a ModernBERT".into()));
        }
    }
    for key in IDLE {
        keys.remove(key);
    }
    let layers = keys.get("num_hidden_layers").and_then(Value::as_u64).unwrap_or_default();
    // Another type is refused with the fields, and another size with the configuration.
    let layers = usize::try_from(layers).unwrap_or_default().min(crate::config::MAX_LAYERS);
    check_head_width(keys)?;
    let (global_theta, local_theta) = thetas(keys)?;
    let mean_pooling = match keys.remove("classifier_pooling").filter(|value| !value.is_null()) {
        None => false,
        Some(value) if value == "cls" => false,
        Some(value) if value == "mean" => true,
        Some(value) => {
            return Err(config("classifier_pooling", format!("must be \"cls\" or \"mean\", is {value}")));
        }
    };
    let modern = ModernBertConfig {
        global_layers: global_layers(keys, layers)?,
        local_attention: size(keys, "local_attention", LOCAL_ATTENTION)?,
        global_theta,
        local_theta,
        norm_bias: flag(keys, "norm_bias", false)?,
        attention_bias: flag(keys, "attention_bias", false)?,
        mlp_bias: flag(keys, "mlp_bias", false)?,
        classifier_bias: flag(keys, "classifier_bias", false)?,
        classifier_activation: activation(keys, "classifier_activation")?,
        decoder_bias: flag(keys, "decoder_bias", true)?,
        mean_pooling,
        embedding_dropout: number(keys, "embedding_dropout", 0.0)?,
    };
    let hidden_act = activation(keys, "hidden_activation")?;
    let shared = [
        ("modern", json!(modern)),
        ("hidden_act", json!(hidden_act)),
        ("layer_norm_eps", json!(number(keys, "norm_eps", 1e-5)?)),
        ("hidden_dropout_prob", json!(number(keys, "mlp_dropout", 0.0)?)),
        ("attention_probs_dropout_prob", json!(number(keys, "attention_dropout", 0.0)?)),
        ("classifier_dropout", json!(number(keys, "classifier_dropout", 0.0)?)),
    ];
    keys.extend(shared.map(|(key, value)| (key.to_owned(), value)));
    Ok(())
}

/// The text of `config.json`, for `transformers` of versions 4 and 5.
pub(super) fn written(config: &BertConfig) -> serde_json::Result<String> {
    let mut keys = match serde_json::to_value(config)? {
        Value::Object(keys) => keys,
        _ => Map::new(),
    };
    for key in IDLE {
        keys.remove(key);
    }
    if let Some(modern) = &config.modern {
        let kind = |global: &bool| if *global { GLOBAL } else { LOCAL };
        let rope = |theta: f64| json!({ "rope_type": "default", "rope_theta": theta });
        let all = [
            ("hidden_activation", json!(config.hidden_act)),
            ("norm_eps", json!(config.layer_norm_eps)),
            ("mlp_dropout", json!(config.hidden_dropout_prob)),
            ("attention_dropout", json!(config.attention_probs_dropout_prob)),
            ("classifier_dropout", json!(config.head_dropout())),
            ("embedding_dropout", json!(modern.embedding_dropout)),
            ("layer_types", modern.global_layers.iter().map(kind).collect()),
            ("local_attention", json!(modern.local_attention)),
            ("rope_parameters", json!({ GLOBAL: rope(modern.global_theta), LOCAL: rope(modern.local_theta) })),
            ("global_rope_theta", json!(modern.global_theta)),
            ("local_rope_theta", json!(modern.local_theta)),
            ("norm_bias", json!(modern.norm_bias)),
            ("attention_bias", json!(modern.attention_bias)),
            ("mlp_bias", json!(modern.mlp_bias)),
            ("classifier_bias", json!(modern.classifier_bias)),
            ("classifier_activation", json!(modern.classifier_activation)),
            ("decoder_bias", json!(modern.decoder_bias)),
            ("classifier_pooling", json!(if modern.mean_pooling { "mean" } else { "cls" })),
        ];
        keys.extend(all.map(|(key, value)| (key.to_owned(), value)));
        let layers = modern.global_layers.len();
        if let Some(n) = (1..=layers.max(1)).find(|n| every(*n, layers) == modern.global_layers) {
            keys.insert("global_attn_every_n_layers".into(), json!(n));
        }
    }
    serde_json::to_string_pretty(&keys)
}

/// The kind of every layer; `layer_types` comes before `global_attn_every_n_layers`.
fn global_layers(keys: &mut Map<String, Value>, layers: usize) -> Result<Vec<bool>> {
    let every_n = size(keys, "global_attn_every_n_layers", GLOBAL_EVERY)?;
    let kinds = match keys.remove("layer_types") {
        None | Some(Value::Null) if every_n == 0 => {
            return Err(config("global_attn_every_n_layers", "must be at least 1, is 0".into()));
        }
        None | Some(Value::Null) => return Ok(every(every_n, layers)),
        Some(Value::Array(kinds)) => kinds,
        Some(other) => return Err(config("layer_types", format!("must be a list, is {other}"))),
    };
    let is_global = |kind: Value| match kind.as_str() {
        Some(GLOBAL) => Ok(true),
        Some(LOCAL) => Ok(false),
        _ => Err(config("layer_types", format!("only \"{GLOBAL}\" and \"{LOCAL}\" are supported, is {kind}"))),
    };
    kinds.into_iter().map(is_global).collect()
}

/// Bases of the rotary positions of global and of local layers; `rope_parameters` come before the older keys.
fn thetas(keys: &mut Map<String, Value>) -> Result<(f64, f64)> {
    if let Some(scaling) = keys.remove("rope_scaling").filter(|value| !value.is_null()) {
        return Err(config("rope_scaling", format!("positions that are scaled are not supported, is {scaling}")));
    }
    let older = (number(keys, "global_rope_theta", GLOBAL_THETA)?, number(keys, "local_rope_theta", LOCAL_THETA)?);
    let mut kinds = match keys.remove("rope_parameters") {
        None | Some(Value::Null) => return Ok(older),
        Some(Value::Object(kinds)) => kinds,
        Some(other) => return Err(config("rope_parameters", format!("must be an object, is {other}"))),
    };
    let found = (theta(kinds.remove(GLOBAL), older.0)?, theta(kinds.remove(LOCAL), older.1)?);
    match kinds.keys().next() {
        None => Ok(found),
        Some(key) => Err(config(
            "rope_parameters",
            format!(
                "has `{key}`; only \"{GLOBAL}\" and \"{LOCAL}\", each with `rope_type` and `rope_theta`, are supported"
            ),
        )),
    }
}

/// `rope_theta` of one kind of layers.
fn theta(of_kind: Option<Value>, older: f64) -> Result<f64> {
    let refused = |message: String| Err(config("rope_parameters", message));
    let mut own = match of_kind {
        None | Some(Value::Null) => return Ok(older),
        Some(Value::Object(own)) => own,
        Some(other) => return refused(format!("must have an object for each kind of layers, has {other}")),
    };
    if let Some(kind) = own.remove("rope_type").filter(|kind| kind != "default" && !kind.is_null()) {
        return refused(format!("`rope_type` {kind} is not supported; only \"default\" is"));
    }
    let theta = match own.remove("rope_theta") {
        None | Some(Value::Null) => older,
        Some(value) => match value.as_f64() {
            Some(theta) => theta,
            None => return refused(format!("`rope_theta` must be a number, is {value}")),
        },
    };
    match own.into_iter().find(|(_, value)| !value.is_null()) {
        None => Ok(theta),
        Some((key, value)) => refused(format!("`{key}` is not supported, is {value}")),
    }
}

/// `transformers` takes the width that positions turn from `head_dim`, where some other program has written it.
fn check_head_width(keys: &Map<String, Value>) -> Result<()> {
    let size = |key: &str| keys.get(key).and_then(Value::as_u64);
    let (hidden, heads) = (size("hidden_size").unwrap_or_default(), size("num_attention_heads").unwrap_or_default());
    match keys.get("head_dim") {
        None | Some(Value::Null) => Ok(()),
        Some(width) if heads > 0 && width.as_u64() == Some(hidden / heads) => Ok(()),
        Some(width) => {
            Err(config("head_dim", format!("only `hidden_size / num_attention_heads` is supported, is {width}")))
        }
    }
}

/// The value of a key that is there and not `null`.
fn take(keys: &mut Map<String, Value>, key: &str) -> Option<Value> {
    keys.remove(key).filter(|value| !value.is_null())
}

fn flag(keys: &mut Map<String, Value>, key: &'static str, default: bool) -> Result<bool> {
    let Some(value) = take(keys, key) else { return Ok(default) };
    value.as_bool().ok_or_else(|| config(key, format!("must be true or false, is {value}")))
}

fn number(keys: &mut Map<String, Value>, key: &'static str, default: f64) -> Result<f64> {
    let Some(value) = take(keys, key) else { return Ok(default) };
    value.as_f64().ok_or_else(|| config(key, format!("must be a number, is {value}")))
}

fn size(keys: &mut Map<String, Value>, key: &'static str, default: usize) -> Result<usize> {
    let Some(value) = take(keys, key) else { return Ok(default) };
    let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| config(key, format!("must be a whole number, is {value}")))
}

fn activation(keys: &mut Map<String, Value>, key: &'static str) -> Result<Activation> {
    let Some(value) = take(keys, key) else { return Ok(Activation::GeluErf) };
    serde_json::from_value(value.clone()).map_err(|error| config(key, format!("{error}, is {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small ModernBERT as `transformers` 5 writes it, `changes` applied.
    fn file(changes: Value) -> Value {
        let mut all = json!({
            "model_type": "modernbert", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2,
            "intermediate_size": 6, "max_position_embeddings": 40, "hidden_activation": "gelu", "norm_eps": 1e-3,
            "pad_token_id": 0, "local_attention": 6, "classifier_pooling": "mean"
        });
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        all
    }

    fn read(changes: Value) -> Result<BertConfig> {
        BertConfig::from_json(&file(changes).to_string())
    }

    #[test]
    fn both_generations_of_keys_are_read_and_the_newer_ones_come_first() {
        let kinds = json!([GLOBAL, LOCAL, GLOBAL, GLOBAL]);
        let cases = [
            (json!({}), [true, false, false, true], (GLOBAL_THETA, LOCAL_THETA)),
            (
                json!({ "global_attn_every_n_layers": 2, "global_rope_theta": 7.5, "local_rope_theta": 3 }),
                [true, false, true, false],
                (7.5, 3.0),
            ),
            (
                json!({
                    "layer_types": kinds, "global_attn_every_n_layers": 2, "global_rope_theta": 7.5, "local_rope_theta": 3,
                    "rope_parameters": { GLOBAL: { "rope_type": "default", "rope_theta": 9.0 } }
                }),
                [true, false, true, true],
                (9.0, 3.0),
            ),
        ];
        for (changes, global, thetas) in cases {
            let config = read(changes.clone()).unwrap();
            let modern = config.modern.as_ref().unwrap();
            assert_eq!(modern.global_layers, global, "{changes}");
            assert_eq!((modern.global_theta, modern.local_theta), thetas, "{changes}");
            assert_eq!((modern.reach(0), modern.reach(1)), (None, Some(3)), "{changes}");
            assert_eq!(BertConfig::from_json(&config.to_json().unwrap()).unwrap(), config, "{changes}");
        }
    }

    #[test]
    fn keys_are_written_as_transformers_names_them_and_no_others() {
        let config = read(json!({ "layer_norm_eps": 1, "hidden_act": "relu", "mlp_dropout": 0.2 })).unwrap();
        assert_eq!((config.layer_norm_eps, config.hidden_act), (1e-3, Activation::GeluErf));
        let written: Value = serde_json::from_str(&config.to_json().unwrap()).unwrap();
        for (key, value) in file(json!({ "mlp_dropout": 0.2, "global_attn_every_n_layers": 3 })).as_object().unwrap() {
            assert_eq!(&written[key], value, "{key}");
        }
        for key in IDLE {
            assert!(written.get(key).is_none(), "{key}");
        }
        let irregular = read(json!({ "layer_types": [LOCAL, GLOBAL, LOCAL, LOCAL] })).unwrap().to_json().unwrap();
        assert!(!irregular.contains("global_attn_every_n_layers"), "{irregular}");
    }

    #[test]
    fn values_that_ask_for_what_is_not_computed_are_refused_by_name() {
        let cases = [
            (json!({ "rope_scaling": { "factor": 2 } }), ["rope_scaling", "not supported"]),
            (json!({ "rope_parameters": { GLOBAL: { "rope_type": "yarn" } } }), ["rope_parameters", "\"yarn\""]),
            (json!({ "rope_parameters": { LOCAL: { "factor": 2.0 } } }), ["rope_parameters", "`factor`"]),
            (json!({ "rope_parameters": { "rope_theta": 2.0 } }), ["rope_parameters", "`rope_theta`"]),
            (json!({ "rope_parameters": { LOCAL: { "rope_theta": 0 } } }), ["rope_parameters", "positive"]),
            (json!({ "layer_types": [GLOBAL, "chunked_attention", LOCAL, LOCAL] }), ["layer_types", "chunked"]),
            (json!({ "layer_types": [GLOBAL] }), ["layer_types", "lists 1 layers"]),
            (json!({ "global_attn_every_n_layers": 0 }), ["global_attn_every_n_layers", "is 0"]),
            (json!({ "classifier_pooling": "max" }), ["classifier_pooling", "\"max\""]),
            (json!({ "hidden_activation": "mish" }), ["hidden_activation", "mish"]),
            (json!({ "norm_bias": "no" }), ["norm_bias", "true or false"]),
            (json!({ "local_attention": -1 }), ["local_attention", "whole number"]),
            (json!({ "embedding_dropout": 1 }), ["embedding_dropout", "below 1"]),
            (json!({ "num_attention_heads": 8 }), ["num_attention_heads", "even width"]),
            (json!({ "head_dim": 3 }), ["head_dim", "is 3"]),
            (json!({ "max_position_embeddings": 1 << 20 }), ["max_position_embeddings", "at most"]),
            (json!({ "embedding_size": 4 }), ["embedding_size", "means nothing"]),
        ];
        for (changes, parts) in cases {
            let message = read(changes.clone()).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{changes}: {message}");
        }
    }
}
