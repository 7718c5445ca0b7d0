//! A task of one's own, by options.

use std::path::{Path, PathBuf};

use bert_core::{BertConfig, CONFIG_FILE, TaskHeadKind};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use glue_squad::metrics::Metric;
use glue_squad::task::{ClassWeights, Kind, OwnTask, Scale, Task};
use table_rows::Format;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;

/// The files and columns of a task of one's own.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Options for data of your own, in place of --task and --data")]
pub struct OwnTaskArgs {
    /// Training file: CSV, TSV, JSON Lines, CoNLL (a word and its tag on each line) or Parquet, all but the last also packed with gzip, zstd or bzip2;
    /// a file of the Hugging Face hub is named datasets/ORG/NAME/PATH.
    #[arg(long, value_name = "FILE")]
    pub train: Option<PathBuf>,
    /// File to evaluate on [default: a part of --train].
    #[arg(long, value_name = "FILE")]
    pub dev: Option<PathBuf>,
    /// The part of --train to evaluate on, of each class the same [default: 0.1].
    #[arg(long, value_name = "PART", requires = "train", conflicts_with = "dev")]
    pub dev_part: Option<f64>,
    /// File to predict, with or without labels.
    #[arg(long, value_name = "FILE")]
    pub test: Option<PathBuf>,
    /// Column of the text; given twice, those of both texts of a pair. Of CoNLL a number [default: 1].
    #[arg(id = "text_columns", long = "text", value_name = "COLUMN")]
    pub text: Vec<String>,
    /// Column of the label; given several times, columns of 0 and 1, one for each label. Of CoNLL a number [default: the last].
    #[arg(id = "label_columns", long = "label", value_name = "COLUMN")]
    pub label: Vec<String>,
    /// What is asked: class, labels (any number of them), number, tags (one for each word), similarity (a number that tells how alike two texts are) or
    /// retrieval (the second text answers the first; no --label) [default: as --label looks].
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    pub kind: Option<Kind>,
    /// How much an example of each class counts in training: `balanced`, so that rare classes count as much as frequent ones, or a number for each class in their
    /// order, separated by commas [default: all the same].
    #[arg(long, value_name = "WEIGHTS")]
    pub class_weights: Option<ClassWeights>,
    /// What separates several labels in one cell [default: a comma].
    #[arg(long, value_name = "TEXT")]
    pub label_separator: Option<String>,
    /// What answers are scored by, may be repeated: accuracy, f1, f1-micro, f1-macro, matthews, pearson, spearman, entity-f1,
    /// entity-precision, entity-recall, entity-f1-strict, mrr, recall@1, recall@5, recall@10. By default accuracy; of labels micro and macro F1; of numbers and
    /// similarities Pearson and Spearman; of tags all of entities, and accuracy; of retrieval mrr, recall@1 and recall@10.
    #[arg(long = "metric", value_name = "METRIC")]
    pub metrics: Vec<Metric>,
    /// Format of the files: csv, tsv, jsonl, conll, parquet [default: as their names say].
    #[arg(long, value_name = "FORMAT")]
    pub table_format: Option<Format>,
    /// What separates the fields of a CSV file [default: a comma].
    #[arg(long, value_name = "CHARACTER")]
    pub separator: Option<char>,
    /// Name of the task [default: the name of the file].
    #[arg(long, value_name = "NAME")]
    pub task_name: Option<String>,
}

impl OwnTaskArgs {
    /// The values that may name something on the Hugging Face hub.
    pub fn named(&mut self) -> Vec<Named<'_>> {
        let files = [("--train", &mut self.train), ("--dev", &mut self.dev), ("--test", &mut self.test)];
        files.into_iter().filter_map(|(option, path)| Some(Named::file(option, path.as_mut()?))).collect()
    }
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    let named = |name: String| Kind::ALL.into_iter().find(|kind| kind.name() == name).expect("a possible value");
    PossibleValuesParser::new(Kind::ALL.map(Kind::name)).map(named)
}

/// Tasks and the folder of their files.
#[derive(Debug, Clone)]
pub struct ChosenData {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// The folder, or the file of SQuAD; `None`: no task is chosen.
    pub data: Option<PathBuf>,
}

