//! The soak: a server under mixed load for minutes, whose memory stays flat and whose every answer is right.
//!
//! | file | concern |
//! |---|---|
//! | `server` | the process that serves, its memory |
//! | `client` | a connection |
//! | `load` | the requests |
//!
//! Clients send good requests, hostile ones and broken connections; meanwhile the model is read again every few seconds. At the end the
//! server is told to stop under load.

mod client;
mod load;
mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use client::{Connection, Lost};
use load::{Good, Hostile, KINDS, Random};
use server::Server;

use crate::command::{announce, build_binary, built_example, cannot_start};

/// Most growth of resident memory from the end of the warm-up to the end of the load.
const GROWTH: f64 = 0.05;
/// Part of the time that is warm-up: buffers grow to the longest text, each kind of request has come.
const WARM_UP: f64 = 0.3;
/// Time between two reloads. Memory is read before each, where one model is there.
const RELOAD: Duration = Duration::from_secs(5);
/// Largest body that the server takes.
const BODY: usize = 100_000;
/// Clients with good requests; half of them keep their connection.
const CLIENTS: u64 = 4;
/// Pause of a client between two requests, so that others can work on this machine too.
const PAUSE: Duration = Duration::from_millis(10);

/// Options of the soak.
#[derive(clap::Args)]
pub struct Options {
    /// How long the load lasts.
    #[arg(long, value_name = "N", default_value = "5", value_parser = minutes)]
    minutes: f64,
    /// Model directory with a head for labels and one for vectors; a small one without training when it is absent.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// The program `efficientbert`; it is built when it is absent.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.5..=1440.0).contains(&minutes) => Ok(minutes),
        _ => Err("a number of minutes from 0.5 to 1440".to_owned()),
    }
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    /// The server was told to stop: from now on connections may be refused.
    stopping: AtomicBool,
    good: AtomicU64,
    hostile: Mutex<BTreeMap<&'static str, u64>>,
    /// What was wrong; the first few are printed.
    wrong: Mutex<Vec<String>>,
}

impl Seen {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn wrong(&self, message: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    fn has_failed(&self) -> bool {
        !self.wrong.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Tells clients that it is over, also where something fails: the scope waits for them.
struct Over<'a>(&'a Seen);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Serves for as long as the options say.
///
/// # Errors
/// The server does not start or ends too early, memory grows, a request is lost, or an answer is wrong.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    if !cfg!(target_os = "linux") {
        return Err("the soak reads the server's memory from /proc: it runs on Linux alone".into());
    }
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build_binary(Vec::new())?,
    };
    let scratch = Scratch::new()?;
    let model = match &options.model {
        Some(model) => model.clone(),
        None => untrained(&scratch.0.join("model"))?,
    };
    let body = BODY.to_string();
    let limits = ["--max-body", &body, "--body-timeout", "3", "--idle-timeout", "10", "--drain-ms", "1000"];
    let mut server = Server::start(&program, &model, &limits)?;
    eprintln!("soak: {} at {}, {} minutes", model.display(), server.address, options.minutes);
    let seen = Seen::default();
    let memory = std::thread::scope(|scope| {
        let over = Over(&seen);
        for number in 0..CLIENTS {
            let (seen, address) = (&seen, server.address);
            scope.spawn(move || good(address, number, seen));
        }
        for number in 0..2 {
            let (seen, address) = (&seen, server.address);
            scope.spawn(move || hostile(address, number, seen));
        }
        let memory = watch(&server, options.minutes, &seen)?;
        seen.stopping.store(true, Ordering::Relaxed);
        server.signal("TERM")?;
        let status = server.ended(Duration::from_secs(120))?;
        drop(over);
        match status.success() {
            true => Ok(memory),
            false => Err(format!("the server ended with {status}:\n{}", server.log())),
        }
    })?;
    judge(&seen, &memory)
}

