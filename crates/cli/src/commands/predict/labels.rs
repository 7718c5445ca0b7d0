//! Classes and numbers, a line for each text.

use predict::{Error, HeadAnswer, Predictor, Text, learned_on_pairs};
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

    /// The tokens of a text or pair that the model takes.
    ///
    /// # Errors
    /// A pair, whose tokenizer gives it two segments, for a model with one.
    pub fn encode(&self, query: &Query) -> Result<Text, CliError> {
        let Query { place, a, b } = query;
        let Predictor { config, tokenizer, .. } = &self.predictor;
        check_segments("--model", config, tokenizer, b.as_ref().map(|_| place))?;
        Ok(self.predictor.encode(a, b.as_deref())?)
    }

    /// Prints the answers to `queries`. Where the model gives numbers that are not finite, the answers before come first.
    ///
    /// # Errors
    /// Numbers that are not finite, with the place of the text.
    pub fn answer(&mut self, queries: &[(Query, Text)], as_json: bool) -> Result<(), CliError> {
        self.warn_of_pairs(queries);
        for (Query { place, .. }, text) in queries.iter().filter(|(_, text)| text.is_cut()) {
            let (tokens, longest) = (text.tokens, self.predictor.longest());
            self.context.progress.warn(&format!("{place}: {tokens} tokens, cut to {longest}"));
        }
        let texts: Vec<Text> = queries.iter().map(|(_, text)| text.clone()).collect();
        let (answers, failure) = match self.predictor.answer(&texts, &self.heads) {
            Ok(answers) => (answers, None),
            Err(error @ Error::NotFinite { text, .. }) => {
                let before = self.predictor.answer(&texts[..text], &self.heads)?;
                (before, Some(CliError::failed(format!("{}: {error}", queries[text].0.place))))
            }
            Err(other) => return Err(other.into()),
        };
        let mut lines = String::new();
        for ((query, _), answers) in queries.iter().zip(answers) {
            lines += &match as_json {
                true => json!({ "text": query.a, "text_b": query.b, "answers": answers }).to_string(),
                false => plain(&answers),
            };
            lines.push('\n');
        }
        print(&lines)?;
        failure.map_or(Ok(()), Err)
    }

    fn warn_of_pairs(&mut self, queries: &[(Query, Text)]) {
        for &head in &self.heads {
            let name = &self.predictor.config.task_heads[head].task;
            let Some(pairs) = learned_on_pairs(&self.predictor.config.task_heads[head]) else { continue };
            let Some((query, _)) = queries.iter().find(|(q, _)| q.b.is_some() != pairs) else { continue };
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
