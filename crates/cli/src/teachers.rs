//! The teachers of a distillation: one for everything, or one for each task. All are loaded once and stay in memory.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bert_core::{BertConfig, ModelDir};
use burn::tensor::Device;
use glue_squad::task::Task;
use kd::cache::{CachedTeacher, Expected, TeacherCache, TeacherLayers, fingerprint};
use kd::job::{OrderedTeacher, ReplicatedTeacher, TaskTeacher, TaskTeachers, Teacher, check_alike};
use kd::objective::Plan;
use pipeline::inputs::Files;
use predict::heads::{AnsweringHead, answering_head};
use tokenizer::TextEncoder;
use train::engine::Devices;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::models::{load, load_with_tokenizer, model_files, tokenizer};
use crate::tasks::Chosen;

/// A `--teacher`: `DIR`, or `TASK=DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeacherOption {
    /// The task that it teaches; `None` for whatever no other one teaches.
    task: Option<Task>,
    dir: PathBuf,
}

impl TeacherOption {
    /// The model directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl From<OsString> for TeacherOption {
    /// What stands before the `=` is a task if it is the name of one; else all of it is a path.
    fn from(given: OsString) -> Self {
        let named = given.to_str().and_then(|text| text.split_once('='));
        match named.and_then(|(name, dir)| Some((name.parse().ok()?, dir))) {
            Some((task, dir)) => Self { task: Some(task), dir: dir.into() },
            None => Self { task: None, dir: given.into() },
        }
    }
}

impl fmt::Display for TeacherOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "{task}={}", self.dir.display()),
            None => write!(f, "{}", self.dir.display()),
        }
    }
}

/// How to name several.
const HINT: &str = "--teacher DIR teaches everything; --teacher TASK=DIR, once for each --task, that task alone";

/// Which of `options` teaches each of `tasks`, or text where there are none.
///
/// # Errors
/// A task without a teacher, a teacher without a task, or two for one.
fn assigned(options: &[TeacherOption], tasks: &[Task]) -> Result<Vec<usize>, CliError> {
    let refuse = |message: String| CliError::usage(message).with_hint(HINT);
    for (i, option) in options.iter().enumerate() {
        if let Some(before) = options[..i].iter().find(|before| before.task == option.task) {
            return Err(refuse(match &option.task {
                Some(task) => format!("--teacher {before}, --teacher {option}: two teachers of {task}"),
                None => format!("--teacher {before}, --teacher {option}: which one teaches which task?"),
            }));
        }
        match &option.task {
            Some(task) if tasks.is_empty() => {
                return Err(refuse(format!(
                    "--teacher {option}: text is to be learnt, not {task}; text has one teacher"
                )));
            }
            Some(task) if !tasks.contains(task) => {
                return Err(refuse(format!("--teacher {option}: {task} is not a --task of this training")));
            }
            _ => {}
        }
    }
    let of = |task: Option<&Task>| options.iter().position(|option| option.task.as_ref() == task);
    if let Some(idle) = of(None).filter(|_| !tasks.is_empty() && options.len() > tasks.len()) {
        let message = format!("--teacher {}: every task has another teacher, so it would teach nothing", options[idle]);
        return Err(refuse(message));
    }
    let of_task = |task: &Task| match of(Some(task)).or(of(None)) {
        Some(option) => Ok(option),
        None => Err(refuse(format!("--teacher: {task} has no teacher"))),
    };
    match tasks {
        // Text; its teacher is the only one.
        [] => Ok(vec![0]),
        tasks => tasks.iter().map(of_task).collect(),
    }
}

/// Loaded teachers of equal shape.
pub struct Teachers {
    /// Each folder once.
    models: Vec<ModelDir>,
    /// Position of each task's teacher in `models`; of text one.
    of: Vec<usize>,
    said: String,
    described: String,
    encoder: TextEncoder,
}

