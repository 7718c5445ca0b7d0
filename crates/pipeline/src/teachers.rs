//! The teachers of a distillation: one for everything, or one for each task. All are loaded once and stay in memory.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bert_core::{BertConfig, ModelDir, TaskModel};
use burn::tensor::Device;
use glue_squad::task::Task;
use kd::cache::{CachedTeacher, Expected, TeacherCache, TeacherLayers, fingerprint};
use kd::job::{OrderedTeacher, ReplicatedTeacher, TaskTeacher, TaskTeachers, Teacher, check_alike};
use kd::objective::Plan;
use predict::data::EvalSet;
use predict::heads::{AnsweringHead, answering_head};
use tokenizer::TextEncoder;
use train::engine::Devices;

use crate::Result;
use crate::check_teacher::{Unfit, unfit};
use crate::input_files::{Files, model_files};
use crate::vocabulary::Trim;

/// Where a teacher comes from: `DIR`, or `TASK=DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeacherSource {
    /// The task that it teaches; `None` for whatever no other one teaches.
    pub task: Option<Task>,
    /// The model directory.
    pub dir: PathBuf,
}

impl From<OsString> for TeacherSource {
    /// What stands before the `=` is a task if it is the name of one; else all of it is a path.
    fn from(given: OsString) -> Self {
        let named = given.to_str().and_then(|text| text.split_once('='));
        match named.and_then(|(name, dir)| Some((name.parse().ok()?, dir))) {
            Some((task, dir)) => Self { task: Some(task), dir: dir.into() },
            None => Self { task: None, dir: given.into() },
        }
    }
}

impl fmt::Display for TeacherSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "{task}={}", self.dir.display()),
            None => write!(f, "{}", self.dir.display()),
        }
    }
}

/// Why teachers cannot teach.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// Two teachers of one task, or of everything.
    #[error("{0}, {1}: {which}", which = which(.1))]
    Duplicate(TeacherSource, TeacherSource),
    /// Text is learned, which has one teacher.
    #[error("{0}: this training learns from text, not on {task}; text has one teacher", task = task(.0))]
    TextHasOneTeacher(TeacherSource),
    /// Its task is not learned.
    #[error("{0}: {task} is not learned in this training", task = task(.0))]
    TaskNotTrained(TeacherSource),
    /// Every task has another teacher.
    #[error("{0}: every task has another teacher, so it would teach nothing")]
    Unused(TeacherSource),
    /// A task has no teacher.
    #[error("{0} has no teacher")]
    Missing(Task),
    /// A batch has the same ids for all teachers.
    #[error("{}, {}: their tokenizers differ", .0.display(), .1.display())]
    Tokenizers(PathBuf, PathBuf),
    /// Two teachers of different sizes.
    #[error(transparent)]
    DifferentSizes(kd::Error),
    /// There are several, where one is asked for.
    #[error("there are several teachers, and they are of different weights")]
    Several,
    /// A teacher cannot answer its task.
    #[error("{}", dir.display())]
    NoHead {
        /// The teacher.
        dir: PathBuf,
        /// Why.
        source: predict::Error,
    },
}

fn which(source: &TeacherSource) -> String {
    match &source.task {
        Some(task) => format!("two teachers of {task}"),
        None => "it is not clear which one teaches which task".into(),
    }
}

fn task(source: &TeacherSource) -> String {
    source.task.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// Which teacher teaches what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Those that teach, each folder once; the first task's, or that of text, comes first.
    pub sources: Vec<TeacherSource>,
    /// Position of each task's teacher in `sources`; of text one.
    pub of: Vec<usize>,
    /// All of them, as they were given.
    pub said: String,
    tasks: Vec<Task>,
}

