//! Labels and scores: what heads on the pooled vector answer.

use bert_core::{BertConfig, TaskHeadKind};
use glue_squad::batch::Padding;
use glue_squad::features::Features;
use glue_squad::task::TaskKind;
use glue_squad::tokenizer::TextEncoder;
use serde_json::{Map, Value, json};

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
            let said = match best(values) {
                Some((at, p)) if head.kind == TaskHeadKind::Classification => format!("{} {p:.4}", head.labels[at]),
                _ => format!("{:.4}", values[0]),
            };
            cells.push(if answer.len() > 1 { format!("{} {said}", head.task) } else { said });
        }
        cells.join("\t")
    }

    fn json(&self, query: &Query, answer: &[&[f32]]) -> Value {
        let one = |(&head, values): (&usize, &&[f32])| {
            let head = &self.config.task_heads[head];
            match best(values) {
                Some((at, p)) if head.kind == TaskHeadKind::Classification => {
                    let all: Map<String, Value> =
                        head.labels.iter().zip(*values).map(|(l, v)| (l.clone(), json!(v))).collect();
                    json!({ "task": head.task, "label": head.labels[at], "probability": p, "probabilities": all })
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

/// The largest value, the first of equals, and its position.
fn best(values: &[f32]) -> Option<(usize, f32)> {
    values.iter().copied().enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a })
}
