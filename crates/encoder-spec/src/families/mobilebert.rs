//! MobileBERT (Sun et al. 2020), with its `config.json` as `transformers` writes and reads it.
//!
//! The file's defaults are others than this crate's, and some of its keys say together what a single field says here:
//!
//! | `transformers` | here |
//! |---|---|
//! | `use_bottleneck: false`; `intra_bottleneck_size` is there all the same | no `intra_bottleneck_size` |
//! | `embedding_size` equal to `hidden_size`, no trigrams: the projection is there, and not applied | no `embedding_size` |
//! | `normalization_type: layer_norm`: two norms have PyTorch's default epsilon | `default_norm_eps` |
//! | `use_bottleneck_attention` wins over `key_query_shared_bottleneck`, whose tensors are there, and not used | the same |
//! | `classifier_activation: false`: the pooler may be there, and is not used | the pooler is left out |

use serde_json::{Map, Value, json};

use super::Family;
use super::bert::plain_layers;
use crate::config::config;
use crate::encoder::{Layer, Shape};
use crate::{AttentionInput, BertConfig, ModelType, NormKind, Result};

/// Keys that `transformers` writes for every MobileBERT. Where none of them stands, the file is one that this program wrote before
/// it wrote them itself, or that was written by hand for it: every field means what it says.
const MARKS: [&str; 4] = ["use_bottleneck", "true_hidden_size", "classifier_activation", "transformers_version"];

/// Epsilon of `torch.nn.LayerNorm` where none is given.
const PYTORCH_EPS: f64 = 1e-5;
/// `intra_bottleneck_size` where the key is absent and there is a bottleneck.
const BOTTLENECK: usize = 128;

/// The family.
pub(super) struct MobileBert;

impl Family for MobileBert {
    fn name(&self) -> &'static str {
        "mobilebert"
    }

    fn class(&self) -> Option<&'static str> {
        Some("MobileBert")
    }

    fn prefix(&self) -> &'static str {
        "mobilebert."
    }

    fn read_keys(&self, keys: &mut Map<String, Value>) -> Result<()> {
        settle(keys)
    }

    fn written_keys(&self, config: &BertConfig) -> BertConfig {
        in_full(config)
    }

    fn is_of_transformers(&self, config: &BertConfig) -> bool {
        config.is_mobilebert_of_transformers()
    }

    fn leaves_unused(&self, config: &BertConfig, name: &str) -> bool {
        if name.starts_with("embeddings.embedding_transformation.") {
            return config.embedding_size.is_none();
        }
        if name.starts_with("pooler.dense.") {
            return !config.uses_pooler();
        }
        let of_layer = name.strip_prefix("encoder.layer.").and_then(|rest| rest.split_once('.'));
        match of_layer {
            Some((_, part)) if part.starts_with("bottleneck.attention.") => {
                config.key_query_shared_bottleneck
                    && config.bottleneck().is_some_and(|b| b.attention_input == AttentionInput::Bottleneck)
            }
            // Of no rows, where the word table has all columns.
            _ => name == "cls.predictions.dense.weight" && config.embed_width() == config.hidden_size,
        }
    }

    fn layers(&self, config: &BertConfig) -> Result<Vec<Layer<Shape>>> {
        plain_layers(config)
    }
}

/// Turns the keys that `transformers` wrote into this crate's fields; other files stay as they are.
///
/// # Errors
/// A key has a value of another type, or `true_hidden_size` is not the width inside a layer.
fn settle(keys: &mut Map<String, Value>) -> Result<()> {
    if !MARKS.iter().any(|key| keys.contains_key(*key)) {
        return Ok(());
    }
    // A model that this program trained, and wrote before it named a class: it left such keys where they were.
    let has_heads = keys.get("task_heads").and_then(Value::as_array).is_some_and(|heads| !heads.is_empty());
    if has_heads && !keys.contains_key("architectures") {
        return Ok(());
    }
    let flag = |key: &'static str| match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(config(key, format!("must be true or false, is {other}"))),
    };
    flag("classifier_activation")?;
    let (bottleneck, trigrams) = (flag("use_bottleneck")?, flag("trigram_input")?.unwrap_or(false));
    if bottleneck == Some(false) {
        keys.remove("intra_bottleneck_size");
    } else if bottleneck == Some(true) {
        keys.entry("intra_bottleneck_size").or_insert_with(|| json!(BOTTLENECK));
    }
    keys.remove("use_bottleneck");
    let inside = keys.get("intra_bottleneck_size").or_else(|| keys.get("hidden_size")).cloned();
    if let Some(width) = keys.remove("true_hidden_size")
        && !width.is_null()
        && Some(&width) != inside.as_ref()
    {
        let inside = inside.unwrap_or_default();
        return Err(config(
            "true_hidden_size",
            format!("only the width inside a layer, {inside}, is supported, is {width}"),
        ));
    }
    if !trigrams && keys.get("embedding_size") == keys.get("hidden_size") {
        keys.remove("embedding_size");
    }
    if keys.get("normalization_type").is_none_or(|norm| norm == "layer_norm") {
        keys.entry("default_norm_eps").or_insert_with(|| json!(PYTORCH_EPS));
    }
    Ok(())
}