impl Teachers {
    /// Loads the teachers of `tasks`, or of text where there are none.
    ///
    /// # Errors
    /// Teachers that cannot be assigned, read, or teach one student together.
    pub fn load(options: &[TeacherOption], tasks: &[Task], device: &Device) -> Result<Self, CliError> {
        let assigned = assigned(options, tasks)?;
        let said = options.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let first = &options[assigned[0]];
        let (model, encoder) = load_with_tokenizer("--teacher", &first.dir, device).map_err(|e| explain(first, e))?;
        let (mut models, mut of): (Vec<ModelDir>, Vec<usize>) = (vec![model], Vec::new());
        for option in assigned.into_iter().map(|i| &options[i]) {
            let known = models.iter().position(|model| model.path == option.dir);
            of.push(known.unwrap_or(models.len()));
            if known.is_none() {
                let model = load("--teacher", &option.dir, device).map_err(|e| explain(option, e))?;
                same_ids((&first.dir, &encoder), &model)?;
                let names = [first, option].map(|option| format!("--teacher {option}"));
                check_alike((&names[0], &models[0].config), (&names[1], &model.config)).or_usage()?;
                models.push(model);
            }
        }
        let described = described(&models, &of, tasks);
        Ok(Self { models, of, said, described, encoder })
    }

    /// Configuration of one of them; in sizes, the others are like it.
    pub fn config(&self) -> &BertConfig {
        &self.models[0].config
    }

    /// Whether all of them have a masked-language-model head.
    pub fn score_words(&self) -> bool {
        self.models.iter().all(|teacher| teacher.model.parts().mlm)
    }

    /// Tokens that all of them have positions for.
    pub fn positions(&self) -> usize {
        self.models.iter().map(|m| m.config.max_position_embeddings).min().unwrap_or_default()
    }

    /// The tokenizer of all of them.
    pub fn encoder(&self) -> &TextEncoder {
        &self.encoder
    }

    /// The only one.
    ///
    /// # Errors
    /// There are several, and `option` wants something of one.
    pub fn only(&self, option: &str) -> Result<&ModelDir, CliError> {
        match &self.models[..] {
            [one] => Ok(one),
            _ => {
                Err(CliError::usage(format!("{option}: there are several teachers, and they are of different weights"))
                    .with_hint("start with --init DIR, or learn from one --teacher DIR"))
            }
        }
    }

    /// Their heads for `chosen`, each one's for its task. What a person should know of them is said once.
    ///
    /// # Errors
    /// One has no head for its task.
    pub fn heads(&self, chosen: &Chosen, context: &Context) -> Result<Vec<AnsweringHead>, CliError> {
        let of = |task: usize| &self.models[self.of[task]];
        let named = |task: usize| format!("--teacher {}", of(task).path.display());
        let said = |found: predict::Result<AnsweringHead>, task: usize| {
            let head = found
                .context(named(task))
                .or_usage()
                .map_err(|e| e.with_hint("`efficientbert teacher` fine-tunes a model on a task"))?;
            if let Some(note) = &head.note {
                context.progress.warn(&format!("{}: {note}", named(task)));
            }
            Ok(head)
        };
        let head = |(i, task)| said(answering_head(&of(i).config, task), i);
        chosen.tasks().iter().enumerate().map(head).collect()
    }

    /// Them as one teacher of a training by `plan` on `devices`, with `cache` before each, and the heads by which this one is asked for each
    /// task; `heads` are their own.
    ///
    /// # Errors
    /// They are not of one shape.
    pub fn as_one(
        &self,
        heads: Vec<AnsweringHead>,
        cache: Option<&Arc<TeacherCache>>,
        plan: &Plan,
        devices: &Devices,
    ) -> Result<(Box<dyn Teacher + '_>, Vec<usize>), CliError> {
        let layers = TeacherLayers::of(plan);
        // Whoever comes next will ask once more.
        let expected = Expected { again: 1, order: 0 };
        let one = |i: usize| -> Box<dyn Teacher + '_> {
            let dir = &self.models[i];
            let teacher: Box<dyn Teacher> = Box::new(ReplicatedTeacher::new(&dir.model, devices));
            let Some(cache) = cache else { return teacher };
            let identity = fingerprint(&dir.config, &dir.model.collect_internal());
            Box::new(CachedTeacher::new(teacher, Arc::clone(cache), identity, layers.clone(), expected))
        };
        if self.models.len() == 1 {
            let places = heads.iter().map(|head| head.index).collect();
            return Ok((OrderedTeacher::before(one(0), heads), places));
        }
        let of_task = |(&i, head): (&usize, AnsweringHead)| TaskTeacher {
            name: self.models[i].path.display().to_string(),
            config: &self.models[i].config,
            head: head.index,
            teacher: OrderedTeacher::before(one(i), [head]),
        };
        let tasks: Vec<_> = self.of.iter().zip(heads).map(of_task).collect();
        let places = (0..tasks.len()).collect();
        Ok((Box::new(TaskTeachers::new(one(0), tasks)?), places))
    }

    /// What of them decides a result; a teacher that comes after others is numbered.
    pub fn files(&self) -> Files {
        let named = |(i, dir): (usize, &ModelDir)| match i {
            0 => model_files("teacher", &dir.path),
            _ => model_files(&format!("teacher {}", i + 1), &dir.path),
        };
        self.models.iter().enumerate().flat_map(named).collect()
    }

    /// Which of them teaches each task.
    pub fn of_tasks(&self) -> &[usize] {
        &self.of
    }

    /// As they were given.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// For model cards.
    pub fn described(&self) -> &str {
        &self.described
    }
}