/// Reads the model again and again until the time is over; gives the memory before each time, in KiB, with the part of the time that has passed.
fn watch(server: &Server, minutes: f64, seen: &Seen) -> Result<Vec<(f64, u64)>, String> {
    let (begun, whole) = (Instant::now(), Duration::from_secs_f64(60.0 * minutes));
    let (mut memory, mut reloads) = (Vec::new(), 0);
    while begun.elapsed() < whole && !seen.has_failed() {
        std::thread::sleep(RELOAD);
        memory.push((begun.elapsed().as_secs_f64() / whole.as_secs_f64(), server.resident()?));
        server.signal("HUP")?;
        reloads += 1;
        let asked = Instant::now();
        while server.counter("efficientbert_reloads_total")? < reloads {
            if asked.elapsed() > Duration::from_secs(60) {
                return Err(format!("the model was not read again:\n{}", server.log()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    match server.counter("efficientbert_failed_reloads_total")? {
        0 => Ok(memory),
        failed => Err(format!("{failed} reloads failed:\n{}", server.log())),
    }
}

/// A client with good requests until it is over, or the server ends its connections.
fn good(address: std::net::SocketAddr, number: u64, seen: &Seen) {
    let mut random = Random::new(number + 1);
    let fixed = br#"{"inputs": "w1 w2 w3 w4"}"#;
    let mut first = None;
    while !seen.is_over() {
        let mut connection = match Connection::open(address) {
            Ok(connection) => connection,
            Err(_) if seen.stopping.load(Ordering::Relaxed) => return,
            Err(lost) => return seen.wrong(format!("a good client: {lost}")),
        };
        let requests = if number.is_multiple_of(2) { usize::MAX } else { 1 };
        for request in 0..requests {
            // What is known is asked now and then: no load and no reload changes it.
            let asks_fixed = request % 50 == 0 && number == 0;
            let drawn = Good::draw(&mut random);
            let (path, body) = if asks_fixed { ("/predict", &fixed[..]) } else { (drawn.path, drawn.body.as_bytes()) };
            let was_stopping = seen.stopping.load(Ordering::Relaxed);
            let reply = match connection.call("POST", path, body) {
                Ok(reply) => reply,
                // A connection that the system had accepted, and the server had not: nobody promised an answer.
                Err(Lost::Unanswered(_)) if was_stopping && request == 0 => return,
                Err(lost) => return seen.wrong(format!("a good request to {path}: {lost}")),
            };
            if asks_fixed {
                let found = String::from_utf8_lossy(&reply.body).into_owned();
                let wanted = first.get_or_insert_with(|| found.clone());
                if reply.status != 200 || *wanted != found {
                    return seen.wrong(format!("the same text: {wanted}, then {} {found}", reply.status));
                }
            } else if let Err(message) = drawn.check(reply.status, &reply.body) {
                return seen.wrong(message);
            }
            seen.good.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(PAUSE);
            if reply.closes || seen.is_over() {
                break;
            }
        }
    }
}

/// A client with hostile requests until it is over or the server stops.
fn hostile(address: std::net::SocketAddr, number: u64, seen: &Seen) {
    let mut random = Random::new(1000 + number);
    while !seen.is_over() && !seen.stopping.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
        let attack = Hostile::of(random.next(KINDS), BODY, &mut random);
        // A slow body takes seconds: rarely.
        if matches!(attack, Hostile::Refused { name: "a slow body", .. }) && random.next(20) > 0 {
            continue;
        }
        let (name, found) = match Connection::open(address) {
            Ok(mut connection) => match attack {
                Hostile::Leaves(bytes) => {
                    connection.send(&bytes);
                    ("clients that leave", Ok(()))
                }
                Hostile::Refused { name, bytes, statuses, may_close } => {
                    connection.send(&bytes);
                    let found = match connection.reply() {
                        Ok(reply) if statuses.contains(&reply.status) => Ok(()),
                        Ok(reply) => Err(format!("status {}: {}", reply.status, String::from_utf8_lossy(&reply.body))),
                        Err(_) if may_close => Ok(()),
                        Err(lost) => Err(format!("{lost}")),
                    };
                    (name, found)
                }
            },
            Err(lost) => ("a connection", Err(format!("{lost}"))),
        };
        *seen.hostile.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        match found {
            Err(message) if !seen.stopping.load(Ordering::Relaxed) => return seen.wrong(format!("{name}: {message}")),
            _ => {}
        }
    }
}

/// Says what was seen.
fn judge(seen: &Seen, memory: &[(f64, u64)]) -> Result<ExitCode, String> {
    let (good, hostile) =
        (seen.good.load(Ordering::Relaxed), seen.hostile.lock().unwrap_or_else(PoisonError::into_inner));
    eprintln!("soak: {good} good requests answered, hostile ones: {hostile:?}");
    let wrong = seen.wrong.lock().unwrap_or_else(PoisonError::into_inner);
    if !wrong.is_empty() {
        return Err(format!("{} clients were not answered as they should be:\n{}", wrong.len(), wrong.join("\n")));
    }
    if good == 0 || hostile.len() < KINDS / 2 {
        return Err("too few requests were made to say anything; give it more minutes".into());
    }
    let (warm, end) = growth(memory).ok_or("too short to compare memory; give it more minutes")?;
    let more = end / warm - 1.0;
    let (warm, end) = (warm / 1024.0, end / 1024.0);
    let found =
        format!("resident memory {warm:.1} MiB after the warm-up, {end:.1} MiB at the end: {:+.1} %", 100.0 * more);
    match more <= GROWTH {
        true => {
            eprintln!("soak: {found}");
            Ok(ExitCode::SUCCESS)
        }
        false => Err(format!("{found}; at most {:+.0} % are allowed; all values, KiB: {memory:?}", 100.0 * GROWTH)),
    }
}

/// Medians of the memory around the end of the warm-up and in as long a time at the end. A single value says little: it depends on what
/// is computed at this moment.
fn growth(memory: &[(f64, u64)]) -> Option<(f64, f64)> {
    let median = |from: f64, to: f64| {
        let mut values: Vec<u64> =
            memory.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, kib)| *kib).collect();
        values.sort_unstable();
        values.get(values.len() / 2).map(|kib| *kib as f64)
    };
    Some((median(WARM_UP, WARM_UP + 0.2)?, median(0.8, f64::INFINITY)?))
}

/// Writes a small model without training, by the example of `model-dir`.
fn untrained(dir: &Path) -> Result<PathBuf, String> {
    let example = built_example("untrained")?;
    announce(&example.display().to_string(), &[dir]);
    let status = Command::new(&example).arg(dir).status().map_err(|e| cannot_start("the example", &e))?;
    match status.success() {
        true => Ok(dir.to_owned()),
        false => Err("the model could not be written".into()),
    }
}

/// A folder that ends with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("efficientbert-soak-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_after_the_warm_up() {
        let flat = |at: f64| if at < 0.3 { 50 } else { 100 };
        let values = |f: &dyn Fn(f64) -> u64| {
            (1..=20).map(|n| (f64::from(n) / 20.0, f(f64::from(n) / 20.0))).collect::<Vec<_>>()
        };
        assert_eq!(growth(&values(&flat)), Some((100.0, 100.0)));
        let (warm, end) = growth(&values(&|at| (100.0 * (1.0 + at)) as u64)).unwrap();
        assert!(end / warm > 1.2);
        assert_eq!(growth(&[(0.4, 9)]), None);
    }

    #[test]
    fn a_wrong_answer_and_growth_fail() {
        let seen = Seen::default();
        seen.good.store(10, Ordering::Relaxed);
        for kind in ["a", "b", "c", "d", "e", "f", "g"] {
            seen.hostile.lock().unwrap().insert(kind, 1);
        }
        let memory = |end: u64| vec![(0.35, 1000), (0.45, 1000), (0.9, end), (1.0, end)];
        assert!(judge(&seen, &memory(1040)).is_ok());
        assert!(judge(&seen, &memory(1060)).unwrap_err().contains("+6.0 %"));
        seen.wrong("a good request to /predict: lost".into());
        assert!(judge(&seen, &memory(1000)).unwrap_err().contains("/predict"));
    }

    #[test]
    fn minutes_are_bounded() {
        assert_eq!(minutes("5"), Ok(5.0));
        assert!(minutes("0").is_err() && minutes("NaN").is_err() && minutes("five").is_err());
    }
}
