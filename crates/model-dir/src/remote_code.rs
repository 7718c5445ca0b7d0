//! Classes for `transformers` that stand beside a model which it has none for (`trust_remote_code=True`).
//!
//! They are two Python files, of which `auto_map` in `config.json` names the classes. They read the same `model.safetensors`.

use encoder_spec::{BertConfig, Parts, TaskHeadKind};
use serde_json::{Map, Value, json};

/// Keys of `config.json` that are for the classes alone, or that say which ones there are.
pub(crate) const KEYS: [&str; 4] = ["auto_map", "mlm_head", "task", "classifier_activation"];

/// What `transformers` calls its automatic classes, and ours for them.
const CLASSES: [(&str, &str); 6] = [
    ("AutoConfig", "configuration_efficientbert.EfficientBertConfig"),
    ("AutoModel", "modeling_efficientbert.EfficientBertModel"),
    ("AutoModelForSequenceClassification", "modeling_efficientbert.EfficientBertForSequenceClassification"),
    ("AutoModelForTokenClassification", "modeling_efficientbert.EfficientBertForTokenClassification"),
    ("AutoModelForQuestionAnswering", "modeling_efficientbert.EfficientBertForQuestionAnswering"),
    ("AutoModelForMaskedLM", "modeling_efficientbert.EfficientBertForMaskedLM"),
];

/// The files with the classes, by name.
pub const CLASS_FILES: [(&str, &str); 2] = [
    ("configuration_efficientbert.py", include_str!("../python/configuration_efficientbert.py")),
    ("modeling_efficientbert.py", include_str!("../python/modeling_efficientbert.py")),
];

/// The files with the classes that `config` names, by name; none where it names none.
pub fn class_files(config: &BertConfig) -> Vec<(String, Vec<u8>)> {
    match config.extra.contains_key("auto_map") {
        true => CLASS_FILES.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect(),
        false => Vec::new(),
    }
}

/// The class that computes the first head of a model with these parts.
pub(crate) fn class(config: &BertConfig, parts: Parts) -> &'static str {
    match config.task_heads.first().map(|head| head.kind) {
        Some(TaskHeadKind::Tags) => "EfficientBertForTokenClassification",
        Some(TaskHeadKind::Span) => "EfficientBertForQuestionAnswering",
        Some(TaskHeadKind::Embedding) => "EfficientBertModel",
        Some(_) => "EfficientBertForSequenceClassification",
        None if parts.mlm => "EfficientBertForMaskedLM",
        None => "EfficientBertModel",
    }
}

/// Adds what the classes need to know beside the fields of `config`: where they stand, and which optional parts the weights have.
pub(crate) fn describe(config: &mut BertConfig, parts: Parts) {
    let classes: Map<String, Value> = CLASSES.iter().map(|(auto, own)| ((*auto).to_owned(), json!(own))).collect();
    config.extra.insert("auto_map".into(), classes.into());
    config.extra.insert("classifier_activation".into(), json!(parts.pooler));
    if parts.mlm {
        config.extra.insert("mlm_head".into(), json!(if parts.mlm_extra { "extended" } else { "tied" }));
    }
}