impl OwnTaskArgs {
    /// The tasks of `--task` with the folder `--data`, or the task that the options describe. What was assumed of it is said.
    ///
    /// # Errors
    /// Both or none are given, or files that are not as the options say.
    pub fn or_of(&self, tasks: &[Task], data: Option<&Path>, context: &Context) -> Result<ChosenData, CliError> {
        let Some(train) = &self.train else {
            if let Some(option) = self.without_training() {
                return Err(CliError::usage(format!("{option}: goes with --train FILE")));
            }
            return named(tasks, data);
        };
        if let Some(task) = tasks.first() {
            let message = format!("--train {}: describes a task, and --task {task} names one", train.display());
            return Err(
                CliError::usage(message).with_hint("train each alone, or describe both in files: --task FILE.toml")
            );
        }
        if data.is_some() {
            return Err(CliError::usage("--data: goes with --task; --train names the file itself"));
        }
        let (own, folder) = self.description(train)?;
        let described = own.described(&folder).or_usage()?;
        let task = described.own.task(&folder).or_usage().hint("--task-name NAME gives it another name")?;
        for note in &described.notes {
            context.progress.message(&format!("{}: {note}", train.display()));
        }
        Ok(ChosenData { tasks: vec![task], data: Some(folder) })
    }

    /// The task that the options describe for a model that has its head, and the place of that head: classes and scale are the head's.
    ///
    /// # Errors
    /// No file is named, or the model has no head that the options could mean.
    pub fn for_model(&self, model: &Path) -> Result<Option<(Task, PathBuf, usize)>, CliError> {
        let Some(file) = self.train.as_ref().or(self.dev.as_ref()).or(self.test.as_ref()) else { return Ok(None) };
        let (mut own, folder) = self.description(file)?;
        let config = model_dir::read_config(&model.join(CONFIG_FILE))
            .context(format!("--model {}", model.display()))
            .or_usage()?;
        let index = self.head(&config, &own.name, model)?;
        let head = &config.task_heads[index];
        // A head of a built-in task may answer a table too, under the table's name.
        if head.task.parse::<Task>().is_err() {
            own.name.clone_from(&head.task);
        }
        let kind = match head.kind {
            TaskHeadKind::Classification => Kind::Class,
            TaskHeadKind::MultiLabel => Kind::Labels,
            TaskHeadKind::Regression => Kind::Number,
            TaskHeadKind::Tags => Kind::Tags,
            TaskHeadKind::Embedding => match (self.kind, self.label.is_empty()) {
                (Some(kind @ (Kind::Similarity | Kind::Retrieval)), _) => kind,
                (_, false) => Kind::Similarity,
                (_, true) => {
                    let message = "--kind: is missing; the model makes vectors, which answer both kinds";
                    return Err(CliError::usage(message).with_hint(
                        "--kind similarity compares two texts, --kind retrieval looks for the second text among all of them",
                    ));
                }
            },
            TaskHeadKind::Span => {
                return Err(CliError::usage(format!(
                    "--model {}: answers questions; use --task squad-v1",
                    model.display()
                )));
            }
        };
        if let Some(given) = self.kind.filter(|given| *given != kind) {
            let message = format!("--kind {}: the head `{}` answers with {}", given.name(), head.task, kind.name());
            return Err(CliError::usage(message));
        }
        own.kind = Some(kind);
        if self.class_weights.is_some() {
            return Err(CliError::usage(
                "--class-weights: have a part in training alone; the model is trained already",
            ));
        }
        own.classes.clone_from(&head.labels);
        let scale = head.scale.map(|scale| Scale { mean: scale.mean, deviation: scale.deviation });
        own.scale = (own.kind == Some(Kind::Number)).then(|| scale.unwrap_or(Scale::NONE));
        own = own.with_usual_columns(&folder).or_usage()?;
        if own.label.is_empty() && own.kind != Some(Kind::Retrieval) {
            // A test set without labels.
            own.label = vec!["label".to_owned()];
        }
        let task = own.task(&folder).or_usage().hint("--task-name NAME gives it another name")?;
        Ok(Some((task, folder, index)))
    }

