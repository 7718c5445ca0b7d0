//! `score`: the official scores of a predictions file, without a model.

use std::path::PathBuf;

use clap::Args;
use glue_squad::squad::{self, OrderedMap, SquadVersion};
use glue_squad::task::{FileScores, FolderScores, Task, score_file, score_folder};
use predict::majority::{MajorityBaseline, doubts};
use train::engine::Evaluation;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inputs::must_exist;
use crate::output::{print, print_json, table};
use crate::tasks;

#[derive(Args, Debug)]
#[command(after_help = "\
GLUE tasks: --data is a file with labels (TSV, Parquet or JSONL), --predictions an official prediction file \
(index<TAB>prediction). The metrics are fractions: accuracy; matthews for CoLA and AX; accuracy and f1 for MRPC and QQP; \
pearson and spearman for STS-B, whose answers may be any finite numbers. Constant predictions score 0 where a correlation is undefined.\n\
glue: --data is a GLUE folder, --predictions a folder of such files (CoLA.tsv, MNLI-m.tsv, ...). Every file is scored against \
the development set, and the 9-, 8- and 7-column averages are printed with their columns.\n\
squad-v1, squad-v2: the official JSON files; names and percentages are those of the official scripts.")]
pub struct ScoreArgs {
    /// The task: cola, sst-2, mrpc, sts-b, qqp, mnli, mnli-mm, qnli, rte, wnli, ax; glue for all of them; squad-v1, squad-v2.
    #[arg(long, value_name = "TASK", value_parser = parse_task)]
    task: ScoreTarget,
    /// The data with the right answers.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The answers to score.
    #[arg(long, value_name = "FILE")]
    predictions: PathBuf,
    /// squad-v2: probabilities that there is no answer, as one JSON object; adds the best thresholds.
    #[arg(long, value_name = "FILE")]
    na_probs: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What can be scored.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ScoreTarget {
    Glue,
    Task(Task),
}

fn parse_task(given: &str) -> Result<ScoreTarget, String> {
    if given.eq_ignore_ascii_case("glue") {
        return Ok(ScoreTarget::Glue);
    }
    match tasks::parse(given) {
        Ok(task) => Ok(ScoreTarget::Task(task)),
        Err(e) => Err(format!("{e}, glue")),
    }
}

pub fn run(args: &ScoreArgs, context: &Context) -> Result<(), CliError> {
    if args.na_probs.is_some() && args.task != ScoreTarget::Task(SquadVersion::V2.into()) {
        return Err(CliError::usage("--na-probs: only squad-v2 has questions without an answer"));
    }
    for (option, path) in [("--data", &args.data), ("--predictions", &args.predictions)] {
        must_exist(option, [path])?;
        if path.is_dir() != (args.task == ScoreTarget::Glue) {
            let wanted = if args.task == ScoreTarget::Glue {
                "a folder is needed for all of GLUE"
            } else {
                "is a folder; name a file"
            };
            return Err(CliError::usage(format!("{option} {}: {wanted}", path.display())));
        }
    }
    match &args.task {
        ScoreTarget::Glue => {
            let scored = score_folder(&args.data, &args.predictions)?;
            scored.tasks.iter().try_for_each(|task| warn(task, context))?;
            show_folder(args, &scored)
        }
        ScoreTarget::Task(task) => match task.squad() {
            Some(version) => score_squad(args, version, context),
            None => {
                let scored = score_file(task, &args.data, &args.predictions)?;
                warn(&scored, context)?;
                show_task(args, &scored)
            }
        },
    }
}

/// Says where a score means nothing: one answer everywhere, or no better than that of the most frequent label.
fn warn(scored: &FileScores, context: &Context) -> Result<(), CliError> {
    let (answers, gold) = &scored.answers;
    let majority = MajorityBaseline::of_task(&scored.task, &[], gold)?;
    let evaluation = Evaluation::of_task(&scored.task, &scored.scores, answers);
    for doubt in doubts(&evaluation, majority.as_slice()) {
        context.progress.warn(&doubt);
    }
    Ok(())
}

fn percent(fraction: f64) -> String {
    format!("{:.2}", fraction * 100.0)
}

fn show_task(args: &ScoreArgs, scored: &FileScores) -> Result<(), CliError> {
    if args.json {
        return print_json(scored);
    }
    let mut rows: Vec<Vec<String>> = scored.metrics().map(|(name, value)| vec![name.into(), percent(value)]).collect();
    rows.push(vec!["examples".into(), scored.examples.to_string()]);
    print(&table(&[scored.task.name(), ""], &rows, false))
}

fn show_folder(args: &ScoreArgs, scored: &FolderScores) -> Result<(), CliError> {
    if args.json {
        return print_json(scored);
    }
    let mut rows = Vec::new();
    for task in &scored.tasks {
        for (name, value) in task.metrics() {
            let title = task.task.title().to_owned();
            rows.push(vec![title, percent(value), task.examples.to_string(), name.to_owned()]);
        }
    }
    for (task, reason) in &scored.unscored {
        rows.push(vec![task.task().title().to_owned(), "n/a".into(), "0".into(), reason.clone()]);
    }
    let mut text = table(&["task", "score", "examples", "metric"], &rows, true);
    for average in &scored.averages {
        text += &format!("\n{average}");
    }
    print(&(text + "\n"))
}

fn score_squad(args: &ScoreArgs, version: SquadVersion, context: &Context) -> Result<(), CliError> {
    let evaluation = squad::score_files(version, &args.data, &args.predictions, args.na_probs.as_deref())
        .context(format!("cannot score {version}"))?;
    let shown = args.predictions.display();
    if let Some(first) = evaluation.missing.first() {
        let count = evaluation.missing.len();
        context
            .progress
            .warn(&format!("{shown}: {count} questions have no prediction and score 0, the first is {first}"));
    }
    if evaluation.extra > 0 {
        let count = evaluation.extra;
        context.progress.warn(&format!("{shown}: {count} predictions are for questions that the data do not have"));
    }
    if args.json {
        return print_json(&evaluation.scores);
    }
    print(&table(&[version.name(), ""], &squad_rows(&evaluation.scores), false))
}

/// Official scores as rows of a table.
pub(super) fn squad_rows(scores: &OrderedMap<squad::Score>) -> Vec<Vec<String>> {
    let shown = |name: &str, value: squad::Score| match value {
        squad::Score::Count(count) => count.to_string(),
        squad::Score::Number(value) if name.ends_with("thresh") => format!("{value:.4}"),
        squad::Score::Number(value) => format!("{value:.2}"),
    };
    scores.iter().map(|(name, value)| vec![name.to_owned(), shown(name, *value)]).collect()
}
