//! `predict`: what a model's heads answer to texts, and a span model to a SQuAD file.
//!
//! | file | concern |
//! |---|---|
//! | `args` | the options |
//! | `query` | texts and pairs, from the command line and from standard input |
//! | `labels` | classes and numbers as lines |
//! | `spans` | answers to questions about a text |
//! | `tags` | entities of texts |
//! | `vectors` | vectors of texts, and how alike two texts are |

mod args;
mod labels;
mod query;
mod spans;
mod tags;
mod vectors;

use std::io::IsTerminal;
use std::sync::mpsc::Receiver;

pub use args::PredictArgs;
use bert_core::TaskHeadKind;
use cpu_runtime::Packing;
use predict::{Error, Predictor};

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inputs::must_exist;
use crate::models::explained;
use crate::predictor::load;
use crate::squad::refuse_for_glue;
use labels::Labels;
pub(super) use query::{BATCH, Query, rows_of};
use query::{check, read_ahead};
use spans::Spans;
use tags::Tags;
use vectors::Vectors;

pub fn run(args: &PredictArgs, context: &Context) -> Result<(), CliError> {
    must_exist("--data", &args.data)?;
    must_exist("--table", &args.table)?;
    // A column that is not there is found before a large model is loaded.
    let rows = args.table.as_ref().map(|table| rows_of(table, &args.layout()?, &args.columns)).transpose()?;
    let packing = if args.text.is_some() { Packing::AtUse } else { Packing::Ahead };
    let predictor = load("--model", &args.model, args.precision.precision, packing, context)?;
    let heads = heads(args, &predictor)?;
    match heads[..] {
        [head] if predictor.config.task_heads[head].kind == TaskHeadKind::Span => {
            let mut spans = Spans::new(args, predictor, head, context)?;
            if let (Some(data), Some(file)) = (&args.data, &args.predictions) {
                return spans.answer_file(data, file, args);
            }
            if let Some(option) = args.files.first_given() {
                return Err(CliError::usage(format!("{option}: goes with --data FILE")));
            }
            let as_json = args.json;
            answer_all(args, (rows, context), &mut spans, Spans::context_of, |spans, queries| {
                spans.answer(queries, as_json)
            })
        }
        [head] if predictor.config.task_heads[head].kind == TaskHeadKind::Tags => {
            refuse_span_options(args)?;
            let mut tags = Tags::new(predictor, head, context);
            let as_json = args.json;
            answer_all(args, (rows, context), &mut tags, Tags::words, |tags, queries| tags.answer(queries, as_json))
        }
        [head] if predictor.config.task_heads[head].kind == TaskHeadKind::Embedding => {
            refuse_span_options(args)?;
            let mut vectors = Vectors::new(predictor, head, context);
            let as_json = args.json;
            answer_all(args, (rows, context), &mut vectors, Vectors::encode, |vectors, queries| {
                vectors.answer(queries, as_json)
            })
        }
        _ => {
            refuse_span_options(args)?;
            let mut labels = Labels::new(predictor, heads, context);
            let as_json = args.json;
            answer_all(args, (rows, context), &mut labels, Labels::encode, |labels, queries| {
                labels.answer(queries, as_json)
            })
        }
    }
}

/// Options of questions, for a head that answers none.
fn refuse_span_options(args: &PredictArgs) -> Result<(), CliError> {
    let max_len = args.max_len.map(|_| "--max-len");
    let data = args.data.as_ref().map(|_| "--data");
    refuse_for_glue(data.or(args.span.first_given()).or(args.files.first_given()).or(max_len))
}

/// Hands TEXT, the rows of a table, or the lines of standard input as they arrive, to `answer`, which prints a line for each. A line that `prepare` refuses
/// ends it when all lines before are answered, however many arrived together.
fn answer_all<M, T>(
    args: &PredictArgs,
    (rows, context): (Option<Receiver<Result<Query, CliError>>>, &Context),
    model: &mut M,
    prepare: impl Fn(&M, &Query) -> Result<T, CliError>,
    mut answer: impl FnMut(&mut M, &[(Query, T)]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let prepared = |model: &M, query: Query| prepare(model, &query).map(|made| (query, made));
    if let Some(text) = &args.text {
        let query = check(Query { place: "TEXT".into(), a: text.clone(), b: args.text_b.clone() }).or_usage()?;
        let query = prepared(model, query)?;
        return answer(model, &[query]);
    }
    let lines = match rows {
        Some(rows) => rows,
        None => {
            if std::io::stdin().is_terminal() {
                context.progress.message("reading lines from standard input, a tab between the texts of a pair");
            }
            read_ahead()
        }
    };
    // Blocks for the first line only, so an answer never waits for input that is yet to be typed.
    while let Ok(first) = lines.recv() {
        let mut batch = Vec::new();
        let mut failure = None;
        for line in std::iter::once(first).chain(lines.try_iter()).take(BATCH) {
            match line.and_then(|query| prepared(model, query)) {
                Ok(query) => batch.push(query),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if !batch.is_empty() {
            answer(model, &batch)?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
    }
    Ok(())
}

/// The heads to answer with, by position.
fn heads(args: &PredictArgs, predictor: &Predictor) -> Result<Vec<usize>, CliError> {
    let model = format!("--model {}", args.model.display());
    predictor.heads(args.task.as_deref()).map_err(|error| match (&error, &args.task) {
        (Error::UnknownHead { .. }, Some(task)) => CliError::usage(format!("--task {task}: {model} has {error}")),
        _ => explained(&model, error),
    })
}