fn described(models: &[ModelDir], of: &[usize], tasks: &[Task]) -> String {
    let name = |model: &ModelDir| format!("`{}`", model.path.display());
    if let [one] = models {
        return name(one);
    }
    let each = models.iter().enumerate().map(|(i, model)| {
        let taught = of.iter().zip(tasks).filter(|(at, _)| **at == i).map(|(_, task)| task.name());
        format!("{} ({})", name(model), taught.collect::<Vec<_>>().join(", "))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A task that was misspelt is taken for a path.
fn explain(option: &TeacherOption, error: CliError) -> CliError {
    let given = option.dir.to_str().filter(|_| option.task.is_none() && !option.dir.exists());
    match given.and_then(|text| text.split_once('=')) {
        Some((name, _)) if !name.contains(std::path::is_separator) => {
            CliError::usage(format!("--teacher {option}: `{name}` is no task, and there is no such folder"))
                .with_hint(HINT)
        }
        _ => error,
    }
}

/// # Errors
/// The tokenizer of `other` is missing, or not that of the first teacher.
fn same_ids((first, encoder): (&Path, &TextEncoder), other: &ModelDir) -> Result<(), CliError> {
    if tokenizer("--teacher", &other.path, &other.config)?.to_json()? == encoder.to_json()? {
        return Ok(());
    }
    let (one, two) = (first.display(), other.path.display());
    Err(CliError::usage(format!("--teacher {one}, --teacher {two}: their tokenizers differ"))
        .with_hint("a batch has the same ids for all; fine-tune the teachers of a student from one model"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[&str]) -> Vec<TeacherOption> {
        given.iter().map(|text| OsString::from(text).into()).collect()
    }

    fn tasks(names: &[&str]) -> Vec<Task> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_task_stands_before_the_first_equals_sign_and_everything_else_is_a_path() {
        let mrpc: Task = "mrpc".parse().unwrap();
        for (text, task, dir) in [
            ("mrpc=a=b", Some(mrpc.clone()), "a=b"),
            ("MRPC=x/y", Some(mrpc), "x/y"),
            ("mrpc", None, "mrpc"),
            ("runs/lr=3", None, "runs/lr=3"),
            ("./mrpc=a", None, "./mrpc=a"),
        ] {
            let option = TeacherOption::from(OsString::from(text));
            assert_eq!(option, TeacherOption { task, dir: dir.into() }, "{text}");
        }
        let written = options(&["mrpc=a", "b"]).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(written, ["mrpc=a", "b"]);
    }

    #[test]
    fn every_task_has_its_own_teacher_or_that_of_all_others() {
        let three = tasks(&["mrpc", "rte", "sst-2"]);
        let found = |given: &[&str]| assigned(&options(given), &three).unwrap();
        assert_eq!(found(&["a"]), [0, 0, 0]);
        assert_eq!(found(&["rte=a", "b"]), [1, 0, 1]);
        assert_eq!(found(&["sst-2=a", "rte=b", "mrpc=c"]), [2, 1, 0]);
        assert_eq!(assigned(&options(&["a"]), &[]).unwrap(), [0], "text");
    }

    #[test]
    fn a_teacher_too_few_or_too_many_is_named() {
        let two = tasks(&["mrpc", "rte"]);
        for (given, tasks, part) in [
            (&["mrpc=a"][..], &two[..], "rte has no teacher"),
            (&["mrpc=a", "mrpc=b", "rte=c"], &two, "two teachers of mrpc"),
            (&["a", "b"], &two, "which one teaches which task"),
            (&["mrpc=a", "rte=b", "c"], &two, "--teacher c: every task has another teacher"),
            (&["mrpc=a", "sst-2=b"], &two, "sst-2 is not a --task"),
            (&["mrpc=a"], &[], "text has one teacher"),
            (&["a", "b"], &[], "which one"),
        ] {
            let error = assigned(&options(given), tasks).unwrap_err();
            assert!(error.message().contains(part), "{}", error.message());
        }
    }
}
