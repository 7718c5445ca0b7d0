//! `eval`: metrics and predictions of a model on a split of a task.

mod args;
mod glue;
mod squad;

pub use args::EvalArgs;

use crate::context::Context;
use crate::error::CliError;
use crate::inputs::must_exist;

pub fn run(args: &EvalArgs, context: &Context) -> Result<(), CliError> {
    must_exist("--data", [&args.data])?;
    match args.task.squad() {
        None => glue::run(args, context),
        Some(version) => squad::run(args, version, context),
    }
}
