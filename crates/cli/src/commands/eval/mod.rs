//! `eval`: metrics and predictions of a model on a split of a task.

mod args;
mod glue;
mod squad;

pub use args::EvalArgs;

use crate::context::Context;
use crate::error::CliError;
use crate::inputs::must_exist;
use crate::tasks::Task;

pub fn run(args: &EvalArgs, context: &Context) -> Result<(), CliError> {
    must_exist("--data", [&args.data])?;
    match args.task {
        Task::Glue(task) => glue::run(args, task, context),
        Task::Squad(version) => squad::run(args, version, context),
    }
}
