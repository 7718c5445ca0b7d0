//! The small program: texts in, a line of JSON for each out.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a program")]

use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};

use runtime::{Input, Packing, Precision, Runtime, Settings};
use serde_json::json;

const HELP: &str = "\
Answers texts with a model directory of EfficientBERT in Rust.

Usage: efficientbert-predict --model DIR [OPTIONS] [TEXT [TEXT_B]]

Without TEXT, lines are read from standard input, with a tab between the two texts of a pair. Every line is answered as soon as it is there,
by a line of JSON: {\"text\": ..., \"text_b\": ..., \"answers\": [...]}, as `efficientbert predict --json` prints it.

Options:
  --model DIR         the model directory
  --task NAME         answer with the head of this task; all heads without it
  --threads N         threads to compute with [default: all processors]
  --precision FORMAT  f32, bf16 or int8 [default: f32]
  --pack OUT          instead of answering, write the model to the new directory OUT with weights in 8-bit integers
  -h, --help          this text
  -V, --version       the version
";

/// Lines that are answered together where they are there already.
const BATCH: usize = 64;

struct Options {
    model: PathBuf,
    task: Option<String>,
    threads: usize,
    precision: Precision,
    pack: Option<PathBuf>,
    texts: Vec<String>,
}

/// How a command ends that does not answer.
enum End {
    /// Text for standard output.
    Said(String),
    /// A wrong command line.
    Usage(String),
}

fn main() -> ExitCode {
    // A damaged file can make a third-party reader panic; that becomes an error of the file, and nothing else needs to be said.
    std::panic::set_hook(Box::new(|_| {}));
    match options() {
        Ok(options) => match std::panic::catch_unwind(|| run(&options)) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(message)) => failed(&message, 1),
            Err(_) => failed("an error in this program; please report it with the command and its input", 1),
        },
        Err(End::Said(text)) => match write_all(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => failed(&message, 1),
        },
        Err(End::Usage(message)) => failed(&format!("{message}; see --help"), 2),
    }
}

fn failed(message: &str, code: u8) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(code)
}

fn options() -> Result<Options, End> {
    let usage = |error: lexopt::Error| End::Usage(error.to_string());
    let mut parser = lexopt::Parser::from_env();
    let (mut model, mut task, mut pack, mut texts) = (None, None, None, Vec::new());
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut precision = Precision::F32;
    while let Some(arg) = parser.next().map_err(usage)? {
        use lexopt::prelude::{Long, Short, Value, ValueExt};
        match arg {
            Long("model") => model = Some(PathBuf::from(parser.value().map_err(usage)?)),
            Long("pack") => pack = Some(PathBuf::from(parser.value().map_err(usage)?)),
            Long("task") => task = Some(parser.value().and_then(ValueExt::string).map_err(usage)?),
            Long("threads") => {
                threads = parser.value().and_then(|v| v.parse()).map_err(usage)?;
                if !(1..=1024).contains(&threads) {
                    return Err(End::Usage(format!("--threads {threads}: from 1 to 1024")));
                }
            }
            Long("precision") => {
                let name = parser.value().and_then(ValueExt::string).map_err(usage)?;
                let found = Precision::ALL.into_iter().find(|precision| precision.name() == name);
                let known = Precision::ALL.map(Precision::name).join(", ");
                precision = found.ok_or_else(|| End::Usage(format!("--precision {name}: one of {known}")))?;
            }
            Short('h') | Long("help") => return Err(End::Said(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Err(End::Said(format!("efficientbert-predict {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Value(text) if texts.len() < 2 => texts.push(text.string().map_err(usage)?),
            other => return Err(usage(other.unexpected())),
        }
    }
    let model = model.ok_or_else(|| End::Usage("--model DIR is missing".into()))?;
    if pack.is_some() && (task.is_some() || !texts.is_empty()) {
        return Err(End::Usage("--pack answers nothing: it takes no task and no texts".into()));
    }
    Ok(Options { model, task, threads, precision, pack, texts })
}

fn run(options: &Options) -> Result<(), String> {
    let Options { model, task, threads, precision, pack, texts } = options;
    if let Some(out) = pack {
        return runtime::pack(model, out).map_err(|e| e.to_string());
    }
    let packing = if texts.is_empty() { Packing::Ahead } else { Packing::AtUse };
    let settings = Settings { threads: *threads, sessions: 1, precision: *precision, packing };
    let runtime = Runtime::load(model, settings).map_err(|e| e.to_string())?;
    runtime.tokenizer().notes().for_each(|note| eprintln!("warning: {note}"));
    if let Some(text) = texts.first() {
        let pair = texts.get(1).map(String::as_str);
        return answer(&runtime, &[("TEXT".into(), text.clone(), pair.map(str::to_owned))], task.as_deref());
    }
    let lines = read_ahead();
    // Blocks for the first line only, so that an answer never waits for input that is yet to be typed.
    while let Ok(first) = lines.recv() {
        let mut queries = Vec::new();
        let mut failure = None;
        for line in std::iter::once(first).chain(lines.try_iter()).take(BATCH) {
            match line {
                Ok(query) => queries.push(query),
                Err(message) => {
                    failure = Some(message);
                    break;
                }
            }
        }
        answer(&runtime, &queries, task.as_deref())?;
        failure.map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// Where a text stands, the text, and the second of a pair.
type Query = (String, String, Option<String>);

fn answer(runtime: &Runtime, queries: &[Query], task: Option<&str>) -> Result<(), String> {
    let inputs = queries.iter().map(|(_, text, pair)| Input { text, pair: pair.as_deref() });
    let inputs: Vec<Input<'_>> = inputs.collect();
    let answers = runtime.answers(&inputs, task).map_err(|error| match queries {
        [(place, ..)] => format!("{place}: {error}"),
        _ => error.to_string(),
    })?;
    let mut lines = String::new();
    for ((_, text, pair), answers) in queries.iter().zip(answers) {
        let line = json!({ "text": text, "text_b": pair, "answers": answers });
        writeln!(lines, "{line}").map_err(|e| e.to_string())?;
    }
    write_all(&lines)
}

/// Whoever reads the output may have had enough: that is no error.
fn write_all(text: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|e| format!("cannot write to standard output: {e}")),
    }
}

/// The lines of standard input, which a thread of its own reads.
fn read_ahead() -> Receiver<Result<Query, String>> {
    let (sender, receiver) = sync_channel(4 * BATCH);
    std::thread::spawn(move || {
        for (at, line) in std::io::stdin().lock().lines().enumerate() {
            let place = format!("line {}", at + 1);
            let line = line.map_err(|e| format!("{place}: {e}")).and_then(|line| query(place, &line));
            let failed = line.is_err();
            if sender.send(line).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

fn query(place: String, line: &str) -> Result<Query, String> {
    let mut texts = line.split('\t');
    let (first, second) = (texts.next().unwrap_or_default(), texts.next());
    if texts.next().is_some() {
        return Err(format!("{place}: more than two texts; one tab separates the texts of a pair"));
    }
    if first.trim().is_empty() || second.is_some_and(|text| text.trim().is_empty()) {
        return Err(format!("{place}: the text is empty"));
    }
    Ok((place, first.to_owned(), second.map(str::to_owned)))
}