/// The configuration with every key for which `transformers` has another default than this crate.
fn in_full(config: &BertConfig) -> BertConfig {
    let mut full = config.clone();
    if config.normalization_type == NormKind::LayerNorm {
        full.default_norm_eps = Some(config.outer_norm_eps());
        full.extra.insert("normalization_type".into(), json!("layer_norm"));
    }
    if !config.is_mobilebert_of_transformers() {
        return full;
    }
    full.key_query_shared_bottleneck &= !config.use_bottleneck_attention;
    let mut keys = vec![
        ("use_bottleneck", json!(config.intra_bottleneck_size.is_some())),
        ("true_hidden_size", json!(config.inner_width())),
    ];
    // Fields are not written where they have this crate's default.
    let mut absent = |is_default: bool, key, value| keys.extend(is_default.then_some((key, value)));
    absent(!full.trigram_input, "trigram_input", json!(false));
    absent(!full.key_query_shared_bottleneck, "key_query_shared_bottleneck", json!(false));
    absent(!full.use_bottleneck_attention, "use_bottleneck_attention", json!(false));
    absent(full.num_feedforward_networks == 1, "num_feedforward_networks", json!(1));
    absent(full.embedding_size.is_none(), "embedding_size", json!(full.hidden_size));
    full.extra.extend(keys.into_iter().map(|(key, value)| (key.to_owned(), value)));
    full
}

impl BertConfig {
    /// Whether this is a MobileBERT that `transformers` can build too: none of the variants of EfficientBERT's code, and not IB-BERT,
    /// whose queries and keys come from hidden states of another width than the layer's inside.
    pub fn is_mobilebert_of_transformers(&self) -> bool {
        let wide = self.bottleneck().is_some_and(|b| b.attention_input == AttentionInput::Wide);
        let projected = self.trigram_input || self.embed_width() != self.hidden_size;
        self.model_type == ModelType::MobileBert
            && self.bottleneck_norm
            && !self.tie_key_query
            && (!wide || self.inner_width() == self.hidden_size)
            && self.embedding_size.is_some() == projected
    }

