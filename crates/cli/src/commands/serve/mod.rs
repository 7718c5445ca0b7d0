//! `serve`: models over HTTP.
//!
//! | file | concern |
//! |---|---|
//! | `args` | the options |

mod args;

use std::net::SocketAddr;
use std::sync::Arc;

pub use args::ServeArgs;
use args::{Log, ModelArg};
use serde_json::json;
use serve::{Event, Events, ModelSource, Server, Settings, Threads, Token};

use crate::allocator;
use crate::context::Context;
use crate::device::DeviceKind;
use crate::environment;
use crate::error::{CliError, ResultExt};
use crate::hub;
use crate::models::{check_model_directory, explained, import_hint};

pub fn run(args: &ServeArgs, context: &Context) -> Result<(), CliError> {
    if context.kind() != DeviceKind::Cpu {
        return Err(CliError::usage(format!("--device {}: models are served on the cpu", context.names)));
    }
    let settings = Settings {
        address: SocketAddr::new(args.host, args.port),
        models: args.models.iter().map(source).collect::<Result<_, _>>()?,
        precision: args.precision.precision,
        threads: threads(args, context)?,
        limits: args.limits(),
        truncate: !args.no_truncate,
        token: args.token_file.as_deref().map(token).transpose()?,
        signals: true,
    };
    if !args.host.is_loopback() && settings.token.is_none() {
        let message = format!(
            "--host {}: whoever reaches this machine can use the models; --token-file asks for a token",
            args.host
        );
        context.progress.warn(&message);
    }
    allocator::give_back_pages();
    Server::start(settings, events(args.log)).map_err(refused)?.wait();
    Ok(())
}

/// The model of an option, by its name.
fn source(model: &ModelArg) -> Result<ModelSource, CliError> {
    check_model_directory("--model", &model.dir)?;
    let named = |name: String| {
        let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        name.chars().map(fits).collect::<String>()
    };
    let name = model.name.clone().unwrap_or_else(|| named(hub::last_name(&model.dir)));
    Ok(ModelSource { name, dir: model.dir.clone() })
}

/// All threads compute; those that read and tokenize wait most of the time.
fn threads(args: &ServeArgs, context: &Context) -> Result<Threads, CliError> {
    let together = usize::from(args.batch_threads);
    if together > context.threads {
        let all = context.threads;
        return Err(CliError::usage(format!("--batch-threads {together}: there are {all} threads; see --threads")));
    }
    let batches = context.threads / together;
    Ok(Threads { batches, per_batch: together, ..Threads::of(context.threads) })
}

/// The token in a file.
fn token(file: &std::path::Path) -> Result<Token, CliError> {
    let option = format!("--token-file {}", file.display());
    let text = std::fs::read_to_string(file).context(option.clone()).or_usage()?;
    Token::new(&text).context(option).or_usage()
}

/// Writes events as lines of JSON.
fn events(log: Log) -> Events {
    Arc::new(move |event: &Event<'_>| {
        if log == Log::None || log == Log::Events && matches!(event, Event::Request(_)) {
            return;
        }
        let Ok(mut line) = serde_json::to_value(event) else { return };
        line["time_ms"] = json!(environment::now_ms());
        // Where standard error is closed nobody reads a log.
        let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), format!("{line}\n").as_bytes());
    })
}

fn refused(error: serve::Error) -> CliError {
    match error {
        serve::Error::Settings(_) => CliError::from(error).into_usage(),
        // A BERT of `transformers` may have names or heads that `import` alone knows.
        serve::Error::Model { dir, cause, .. } if matches!(*cause, predict::Error::Runtime(_)) => {
            CliError::from(*cause).with_hint(import_hint(&dir))
        }
        serve::Error::Model { name, dir, cause } => explained(&format!("--model {name}={}", dir.display()), *cause),
        serve::Error::Listen { .. } => {
            CliError::from(error).with_hint("name another port (--port), or 0 for one that is free")
        }
        error => error.into(),
    }
}
