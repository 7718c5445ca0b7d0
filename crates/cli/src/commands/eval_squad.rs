//! `eval` on SQuAD: official scores and prediction files of a span model.

use cpu_runtime::Packing;
use std::path::Path;

use glue_squad::squad::{Dataset, OrderedMap, Score, SquadVersion};
use serde_json::json;
use train::engine::Evaluation;
use train::majority::{MajorityBaseline, doubts};
use train::span::{SpanEvalSet, SpanScores, span_head_index};

use super::eval::EvalArgs;
use super::score::squad_rows;
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inference::load_with_tokenizer;
use crate::models::{capped_length, check_segments, model_paths};
use crate::output::{print, print_json, table};
use crate::squad::answers;
use crate::tasks::Task;

pub fn run(args: &EvalArgs, version: SquadVersion, context: &Context) -> Result<(), CliError> {
    let threshold = args.span.threshold(version)?;
    // A missing file is found at once, a large model takes seconds.
    let path = version.find(&args.data, args.split.name())?;
    let read = [model_paths(&args.model), vec![path.clone()]].concat();
    args.files.check(version, args.predictions.as_deref(), &read)?;
    let (config, mut model, encoder) =
        load_with_tokenizer("--model", &args.model, args.precision.precision, Packing::Ahead, context)?;
    check_segments("--model", &config, Some(version))?;
    let head = span_head_index(&config, version).context(format!("--model {}", args.model.display())).or_usage()?;
    let wanted = args.max_len.unwrap_or_else(|| Task::Squad(version).default_length());
    let max_len = capped_length(wanted, config.max_position_embeddings, context);
    let windows = args.span.windows(max_len)?;
    let set = SpanEvalSet::new(Dataset::read(&path)?, &encoder, version, windows, args.batch_size as usize)?;
    if set.gold().is_none() && args.predictions.is_none() {
        return Err(CliError::usage(format!("{}: has no answers to score against", path.display()))
            .with_hint("--predictions FILE writes what the model answers"));
    }
    let decoded = answers((&mut model, head), &set, &args.span.decoding(), "eval", context)?;
    let scores = set.gold().map(|_| SpanScores::of(&set, &decoded, threshold)).transpose()?;
    let majority = MajorityBaseline::of_questions(&set)?;
    let evaluation = scores.as_ref().map(|scores| Evaluation::of_questions(version, scores, &decoded, threshold));
    let warnings = evaluation.map_or_else(Vec::new, |e| doubts(&e, majority.as_slice()));
    args.files.write(args.predictions.as_deref(), &decoded, threshold)?;
    for warning in &warnings {
        context.progress.warn(warning);
    }
    show(args, (version, threshold, max_len), (&path, &set), scores.as_ref(), (majority.as_ref(), &warnings))
}

fn show(
    args: &EvalArgs,
    (version, threshold, max_len): (SquadVersion, f64, usize),
    (path, set): (&Path, &SpanEvalSet),
    scores: Option<&SpanScores>,
    (majority, warnings): (Option<&MajorityBaseline>, &[String]),
) -> Result<(), CliError> {
    let questions = set.dataset().questions.len();
    let values: Option<OrderedMap<Score>> = scores.map(SpanScores::values);
    if args.json {
        return print_json(&json!({
            "model": args.model, "task": version.name(), "file": path, "examples": questions, "windows": set.len(),
            "max_len": max_len, "precision": args.precision.precision.name(),
            "null_threshold": version.has_unanswerable().then_some(threshold),
            "metrics": values, "score": scores.map(SpanScores::primary), "predictions": args.predictions,
            "majority": majority, "warnings": warnings, "na_probs": args.files.na_probs, "nbest_predictions": args.files.nbest_predictions,
        }));
    }
    let mut rows = values.as_ref().map(squad_rows).unwrap_or_default();
    rows.extend(majority.map(|m| vec!["one answer".into(), m.to_string()]));
    rows.push(vec!["questions".into(), questions.to_string()]);
    rows.push(vec!["windows".into(), set.len().to_string()]);
    rows.push(vec!["data".into(), path.display().to_string()]);
    let files = [
        ("predictions", &args.predictions),
        ("na-probs", &args.files.na_probs),
        ("nbest-predictions", &args.files.nbest_predictions),
    ];
    for (name, file) in files {
        rows.extend(file.iter().map(|f| vec![name.to_owned(), f.display().to_string()]));
    }
    print(&table(&[version.name(), ""], &rows, true))
}
