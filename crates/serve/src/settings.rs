//! What a server is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cpu_runtime::Precision;

use crate::failure::Failure;
use crate::{Error, Result};

/// A model and the name that requests call it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSource {
    /// Its name in routes.
    pub name: String,
    /// Its model directory, which is read again by a reload.
    pub dir: PathBuf,
}

/// All that a server is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub address: SocketAddr,
    /// The models; the first answers where a request names none.
    pub models: Vec<ModelSource>,
    /// Number format of weights and products.
    pub precision: Precision,
    /// How work is divided among threads.
    pub threads: Threads,
    /// What is refused.
    pub limits: Limits,
    /// Whether texts that are too long lose their end where a request does not say; else they are refused.
    pub truncate: bool,
    /// What requests must send as `Authorization: Bearer ...`, except to the routes of health.
    pub token: Option<Token>,
    /// Whether SIGTERM and Ctrl-C stop the server and SIGHUP reads the models again, from before [`crate::Event::Listening`] on. Else
    /// signals are left to the program.
    pub signals: bool,
}

/// Threads of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Batches that are computed at the same time.
    pub batches: usize,
    /// Threads of each of them.
    pub per_batch: usize,
    /// Threads that turn texts into tokens.
    pub tokenizers: usize,
    /// Threads that read requests and write answers.
    pub http: usize,
}

impl Threads {
    /// For `cores` cores: a batch for each of them. Threads that wait for each other would wait for those that read requests too.
    pub fn of(cores: usize) -> Self {
        let cores = cores.max(1);
        Self { batches: cores, per_batch: 1, tokenizers: cores.div_ceil(2), http: cores.div_ceil(2) }
    }
}

/// What is refused, and how long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body; more is 413.
    pub body: usize,
    /// Texts of a request; more is 413.
    pub texts: usize,
    /// Tokens of all texts of a request together; more is 413.
    pub request_tokens: usize,
    /// Texts that wait or are computed at the same time; more is 429.
    pub queue: usize,
    /// Tokens of a batch; a longer text is a batch by itself.
    pub batch_tokens: usize,
    /// How long a text waits for others to make a batch with.
    pub batch_wait: Duration,
    /// Connections at the same time; more wait.
    pub connections: usize,
    /// Time for the head of a request, and for the next one of the same connection.
    pub head_time: Duration,
    /// Time for a request's body, more is 408; and for the client to take some more of its answer, else the connection ends.
    pub body_time: Duration,
    /// Time from the body to the answer; more is 504.
    pub answer_time: Duration,
    /// How long connections are still accepted after the request to stop, so that clients learn of it from their answers.
    pub drain: Duration,
    /// How long running requests have after that.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 2_000_000,
            texts: 32,
            request_tokens: 32_768,
            queue: 512,
            batch_tokens: 256,
            batch_wait: Duration::ZERO,
            connections: 1024,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(10),
            answer_time: Duration::from_secs(30),
            drain: Duration::from_millis(300),
            stop_time: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// # Errors
    /// 413: a request may not have that many tokens.
    pub(crate) fn check_tokens(&self, tokens: usize) -> Result<(), Failure> {
        let most = self.request_tokens;
        match tokens > most {
            true => {
                Err(Failure::too_large(format!("the request has {tokens} tokens; at most {most} are taken at once")))
            }
            false => Ok(()),
        }
    }
}

/// A bearer token. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token that stands in a file, white space around it left out.
    ///
    /// # Errors
    /// It is empty, or holds what a header cannot.
    pub fn new(text: &str) -> Result<Self> {
        let token = text.trim();
        match !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Self(token.to_owned())),
            false => Err(Error::Token),
        }
    }

    /// Whether `given` is this token; the time that it takes does not depend on how much of it is right.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.0.as_bytes(), given).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Settings {
    /// Settings of one model with defaults: loopback, a port that the system chooses, f32, and threads for one core
    /// ([`Threads::of`]). Signals are left to the program.
    pub fn new(models: Vec<ModelSource>) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            models,
            precision: Precision::F32,
            threads: Threads::of(1),
            limits: Limits::default(),
            truncate: true,
            token: None,
            signals: false,
        }
    }

    /// # Errors
    /// No model, a name that no route could hold, or one twice; a limit of 0.
    pub(crate) fn check(&self) -> Result<()> {
        if self.models.is_empty() {
            return Err(Error::Settings("there is no model to serve".into()));
        }
        for (index, ModelSource { name, .. }) in self.models.iter().enumerate() {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || name.len() > 128 || !name.chars().all(fits) {
                let reason = "names are made of letters, digits and `-`, `_`, `.`";
                return Err(Error::Settings(format!("`{name}` is no name for a model: {reason}")));
            }
            if self.models[..index].iter().any(|other| other.name == *name) {
                return Err(Error::Settings(format!("two models are called `{name}`")));
            }
        }
        let Limits { body, texts, request_tokens, queue, batch_tokens, connections, .. } = self.limits;
        let Threads { batches, per_batch, tokenizers, http } = self.threads;
        let counts = [
            ("body", body),
            ("texts", texts),
            ("request_tokens", request_tokens),
            ("queue", queue),
            ("batch_tokens", batch_tokens),
            ("connections", connections),
            ("batches", batches),
            ("per_batch", per_batch),
            ("tokenizers", tokenizers),
            ("http", http),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(Error::Settings(format!("`{name}` is 0; at least 1 is needed"))),
            None if queue < texts => {
                Err(Error::Settings(format!("a request may have {texts} texts, but the queue holds {queue}")))
            }
            None => Ok(()),
        }
    }
}
