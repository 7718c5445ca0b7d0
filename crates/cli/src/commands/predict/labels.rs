//! Classes and numbers, a line for each text.

use predict::{Error, HeadAnswer, Predictor, learned_on_pairs};
use serde_json::json;

use super::query::Query;
use crate::context::Context;
use crate::error::CliError;
use crate::models::check_segments;
use crate::output::print;

/// Heads that classify or give a number.
pub(super) struct Labels<'a> {
    predictor: Predictor,
    heads: Vec<usize>,
    context: &'a Context,
    /// Heads whose number of texts was found wrong already: one warning each is enough.
    mismatch: Vec<usize>,
}

impl<'a> Labels<'a> {
    pub fn new(predictor: Predictor, heads: Vec<usize>, context: &'a Context) -> Self {
        Self { predictor, heads, context, mismatch: Vec::new() }
    }

    pub fn answer(&mut self, queries: &[Query], as_json: bool) -> Result<(), CliError> {
        self.warn_of_pairs(queries);
        let mut texts = Vec::with_capacity(queries.len());
        for Query { place, a, b } in queries {
            check_segments("--model", &self.predictor.config, b.as_ref().map(|_| place))?;
            let text = self.predictor.encode(a, b.as_deref())?;
            if text.is_cut() {
                let (tokens, longest) = (text.tokens, self.predictor.config.max_position_embeddings);
                self.context.progress.warn(&format!("{place}: {tokens} tokens, cut to {longest}"));
            }
            texts.push(text);
        }
        let answers = self.predictor.answer(&texts, &self.heads).map_err(|error| match error {
            Error::NotFinite { text, .. } => CliError::failed(format!("{}: {error}", queries[text].place)),
            other => other.into(),
        })?;
        let mut lines = String::new();
        for (query, answers) in queries.iter().zip(answers) {
            lines += &match as_json {
                true => json!({ "text": query.a, "text_b": query.b, "answers": answers }).to_string(),
                false => plain(&answers),
            };
            lines.push('\n');
        }
        print(&lines)
    }

    fn warn_of_pairs(&mut self, queries: &[Query]) {
        for &head in &self.heads {
            let name = &self.predictor.config.task_heads[head].task;
            let Some(pairs) = learned_on_pairs(&self.predictor.config.task_heads[head]) else { continue };
            let Some(query) = queries.iter().find(|q| q.b.is_some() != pairs) else { continue };
            if self.mismatch.contains(&head) {
                continue;
            }
            self.mismatch.push(head);
            let (wanted, given) = if pairs { ("two texts", "one") } else { ("one text", "two") };
            let place = &query.place;
            self.context.progress.warn(&format!("{place}: the head `{name}` learned on {wanted}, {given} given"));
        }
    }
}

/// The answers of all heads on one line, the task in front of each where there are several.
fn plain(answers: &[HeadAnswer]) -> String {
    let said = |answer: &HeadAnswer| {
        let said = match answer {
            HeadAnswer::Label { label, probability, .. } => format!("{label} {probability:.4}"),
            HeadAnswer::Labels { labels, .. } if labels.is_empty() => "none".into(),
            HeadAnswer::Labels { labels, probabilities, .. } => {
                let each = labels.iter().filter_map(|l| Some(format!("{l} {:.4}", probabilities.get(l)?)));
                each.collect::<Vec<_>>().join(", ")
            }
            HeadAnswer::Number { score, .. } => format!("{score:.4}"),
        };
        if answers.len() > 1 { format!("{} {said}", answer.task()) } else { said }
    };
    answers.iter().map(said).collect::<Vec<_>>().join("\t")
}
