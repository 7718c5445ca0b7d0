//! Answers that are pieces of a text, a line for each question, or official files for a file of them.

use std::path::Path;

use glue_squad::squad::{Dataset, SquadVersion};
use predict::Predictor;
use predict::span::SpanSettings;
use serde_json::json;

use super::args::PredictArgs;
use super::query::{BATCH, Query};
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::models::{capped_length, check_segments, model_paths};
use crate::output::{print, print_json, table};
use crate::predictor::shown;
use crate::tasks::default_length;

/// What stands for no answer in a line of text.
const NO_ANSWER: &str = "(no answer)";

pub(super) struct Spans<'a> {
    predictor: Predictor,
    head: usize,
    version: SquadVersion,
    settings: SpanSettings,
    context: &'a Context,
}

impl<'a> Spans<'a> {
    /// Prepares answers to questions by the head's version of SQuAD.
    ///
    /// # Errors
    /// The head is of no version of SQuAD, or the options make no sense for it.
    pub fn new(args: &PredictArgs, predictor: Predictor, head: usize, context: &'a Context) -> Result<Self, CliError> {
        let config = &predictor.config;
        let name = &config.task_heads[head].task;
        let version: SquadVersion = name.parse().context(format!("--model {}", args.model.display()))?;
        check_segments("--model", config, &predictor.tokenizer, Some(version))?;
        args.span.threshold(version)?;
        let read = [model_paths(&args.model), args.data.iter().cloned().collect()].concat();
        args.files.check(version, args.predictions.as_deref(), &read)?;
        let wanted = args.max_len.unwrap_or_else(|| default_length(version.task()));
        let max_len = capped_length(wanted, config.max_position_embeddings, context);
        let settings = args.span.settings(version, max_len, BATCH)?;
        Ok(Self { predictor, head, version, settings, context })
    }

    /// Answers the questions of `data` and writes the official prediction files.
    ///
    /// # Errors
    /// A damaged file, a model that has diverged, or a file that cannot be written.
    pub fn answer_file(&mut self, data: &Path, predictions: &Path, args: &PredictArgs) -> Result<(), CliError> {
        let set = self.predictor.windows(Dataset::read(data)?, self.version, &self.settings)?;
        self.context.progress.start("predict", set.len() as u64, "windows");
        let mut watch = shown(&self.context.progress);
        let logits = self.predictor.model.spans(self.head, &set, &mut watch)?;
        self.context.progress.finish();
        let decoded = set.decode(&logits, &self.settings.decoding)?;
        args.files.write(Some(predictions), &decoded, self.settings.threshold)?;
        let questions = set.dataset().questions.len();
        let unanswered =
            decoded.predictions(self.settings.threshold).iter().filter(|(_, text)| text.is_empty()).count();
        if args.json {
            return print_json(&json!({
                "task": self.version.name(), "file": data, "questions": questions, "windows": set.len(),
                "unanswered": unanswered, "predictions": predictions, "na_probs": args.files.na_probs,
                "nbest_predictions": args.files.nbest_predictions,
            }));
        }
        let rows = [
            ("questions", questions.to_string()),
            ("windows", set.len().to_string()),
            ("unanswered", unanswered.to_string()),
            ("predictions", predictions.display().to_string()),
        ];
        let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
        print(&table(&[self.version.name(), ""], &rows, true))
    }

    /// The text that answers the question of `query`.
    ///
    /// # Errors
    /// There is none.
    pub fn context_of(&self, query: &Query) -> Result<String, CliError> {
        query.b.clone().ok_or_else(|| {
            let message = format!("{}: only one text; the head `{}` needs two", query.place, self.version);
            CliError::failed(message).with_hint("give the question first, then the text that answers it")
        })
    }

    /// Prints the answers to questions about their texts.
    ///
    /// # Errors
    /// A model that has diverged.
    pub fn answer(&mut self, queries: &[(Query, String)], as_json: bool) -> Result<(), CliError> {
        let pairs: Vec<(&str, &str)> = queries.iter().map(|(query, text)| (query.a.as_str(), text.as_str())).collect();
        let answers = self.predictor.answer_questions((self.head, self.version), &pairs, &self.settings)?;
        let mut lines = String::new();
        for ((query, _), answer) in queries.iter().zip(answers) {
            if as_json {
                lines += &json!({ "text": query.a, "text_b": query.b, "answers": [answer] }).to_string();
            } else {
                let shown = if answer.start.is_some() { answer.answer.as_str() } else { NO_ANSWER };
                // An answer can reach over the end of a line.
                let shown = shown.replace(['\n', '\r', '\t'], " ");
                lines += &format!("{shown} {:.4}", answer.probability);
            }
            lines.push('\n');
        }
        print(&lines)
    }
}
