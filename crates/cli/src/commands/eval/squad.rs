//! `eval` on SQuAD: official scores and prediction files of a span model.

use std::path::Path;

use cpu_runtime::Packing;
use glue_squad::squad::{Dataset, SquadVersion};
use predict::SpanEvaluated;
use predict::heads::answering_head;
use predict::span::{SpanEvalSet, SpanScores};
use serde_json::json;

use super::EvaluatedOn;
use super::args::EvalArgs;
use crate::commands::score::squad_rows;
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::models::{capped_length, check_segments, model_paths};
use crate::output::{print, print_json, table};
use crate::predictor::{load, shown};
use crate::tasks::default_length;

pub fn run(args: &EvalArgs, version: SquadVersion, on: &EvaluatedOn, context: &Context) -> Result<(), CliError> {
    let threshold = args.span.threshold(version)?;
    // A missing file is found at once, a large model takes seconds.
    let path = version.find(&on.data, on.split.name())?;
    let read = [model_paths(&args.model), vec![path.clone()]].concat();
    args.files.check(version, args.predictions.as_deref(), &read)?;
    let mut predictor = load("--model", &args.model, args.precision.precision, Packing::Ahead, context)?;
    check_segments("--model", &predictor.config, &predictor.tokenizer, Some(version))?;
    let head = answering_head(&predictor.config, version.task());
    let head = head.context(format!("--model {}", args.model.display())).or_usage()?.index;
    let wanted = args.max_len.unwrap_or_else(|| default_length(version.task()));
    let max_len = capped_length(wanted, predictor.config.max_position_embeddings, context);
    let settings = args.span.settings(version, max_len, args.batch_size as usize)?;
    let set = predictor.windows(Dataset::read(&path)?, version, &settings)?;
    if set.gold().is_none() && args.predictions.is_none() {
        return Err(CliError::usage(format!("{}: has no answers to score against", path.display()))
            .with_hint("--predictions FILE writes what the model answers"));
    }
    context.progress.start("eval", set.len() as u64, "windows");
    let mut watch = shown(&context.progress);
    let evaluated = predictor.model.evaluate_spans(head, &set, &settings, &mut watch)?;
    context.progress.finish();
    args.files.write(args.predictions.as_deref(), &evaluated.decoded, threshold)?;
    for warning in &evaluated.warnings {
        context.progress.warn(warning);
    }
    show(args, (version, threshold, max_len), (&path, &set), &evaluated)
}

fn show(
    args: &EvalArgs,
    (version, threshold, max_len): (SquadVersion, f64, usize),
    (path, set): (&Path, &SpanEvalSet),
    evaluated: &SpanEvaluated,
) -> Result<(), CliError> {
    let SpanEvaluated { scores, majority, warnings, .. } = evaluated;
    let questions = set.dataset().questions.len();
    let values = scores.as_ref().map(SpanScores::values);
    if args.json {
        return print_json(&json!({
            "model": args.model, "task": version.name(), "file": path, "examples": questions, "windows": set.len(),
            "max_len": max_len, "precision": args.precision.precision.name(),
            "null_threshold": version.has_unanswerable().then_some(threshold),
            "metrics": values, "score": scores.as_ref().map(SpanScores::primary), "predictions": args.predictions,
            "majority": majority, "warnings": warnings, "na_probs": args.files.na_probs, "nbest_predictions": args.files.nbest_predictions,
        }));
    }
    let mut rows = values.as_ref().map(squad_rows).unwrap_or_default();
    rows.extend(majority.as_ref().map(|m| vec!["one answer".into(), m.to_string()]));
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
