//! `predict`: what a model's heads answer to texts.

use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};

use bert_core::{BertConfig, TaskHeadConfig, TaskHeadKind};
use clap::Args;
use frozen::Packing;
use glue_squad::Lines;
use glue_squad::batch::Padding;
use glue_squad::features::Features;
use glue_squad::task::TaskKind;
use glue_squad::tokenizer::TextEncoder;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inference::{Inference, PrecisionArgs, load_with_tokenizer};
use crate::output::print;

/// Most lines in one pass; fewer where no more are waiting.
const BATCH: usize = 32;

#[derive(Args, Debug)]
#[command(after_help = "\
Without TEXT, lines are read from standard input, a tab between the two texts of a pair, and every line is answered as soon as \
it is there. One line of output per text: the label and its probability, or the score of a regression; with several heads the \
task's name in front of each, heads separated by tabs.")]
pub struct PredictArgs {
    /// Model directory with at least one head.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Answer with the head of this task only [default: all heads].
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    /// The text, or the first of a pair.
    text: Option<String>,
    /// The second text of a pair.
    text_b: Option<String>,
}

/// A text or a pair, and where it came from for messages.
struct Query {
    place: String,
    a: String,
    b: Option<String>,
}

pub fn run(args: &PredictArgs, context: &Context) -> Result<(), CliError> {
    let packing = if args.text.is_some() { Packing::AtUse } else { Packing::Ahead };
    let (config, model, encoder) =
        load_with_tokenizer("--model", &args.model, args.precision.precision, packing, context)?;
    let heads = choose(args, &config)?;
    let mut answerer = Answerer { model, config: &config, encoder, heads, context, mismatch: Vec::new() };
    if let Some(text) = &args.text {
        let query = Query { place: "TEXT".into(), a: text.clone(), b: args.text_b.clone() };
        return answerer.answer(&[check(query).or_usage()?], args.json);
    }
    if std::io::stdin().is_terminal() {
        context.progress.message("reading lines from standard input, a tab between the texts of a pair");
    }
    let lines = read_ahead();
    // Blocks for the first line only, so an answer never waits for input that is yet to be typed.
    while let Ok(first) = lines.recv() {
        let mut batch = Vec::new();
        let mut failure = None;
        for line in std::iter::once(first).chain(lines.try_iter()).take(BATCH) {
            match line.and_then(check) {
                Ok(query) => batch.push(query),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if !batch.is_empty() {
            answerer.answer(&batch, args.json)?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
    }
    Ok(())
}

/// The heads to answer with, by position.
fn choose(args: &PredictArgs, config: &BertConfig) -> Result<Vec<usize>, CliError> {
    let heads = &config.task_heads;
    let known = || heads.iter().map(|h| h.task.as_str()).collect::<Vec<_>>().join(", ");
    let shown = args.model.display();
    if heads.is_empty() {
        return Err(CliError::usage(format!("--model {shown}: has no task head to answer with"))
            .with_hint("`efficientbert teacher` and `efficientbert distill --task` make models with heads"));
    }
    let chosen: Vec<usize> = match &args.task {
        None => (0..heads.len()).collect(),
        Some(name) => {
            let kind = |n: &str| n.parse::<TaskKind>().ok();
            let is_meant = |h: &TaskHeadConfig| h.task == *name || kind(name).is_some() && kind(name) == kind(&h.task);
            let found = heads.iter().position(is_meant).ok_or_else(|| {
                CliError::usage(format!("--task {name}: --model {shown} has no such head; its heads: {}", known()))
            })?;
            vec![found]
        }
    };
    match chosen.iter().find(|&&i| heads[i].kind == TaskHeadKind::Span) {
        Some(&i) => Err(CliError::usage(format!("the head `{}` marks spans, which are not supported", heads[i].task))),
        None => Ok(chosen),
    }
}

/// Lines of standard input as they arrive, read by a thread of their own.
fn read_ahead() -> Receiver<Result<Query, CliError>> {
    let (sender, receiver) = sync_channel(4 * BATCH);
    std::thread::spawn(move || {
        let mut lines = Lines::new(BufReader::new(std::io::stdin()), PathBuf::from("standard input"));
        loop {
            let item = match lines.next_line() {
                Ok(None) => return,
                Ok(Some((number, text))) => {
                    let (a, b) = match text.split_once('\t') {
                        Some((a, b)) => (a, Some(b.to_owned())),
                        None => (text, None),
                    };
                    Ok(Query { place: format!("standard input:{number}"), a: a.to_owned(), b })
                }
                Err(error) => Err(error.into()),
            };
            let is_last = item.is_err();
            // The receiver is gone once the program ends early.
            if sender.send(item).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// # Errors
/// Nothing to answer to, or more than two texts.
fn check(query: Query) -> Result<Query, CliError> {
    let Query { place, a, b } = &query;
    if a.trim().is_empty() {
        return Err(CliError::failed(format!("{place}: the text is empty")));
    }
    if b.as_ref().is_some_and(|b| b.trim().is_empty()) {
        return Err(CliError::failed(format!("{place}: the second text is empty")));
    }
    if place != "TEXT" && b.as_ref().is_some_and(|b| b.contains('\t')) {
        return Err(CliError::failed(format!("{place}: more than two texts; one tab separates the texts of a pair")));
    }
    Ok(query)
}

struct Answerer<'a> {
    model: Inference,
    config: &'a BertConfig,
    encoder: TextEncoder,
    heads: Vec<usize>,
    context: &'a Context,
    /// Heads whose number of texts was found wrong already: one warning each is enough.
    mismatch: Vec<usize>,
}

impl Answerer<'_> {
    /// Prints one line per query.
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

    fn features(&self, query: &Query, longest: usize) -> Result<Features, CliError> {
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
