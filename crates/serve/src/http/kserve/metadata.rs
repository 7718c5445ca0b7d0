//! Tensors of a model.

use encoder_spec::{TaskHeadConfig, TaskHeadKind};
use serde_json::{Value, json};

use crate::engine::Loaded;

/// The last hidden states, which no answer has unless they are asked for.
pub(super) const HIDDEN: &str = "last_hidden_state";

/// A name, a datatype and a shape, in which -1 is any size.
type Described = (&'static str, &'static str, Vec<i64>);

fn value((name, datatype, shape): Described) -> Value {
    json!({ "name": name, "datatype": datatype, "shape": shape })
}

/// Outputs for texts (`tokens` false) or for token ids.
pub(super) fn outputs(head: Option<&TaskHeadConfig>, hidden: usize, tokens: bool) -> Vec<Described> {
    let Some(head) = head else { return Vec::new() };
    let width = head.outputs(hidden) as i64;
    match head.kind {
        TaskHeadKind::Classification => vec![
            ("label", "BYTES", vec![-1]),
            ("score", "FP32", vec![-1]),
            ("probabilities", "FP32", vec![-1, width]),
            ("logits", "FP32", vec![-1, width]),
        ],
        TaskHeadKind::MultiLabel => {
            vec![("probabilities", "FP32", vec![-1, width]), ("logits", "FP32", vec![-1, width])]
        }
        TaskHeadKind::Regression => vec![("score", "FP32", vec![-1]), ("logits", "FP32", vec![-1, 1])],
        TaskHeadKind::Embedding => vec![("embedding", "FP32", vec![-1, width])],
        TaskHeadKind::Tags if tokens => vec![("logits", "FP32", vec![-1, -1, width])],
        TaskHeadKind::Tags => vec![("entities", "BYTES", vec![-1])],
        TaskHeadKind::Span if tokens => {
            vec![("start_logits", "FP32", vec![-1, -1]), ("end_logits", "FP32", vec![-1, -1])]
        }
        TaskHeadKind::Span => vec![
            ("answer", "BYTES", vec![-1]),
            ("score", "FP32", vec![-1]),
            ("start", "INT64", vec![-1]),
            ("end", "INT64", vec![-1]),
        ],
    }
}

/// The metadata of a model.
pub(super) fn model(model: &Loaded) -> Value {
    let head = model.config.task_heads.first();
    let hidden = model.config.hidden_size;
    let texts: Vec<Described> = match head.map(|head| head.kind) {
        Some(TaskHeadKind::Span) => vec![("question", "BYTES", vec![-1]), ("context", "BYTES", vec![-1])],
        Some(TaskHeadKind::Tags | TaskHeadKind::Embedding) | None => vec![("text", "BYTES", vec![-1])],
        Some(_) => vec![("text", "BYTES", vec![-1]), ("text_pair", "BYTES", vec![-1])],
    };
    let ids = ["input_ids", "attention_mask", "token_type_ids"].map(|name| (name, "INT64", vec![-1, -1]));
    let mut all = outputs(head, hidden, false);
    for output in outputs(head, hidden, true) {
        if !all.contains(&output) {
            all.push(output);
        }
    }
    all.push((HIDDEN, "FP32", vec![-1, -1, hidden as i64]));
    json!({
        "name": model.name,
        "versions": [super::VERSION],
        "platform": "efficientbert",
        "inputs": texts.into_iter().chain(ids).map(value).collect::<Vec<_>>(),
        "outputs": all.into_iter().map(value).collect::<Vec<_>>(),
    })
}
