//! `serve`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use glue_squad::task::TaskKind;
use serde_json::Value;

use crate::support::{command, plain_bert, pocket_folder, run};

/// A running server and its log.
pub struct Serving {
    pub child: Child,
    log: BufReader<std::process::ChildStderr>,
    pub address: String,
}

impl Serving {
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        let mut command = command(dir);
        command.args(["serve", "--port", "0"]).args(args).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut serving = Self { log: BufReader::new(child.stderr.take().unwrap()), child, address: String::new() };
        let listening = serving.event("listening");
        serving.address = listening["address"].as_str().unwrap().to_owned();
        serving
    }

    /// The next event of this kind in the log.
    pub fn event(&mut self, kind: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "it ended without `{kind}`");
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(event["time_ms"].as_i64().unwrap() > 0);
            if event["event"] == kind {
                return event;
            }
        }
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Status line and body of an answer.
    fn call(&self, path: &str, header: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{header}\r\n");
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn models_are_served_reloaded_and_stopped() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    plain_bert(dir.path(), "other", &[TaskKind::Rte]);
    std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    let mut serving = Serving::start(
        dir.path(),
        &["--model", "bert", "--model", "second=other", "--token-file", "token", "--threads", "1"],
    );
    let body = "{\"inputs\": \"the soup was good\"}";
    let (status, answer) = serving.call("/predict", "authorization: Bearer s3cret\r\n", body);
    assert_eq!(status, "HTTP/1.1 200 OK", "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let wanted = run(dir.path(), &["predict", "--model", "bert", "--json", "the soup was good"]).json();
    assert_eq!(answer[0]["label"], wanted["answers"][0]["label"]);
    let logged = serving.event("request");
    assert_eq!((logged["status"].as_u64(), logged["model"].as_str()), (Some(200), Some("bert")));
    assert_eq!(serving.call("/predict", "", body).0, "HTTP/1.1 401 Unauthorized");
    let pair = "{\"inputs\": [\"the lamp\", \"a lamp\"]}";
    let second = serving.call("/models/second/predict", "authorization: Bearer s3cret\r\n", pair);
    assert_eq!(second.0, "HTTP/1.1 200 OK", "{}", second.1);

    std::fs::remove_file(dir.path().join("other/config.json")).unwrap();
    serving.signal("-HUP");
    assert_eq!(serving.event("loaded")["reload"], true);
    let failed = serving.event("reload_failed");
    assert_eq!(failed["model"], "second");
    assert!(failed["message"].as_str().unwrap().contains("config.json"), "{failed}");
    serving.signal("-TERM");
    serving.event("stopped");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_options_are_named_before_anything_is_served() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let serve = |more: &[&str]| run(dir.path(), &[&["serve", "--port", "0"], more].concat());
    serve(&[]).fails_with(2, &["--model"]);
    serve(&["--model", "no-such"]).fails_with(2, &["--model no-such: no such folder"]);
    serve(&["--model", "a=bert", "--model", "a=bert"]).fails_with(2, &["two models are called `a`"]);
    serve(&["--model", "a/b=bert"]).fails_with(2, &["`a/b` is no name"]);
    serve(&["--model", "bert", "--token-file", "none"]).fails_with(2, &["--token-file none"]);
    std::fs::write(dir.path().join("token"), "two words").unwrap();
    serve(&["--model", "bert", "--token-file", "token"]).fails_with(2, &["--token-file token", "visible ASCII"]);
    serve(&["--model", "bert", "--threads", "1", "--batch-threads", "2"])
        .fails_with(2, &["--batch-threads 2", "--threads"]);
    serve(&["--model", "bert", "--max-queue", "8"]).fails_with(2, &["the queue holds 8"]);
    serve(&["--model", "pocket"]).fails_with(1, &["config.json"]);
}
