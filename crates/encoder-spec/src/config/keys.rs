//! Keys of `config.json` that no field holds: which of them would change what is computed, and which change nothing.
//!
//! The lists follow `transformers`' `PreTrainedConfig`, `BertConfig` and `MobileBertConfig` of versions 4 and 5, and what
//! checkpoints on the hub carry. `docs/model-directory.md` names every key of them.

use serde_json::{Map, Value};

use super::{BertConfig, config};
use crate::{ModelType, Result};

/// A key that other programs compute by, whether its value asks for what this crate computes, and what is supported.
type Limited = (&'static str, fn(&Value) -> bool, &'static str);

const LIMITED: [Limited; 8] = [
    (
        "is_decoder",
        is_off,
        "decoders are not supported, only encoders, in which every token attends to the whole text; it must be false",
    ),
    ("add_cross_attention", is_off, "attention to the states of another model is not supported; it must be false"),
    ("position_embedding_type", |value| value == "absolute", "only \"absolute\" is supported"),
    ("pruned_heads", is_empty, "pruned attention heads are not supported; it must be empty"),
    (
        "layer_types",
        attends_to_all,
        "layers that attend to a part of the tokens are not supported; only \"full_attention\" is",
    ),
    ("per_layer_config", is_empty, "layers with configurations of their own are not supported; it must be empty"),
    ("quantization_config", is_of_bytes, "weights quantized by other programs are not supported"),
    ("compression_config", is_empty, "compressed weights are not supported"),
];

/// The `quant_method` of the files whose matrices this program writes in 8-bit integers.
pub const QUANT_METHOD: &str = "efficientbert-int8";

/// Keys that change no number of an encoder, or that are read by name where they matter.
const KNOWN: [&str; 8] = [
    // heads, which `import` reads, and MobileBERT's forms, which its family reads and writes
    "architectures id2label label2id num_labels problem_type tie_word_embeddings classifier_activation use_bottleneck \
     true_hidden_size",
    // where a file comes from, what its numbers are stored as
    "transformers_version name_or_path finetuning_task task_specific_params tokenizer_class prefix torch_dtype \
     dtype use_bfloat16 torchscript language model_max_length",
    // how `transformers` runs and what it returns
    "attn_implementation output_attentions output_hidden_states return_dict use_return_dict gradient_checkpointing \
     chunk_size_feed_forward use_cache output_past tie_last_hidden_states device_map",
    // of the classes that stand beside a model that `transformers` has none for
    "auto_map mlm_head task",
    // of decoders, of other models' heads, of TensorFlow's pooler
    "is_encoder_decoder cross_attention_hidden_size tie_encoder_decoder decoder_start_token_id bos_token_id \
     eos_token_id sep_token_id cls_token_id mask_token_id unk_token_id summary_type summary_use_proj \
     summary_activation summary_last_dropout summary_proj_to_labels summary_first_dropout directionality \
     pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type",
    // of ModernBERT: its first weights, how its words are scored in training, and how `transformers` runs it
    "initializer_cutoff_factor sparse_prediction sparse_pred_ignore_index reference_compile deterministic_flash_attn \
     repad_logits_with_grad head_dim",
    // of the training of TinyBERT's releases
    "cell structure emb_size pre_trained training",
    // generation of text
    "max_length max_new_tokens min_length min_new_tokens do_sample early_stopping max_time num_beams \
     num_beam_groups diversity_penalty penalty_alpha temperature top_k top_p min_p top_h typical_p epsilon_cutoff \
     eta_cutoff repetition_penalty encoder_repetition_penalty length_penalty no_repeat_ngram_size \
     encoder_no_repeat_ngram_size bad_words_ids force_words_ids renormalize_logits constraints forced_bos_token_id \
     forced_eos_token_id remove_invalid_values exponential_decay_length_penalty suppress_tokens \
     begin_suppress_tokens sequence_bias token_healing guidance_scale num_return_sequences output_scores \
     output_logits return_dict_in_generate cache_implementation cache_config return_legacy_cache \
     prompt_lookup_num_tokens num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold \
     assistant_lookbehind target_lookbehind generation_config",
];

fn known_keys() -> impl Iterator<Item = &'static str> {
    KNOWN.into_iter().flat_map(str::split_whitespace)
}

