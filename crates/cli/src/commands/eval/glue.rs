//! `eval` on sentences and pairs: metrics and the official prediction file.

use std::path::Path;

use cpu_runtime::Packing;
use glue_squad::submission;
use glue_squad::task::{Predictions, Split, Task, render_tags};
use predict::Evaluated;
use predict::data::{BatchSettings, EvalSet};
use predict::heads::{answering_head, head_for};
use serde_json::{Map, Value, json};

use super::EvaluatedOn;
use super::args::EvalArgs;
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::models::{capped_length, check_segments, model_paths};
use crate::output::{check_targets, print, print_json, table};
use crate::predictor::{self, load};
use crate::squad::refuse_for_glue;
use crate::tasks::{default_length, read_examples};

pub fn run(args: &EvalArgs, on: &EvaluatedOn, context: &Context) -> Result<(), CliError> {
    let EvaluatedOn { task, data, split, .. } = on;
    let split = *split;
    refuse_for_glue(args.span.first_given().or(args.files.first_given()))?;
    // A missing file is found at once, a large model takes seconds.
    let files = task.find_all(data, split)?;
    let path = files[0].clone();
    // The training files beside it: their labels say what the majority class is.
    let training = task.trained_as().find_all(data, Split::Train).unwrap_or_default();
    let read = [model_paths(&args.model), files, training].concat();
    check_targets([("--predictions", args.predictions.as_deref())], &read)?;
    let mut model = load("--model", &args.model, args.precision.precision, Packing::Ahead, context)?;
    let shown = format!("--model {}", args.model.display());
    let head = match on.head {
        Some(index) => head_for(&model.config, index, task),
        None => answering_head(&model.config, task),
    };
    let head = head.context(shown.clone()).or_usage()?;
    if let Some(note) = &head.note {
        context.progress.warn(&format!("{shown}: {note}"));
    }
    check_segments(&shown, &model.config, &model.tokenizer, task.is_pair().then_some(task))?;
    let wanted = args.max_len.unwrap_or_else(|| default_length(task));
    let max_len = capped_length(wanted, model.config.max_position_embeddings, context);
    let settings = BatchSettings::new(args.batch_size as usize, max_len, 0);
    let examples = read_examples(task, (data, split), &model.tokenizer, max_len, context)?;
    let rows = examples.rows;
    let set = EvalSet::of_split(split, task, examples.features, model.tokenizer.pad_id(), settings)?;
    if set.labels.is_empty() && args.predictions.is_none() {
        return Err(CliError::usage(format!("{}: has no labels to score against", path.display()))
            .with_hint("--predictions FILE writes what the model answers; --split dev has labels"));
    }

    context.progress.start("eval", set.len() as u64, "examples");
    let train = task.trained_as().split_labels(data, Split::Train).unwrap_or_default();
    let mut watch = predictor::shown(&context.progress);
    let evaluated = model.model.evaluate(&head, &set, &train, &mut watch)?;
    context.progress.finish();
    if let Some(file) = &args.predictions {
        let text = match &evaluated.predictions {
            // The words stand beside their tags.
            Predictions::Tags(tags) => render_tags(task, &task.read_split(data, split)?.examples, tags)?,
            predictions => submission::render_rows(task, &rows, predictions)?,
        };
        run_store::output::write(file, text.as_bytes())?;
    }
    for warning in &evaluated.warnings {
        context.progress.warn(warning);
    }
    show(args, task, &path, (set.len(), max_len), &evaluated)
}

fn show(
    args: &EvalArgs,
    task: &Task,
    path: &Path,
    (examples, max_len): (usize, usize),
    evaluated: &Evaluated,
) -> Result<(), CliError> {
    let Evaluated { scores, majority, warnings, .. } = evaluated;
    if args.json {
        let metrics = scores.as_ref().map(|s| {
            let pairs = s.values.iter().map(|v| (v.name.clone(), json!(v.value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        });
        return print_json(&json!({
            "model": args.model, "task": task.name(), "file": path, "examples": examples, "max_len": max_len,
            "precision": args.precision.precision.name(),
            "metrics": metrics, "score": scores.as_ref().map(|s| s.primary), "predictions": args.predictions,
            "majority": majority, "warnings": warnings,
        }));
    }
    let mut rows = Vec::new();
    if let Some(scores) = scores {
        rows.extend(scores.values.iter().map(|v| vec![v.name.clone(), format!("{:.2}", v.value * 100.0)]));
    }
    rows.extend(majority.as_ref().map(|m| vec!["one answer".into(), m.to_string()]));
    rows.push(vec!["examples".into(), examples.to_string()]);
    rows.push(vec!["data".into(), path.display().to_string()]);
    if let Some(file) = &args.predictions {
        rows.push(vec!["predictions".into(), file.display().to_string()]);
    }
    print(&table(&[task.name(), ""], &rows, true))
}
