//! Labels and scores: what heads on the pooled vector answer.

use bert_core::{BertConfig, TaskHeadConfig, TaskHeadKind};
use glue_squad::features::Features;
use glue_squad::task::TaskKind;
use serde_json::{Map, Value, json};
use tokenizer::{Padding, TextEncoder};

use super::{Answer, Query};
use crate::context::Context;
use crate::error::CliError;
use crate::inference::Inference;
use crate::models::check_segments;
use crate::output::print;

/// Heads that classify or give a number.
pub(super) struct Labels<'a> {
    pub model: Inference,
    pub config: &'a BertConfig,
    pub encoder: TextEncoder,
    pub heads: Vec<usize>,
    pub context: &'a Context,
    /// Heads whose number of texts was found wrong already: one warning each is enough.
    pub mismatch: Vec<usize>,
}

impl Answer for Labels<'_> {
    fn answer(&mut self, queries: &[Query], as_json: bool) -> Result<(), CliError> {
        self.warn_of_pairs(queries);
        let longest = self.config.max_position_embeddings;
        let features = queries.iter().map(|q| self.features(q, longest)).collect::<Result<Vec<_>, _>>()?;
        let padding = Padding { pad_id: self.encoder.pad_id(), multiple: 1, max_len: longest };
        let mut answers: Vec<Vec<Vec<f32>>> = Vec::new();
        for (values, &head) in self.model.answer(&features, padding, &self.heads)?.into_iter().zip(&self.heads) {
            let rows = values.chunks(values.len() / features.len());
            answers.push(match self.config.task_heads[head].kind {
                TaskHeadKind::Classification => rows.map(softmax).collect(),
                TaskHeadKind::MultiLabel => rows.map(|row| row.iter().map(|&v| sigmoid(v)).collect()).collect(),
                _ => rows.map(<[f32]>::to_vec).collect(),
            });
        }
        let mut text = String::new();
        for (row, query) in queries.iter().enumerate() {
            let answer: Vec<&[f32]> = answers.iter().map(|head| head[row].as_slice()).collect();
            if let Some(at) = answer.iter().position(|values| values.iter().any(|v| !v.is_finite())) {
                let task = &self.config.task_heads[self.heads[at]].task;
                return Err(CliError::failed(format!("{}: the head `{task}` gives no finite answer", query.place)));
            }
            text += &if as_json { self.json(query, &answer).to_string() } else { self.plain(&answer) };
            text.push('\n');
        }
        print(&text)
    }
}

impl Labels<'_> {
    fn features(&self, query: &Query, longest: usize) -> Result<Features, CliError> {
        check_segments("--model", self.config, query.b.as_ref().map(|_| &query.place))?;
        let encode = |limit| self.encoder.encode_pair(&query.a, query.b.as_deref(), limit);
        let mut encoded = encode(usize::MAX)?;
        if encoded.ids.len() > longest {
            let tokens = encoded.ids.len();
            self.context.progress.warn(&format!("{}: {tokens} tokens, cut to {longest}", query.place));
            encoded = encode(longest)?;
        }
        Ok(Features { ids: encoded.ids, type_ids: encoded.type_ids, label: None })
    }

    fn warn_of_pairs(&mut self, queries: &[Query]) {
        for &head in &self.heads {
            let name = &self.config.task_heads[head].task;
            let Ok(task) = name.parse::<TaskKind>() else { continue };
            let Some(query) = queries.iter().find(|q| q.b.is_some() != task.is_pair()) else { continue };
            if self.mismatch.contains(&head) {
                continue;
            }
            self.mismatch.push(head);
            let (wanted, given) = if task.is_pair() { ("two texts", "one") } else { ("one text", "two") };
            let place = &query.place;
            self.context.progress.warn(&format!("{place}: the head `{name}` learned on {wanted}, {given} given"));
        }
    }

    fn plain(&self, answer: &[&[f32]]) -> String {
        let mut cells = Vec::new();
        for (&head, values) in self.heads.iter().zip(answer) {
            let head = &self.config.task_heads[head];
            let said = match (head.kind, best(values)) {
                (TaskHeadKind::Classification, Some((at, p))) => format!("{} {p:.4}", head.labels[at]),
                (TaskHeadKind::MultiLabel, _) => {
                    let said: Vec<String> = applying(head, values).map(|(l, p)| format!("{l} {p:.4}")).collect();
                    if said.is_empty() { "none".into() } else { said.join(", ") }
                }
                _ => format!("{:.4}", values[0]),
            };
            cells.push(if answer.len() > 1 { format!("{} {said}", head.task) } else { said });
        }
        cells.join("\t")
    }

    fn json(&self, query: &Query, answer: &[&[f32]]) -> Value {
        let one = |(&head, values): (&usize, &&[f32])| {
            let head = &self.config.task_heads[head];
            let all = || -> Map<String, Value> {
                head.labels.iter().zip(*values).map(|(l, v)| (l.clone(), json!(v))).collect()
            };
            match (head.kind, best(values)) {
                (TaskHeadKind::Classification, Some((at, p))) => {
                    json!({ "task": head.task, "label": head.labels[at], "probability": p, "probabilities": all() })
                }
                (TaskHeadKind::MultiLabel, _) => {
                    let labels: Vec<&str> = applying(head, values).map(|(label, _)| label).collect();
                    json!({ "task": head.task, "labels": labels, "probabilities": all() })
                }
                _ => json!({ "task": head.task, "score": values[0] }),
            }
        };
        let answers: Vec<Value> = self.heads.iter().zip(answer).map(one).collect();
        json!({ "text": query.a, "text_b": query.b, "answers": answers })
    }
}

/// Probabilities from the scores of one text.
fn softmax(scores: &[f32]) -> Vec<f32> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = scores.iter().map(|s| (s - highest).exp()).collect();
    let total: f32 = weights.iter().sum();
    weights.into_iter().map(|w| w / total).collect()
}

/// The probability of a label that is for itself, from its score.
fn sigmoid(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

/// The labels that are more likely than not, with their probabilities.
fn applying<'a>(head: &'a TaskHeadConfig, values: &'a [f32]) -> impl Iterator<Item = (&'a str, f32)> {
    let of_labels = head.labels.iter().map(String::as_str).zip(values.iter().copied());
    of_labels.filter(|(_, probability)| *probability >= 0.5)
}

/// The largest value, the first of equals, and its position.
fn best(values: &[f32]) -> Option<(usize, f32)> {
    values.iter().copied().enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a })
}
