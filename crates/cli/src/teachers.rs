//! Teachers as `distill` takes them.

use glue_squad::task::Task;
use pipeline::teachers::{Assignment, TeacherError, TeacherSource, Teachers};

use crate::context::Context;
use crate::error::CliError;
use crate::models::load_with_tokenizer;

/// How to name several.
const HINT: &str = "--teacher DIR teaches everything; --teacher TASK=DIR, once for each --task, that task alone";

/// Loads the teachers of `tasks`, or of text where there are none.
///
/// # Errors
/// Teachers that cannot be assigned, read, or teach one student together.
pub fn load(sources: &[TeacherSource], tasks: &[Task], context: &Context) -> Result<Teachers, CliError> {
    let assignment = Assignment::new(sources, tasks).map_err(explained)?;
    let load = |source: &TeacherSource| {
        load_with_tokenizer("--teacher", &source.dir, context).map_err(|error| misspelt(source, error))
    };
    let loaded = assignment.sources.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    Teachers::new(assignment, loaded, |source| format!("--teacher {source}")).map_err(|error| match error {
        pipeline::Error::Teacher(error) => explained(error),
        other => other.into(),
    })
}

/// A task that was misspelt is taken for a path.
fn misspelt(source: &TeacherSource, error: CliError) -> CliError {
    let given = source.dir.to_str().filter(|_| source.task.is_none() && !source.dir.exists());
    match given.and_then(|text| text.split_once('=')) {
        Some((name, _)) if !name.contains(std::path::is_separator) => {
            CliError::usage(format!("--teacher {source}: `{name}` is no task, and there is no such folder"))
                .with_hint(HINT)
        }
        _ => error,
    }
}

/// What is wrong, in terms of the options, and what to do about it.
pub fn explained(error: TeacherError) -> CliError {
    let assignment = |message: String| CliError::usage(message).with_hint(HINT);
    let said = error.to_string();
    match error {
        TeacherError::Duplicate(a, b) => {
            let which = match &a.task {
                Some(task) => format!("two teachers of {task}"),
                None => "it is not clear which one teaches which task".into(),
            };
            assignment(format!("--teacher {a}, --teacher {b}: {which}"))
        }
        TeacherError::TaskNotTrained(source) => {
            let task = source.task.as_ref().map(Task::name).unwrap_or_default();
            assignment(format!("--teacher {source}: {task} is not a --task of this training"))
        }
        TeacherError::TextHasOneTeacher(_) | TeacherError::Unused(_) => assignment(format!("--teacher {said}")),
        TeacherError::Missing(_) => assignment(format!("--teacher: {said}")),
        TeacherError::Tokenizers(one, two) => {
            let (one, two) = (one.display(), two.display());
            CliError::usage(format!("--teacher {one}, --teacher {two}: their tokenizers differ"))
                .with_hint("a batch has the same ids for all; fine-tune the teachers of a student from one model")
        }
        TeacherError::Several => CliError::usage(format!("the teacher's embedding (--teacher-embedding): {said}"))
            .with_hint("start with --init DIR, or learn from one --teacher DIR"),
        TeacherError::NoHead { dir, source } => {
            let error = CliError::from(source).with_context(format!("--teacher {}", dir.display()));
            error.into_usage().with_hint("`efficientbert teacher` fine-tunes a model on a task")
        }
        TeacherError::DifferentSizes(error) => CliError::from(error).into_usage(),
    }
}
