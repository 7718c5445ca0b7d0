//! Entities, a line for each text.

use predict::{Error, Predictor, TaggedText};
use serde_json::json;

use super::query::Query;
use crate::context::Context;
use crate::error::CliError;
use crate::output::print;

/// What stands for no entity in a line of text.
const NOTHING: &str = "(none)";

/// A head that tags words.
pub(super) struct Tags<'a> {
    predictor: Predictor,
    head: usize,
    context: &'a Context,
}

impl<'a> Tags<'a> {
    pub fn new(predictor: Predictor, head: usize, context: &'a Context) -> Self {
        Self { predictor, head, context }
    }

    /// The words of a text.
    ///
    /// # Errors
    /// A second text: words of one are tagged.
    pub fn words(&self, query: &Query) -> Result<TaggedText, CliError> {
        if query.b.is_some() {
            let name = &self.predictor.config.task_heads[self.head].task;
            return Err(CliError::failed(format!(
                "{}: two texts; the head `{name}` tags the words of one",
                query.place
            )));
        }
        Ok(self.predictor.words(&query.a)?)
    }

    /// Prints the entities of `queries`. Where the model gives numbers that are not finite, the answers before come first.
    ///
    /// # Errors
    /// Numbers that are not finite, with the place of the text.
    pub fn answer(&mut self, queries: &[(Query, TaggedText)], as_json: bool) -> Result<(), CliError> {
        for (Query { place, .. }, text) in queries.iter().filter(|(_, text)| text.unseen() > 0) {
            let (unseen, words, longest) =
                (text.unseen(), text.words.len(), self.predictor.config.max_position_embeddings);
            self.context.progress.warn(&format!(
                "{place}: {unseen} of {words} words are not seen: they are cut off after {longest} tokens, or the tokenizer makes nothing of \
                 them; they are in no entity"
            ));
        }
        let texts: Vec<(&str, &TaggedText)> = queries.iter().map(|(query, text)| (query.a.as_str(), text)).collect();
        let (answers, failure) = match self.predictor.tag(&texts, self.head) {
            Ok(answers) => (answers, None),
            Err(error @ Error::NotFinite { text, .. }) => {
                let before = self.predictor.tag(&texts[..text], self.head)?;
                (before, Some(CliError::failed(format!("{}: {error}", queries[text].0.place))))
            }
            Err(other) => return Err(other.into()),
        };
        let mut lines = String::new();
        for ((query, _), answer) in queries.iter().zip(answers) {
            if as_json {
                lines += &json!({ "text": query.a, "text_b": query.b, "answers": [answer] }).to_string();
            } else if answer.entities.is_empty() {
                lines += NOTHING;
            } else {
                let said = answer.entities.iter().map(|entity| {
                    // An entity can reach over the end of a line.
                    let text = entity.text.replace(['\n', '\r', '\t'], " ");
                    format!("{} {}-{} {:.4} {text}", entity.kind, entity.start, entity.end, entity.probability)
                });
                lines += &said.collect::<Vec<_>>().join("\t");
            }
            lines.push('\n');
        }
        print(&lines)?;
        failure.map_or(Ok(()), Err)
    }
}
