//! `predict`: what a model's heads answer to texts, and a span model to a SQuAD file.
//!
//! | file | concern |
//! |---|---|
//! | `labels` | classes and scores |
//! | `spans` | answers to questions about a text |

mod labels;
mod spans;

use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};

use bert_core::{BertConfig, TaskHeadConfig, TaskHeadKind};
use clap::Args;
use cpu_runtime::Packing;
use glue_squad::Lines;

use self::labels::Labels;
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inference::{PrecisionArgs, load_with_tokenizer};
use crate::inputs::must_exist;
use crate::squad::{SpanArgs, SpanFiles, refuse_for_glue};
use crate::tasks::Task;

/// Most lines in one pass; fewer where no more are waiting.
const BATCH: usize = 32;

#[derive(Args, Debug)]
#[command(after_help = "\
Without TEXT, lines are read from standard input, a tab between the two texts of a pair, and every line is answered as soon as \
it is there. One line of output per text: the label and its probability, or the score of a regression; with several heads the \
task's name in front of each, heads separated by tabs.\n\
A SQuAD head answers a question, the first text, about the second one: with a piece of it and its probability, or that there is no answer. With --data it \
answers a file in SQuAD's layout and writes the official predictions, which `score` takes.")]
pub struct PredictArgs {
    /// Model directory with at least one head.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Answer with the head of this task only [default: all heads].
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// SQuAD: answer the questions of this file.
    #[arg(
        long,
        value_name = "FILE",
        requires = "predictions",
        conflicts_with = "text",
        help_heading = "SQuAD options"
    )]
    data: Option<PathBuf>,
    /// SQuAD: where the answers to --data go; a file that stands there is replaced.
    #[arg(long, value_name = "FILE", requires = "data", help_heading = "SQuAD options")]
    predictions: Option<PathBuf>,
    /// Longest window in tokens; at most what the model has positions for [default: 384].
    #[arg(long, value_name = "N", help_heading = "SQuAD options", value_parser = clap::value_parser!(u32).range(4..=65_536))]
    max_len: Option<u32>,
    #[command(flatten)]
    span: SpanArgs,
    #[command(flatten)]
    files: SpanFiles,
    /// Print one JSON object per line; with --data one in all.
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
    must_exist("--data", &args.data)?;
    let packing = if args.text.is_some() { Packing::AtUse } else { Packing::Ahead };
    let (config, model, encoder) =
        load_with_tokenizer("--model", &args.model, args.precision.precision, packing, context)?;
    let heads = choose(args, &config)?;
    let mut answerer: Box<dyn Answer> = match heads[..] {
        [head] if config.task_heads[head].kind == TaskHeadKind::Span => {
            let mut spans = spans::Spans::new(args, model, (&config, head), encoder, context)?;
            if let (Some(data), Some(file)) = (&args.data, &args.predictions) {
                return spans.answer_file(data, file, args);
            }
            refuse_files(args)?;
            Box::new(spans)
        }
        _ => {
            let max_len = args.max_len.map(|_| "--max-len");
            let data = args.data.as_ref().map(|_| "--data");
            refuse_for_glue(data.or(args.span.first_given()).or(args.files.first_given()).or(max_len))?;
            Box::new(Labels { model, config: &config, encoder, heads, context, mismatch: Vec::new() })
        }
    };
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

/// Answers texts.
trait Answer {
    /// Prints one line per query.
    ///
    /// # Errors
    /// The model does not take the texts, or its answer is not finite.
    fn answer(&mut self, queries: &[Query], as_json: bool) -> Result<(), CliError>;
}

/// # Errors
/// A file with the answers to a file is wanted, but there is none to answer.
fn refuse_files(args: &PredictArgs) -> Result<(), CliError> {
    match args.files.first_given() {
        Some(option) => Err(CliError::usage(format!("{option}: goes with --data FILE"))),
        None => Ok(()),
    }
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
            let kind = |n: &str| n.parse::<Task>().ok();
            let is_meant = |h: &TaskHeadConfig| h.task == *name || kind(name).is_some() && kind(name) == kind(&h.task);
            let found = heads.iter().position(is_meant).ok_or_else(|| {
                CliError::usage(format!("--task {name}: --model {shown} has no such head; its heads: {}", known()))
            })?;
            vec![found]
        }
    };
    match chosen.iter().find(|&&i| chosen.len() > 1 && heads[i].kind == TaskHeadKind::Span) {
        Some(&i) => {
            let message = format!("--model {shown}: the head `{}` marks spans and answers alone", heads[i].task);
            Err(CliError::usage(message).with_hint(format!("--task names the one to answer: {}", known())))
        }
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