    /// Whether heads see the first token through the pooler, where a file has one: MobileBERT's `classifier_activation`.
    fn uses_pooler(&self) -> bool {
        // A directory with heads of its own was trained by this program, through the pooler that it holds.
        !self.task_heads.is_empty() || self.extra.get("classifier_activation") != Some(&Value::Bool(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    /// A small MobileBERT as `transformers` 5 writes it, `changes` applied.
    fn written(changes: Value) -> Value {
        let mut all = json!({
            "model_type": "mobilebert", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 6, "max_position_embeddings": 4, "hidden_act": "relu", "layer_norm_eps": 1e-12,
            "embedding_size": 4, "trigram_input": true, "use_bottleneck": true, "intra_bottleneck_size": 4,
            "use_bottleneck_attention": false, "key_query_shared_bottleneck": true, "num_feedforward_networks": 2,
            "normalization_type": "no_norm", "classifier_activation": true, "true_hidden_size": 4
        });
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        all
    }

    fn read(value: &Value) -> Result<BertConfig> {
        BertConfig::from_json(&value.to_string())
    }

    /// What is read back after the configuration was saved, and what stands in the file.
    fn again(config: &BertConfig) -> (BertConfig, Value) {
        let text = config.to_json().unwrap();
        (BertConfig::from_json(&text).unwrap(), serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn forms_that_transformers_writes_become_fields_and_are_written_back() {
        type Expected = fn(&BertConfig) -> bool;
        let cases: [(Value, Expected); 6] = [
            (json!({}), |c| c.intra_bottleneck_size == Some(4) && c.embedding_size == Some(4)),
            (json!({ "use_bottleneck": false, "true_hidden_size": 8 }), |c| {
                c.bottleneck().is_none() && c.inner_width() == 8
            }),
            (json!({ "trigram_input": false, "embedding_size": 8 }), |c| c.embedding_size.is_none()),
            (json!({ "trigram_input": true, "embedding_size": 8 }), |c| c.embedding_size == Some(8)),
            (json!({ "trigram_input": false }), |c| c.embedding_size == Some(4)),
            (json!({ "normalization_type": "layer_norm" }), |c| {
                c.outer_norm_eps() == 1e-5 && c.layer_norm_eps == 1e-12
            }),
        ];
        for (changes, expected) in cases {
            let file = written(changes);
            let config = read(&file).unwrap();
            assert!(expected(&config), "{file}");
            assert!(config.is_mobilebert_of_transformers(), "{file}");
            let (config_again, saved) = again(&config);
            assert_eq!(config_again, config, "{file}");
            for (key, value) in file.as_object().unwrap() {
                // Without a bottleneck its size says nothing.
                let is_idle = key == "intra_bottleneck_size" && file["use_bottleneck"] == json!(false);
                assert!(is_idle || saved[key] == *value, "{key}: {} instead of {value}", saved[key]);
            }
        }
    }

    #[test]
    fn widths_that_contradict_each_other_and_values_that_are_no_flags_are_refused() {
        for (changes, parts) in [
            (json!({ "true_hidden_size": 8 }), ["true_hidden_size", "4"]),
            (json!({ "use_bottleneck": false, "true_hidden_size": 4 }), ["true_hidden_size", "8"]),
            (json!({ "use_bottleneck": "no" }), ["use_bottleneck", "true or false"]),
            (json!({ "classifier_activation": 1 }), ["classifier_activation", "true or false"]),
        ] {
            let message = read(&written(changes)).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn files_without_transformers_keys_mean_what_their_fields_say() {
        let mut file =
            written(json!({ "trigram_input": false, "embedding_size": 8, "normalization_type": "layer_norm" }));
        let keys = file.as_object_mut().unwrap();
        for mark in MARKS {
            keys.remove(mark);
        }
        let config = read(&file).unwrap();
        assert_eq!((config.embedding_size, config.outer_norm_eps()), (Some(8), 1e-12));
        assert_eq!(again(&config).0.outer_norm_eps(), 1e-12, "after it was saved");
        assert_eq!(again(&config).0.embedding_size, Some(8), "after it was saved");
    }

    #[test]
    fn published_configurations_read_back_as_they_were() {
        for name in crate::PRESETS {
            let config = preset(name).unwrap();
            let (read, file) = again(&config);
            assert_eq!(read.outer_norm_eps(), config.outer_norm_eps(), "{name}");
            assert_eq!(BertConfig { default_norm_eps: None, ..read }, config, "{name}");
            let known = ["mobilebert", "mobilebert-tiny"].contains(&name);
            assert_eq!(file.get("use_bottleneck").is_some(), known, "{name}");
        }
    }

    #[test]
    fn tensors_are_left_unused_only_where_the_configuration_says_so() {
        let attention = "encoder.layer.0.bottleneck.attention.dense.weight";
        let projection = "mobilebert.embeddings.embedding_transformation.weight";
        let pooler = "mobilebert.pooler.dense.bias";
        let words = "cls.predictions.dense.weight";
        let cases = [
            (json!({}), vec![]),
            (json!({ "use_bottleneck_attention": true }), vec![attention]),
            (json!({ "use_bottleneck_attention": true, "key_query_shared_bottleneck": false }), vec![]),
            (json!({ "trigram_input": false, "embedding_size": 8 }), vec![projection, words]),
            (json!({ "trigram_input": false }), vec![]),
            (json!({ "classifier_activation": false }), vec![pooler]),
        ];
        for (changes, unused) in cases {
            let config = read(&written(changes.clone())).unwrap();
            let found: Vec<_> =
                [attention, projection, pooler, words].into_iter().filter(|n| config.leaves_unused(n)).collect();
            assert_eq!(found, unused, "{changes}");
        }
        let heads = json!([{ "task": "sst-2", "kind": "classification", "labels": ["a", "b"] }]);
        let trained = read(&written(json!({ "classifier_activation": false, "task_heads": heads }))).unwrap();
        assert!(!trained.leaves_unused(pooler), "heads that were trained through it");
        assert!(!BertConfig { model_type: ModelType::Bert, ..trained }.leaves_unused(pooler));
    }
}