fn is_off(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn attends_to_all(value: &Value) -> bool {
    value.as_array().is_some_and(|all| all.iter().all(|t| t == "full_attention" || t == "attention"))
}

/// Nothing, or the mark of a file whose matrices are in 8-bit integers, which this program reads. It keeps others from reading them as
/// floating point.
fn is_of_bytes(value: &Value) -> bool {
    is_empty(value) || value.get("quant_method").is_some_and(|method| method == QUANT_METHOD)
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// Which family a model is of that `transformers` reads with the classes that stand beside it: `model_type` names these then.
const ENCODER_TYPE: &str = "encoder_type";

/// The keys under the names of the family that they are of, which they name, in the meaning that they have here; removes keys whose value
/// means that they are absent.
///
/// # Errors
/// `model_type` names another family, or a key of it asks for what is not supported.
pub(super) fn settle(keys: &mut Map<String, Value>) -> Result<()> {
    let Some(named) = keys.remove(ENCODER_TYPE) else { return family(keys)?.family().read_keys(keys) };
    let of_classes = [ModelType::Bert, ModelType::MobileBert, ModelType::EfficientBert];
    if !of_classes.iter().any(|family| named == family.name()) {
        let known = of_classes.map(ModelType::name).join(", ");
        return Err(config(ENCODER_TYPE, format!("must be one of {known}, is {}", shortened(&named))));
    }
    // Whatever stands there was written by this program or by its classes, so every key means what it says.
    keys.insert("model_type".into(), named);
    family(keys).map(drop)
}

/// The text of a `config.json` of `config`, in which `model_type` names the classes that stand beside a model that `transformers` has
/// none for. Under its family's name `transformers` would take a class of its own, which computes something else.
pub(super) fn for_classes(config: &BertConfig, text: String) -> String {
    let (family, classes) = (config.model_type, ModelType::EfficientBert.name());
    // It would take integers for weights.
    let is_of_bytes = config.extra.get("quantization_config").is_some_and(|value| !value.is_null() && !is_empty(value));
    let is_known = config.is_of_transformers() && !(is_of_bytes && family != ModelType::ModernBert);
    if is_known || family == ModelType::EfficientBert {
        return text;
    }
    // `model_type` is the first key.
    let own = format!("\"model_type\": \"{}\"", family.name());
    text.replacen(&own, &format!("\"model_type\": \"{classes}\",\n  \"{ENCODER_TYPE}\": \"{}\"", family.name()), 1)
}

/// The family that the keys name; removes keys whose value means that they are absent.
///
/// # Errors
/// `model_type` names another family.
fn family(keys: &mut Map<String, Value>) -> Result<ModelType> {
    for key in ["model_type", "pad_token_id"] {
        if keys.get(key).is_some_and(Value::is_null) {
            keys.remove(key);
        }
    }
    let Some(Value::String(name)) = keys.get("model_type") else { return Ok(ModelType::default()) };
    ModelType::ALL.into_iter().find(|family| family.name() == name).ok_or_else(|| {
        let known = ModelType::ALL.map(ModelType::name).join(", ");
        let converted = crate::foreign::model_types().collect::<Vec<_>>().join(", ");
        let message = format!(
            "models of type \"{name}\" are not supported; supported are {known}, and an import converts {converted}"
        );
        config("model_type", message)
    })
}

/// Checks that no key of `config.json` asks for a computation that this crate does not describe.
///
/// # Errors
/// A key that no field holds asks for another computation than this crate's.
pub(super) fn check(config_read: &BertConfig) -> Result<()> {
    for (key, is_supported, supported) in LIMITED {
        match config_read.extra.get(key) {
            None | Some(Value::Null) => {}
            Some(value) if is_supported(value) => {}
            Some(value) => return Err(config(key, format!("{supported}, is {}", shortened(value)))),
        }
    }
    Ok(())
}

/// The value as JSON, its end left out where it is long.
fn shortened(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}

impl BertConfig {
    /// Keys that are kept and written back, but of which nothing is known: neither does a field hold them, nor does any BERT or
    /// MobileBERT of `transformers` read them. What starts with an underscore is `transformers`' own and left out.
    pub fn unknown_keys(&self) -> impl Iterator<Item = &str> {
        let is_known = |key: &str| {
            key.starts_with('_')
                || known_keys().any(|known| known == key)
                || LIMITED.iter().any(|limited| limited.0 == key)
        };
        self.extra.keys().map(String::as_str).filter(move |key| !is_known(key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(key: &str, value: Value) -> BertConfig {
        BertConfig { extra: [(key.to_owned(), value)].into(), ..BertConfig::bert(9, 4, 1, 2, 6) }
    }

    #[test]
    fn values_that_ask_for_another_computation_are_refused_with_key_and_value() {
        let refused = [
            ("is_decoder", json!(true)),
            ("is_decoder", json!("yes")),
            ("add_cross_attention", json!(true)),
            ("position_embedding_type", json!("relative_key_query")),
            ("pruned_heads", json!({ "0": [1] })),
            ("layer_types", json!(["full_attention", "sliding_attention"])),
            ("per_layer_config", json!({ "0": { "hidden_size": 8 } })),
            ("quantization_config", json!({ "quant_method": "bitsandbytes" })),
            ("compression_config", json!({ "format": "pack-quantized" })),
        ];
        for (key, value) in refused {
            let message = with(key, value.clone()).validate().unwrap_err().to_string();
            assert!(message.contains(&format!("`{key}`")) && message.ends_with(&format!(", is {value}")), "{message}");
        }
        let long = with("layer_types", json!(vec!["sliding_attention"; 500])).validate().unwrap_err().to_string();
        assert!(long.len() < 250, "{long}");
    }

    #[test]
    fn values_that_ask_for_what_is_computed_pass() {
        let supported = [
            ("is_decoder", json!(false)),
            ("add_cross_attention", json!(false)),
            ("position_embedding_type", json!("absolute")),
            ("pruned_heads", json!({})),
            ("layer_types", json!(["full_attention"])),
            ("per_layer_config", json!({})),
            ("quantization_config", json!({})),
            ("quantization_config", json!({ "quant_method": QUANT_METHOD })),
        ];
        for (key, value) in supported {
            for value in [value, Value::Null] {
                let config = with(key, value);
                config.validate().unwrap();
                assert_eq!(config.unknown_keys().next(), None, "{key}");
            }
        }
    }

    #[test]
    fn an_encoder_of_no_class_of_transformers_is_written_under_another_name_and_read_back() {
        let bert = BertConfig::bert(9, 4, 1, 2, 6);
        let narrow = BertConfig { embedding_size: Some(3), ..bert.clone() };
        let variant = BertConfig {
            model_type: ModelType::MobileBert,
            intra_bottleneck_size: Some(2),
            tie_key_query: true,
            ..bert.clone()
        };
        for (config, family) in [(&narrow, "bert"), (&variant, "mobilebert")] {
            let text = config.to_json().unwrap();
            let file: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&file["model_type"], &file["encoder_type"]), (&json!("efficientbert"), &json!(family)));
            let read = BertConfig::from_json(&text).unwrap();
            assert_eq!((read.model_type, read.extra.get("encoder_type")), (config.model_type, None));
            assert_eq!(read.to_json().unwrap(), text);
        }
        let plain: Value = serde_json::from_str(&bert.to_json().unwrap()).unwrap();
        assert_eq!((&plain["model_type"], plain.get("encoder_type")), (&json!("bert"), None));
    }

    #[test]
    fn every_key_means_what_it_says_where_the_family_is_named_apart() {
        let mut file = json!({
            "model_type": "efficientbert", "encoder_type": "mobilebert", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 6, "max_position_embeddings": 4, "hidden_act": "relu",
            "embedding_size": 8, "intra_bottleneck_size": null, "transformers_version": "5.24.0", "task": "a", "mlm_head": "tied",
            "auto_map": {}, "layers": [], "task_heads": []
        });
        let config = BertConfig::from_json(&file.to_string()).unwrap();
        // In a file of `transformers`' own class these two say that there is no projection, and another epsilon.
        assert_eq!((config.embedding_size, config.outer_norm_eps()), (Some(8), 1e-12));
        assert_eq!(config.unknown_keys().next(), None);
        for wrong in [json!("modernbert"), json!("gpt2"), json!(1), Value::Null] {
            file["encoder_type"] = wrong;
            let message = BertConfig::from_json(&file.to_string()).unwrap_err().to_string();
            assert!(message.contains("`encoder_type`") && message.contains("mobilebert"), "{message}");
        }
    }

    #[test]
    fn only_keys_on_no_list_are_unknown() {
        for key in ["use_cache", "torch_dtype", "id2label", "_commit_hash", "cell"] {
            assert_eq!(with(key, json!(1)).unknown_keys().next(), None, "{key}");
        }
        assert_eq!(with("feed_forward_type", json!("geglu")).unknown_keys().collect::<Vec<_>>(), ["feed_forward_type"]);
    }

    #[test]
    fn every_key_of_the_lists_is_documented() {
        let page = include_str!("../../../../docs/model-directory.md");
        let limited = LIMITED.iter().map(|limited| limited.0);
        for key in limited.chain(known_keys()) {
            assert!(page.contains(&format!("`{key}`")), "docs/model-directory.md does not name `{key}`");
        }
    }
}