    /// The head that the options mean: that of the name, or the only one.
    fn head(&self, config: &BertConfig, name: &str, model: &Path) -> Result<usize, CliError> {
        let heads = &config.task_heads;
        let named = heads.iter().position(|head| head.task == self.task_name.as_deref().unwrap_or(name));
        match (named, heads.len()) {
            (Some(head), _) => Ok(head),
            (None, 1) => Ok(0),
            _ => {
                let known: Vec<&str> = heads.iter().map(|head| head.task.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let message =
                    format!("--model {}: which head answers is not clear; its heads: {known}", model.display());
                Err(CliError::usage(message).with_hint("name one: --task-name NAME"))
            }
        }
    }

    /// The description that the options give, and the folder of `file`, its first file.
    fn description(&self, file: &Path) -> Result<(OwnTask, PathBuf), CliError> {
        let absolute = |path: &Path| std::path::absolute(path).context(format!("{}", path.display()));
        let folder = absolute(file)?.parent().map_or_else(PathBuf::new, Path::to_owned);
        let relative = |path: &Option<PathBuf>| -> Result<Option<PathBuf>, CliError> {
            let Some(path) = path else { return Ok(None) };
            let path = absolute(path)?;
            Ok(Some(path.strip_prefix(&folder).map_or_else(|_| path.clone(), Path::to_owned)))
        };
        fn names(given: &[String]) -> Vec<&str> {
            given.iter().map(String::as_str).collect()
        }
        let name = self.task_name.clone().unwrap_or_else(|| plain_stem(file));
        let usual = OwnTask::new(&name, &names(&self.text), &names(&self.label));
        let own = OwnTask {
            train: relative(&self.train)?,
            dev: relative(&self.dev)?,
            test: relative(&self.test)?,
            dev_part: self.dev_part.unwrap_or(usual.dev_part),
            format: self.table_format,
            separator: self.separator,
            label_separator: self.label_separator.clone().unwrap_or(usual.label_separator.clone()),
            metrics: self.metrics.clone(),
            class_weights: self.class_weights.clone(),
            kind: self.kind,
            ..usual
        };
        // Columns of CoNLL have no names, and usual places.
        if !own.is_conll() {
            let missing = [
                ("--text COLUMN", self.text.is_empty()),
                ("--label COLUMN", self.label.is_empty() && self.train.is_some() && self.kind != Some(Kind::Retrieval)),
            ];
            if let Some((option, _)) = missing.into_iter().find(|(_, is_missing)| *is_missing) {
                return Err(CliError::usage(format!("{}: {option} is missing", file.display())));
            }
        }
        Ok((own, folder))
    }

    /// Whether any of the options is given.
    pub fn is_given(&self) -> bool {
        self.train.is_some() || self.without_training().is_some()
    }

    /// An option that says nothing without a training file.
    fn without_training(&self) -> Option<&'static str> {
        let given = [
            ("--dev", self.dev.is_some()),
            ("--test", self.test.is_some()),
            ("--text", !self.text.is_empty()),
            ("--label", !self.label.is_empty()),
            ("--kind", self.kind.is_some()),
            ("--class-weights", self.class_weights.is_some()),
            ("--label-separator", self.label_separator.is_some()),
            ("--metric", !self.metrics.is_empty()),
            ("--table-format", self.table_format.is_some()),
            ("--separator", self.separator.is_some()),
            ("--task-name", self.task_name.is_some()),
        ];
        given.into_iter().find_map(|(option, is_given)| is_given.then_some(option))
    }
}

/// Named tasks; those of description files bring their folder.
fn named(tasks: &[Task], data: Option<&Path>) -> Result<ChosenData, CliError> {
    let own: Vec<(&Task, &Path)> = tasks.iter().filter_map(|task| Some((task, task.described_by()?.1))).collect();
    let data = match (data, own.as_slice()) {
        (Some(data), _) => Some(data.to_owned()),
        (None, [(_, folder), rest @ ..]) if own.len() == tasks.len() => {
            if let Some((other, _)) = rest.iter().find(|(_, home)| home != folder) {
                let message = format!("--task {other}: its description stands in another folder than the first");
                return Err(CliError::usage(message).with_hint("name the folder of the files: --data DIR"));
            }
            Some((*folder).to_owned())
        }
        (None, _) if tasks.is_empty() => None,
        (None, _) => {
            let message = format!("--task {}: needs --data, the folder of its files", tasks[0]);
            return Err(CliError::usage(message));
        }
    };
    Ok(ChosenData { tasks: tasks.to_vec(), data })
}

/// A file's name as the name of a task.
fn plain_stem(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let stem: String = stem.chars().map(plain).collect();
    let stem = stem.trim_matches(['-', '_']);
    if stem.is_empty() { "task".to_owned() } else { stem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_name_to_the_task() {
        for (file, name) in [
            ("a/reviews.csv", "reviews"),
            ("My data (1).jsonl.gz", "My-data--1"),
            ("评论.csv", "task"),
            ("x_1.tsv", "x_1"),
        ] {
            assert_eq!(plain_stem(file.as_ref()), name);
        }
    }
}