impl Assignment {
    /// Which of `sources`, at least one, teaches each of `tasks`, or text where there are none.
    ///
    /// # Errors
    /// A task without a teacher, a teacher without a task, or two for one.
    pub fn new(sources: &[TeacherSource], tasks: &[Task]) -> Result<Self, TeacherError> {
        let said = sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (mut used, mut of): (Vec<TeacherSource>, Vec<usize>) = (Vec::new(), Vec::new());
        for source in assigned(sources, tasks)?.into_iter().map(|i| &sources[i]) {
            let known = used.iter().position(|other| other.dir == source.dir);
            of.push(known.unwrap_or(used.len()));
            if known.is_none() {
                used.push(source.clone());
            }
        }
        Ok(Self { sources: used, of, said, tasks: tasks.to_vec() })
    }
}

/// Position of the teacher of each task, or of text where there are none.
fn assigned(sources: &[TeacherSource], tasks: &[Task]) -> Result<Vec<usize>, TeacherError> {
    for (i, source) in sources.iter().enumerate() {
        if let Some(before) = sources[..i].iter().find(|before| before.task == source.task) {
            return Err(TeacherError::Duplicate(before.clone(), source.clone()));
        }
        match &source.task {
            Some(_) if tasks.is_empty() => return Err(TeacherError::TextHasOneTeacher(source.clone())),
            Some(task) if !tasks.contains(task) => return Err(TeacherError::TaskNotTrained(source.clone())),
            _ => {}
        }
    }
    let of = |task: Option<&Task>| sources.iter().position(|source| source.task.as_ref() == task);
    if let Some(idle) = of(None).filter(|_| !tasks.is_empty() && sources.len() > tasks.len()) {
        return Err(TeacherError::Unused(sources[idle].clone()));
    }
    let of_task = |task: &Task| of(Some(task)).or(of(None)).ok_or_else(|| TeacherError::Missing(task.clone()));
    match tasks {
        // Text; its teacher is the only one.
        [] => Ok(vec![0]),
        tasks => tasks.iter().map(of_task).collect(),
    }
}

/// How a teacher's answers are kept.
pub(crate) struct KeptAnswers {
    pub cache: Arc<TeacherCache>,
    /// Hash of the teacher.
    pub identity: String,
    /// What is asked of it.
    pub layers: TeacherLayers,
    /// Who else will ask.
    pub expected: Expected,
}

/// A model as a teacher on `devices`, with its kept answers before it.
pub(crate) fn teacher_on<'t>(
    devices: &Devices,
    model: &'t TaskModel,
    kept: Option<KeptAnswers>,
) -> Box<dyn Teacher + 't> {
    let teacher = ReplicatedTeacher::new(model, devices);
    match kept {
        Some(KeptAnswers { cache, identity, layers, expected }) => {
            Box::new(CachedTeacher::new(teacher, cache, identity, layers, expected))
        }
        None => Box::new(teacher),
    }
}

/// Loaded teachers of equal shape.
pub struct Teachers {
    /// Each folder once.
    models: Vec<ModelDir>,
    /// Which of them teaches each task.
    pub assignment: Assignment,
    /// For model cards.
    pub described: String,
    /// The tokenizer of all of them.
    pub encoder: TextEncoder,
}

impl Teachers {
    /// The teachers of `assignment`, loaded in the order of its sources, each with its tokenizer; `named` says how messages call one.
    ///
    /// # Errors
    /// They cannot teach one student together: another tokenizer, or other sizes.
    pub fn new(
        assignment: Assignment,
        loaded: Vec<(ModelDir, TextEncoder)>,
        named: impl Fn(&TeacherSource) -> String,
    ) -> Result<Self> {
        let (models, encoders): (Vec<ModelDir>, Vec<TextEncoder>) = loaded.into_iter().unzip();
        let ids = encoders[0].to_json()?;
        for (i, encoder) in encoders.iter().enumerate().skip(1) {
            if encoder.to_json()? != ids {
                return Err(TeacherError::Tokenizers(models[0].path.clone(), models[i].path.clone()).into());
            }
            let (first, other) = (named(&assignment.sources[0]), named(&assignment.sources[i]));
            check_alike((&first, &models[0].config), (&other, &models[i].config))
                .map_err(TeacherError::DifferentSizes)?;
        }
        let described = described(&models, &assignment.of, &assignment.tasks);
        let encoder = encoders.into_iter().next().expect("an assignment has a teacher");
        Ok(Self { models, assignment, described, encoder })
    }

