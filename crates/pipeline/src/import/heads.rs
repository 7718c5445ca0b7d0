//! The head of a Hugging Face checkpoint: what its configuration says of it, and what the file holds.

use bert_core::weights::Tensors;
use bert_core::{BertConfig, ModelType, Parts, TaskHeadConfig, TaskHeadKind};
use glue_squad::task::{Head, Task};
use serde_json::Value;

use super::{ImportError, Remedy, Source};

/// Endings of class names in `architectures`: of models with one head on the pooled vector, and of models that mark spans.
const POOLED: &str = "ForSequenceClassification";
const SPAN: &str = "ForQuestionAnswering";
/// Of models with a head on every token, whose outputs are tags of words.
const TAGS: &str = "ForTokenClassification";

/// The head that the file holds, under the task the person names.
///
/// # Errors
/// A head whose task is not known, or one that would be computed otherwise here than in `transformers`.
pub(super) fn task_head(
    source: &Source<'_>,
    config: &BertConfig,
    tensors: &Tensors,
) -> Result<Option<TaskHeadConfig>, ImportError> {
    // A ModernBERT's head that marks spans is called as any other, and the class alone tells it.
    let span = format!("{}weight", config.model_type.span_head());
    let is_span = span != "classifier.weight" || classes(config).iter().any(|class| class.ends_with(SPAN));
    if is_span && tensors.0.contains_key(&span) {
        let task = known(source.task).filter(|task| task.head() == Head::Spans);
        let task = task.ok_or(ImportError::TaskUnknown { span: true })?;
        check_class(source, config, SPAN, &format!("`{span}`, a head that marks spans"))?;
        return Ok(Some(predict::heads::task_head(&task)));
    }
    let Some(weight) = tensors.0.get("classifier.weight") else {
        return match source.task {
            Some(task) => Err(of_task(source, task, "the file holds no `classifier.weight`", Remedy::Mend)),
            None => Ok(None),
        };
    };
    let Some(task) = source.task else { return Err(ImportError::TaskUnknown { span: false }) };
    let known = known(source.task);
    if known.as_ref().is_some_and(|task| task.head() == Head::Spans) {
        let message = "wants a head that marks spans; the file holds `classifier.weight`";
        return Err(of_task(source, task, message, Remedy::EncoderOnly));
    }
    if classes(config).iter().any(|class| class.ends_with(TAGS)) {
        return tags(source, config, weight.shape.first().copied().unwrap_or(0), task).map(Some);
    }
    check_class(source, config, POOLED, &format!("{}, which is answered from the pooled vector", source.named(task)))?;
    let pooled = Parts::of_names(tensors.0.keys()).pooler;
    // MobileBERT has models whose pooled vector is the first token as it is.
    let bare = config.model_type == ModelType::MobileBert
        && config.extra.get("classifier_activation") == Some(&Value::Bool(false));
    if !pooled && !bare {
        let message = format!(
            "holds `classifier.weight` and no pooler; {} is answered from the pooled vector, a head without one belongs to another \
             class of models, such as token classifiers",
            source.named(task)
        );
        return Err(ImportError::Head { path: source.weights.into(), message, remedy: Remedy::EncoderOnly });
    }
    let outputs = weight.shape.first().copied().unwrap_or(0);
    let kind = kind(source, config, outputs)?;
    let labels = if kind == TaskHeadKind::Regression { Vec::new() } else { labels(source, config, outputs)? };
    if let Some(known) = &known {
        let wanted = predict::heads::task_head(known);
        if wanted.kind != kind {
            let message = format!("is a {}; the head is a {} with {outputs} outputs", said(wanted.kind), said(kind));
            return Err(of_task(source, task, message, Remedy::TrainedTask));
        }
    }
    if kind == TaskHeadKind::Classification
        && let Some(known) = &known
    {
        known
            .class_order(&labels)
            .map_err(|e| of_config(source, format!("`id2label`: {e}"), Remedy::TrainedTaskOrClasses))?;
    }
    Ok(Some(TaskHeadConfig::new(task, kind, labels)))
}

/// The head of a model that tags words, under the names of `id2label`. No task that is built in has tags.
fn tags(source: &Source<'_>, config: &BertConfig, outputs: usize, task: &str) -> Result<TaskHeadConfig, ImportError> {
    if let Some(known) = known(source.task) {
        let message = format!("is no task of tags; the file holds a head of {TAGS}, which tags words");
        return Err(of_task(source, known.name(), message, Remedy::TrainedTask));
    }
    if outputs < 2 {
        return Err(of_config(source, "`classifier.weight` has one output; tags need two".into(), Remedy::EncoderOnly));
    }
    Ok(TaskHeadConfig::new(task, TaskHeadKind::Tags, labels(source, config, outputs)?))
}

