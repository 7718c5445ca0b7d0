//! Stopping and reloading under load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Connection, JSON, Over, get, ok, request, until};
use crate::model::{Running, heads, write};

fn body() -> Vec<u8> {
    json!({ "inputs": [["a quiet film"], ["Ana lives in Bonn , she was quiet ."]] }).to_string().into_bytes()
}

#[test]
fn no_accepted_request_is_lost_when_the_server_stops_under_load() {
    let mut running = Running::of(&["labels"], |settings| {
        settings.threads = serve::Threads { batches: 2, per_batch: 1, tokenizers: 1, http: 2 };
        // Clients that keep their connection are to learn of the end from an answer, on a busy machine too.
        settings.limits.drain = Duration::from_secs(2);
    });
    let (answered, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let address = running.address;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        for client in 0..8 {
            let (answered, closed, over) = (&answered, &closed, &over);
            scope.spawn(move || {
                // Half of them keep their connection, half open one for each request.
                let keeps = client % 2 == 0;
                while !over.load(Ordering::Relaxed) {
                    let Ok(mut connection) = Connection::try_open(address) else { return };
                    while !over.load(Ordering::Relaxed) {
                        let Some(reply) = connection.call("POST", "/predict", &[JSON], &body()) else {
                            panic!("client {client}: a request that was sent got no answer");
                        };
                        assert_eq!(reply.status, 200, "{:?}", String::from_utf8_lossy(&reply.body));
                        answered.fetch_add(1, Ordering::Relaxed);
                        if reply.header("connection") == Some("close") {
                            closed.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        if !keeps {
                            break;
                        }
                    }
                    if closed.load(Ordering::Relaxed) > 0 {
                        return;
                    }
                }
            });
        }
        until(|| answered.load(Ordering::Relaxed) > 16);
        running.stop();
    });
    assert!(closed.load(Ordering::Relaxed) > 0, "clients learn that their connections end");
    assert!(std::net::TcpStream::connect(address).is_err(), "nothing listens any more");
    assert_eq!((running.events_of("stopping").len(), running.events_of("stopped").len()), (1, 1));
    let statuses = running.events_of("request");
    assert!(statuses.iter().all(|event| event["status"] == 200));
}

/// What became of a connection with one request.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Answered,
    /// Closed in good order, but for the answer.
    Unanswered,
    /// Nobody listens, or listened any more when the system's list of connections was thrown away.
    Refused,
}

fn one_request(address: std::net::SocketAddr) -> End {
    let Ok(mut connection) = Connection::try_open(address) else { return End::Refused };
    let body = json!({ "inputs": "a quiet film" }).to_string();
    let _ = connection.send(&request("POST", "/predict", &[JSON, ("connection", "close")], body.as_bytes()));
    match connection.read_all() {
        Ok(bytes) if bytes.starts_with(b"HTTP/1.1 200 OK") => End::Answered,
        Ok(bytes) => {
            assert!(bytes.is_empty(), "{}", String::from_utf8_lossy(&bytes));
            End::Unanswered
        }
        Err(_) => End::Refused,
    }
}

#[test]
fn connections_that_were_accepted_are_answered_until_no_more_are() {
    let mut unanswered = 0;
    for _ in 0..4 {
        let mut running = Running::of(&["labels"], |_| {});
        let address = running.address;
        let (answered, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let _over = Over(&over);
            let client = || {
                let mut lost = 0;
                while !over.load(Ordering::Relaxed) {
                    match one_request(address) {
                        End::Answered => _ = answered.fetch_add(1, Ordering::Relaxed),
                        End::Unanswered => lost += 1,
                        End::Refused => break,
                    }
                }
                lost
            };
            let clients: Vec<_> = (0..12).map(|_| scope.spawn(client)).collect();
            until(|| answered.load(Ordering::Relaxed) >= 24);
            running.stop();
            unanswered += clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>();
        });
    }
    assert_eq!(unanswered, 0);
}

#[test]
fn connections_that_are_cut_are_counted() {
    let mut running = Running::of(&["labels"], |settings| settings.limits.stop_time = Duration::from_millis(500));
    let mut half: Vec<Connection> = (0..2).map(|_| Connection::open(running.address)).collect();
    for connection in &mut half {
        connection.send(b"POST /predict HTTP/1.1\r\ncontent-length: 99\r\nhost: x\r\n\r\n{").unwrap();
    }
    let mut idle = Connection::open(running.address);
    assert_eq!(idle.call("GET", "/health", &[], b"").unwrap().status, 200);
    running.stop();
    // The idle one ends by itself, the others are those that are cut.
    let cut = running.events_of("cut");
    assert_eq!((cut.len(), &cut[0]["connections"]), (1, &json!(2)));
}

/// Whether texts wait behind others that are computed.
fn computes(address: std::net::SocketAddr) -> bool {
    let metrics = String::from_utf8(get(address, "/metrics").body).unwrap();
    let waiting = metrics.lines().find_map(|line| line.strip_prefix("efficientbert_queue_size ")).unwrap();
    waiting != "0"
}

#[test]
fn a_request_that_runs_when_the_server_stops_is_answered() {
    let mut running = Running::sized(&["labels"], (256, 6, 512), |_| {});
    let address = running.address;
    let slow = json!({ "inputs": vec![["film ".repeat(510)]; 16] }).to_string();
    std::thread::scope(|scope| {
        let call = scope.spawn(move || Connection::open(address).call("POST", "/predict", &[JSON], slow.as_bytes()));
        until(|| computes(address));
        running.stop();
        assert_eq!(call.join().unwrap().expect("an answer").status, 200);
    });
}

