//! `eval`: metrics and predictions of a model on a split of a task.

mod args;
mod glue;
mod squad;

use std::path::PathBuf;

pub use args::EvalArgs;
use glue_squad::task::{Split, Task};

use crate::context::Context;
use crate::error::CliError;
use crate::inputs::must_exist;

/// What is evaluated on.
pub(super) struct EvaluatedOn {
    task: Task,
    data: PathBuf,
    split: Split,
    /// The head that answers, where it is not found by the name of the task.
    head: Option<usize>,
}

pub fn run(args: &EvalArgs, context: &Context) -> Result<(), CliError> {
    let on = evaluated_on(args, context)?;
    must_exist("--data", [&on.data])?;
    match on.task.squad() {
        None => glue::run(args, &on, context),
        Some(version) => squad::run(args, version, &on, context),
    }
}

fn evaluated_on(args: &EvalArgs, context: &Context) -> Result<EvaluatedOn, CliError> {
    let own = &args.own;
    let only_test = own.test.is_some() && own.dev.is_none() && own.train.is_none();
    let split = args.split.unwrap_or(if only_test { Split::Test } else { Split::Dev });
    if args.task.is_none()
        && let Some((task, data, head)) = own.for_model(&args.model)?
    {
        return Ok(EvaluatedOn { task, data, split, head: Some(head) });
    }
    let chosen = own.or_of(args.task.as_slice(), args.data.as_deref(), context)?;
    let task = chosen.tasks.into_iter().next().expect("a task is required");
    Ok(EvaluatedOn { task, data: chosen.data.unwrap_or_default(), split, head: None })
}
