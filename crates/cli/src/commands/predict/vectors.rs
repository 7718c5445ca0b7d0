//! Vectors of texts and how alike two texts are, a line for each.

use glue_squad::task::cosines;
use predict::{Error, Predictor, Text};
use serde_json::json;

use super::query::Query;
use crate::context::Context;
use crate::error::CliError;
use crate::output::print;

/// A head that makes vectors.
pub(super) struct Vectors<'a> {
    predictor: Predictor,
    head: usize,
    context: &'a Context,
}

impl<'a> Vectors<'a> {
    pub fn new(predictor: Predictor, head: usize, context: &'a Context) -> Self {
        Self { predictor, head, context }
    }

    /// The tokens of one text, or of two that are read alone.
    ///
    /// # Errors
    /// A text that the tokenizer does not take.
    pub fn encode(&self, query: &Query) -> Result<Vec<Text>, CliError> {
        let texts = [Some(query.a.as_str()), query.b.as_deref()];
        texts.into_iter().flatten().map(|text| Ok(self.predictor.encode(text, None)?)).collect()
    }

    /// Prints the vector of each text, or the cosine of the vectors of two. Where the model gives numbers that are not finite, the answers before come first.
    ///
    /// # Errors
    /// Numbers that are not finite, with the place of the text.
    pub fn answer(&mut self, queries: &[(Query, Vec<Text>)], as_json: bool) -> Result<(), CliError> {
        for (Query { place, .. }, texts) in queries {
            for text in texts.iter().filter(|text| text.is_cut()) {
                let (tokens, longest) = (text.tokens, self.predictor.longest());
                self.context.progress.warn(&format!("{place}: {tokens} tokens, cut to {longest}"));
            }
        }
        let all: Vec<Text> = queries.iter().flat_map(|(_, texts)| texts.iter().cloned()).collect();
        let (vectors, failure) = match self.predictor.vectors(&all, self.head) {
            Ok(vectors) => (vectors, None),
            Err(error @ Error::NotFinite { text, .. }) => {
                let before = self.predictor.vectors(&all[..text], self.head)?;
                let places = queries.iter().flat_map(|(query, texts)| texts.iter().map(|_| &query.place));
                let place = places.clone().nth(text).map_or("", String::as_str);
                (before, Some(CliError::failed(format!("{place}: {error}"))))
            }
            Err(other) => return Err(other.into()),
        };
        let task = &self.predictor.config.task_heads[self.head].task;
        let mut vectors = vectors.into_iter();
        let mut lines = String::new();
        for (query, texts) in queries {
            let own: Vec<Vec<f32>> = vectors.by_ref().take(texts.len()).collect();
            let (answer, plain) = match &own[..] {
                [vector] if texts.len() == 1 => (json!({ "task": task, "vector": vector }), json!(vector).to_string()),
                [a, b] => {
                    let similarity = cosines(&[[a.as_slice(), b].concat()])[0];
                    (json!({ "task": task, "similarity": similarity }), format!("{similarity:.4}"))
                }
                // The model has diverged on one of the texts.
                _ => break,
            };
            lines += &match as_json {
                true => json!({ "text": query.a, "text_b": query.b, "answers": [answer] }).to_string(),
                false => plain,
            };
            lines.push('\n');
        }
        print(&lines)?;
        failure.map_or(Ok(()), Err)
    }
}