#[test]
fn a_connection_that_says_nothing_does_not_keep_the_server() {
    let mut running = Running::of(&["labels"], |settings| settings.limits.stop_time = Duration::from_millis(500));
    let mut idle = Connection::open(running.address);
    assert_eq!(idle.call("GET", "/health", &[], b"").unwrap().status, 200);
    let mut half = Connection::open(running.address);
    half.send(b"POST /predict HTTP/1.1\r\ncontent-length: 99\r\nhost: x\r\n\r\n{").unwrap();
    let begun = Instant::now();
    running.stop();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(idle.reply().is_none());
}

#[test]
fn models_are_replaced_under_load_without_a_lost_request() {
    let running = Running::of(&["labels"], |_| {});
    let (address, dir) = (running.address, running.dir("labels"));
    let asked = json!({ "inputs": "a quiet film" });
    let score = || ok(address, "/predict", &asked);
    let first = score();
    write(&dir, heads("labels"), (32, 2, 64), 2);
    assert_eq!(score(), first, "nothing changes before a reload");
    let handle = running.server.as_ref().unwrap().handle();
    assert_eq!(handle.reload(), 1);
    let second = score();
    assert_ne!(second, first);
    let done = AtomicBool::new(false);
    // Answers of each model, by client.
    let counts: [[AtomicUsize; 2]; 4] = Default::default();
    std::thread::scope(|scope| {
        let _done = Over(&done);
        for seen in &counts {
            scope.spawn(|| {
                let mut connection = Connection::open(address);
                while !done.load(Ordering::Relaxed) {
                    let reply = connection.call("POST", "/predict", &[JSON], asked.to_string().as_bytes());
                    let reply = reply.expect("an answer");
                    assert_eq!(reply.status, 200);
                    let found: Value = reply.json();
                    assert!(found == first || found == second, "half of one model and half of another: {found}");
                    seen[usize::from(found == second)].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for seed in [1, 2, 1, 2, 1] {
            write(&dir, heads("labels"), (32, 2, 64), seed);
            let which = usize::from(seed == 2);
            let before: Vec<usize> = counts.iter().map(|seen| seen[which].load(Ordering::Relaxed)).collect();
            assert_eq!(handle.reload(), 1);
            // Each client hears of each model.
            until(|| counts.iter().zip(&before).all(|(seen, before)| seen[which].load(Ordering::Relaxed) > *before));
        }
    });
}

#[test]
fn a_directory_that_cannot_be_read_leaves_the_model_that_was_there_and_says_so() {
    let running = Running::of(&["labels", "vectors"], |_| {});
    let asked = json!({ "inputs": "a quiet film" });
    let before = ok(running.address, "/predict", &asked);
    let weights = running.dir("labels").join("model.safetensors");
    let handle = running.server.as_ref().unwrap().handle();
    // Written over where it lies, as by `cp`.
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(handle.reload(), 1, "the other model is read");
    assert_eq!(ok(running.address, "/predict", &asked), before);
    std::fs::remove_dir_all(running.dir("labels")).unwrap();
    assert_eq!(handle.reload(), 1);
    assert_eq!(ok(running.address, "/predict", &asked), before);
    let failed = running.events_of("reload_failed");
    assert_eq!((failed.len(), &failed[0]["model"]), (2, &json!("labels")));
    assert!(failed[0]["message"].as_str().unwrap().contains("model.safetensors"), "{failed:?}");
    let metrics = String::from_utf8(get(running.address, "/metrics").body).unwrap();
    assert!(metrics.contains("efficientbert_failed_reloads_total 2"), "{metrics}");
    assert!(metrics.contains("efficientbert_reloads_total 2"));
}

#[cfg(unix)]
#[test]
fn requests_are_answered_while_a_reload_takes_its_time() {
    let running = Running::of(&["answers"], |_| {});
    let (address, config) = (running.address, running.dir("answers").join("config.json"));
    let text = std::fs::read(&config).unwrap();
    std::fs::remove_file(&config).unwrap();
    // Whoever reads it waits until somebody writes.
    assert!(std::process::Command::new("mkfifo").arg(&config).status().unwrap().success());
    let handle = running.server.as_ref().unwrap().handle();
    let reload = std::thread::spawn(move || handle.reload());
    // This opens when the reload has opened the other end. It waits in a thread of its own, which the end of the tests ends too.
    let (sender, opened) = std::sync::mpsc::channel();
    let pipe = config.clone();
    std::thread::spawn(move || sender.send(std::fs::File::options().write(true).open(pipe)));
    let mut writer = opened.recv_timeout(Duration::from_secs(30)).expect("the reload reads the file").unwrap();
    let asked = json!({ "inputs": { "question": "who ?", "context": "Ana lives in Bonn" } });
    let found = ok(address, "/answers", &asked);
    std::fs::remove_file(&config).unwrap();
    std::fs::write(&config, &text).unwrap();
    std::io::Write::write_all(&mut writer, &text).unwrap();
    drop(writer);
    reload.join().unwrap();
    assert_eq!(ok(address, "/answers", &asked), found);
}
