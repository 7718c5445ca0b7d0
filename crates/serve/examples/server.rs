//! A server without the program: `server NAME=DIR... [--port N] [--precision F] [--batches N] [--threads N] [--http N] [--tokenizers N]
//! [--batch-tokens N] [--wait-us N] [--queue N] [--max-body N] [--body-timeout S] [--idle-timeout S]
//! [--drain-ms N] [--log]`.

#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "a program")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use cpu_runtime::Precision;
use serve::{Event, ModelSource, Server, Settings, Threads};

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = Settings::new(Vec::new());
    settings.threads = Threads::of(std::thread::available_parallelism()?.get());
    settings.signals = true;
    let mut log = false;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if let Some((name, dir)) = word.split_once('=') {
            settings.models.push(ModelSource { name: name.into(), dir: dir.into() });
            continue;
        }
        if word == "--log" {
            log = true;
            continue;
        }
        let value = words.next().ok_or("a value is missing")?;
        let number = || value.parse::<usize>();
        match word.as_str() {
            "--port" => settings.address.set_port(value.parse()?),
            "--precision" => {
                let known = Precision::ALL.into_iter().find(|precision| precision.name() == value);
                settings.precision = known.ok_or("f32, bf16 or int8")?;
            }
            "--batches" => settings.threads.batches = number()?,
            "--threads" => settings.threads.per_batch = number()?,
            "--http" => settings.threads.http = number()?,
            "--tokenizers" => settings.threads.tokenizers = number()?,
            "--batch-tokens" => settings.limits.batch_tokens = number()?,
            "--wait-us" => settings.limits.batch_wait = Duration::from_micros(value.parse()?),
            "--queue" => settings.limits.queue = number()?,
            "--max-body" => settings.limits.body = number()?,
            "--body-timeout" => settings.limits.body_time = Duration::from_secs(value.parse()?),
            "--idle-timeout" => settings.limits.head_time = Duration::from_secs(value.parse()?),
            "--drain-ms" => settings.limits.drain = Duration::from_millis(value.parse()?),
            other => return Err(format!("{other}: unknown").into()),
        }
    }
    let events = move |event: &Event<'_>| {
        if log || !matches!(event, Event::Request(_)) {
            eprintln!("{}", serde_json::to_string(event).unwrap_or_default());
        }
    };
    Server::start(settings, Arc::new(events))?.wait();
    Ok(())
}