    /// Them with the trimmed vocabulary.
    ///
    /// # Errors
    /// One has a word table without the rows of the pieces.
    pub fn trimmed(&self, trim: &Trim, device: &Device) -> Result<Self> {
        let models = self.models.iter().map(|model| trim.model(model, device)).collect::<Result<_>>()?;
        let (assignment, described) = (self.assignment.clone(), self.described.clone());
        Ok(Self { models, assignment, described, encoder: trim.encoder.clone() })
    }

    /// That of the task at `place`; of text the first.
    pub fn of_task(&self, place: usize) -> &ModelDir {
        &self.models[self.assignment.of[place]]
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

    /// The only one.
    ///
    /// # Errors
    /// [`TeacherError::Several`].
    pub fn only(&self) -> Result<&ModelDir, TeacherError> {
        match &self.models[..] {
            [one] => Ok(one),
            _ => Err(TeacherError::Several),
        }
    }

    /// Their heads for the tasks, each with the directory of its teacher.
    ///
    /// # Errors
    /// One has no head for its task.
    pub fn heads(&self) -> Result<Vec<(&Path, AnsweringHead)>, TeacherError> {
        let head = |(task, &at): (&Task, &usize)| {
            let model = &self.models[at];
            let found = answering_head(&model.config, task);
            let head = found.map_err(|source| TeacherError::NoHead { dir: model.path.clone(), source })?;
            Ok((model.path.as_path(), head))
        };
        self.assignment.tasks.iter().zip(&self.assignment.of).map(head).collect()
    }

    /// Asks each teacher about dev examples of its tasks, whose sets are `dev` in the order of the tasks, with the head of `heads`; why
    /// answers cannot teach, each with the directory of its teacher.
    ///
    /// # Errors
    /// As [`unfit`].
    pub fn unfit(
        &self,
        heads: &[AnsweringHead],
        dev: &[(usize, EvalSet)],
        device: &Device,
        stop: &AtomicBool,
    ) -> Result<Vec<(&Path, Unfit)>> {
        let mut found = Vec::new();
        for ((&at, head), (_, set)) in self.assignment.of.iter().zip(heads).zip(dev) {
            let teacher = &self.models[at];
            found.extend(unfit(&teacher.model, head, set, device, stop)?.map(|why| (teacher.path.as_path(), why)));
        }
        Ok(found)
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
    ) -> Result<(Box<dyn Teacher + '_>, Vec<usize>)> {
        // Whoever comes next will ask once more.
        let expected = Expected { again: 1, order: 0 };
        let one = |i: usize| {
            let dir = &self.models[i];
            let kept = cache.map(|cache| KeptAnswers {
                cache: Arc::clone(cache),
                identity: fingerprint(&dir.config, &dir.model.collect_internal()),
                layers: TeacherLayers::of(plan),
                expected,
            });
            teacher_on(devices, &dir.model, kept)
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
        let tasks: Vec<_> = self.assignment.of.iter().zip(heads).map(of_task).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[&str]) -> Vec<TeacherSource> {
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
            let option = TeacherSource::from(OsString::from(text));
            assert_eq!(option, TeacherSource { task, dir: dir.into() }, "{text}");
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
            (&["mrpc=a", "rte=b", "c"], &two, "c: every task has another teacher"),
            (&["mrpc=a", "sst-2=b"], &two, "sst-2 is not learned"),
            (&["mrpc=a"], &[], "text has one teacher"),
            (&["a", "b"], &[], "which one"),
        ] {
            let error = assigned(&options(given), tasks).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
