//! The head of a Hugging Face checkpoint: what its configuration says of it, and what the file holds.

use bert_core::weights::Tensors;
use bert_core::{BertConfig, ModelType, TaskHeadConfig, TaskHeadKind};
use glue_squad::squad::SquadVersion;
use glue_squad::task::TaskKind;
use serde_json::Value;
use train::span::span_head;

use super::ImportArgs;
use crate::error::CliError;

/// Endings of class names in `architectures`: of models with one head on the pooled vector, and of models that mark spans.
const POOLED: &str = "ForSequenceClassification";
const SPAN: &str = "ForQuestionAnswering";

const LEAVE_BEHIND: &str = "--encoder-only imports the encoder alone";

/// The head that the file holds, under the task the person names.
///
/// # Errors
/// A head whose task is not known, or one that would be computed otherwise here than in `transformers`.
pub(super) fn task_head(
    args: &ImportArgs,
    config: &BertConfig,
    tensors: &Tensors,
) -> Result<Option<TaskHeadConfig>, CliError> {
    if tensors.0.contains_key("qa_outputs.weight") {
        let version = args.task.as_ref().and_then(|task| task.parse::<SquadVersion>().ok());
        let version = version.ok_or_else(|| {
            CliError::usage("the file holds a span head (`qa_outputs.weight`) whose task is not known")
                .with_hint("name it with --task squad-v1 or squad-v2, or leave it behind with --encoder-only")
        })?;
        check_class(args, config, SPAN, "`qa_outputs.weight`, a head that marks spans")?;
        return Ok(Some(span_head(version)));
    }
    let Some(weight) = tensors.0.get("classifier.weight") else {
        return match &args.task {
            Some(task) => Err(CliError::usage(format!("--task {task}: the file holds no `classifier.weight`"))),
            None => Ok(None),
        };
    };
    let Some(task) = args.task.clone() else {
        return Err(CliError::usage("the file holds a task head (`classifier.weight`) whose task is not known")
            .with_hint("name it with --task, or leave it behind with --encoder-only"));
    };
    if task.parse::<SquadVersion>().is_ok() {
        let message = format!("--task {task}: wants a head that marks spans; the file holds `classifier.weight`");
        return Err(CliError::usage(message).with_hint(LEAVE_BEHIND));
    }
    check_class(args, config, POOLED, &format!("--task {task}, which is answered from the pooled vector"))?;
    let pooled = tensors.0.keys().any(|name| name.ends_with("pooler.dense.weight"));
    // MobileBERT has models whose pooled vector is the first token as it is.
    let bare = config.model_type == ModelType::MobileBert
        && config.extra.get("classifier_activation") == Some(&Value::Bool(false));
    if !pooled && !bare {
        let message = format!(
            "{}: holds `classifier.weight` and no pooler; --task {task} is answered from the pooled vector, a head without one \
             belongs to another class of models, such as token classifiers",
            args.weights.display()
        );
        return Err(CliError::usage(message).with_hint(LEAVE_BEHIND));
    }
    let outputs = weight.shape.first().copied().unwrap_or(0);
    let kind = kind(args, config, outputs)?;
    let labels = if kind == TaskHeadKind::Regression { Vec::new() } else { labels(args, config, outputs)? };
    if let Ok(known) = task.parse::<TaskKind>() {
        let wanted = train::heads::task_head(known);
        if wanted.kind != kind {
            let message = format!(
                "--task {task}: is a {}; the head is a {} with {outputs} outputs",
                said(wanted.kind),
                said(kind)
            );
            return Err(CliError::usage(message).with_hint("--task names the task that the head was trained on"));
        }
    }
    if kind == TaskHeadKind::Classification
        && let Ok(known) = task.parse::<TaskKind>()
    {
        known.class_order(&labels).map_err(|e| {
            let message = format!("{}: `id2label`: {e}", args.config.display());
            CliError::usage(message)
                .with_hint("--task names the task that the head was trained on; id2label names its classes")
        })?;
    }
    Ok(Some(TaskHeadConfig { task, kind, labels }))
}

fn said(kind: TaskHeadKind) -> &'static str {
    match kind {
        TaskHeadKind::Classification => "classification",
        TaskHeadKind::MultiLabel => "multi-label classification",
        TaskHeadKind::Regression => "regression",
        TaskHeadKind::Span => "span task",
    }
}

/// Whether `architectures` names a class whose head is one of `wanted`'s; where it names none, the tensors decide.
///
/// # Errors
/// It names other classes only.
fn check_class(args: &ImportArgs, config: &BertConfig, wanted: &str, what: &str) -> Result<(), CliError> {
    let named = config.extra.get("architectures").and_then(Value::as_array);
    // `BertModel` and its like say nothing of a head.
    let named: Vec<&str> =
        named.into_iter().flatten().filter_map(Value::as_str).filter(|class| class.contains("For")).collect();
    if named.is_empty() || named.iter().any(|class| class.ends_with(wanted)) {
        return Ok(());
    }
    let message = format!(
        "{}: `architectures` is {}, whose head is another one than {what}",
        args.config.display(),
        named.join(", ")
    );
    Err(CliError::usage(message).with_hint(format!("a class that ends in {wanted} is needed; {LEAVE_BEHIND}")))
}

/// What the head predicts: as `transformers` reads `problem_type`, or tells it from the number of outputs where there is none.
fn kind(args: &ImportArgs, config: &BertConfig, outputs: usize) -> Result<TaskHeadKind, CliError> {
    let refuse = |message: String| {
        let message = format!("{}: `problem_type`: {message}", args.config.display());
        Err(CliError::usage(message).with_hint(LEAVE_BEHIND))
    };
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
fn labels(args: &ImportArgs, config: &BertConfig, outputs: usize) -> Result<Vec<String>, CliError> {
    let refuse = |message: String| Err(CliError::usage(format!("{}: `id2label`: {message}", args.config.display())));
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
