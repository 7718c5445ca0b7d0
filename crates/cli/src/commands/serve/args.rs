//! Options of `serve`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kd::cache::ByteSize;

use crate::hub::Named;
use crate::predictor::PrecisionArgs;

/// What is written into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// Starts, reloads, failures, and every request.
    Requests,
    /// Starts, reloads and failures.
    Events,
    /// Nothing.
    None,
}

/// A model directory, and the name by which requests call it.
#[derive(Clone, Debug)]
pub struct ModelArg {
    /// The last part of the path where it is absent.
    pub name: Option<String>,
    pub dir: PathBuf,
}

impl FromStr for ModelArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path may hold `=` too.
        match text.split_once('=').filter(|_| !Path::new(text).exists()) {
            Some((name, dir)) if name.is_empty() || dir.is_empty() => Err("write NAME=DIR, or DIR alone".to_owned()),
            Some((name, dir)) => Ok(Self { name: Some(name.to_owned()), dir: dir.into() }),
            None => Ok(Self { name: None, dir: text.into() }),
        }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert serve --model runs/sst2/student --port 8080 --precision int8
  efficientbert serve --model mood=models/sst2 --model names=models/ner --token-file token --log events

  curl 127.0.0.1:8080/predict -H 'Content-Type: application/json' -d '{\"inputs\": \"a quiet film\"}'

Routes of text-embeddings-inference (/predict, /embed, /rerank, /similarity, /tokenize, /info, /health, /metrics), of OpenAI \
(/v1/embeddings), of KServe v2 (/v2/models/NAME/infer), and /tokens and /answers for heads of tags and of questions; /openapi.json \
describes all of them. The first model answers where a request names none; the others have the same routes below /models/NAME.\n\
Ctrl-C and SIGTERM end it when all that was accepted is answered; SIGHUP reads the model directories again. The log is a JSON object per \
line, on standard error.")]
pub struct ServeArgs {
    /// Model directory, or its name on the Hugging Face hub; given several times, each with a name of its own [default name: the last part of the path].
    #[arg(long = "model", value_name = "[NAME=]DIR|ORG/NAME", required = true)]
    pub(super) models: Vec<ModelArg>,
    /// Port; 0 for one that is free, which the log tells.
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub(super) port: u16,
    /// Address to listen at; 0.0.0.0 for all of this machine.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(super) host: IpAddr,
    #[command(flatten)]
    pub(super) precision: PrecisionArgs,
    /// File with a token that requests must send as `Authorization: Bearer TOKEN`.
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Refuse texts that are too long for the model, where a request does not say `truncate`; without it they lose their end.
    #[arg(long)]
    pub(super) no_truncate: bool,
    /// What is logged.
    #[arg(long, value_enum, default_value_t = Log::Requests)]
    pub(super) log: Log,
    /// Threads that compute a batch together; several make one request faster, and fewer requests a second.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) batch_threads: u16,
    /// Most tokens of a batch; a longer text is one by itself.
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..=16_777_216), help_heading = "Limits")]
    pub(super) max_batch_tokens: u32,
    /// How long a text waits for others to make a batch with, milliseconds.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=10_000), help_heading = "Limits")]
    pub(super) batch_wait_ms: u32,
    /// Most texts that wait or are computed; more are answered with status 429.
    #[arg(long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Limits")]
    pub(super) max_queue: u32,
    /// Most texts of a request.
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Limits")]
    pub(super) max_texts: u32,
    /// Most tokens of all texts of a request.
    #[arg(long, value_name = "N", default_value = "32768", value_parser = clap::value_parser!(u32).range(1..=100_000_000), help_heading = "Limits")]
    pub(super) max_request_tokens: u32,
    /// Largest body of a request.
    #[arg(long, value_name = "SIZE", default_value = "2 MB", help_heading = "Limits")]
    pub(super) max_body: ByteSize,
    /// Most connections at the same time; more wait.
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Limits")]
    pub(super) max_connections: u32,
    /// Time for an answer, seconds; status 504 after it.
    #[arg(long, value_name = "S", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Limits")]
    pub(super) timeout: u32,
    /// Time for a request's body, seconds, status 408 after it; and for the client to take more of its answer.
    #[arg(long, value_name = "S", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Limits")]
    pub(super) body_timeout: u32,
    /// Time that a connection may be silent, seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Limits")]
    pub(super) idle_timeout: u32,
    /// After the request to stop, time in which connections are still accepted, milliseconds.
    #[arg(long, value_name = "MS", default_value = "300", value_parser = clap::value_parser!(u32).range(0..=600_000), help_heading = "Limits")]
    pub(super) drain_ms: u32,
    /// After that, time in which running requests are answered, seconds.
    #[arg(long, value_name = "S", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Limits")]
    pub(super) stop_timeout: u32,
}

impl ServeArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(in crate::commands) fn named(&mut self) -> Vec<Named<'_>> {
        self.models.iter_mut().map(|model| Named::model("--model", &mut model.dir)).collect()
    }

    pub(super) fn limits(&self) -> serve::Limits {
        let seconds = |count: u32| Duration::from_secs(u64::from(count));
        let milliseconds = |count: u32| Duration::from_millis(u64::from(count));
        serve::Limits {
            body: usize::try_from(self.max_body.0).unwrap_or(usize::MAX),
            texts: self.max_texts as usize,
            request_tokens: self.max_request_tokens as usize,
            queue: self.max_queue as usize,
            batch_tokens: self.max_batch_tokens as usize,
            batch_wait: milliseconds(self.batch_wait_ms),
            connections: self.max_connections as usize,
            head_time: seconds(self.idle_timeout),
            body_time: seconds(self.body_timeout),
            answer_time: seconds(self.timeout),
            drain: milliseconds(self.drain_ms),
            stop_time: seconds(self.stop_timeout),
        }
    }
}
