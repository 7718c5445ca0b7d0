//! What makes a model directory one that Hugging Face's libraries read.

use std::collections::BTreeMap;

use encoder_spec::{BertConfig, ModelType, NameFormat, Parts, Stored, TaskHeadKind};
use serde_json::{Map, Value, json};

use crate::place::named;
use crate::{Tensors, remote_code};

/// What Hugging Face calls the first head of a model that marks no spans ([`ModelType::span_head`]).
const FIRST_HEAD: &str = "classifier.";

/// A model as it stands in its directory.
pub(crate) struct Image {
    /// With the keys by which `transformers` chooses a class.
    pub config: BertConfig,
    /// By name.
    pub tensors: Tensors,
    /// Whether the [classes](crate::CLASS_FILES) have to stand beside it.
    pub needs_classes: bool,
}

/// The image of a model whose tensors are given by path.
pub(crate) fn image(mut config: BertConfig, parts: Parts, tensors: Tensors) -> Image {
    let family = config.model_type;
    let mut tensors = named(tensors, NameFormat::HuggingFace(family));
    let needs_classes = !describe(&mut config, parts);
    // The classes beside the model have this program's own names.
    if needs_classes {
        return Image { config, tensors, needs_classes };
    }
    if let [head] = &config.task_heads[..]
        && head.kind == TaskHeadKind::Span
    {
        tensors = renamed(tensors, FIRST_HEAD, family.span_head());
    }
    // Hugging Face recognizes a model with heads by the family's prefix in its tensor names and refuses a mixture.
    if parts.mlm || !config.task_heads.is_empty() {
        tensors = prefixed(tensors, family);
    }
    Image { config, tensors, needs_classes }
}

/// Sets the keys by which Hugging Face chooses a class and names its labels; meaningless to this project. Returns whether it has classes
/// for all that the model computes: one, or two for a head on texts and a masked-LM head.
fn describe(config: &mut BertConfig, parts: Parts) -> bool {
    for key in
        ["architectures", "id2label", "label2id", "num_labels", "problem_type"].into_iter().chain(remote_code::KEYS)
    {
        config.extra.remove(key);
    }
    if parts.mlm {
        // The word table is the head's, whatever the file was that it came from.
        config.extra.remove("tie_word_embeddings");
    }
    if let Some(head) = config.task_heads.first() {
        let regression = ["LABEL_0".to_owned()];
        let (labels, problem) = match head.kind {
            TaskHeadKind::Regression => (&regression[..], Some("regression")),
            TaskHeadKind::MultiLabel => (&head.labels[..], Some("multi_label_classification")),
            _ => (&head.labels[..], None),
        };
        if !labels.is_empty() {
            name_labels(&mut config.extra, labels);
        }
        config.extra.extend(problem.map(|problem| ("problem_type".to_owned(), json!(problem))));
    }
    let class = native_class(config, parts);
    let family = config.model_type.class().filter(|_| config.is_of_transformers());
    if class.is_none() {
        remote_code::describe(config, parts);
    } else if config.model_type == ModelType::MobileBert {
        config.extra.insert("classifier_activation".into(), json!(parts.pooler));
    }
    let named = match (family, class) {
        (Some(family), Some(class)) => format!("{family}{class}"),
        // Its own class reads the encoder all the same.
        (Some(family), None) => format!("{family}Model"),
        (None, _) => remote_code::class(config, parts).to_owned(),
    };
    config.extra.insert("architectures".into(), json!([named]));
    class.is_some()
}

/// The class of `transformers` that computes the encoder and its heads, behind the family's name.
fn native_class(config: &BertConfig, parts: Parts) -> Option<&'static str> {
    if !config.is_of_transformers() {
        return None;
    }
    let (is_mobilebert, is_modern) =
        (config.model_type == ModelType::MobileBert, config.model_type == ModelType::ModernBert);
    // MobileBERT's classifier does without a pooler where the configuration says so, BERT's does not.
    let pooled = parts.pooler || is_mobilebert;
    // MobileBERT's head has output weights beside a narrow word table.
    let known_words = !is_mobilebert || parts.mlm_extra || config.embed_width() == config.hidden_size;
    match &config.task_heads[..] {
        // All heads of a ModernBERT are behind the transform that is in a pooler's place.
        [_] if is_modern && !parts.pooler => Some("Model"),
        [head] if head.kind == TaskHeadKind::Tags && !parts.mlm => Some("ForTokenClassification"),
        // Beside it `ForMaskedLM` computes a masked-LM head: both leave the other head's tensors alone.
        [head] if pooled && head.kind.is_on_pooled() && (!parts.mlm || known_words) => {
            Some("ForSequenceClassification")
        }
        [head] if head.kind == TaskHeadKind::Span && !parts.mlm => Some("ForQuestionAnswering"),
        [head] if head.kind == TaskHeadKind::Embedding && !parts.mlm => Some("Model"),
        [] if parts.mlm && known_words => Some("ForMaskedLM"),
        [] if !parts.mlm => Some("Model"),
        // The classes beside a model do not know this family.
        _ => is_modern.then_some("Model"),
    }
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
