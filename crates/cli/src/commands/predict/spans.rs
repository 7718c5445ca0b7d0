//! Answers that are pieces of a text.

use std::path::Path;

use bert_core::BertConfig;
use glue_squad::squad::{Dataset, Decoded, QuestionAnswer, SquadVersion};
use serde_json::{Value, json};
use tokenizer::TextEncoder;
use train::span::SpanEvalSet;

use super::{Answer, BATCH, PredictArgs, Query};
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inference::Inference;
use crate::models::{capped_length, check_segments, model_paths};
use crate::output::{print, print_json, table};
use crate::squad::{SpanArgs, answers};
use crate::tasks::Task;

/// What stands for no answer in a line of text.
const NO_ANSWER: &str = "(no answer)";

/// A span head.
pub(super) struct Spans<'a> {
    model: Inference,
    head: usize,
    encoder: TextEncoder,
    version: SquadVersion,
    span: SpanArgs,
    threshold: f64,
    max_len: usize,
    context: &'a Context,
}

impl<'a> Spans<'a> {
    /// # Errors
    /// The head is of no version of SQuAD, or the options make no sense for it.
    pub fn new(
        args: &PredictArgs,
        model: Inference,
        (config, head): (&BertConfig, usize),
        encoder: TextEncoder,
        context: &'a Context,
    ) -> Result<Self, CliError> {
        let name = &config.task_heads[head].task;
        let version: SquadVersion = name.parse().context(format!("--model {}", args.model.display()))?;
        check_segments("--model", config, Some(version))?;
        let threshold = args.span.threshold(version)?;
        let read = [model_paths(&args.model), args.data.iter().cloned().collect()].concat();
        args.files.check(version, args.predictions.as_deref(), &read)?;
        let wanted = args.max_len.unwrap_or_else(|| Task::Squad(version).default_length());
        let max_len = capped_length(wanted, config.max_position_embeddings, context);
        args.span.windows(max_len)?;
        Ok(Self { model, head, encoder, version, span: args.span, threshold, max_len, context })
    }

    fn set(&self, dataset: Dataset) -> Result<SpanEvalSet, CliError> {
        Ok(SpanEvalSet::new(dataset, &self.encoder, self.version, self.span.windows(self.max_len)?, BATCH)?)
    }

    /// Answers the questions of `data` and writes the official prediction files.
    ///
    /// # Errors
    /// A damaged file, a model that has diverged, or a file that cannot be written.
    pub fn answer_file(&mut self, data: &Path, predictions: &Path, args: &PredictArgs) -> Result<(), CliError> {
        let set = self.set(Dataset::read(data)?)?;
        let decoded = answers((&mut self.model, self.head), &set, &self.span.decoding(), "predict", self.context)?;
        args.files.write(Some(predictions), &decoded, self.threshold)?;
        let questions = set.dataset().questions.len();
        let unanswered = decoded.predictions(self.threshold).iter().filter(|(_, text)| text.is_empty()).count();
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

    /// What is said to one question: the answer with its place in characters, or that there is none.
    fn said<'b>(&self, answer: &'b QuestionAnswer, text: &str) -> Said<'b> {
        let prediction = answer.prediction(self.threshold);
        let probability = answer.nbest.iter().find(|entry| entry.text == prediction).map(|entry| entry.probability);
        let place = answer.span.as_ref().filter(|_| !prediction.is_empty()).map(|bytes| {
            let characters = |to: usize| text[..to].chars().count();
            [characters(bytes.start), characters(bytes.end)]
        });
        Said { text: place.map(|_| prediction), place, probability: probability.unwrap_or(0.0) }
    }

    fn json(&self, query: &Query, text: &str, answer: &QuestionAnswer) -> Value {
        let said = self.said(answer, text);
        json!({ "text": query.a, "text_b": text, "answers": [{
            "task": self.version.name(), "answer": said.text.unwrap_or(""), "start": said.place.map(|p| p[0]),
            "end": said.place.map(|p| p[1]), "probability": said.probability, "null_odds": answer.null_odds,
            "n_best": answer.nbest,
        }]})
    }
}

/// The answer to one question.
struct Said<'a> {
    /// `None` where there is none.
    text: Option<&'a str>,
    /// Its first character and the one after its last.
    place: Option<[usize; 2]>,
    probability: f64,
}

impl Answer for Spans<'_> {
    fn answer(&mut self, queries: &[Query], as_json: bool) -> Result<(), CliError> {
        let mut pairs = Vec::with_capacity(queries.len());
        for query in queries {
            let Some(text) = &query.b else {
                let message = format!("{}: only one text; the head `{}` needs two", query.place, self.version);
                return Err(
                    CliError::failed(message).with_hint("give the question first, then the text that answers it")
                );
            };
            pairs.push((query.a.as_str(), text.as_str()));
        }
        let set = self.set(Dataset::from_texts(pairs.iter().copied()))?;
        let logits = self.model.spans(self.head, &set, &mut |_| {})?;
        let decoded: Decoded = set.decode(&logits, &self.span.decoding())?;
        let mut lines = String::new();
        for ((query, (_, text)), (_, answer)) in queries.iter().zip(pairs).zip(decoded.answers.iter()) {
            if as_json {
                lines += &self.json(query, text, answer).to_string();
            } else {
                let Said { text, probability, .. } = self.said(answer, text);
                // An answer can reach over the end of a line.
                let shown = text.unwrap_or(NO_ANSWER).replace(['\n', '\r', '\t'], " ");
                lines += &format!("{shown} {probability:.4}");
            }
            lines.push('\n');
        }
        print(&lines)
    }
}