/// The task of this name, where it is built in.
fn known(name: Option<&str>) -> Option<Task> {
    name?.parse().ok()
}

fn of_task(source: &Source<'_>, task: &str, message: impl Into<String>, remedy: Remedy) -> ImportError {
    ImportError::Task { named: source.named(task), message: message.into(), remedy }
}

fn of_config(source: &Source<'_>, message: String, remedy: Remedy) -> ImportError {
    ImportError::Head { path: source.config.into(), message, remedy }
}

fn said(kind: TaskHeadKind) -> &'static str {
    match kind {
        TaskHeadKind::Classification => "classification",
        TaskHeadKind::MultiLabel => "multi-label classification",
        TaskHeadKind::Regression => "regression",
        TaskHeadKind::Span => "span task",
        TaskHeadKind::Tags => "tagging of words",
        TaskHeadKind::Embedding => "maker of vectors",
    }
}

/// The classes with a head that `architectures` names.
fn classes(config: &BertConfig) -> Vec<&str> {
    let named = config.extra.get("architectures").and_then(Value::as_array);
    // `BertModel` and its like say nothing of a head.
    named.into_iter().flatten().filter_map(Value::as_str).filter(|class| class.contains("For")).collect()
}

/// Whether `architectures` names a class whose head is one of `wanted`'s; where it names none, the tensors decide.
fn check_class(source: &Source<'_>, config: &BertConfig, wanted: &'static str, what: &str) -> Result<(), ImportError> {
    let named = classes(config);
    if named.is_empty() || named.iter().any(|class| class.ends_with(wanted)) {
        return Ok(());
    }
    let message = format!("`architectures` is {}, whose head is not {what}", named.join(", "));
    Err(of_config(source, message, Remedy::ClassOf(wanted)))
}

/// What the head predicts: as `transformers` reads `problem_type`, or tells it from the number of outputs where there is none.
fn kind(source: &Source<'_>, config: &BertConfig, outputs: usize) -> Result<TaskHeadKind, ImportError> {
    let refuse = |message: String| Err(of_config(source, format!("`problem_type`: {message}"), Remedy::EncoderOnly));
    match config.extra.get("problem_type") {
        None | Some(Value::Null) if outputs == 1 => Ok(TaskHeadKind::Regression),
        None | Some(Value::Null) => Ok(TaskHeadKind::Classification),
        Some(Value::String(problem)) => match (problem.as_str(), outputs) {
            ("regression", 1) => Ok(TaskHeadKind::Regression),
            ("regression", _) => refuse(format!("a regression of {outputs} numbers is not supported, only of one")),
            ("single_label_classification", 1) => refuse("a classification with one class answers nothing".into()),
            ("single_label_classification", _) => Ok(TaskHeadKind::Classification),
            ("multi_label_classification", _) => Ok(TaskHeadKind::MultiLabel),
            (other, _) => refuse(format!(
                "`{other}` is not known; known: regression, single_label_classification, multi_label_classification"
            )),
        },
        Some(other) => refuse(format!("must be a text, is {other}")),
    }
}

/// Names of the outputs: `id2label`, or `LABEL_0`, `LABEL_1`, ... where it is missing, as `transformers` calls them.
fn labels(source: &Source<'_>, config: &BertConfig, outputs: usize) -> Result<Vec<String>, ImportError> {
    let refuse = |message: String| Err(of_config(source, format!("`id2label`: {message}"), Remedy::Mend));
    let named = match config.extra.get("id2label") {
        None | Some(Value::Null) => {
            return match config.extra.get("num_labels").and_then(Value::as_u64) {
                Some(count) if count != outputs as u64 => refuse(format!(
                    "is missing, and `num_labels` is {count}; `classifier.weight` has {outputs} outputs"
                )),
                _ => Ok((0..outputs).map(|i| format!("LABEL_{i}")).collect()),
            };
        }
        Some(Value::Object(named)) => named,
        Some(other) => return refuse(format!("must be an object of names by number, is {other}")),
    };
    if named.len() != outputs {
        return refuse(format!("has {} names, `classifier.weight` has {outputs} outputs", named.len()));
    }
    let mut labels: Vec<String> = Vec::with_capacity(outputs);
    for i in 0..outputs {
        let name = match named.get(&i.to_string()) {
            Some(Value::String(name)) => name.clone(),
            Some(other) => other.to_string(),
            None => return refuse(format!("has no name for output {i}")),
        };
        if let Some(before) = labels.iter().position(|label| *label == name) {
            return refuse(format!("outputs {before} and {i} are both called `{name}`"));
        }
        labels.push(name);
    }
    Ok(labels)
}
