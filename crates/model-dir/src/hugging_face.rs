//! What makes a model directory one that Hugging Face's libraries read.

use std::collections::BTreeMap;

use encoder_spec::{BertConfig, ModelType, NameFormat, Parts, Stored, TaskHeadKind};
use serde_json::{Map, Value, json};

use crate::Tensors;
use crate::place::named;

/// What Hugging Face calls the first head of a model that marks no spans ([`ModelType::span_head`]).
const FIRST_HEAD: &str = "classifier.";

/// Configuration and tensors as they stand in the directory, from tensors by path.
pub(crate) fn image(mut config: BertConfig, parts: Parts, tensors: Tensors) -> (BertConfig, Tensors) {
    let family = config.model_type;
    let mut tensors = named(tensors, NameFormat::HuggingFace(family));
    let Some(class) = family.class() else { return (config, tensors) };
    describe(&mut config, class, parts);
    if let [head] = &config.task_heads[..]
        && head.kind == TaskHeadKind::Span
    {
        tensors = renamed(tensors, FIRST_HEAD, family.span_head());
    }
    // Hugging Face recognizes a model with heads by the family's prefix in its tensor names and refuses a mixture.
    if parts.mlm || !config.task_heads.is_empty() {
        tensors = prefixed(tensors, family);
    }
    (config, tensors)
}

/// The keys by which Hugging Face chooses a class and names its labels; meaningless to this project.
fn describe(config: &mut BertConfig, family: &str, parts: Parts) {
    for key in ["architectures", "id2label", "label2id", "problem_type"] {
        config.extra.remove(key);
    }
    if parts.mlm {
        // The word table is the head's, whatever the file was that it came from.
        config.extra.remove("tie_word_embeddings");
    }
    let is_mobilebert = config.model_type == ModelType::MobileBert;
    if is_mobilebert && !config.is_mobilebert_of_transformers() {
        return;
    }
    // MobileBERT's classifier does without a pooler where the configuration says so, BERT's does not.
    let pooled = parts.pooler || is_mobilebert;
    // All heads of a ModernBERT are behind the transform that is in a pooler's place.
    let is_bare = config.model_type == ModelType::ModernBert && !parts.pooler;
    // MobileBERT's head has output weights beside a narrow word table.
    let known_words = !is_mobilebert || parts.mlm_extra || config.embed_width() == config.hidden_size;
    if is_mobilebert {
        config.extra.insert("classifier_activation".into(), json!(parts.pooler));
    }
    let class = match &config.task_heads[..] {
        [_] if is_bare => "Model",
        [head] if head.kind == TaskHeadKind::Tags && !parts.mlm => {
            name_labels(&mut config.extra, &head.labels);
            "ForTokenClassification"
        }
        [head] if pooled && head.kind.is_on_pooled() => {
            let regression = ["LABEL_0".to_owned()];
            let (labels, problem) = match head.kind {
                TaskHeadKind::Regression => (&regression[..], Some("regression")),
                TaskHeadKind::MultiLabel => (&head.labels[..], Some("multi_label_classification")),
                _ => (&head.labels[..], None),
            };
            let problem = problem.map(|problem| ("problem_type".to_owned(), json!(problem)));
            name_labels(&mut config.extra, labels);
            config.extra.extend(problem);
            "ForSequenceClassification"
        }
        [head] if head.kind == TaskHeadKind::Span && !parts.mlm => "ForQuestionAnswering",
        [] if parts.mlm && known_words => "ForMaskedLM",
        _ => "Model",
    };
    config.extra.insert("architectures".into(), json!([format!("{family}{class}")]));
}

/// Names the outputs of the head.
fn name_labels(extra: &mut BTreeMap<String, Value>, labels: &[String]) {
    let by_id: Map<String, Value> = labels.iter().enumerate().map(|(i, l)| (i.to_string(), json!(l))).collect();
    let by_label: Map<String, Value> = labels.iter().enumerate().map(|(i, l)| (l.clone(), json!(i))).collect();
    extra.extend([("id2label".into(), by_id.into()), ("label2id".into(), by_label.into())]);
}

/// Tensors of a file as the model of `config` takes them, and the names of those left out: the head of Hugging Face's question
/// answering models (`qa_outputs`) under the name of a first head, and without what `transformers` writes and computes nothing with
/// ([`BertConfig::leaves_unused`]).
pub fn usable<T: Stored>(tensors: Tensors<T>, config: &BertConfig) -> (Tensors<T>, Vec<String>) {
    let mut tensors = renamed(tensors, config.model_type.span_head(), FIRST_HEAD);
    let mut unused = Vec::new();
    tensors.0.retain(|name, tensor| {
        // Further output weights of the masked-LM head are unused only where there are none of them.
        let is_used = !config.leaves_unused(name) || name.starts_with("cls.") && !tensor.values().is_empty();
        unused.extend((!is_used).then(|| name.clone()));
        is_used
    });
    (tensors, unused)
}

/// Names that are taken stay as they are, and are left over when the tensors are placed.
fn renamed<T>(tensors: Tensors<T>, from: &str, to: &str) -> Tensors<T> {
    let taken = tensors.0.keys().any(|name| name.starts_with(to));
    let rename = |name: String| match name.strip_prefix(from) {
        Some(rest) if !taken => format!("{to}{rest}"),
        _ => name,
    };
    Tensors(tensors.0.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect())
}

fn prefixed(tensors: Tensors, family: ModelType) -> Tensors {
    let rename = |name: String| if family.is_head(&name) { name } else { format!("{}{name}", family.prefix()) };
    Tensors(tensors.0.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect())
}
