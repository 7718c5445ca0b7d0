//! Requests that mean no good. The environment variable `SERVE_HOSTILE` has their number; few by default.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use crate::client::{Connection, JSON, get, ok, post, request};
use crate::model::Running;

/// Memory of this process in KiB: what it has, `VmRSS`, or had at most, `VmHWM`.
fn memory(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn resident() -> usize {
    memory("VmRSS")
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

/// One hostile request; gives the status, if the server answered.
fn attack(address: std::net::SocketAddr, random: &mut Random) -> Option<u16> {
    let mut connection = Connection::open(address);
    let status = |connection: &mut Connection, bytes: &[u8]| {
        // The server may have closed the connection before all was sent.
        let _ = connection.send(bytes);
        connection.reply().map(|reply| reply.status)
    };
    let paths =
        ["/predict", "/embed", "/", "/v1/embeddings", "/v2/models/labels/infer", "/tokens", "/answers", "/tokenize"];
    let path = paths[random.next(paths.len())];
    match random.next(13) {
        // Larger than is taken, or said to be.
        0 => status(&mut connection, &request("POST", path, &[JSON], &vec![b'a'; 100_000])),
        1 => status(
            &mut connection,
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n").as_bytes(),
        ),
        // Cut JSON, and JSON with changed bytes.
        2 | 3 => {
            let mut body =
                json!({ "inputs": [["a quiet film"], ["a", "b"]], "truncate": true }).to_string().into_bytes();
            for _ in 0..random.next(4) + 1 {
                let at = random.next(body.len());
                body[at] = random.next(256) as u8;
            }
            body.truncate(random.next(body.len()) + 1);
            status(&mut connection, &request("POST", path, &[JSON], &body))
        }
        // No UTF-8.
        4 => {
            let body: Vec<u8> = (0..200).map(|_| random.next(256) as u8).collect();
            status(&mut connection, &request("POST", path, &[JSON], &body))
        }
        // Deep nesting, open or closed.
        5 => {
            let depth = random.next(3000) + 100;
            let body = format!("{{\"inputs\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
            status(&mut connection, &request("POST", path, &[JSON], body.as_bytes()))
        }
        // Very many headers, or a very long one.
        6 => {
            let mut text = format!("GET {path} HTTP/1.1\r\nhost: x\r\n");
            let count = if random.next(10) == 0 { 100_000 } else { 2000 };
            for number in 0..count {
                text += &format!("x-{number}: a\r\n");
            }
            status(&mut connection, (text + "\r\n").as_bytes())
        }
        7 => status(&mut connection, format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(200_000)).as_bytes()),
        // What is no HTTP.
        8 => {
            let noise: Vec<u8> = (0..300).map(|_| random.next(256) as u8).collect();
            status(&mut connection, &[&noise[..], b"\r\n\r\n"].concat())
        }
        // A connection that is cut in the middle of a request.
        9 => {
            let whole = request("POST", path, &[JSON], json!({ "inputs": "a film" }).to_string().as_bytes());
            let _ = connection.send(&whole[..random.next(whole.len())]);
            None
        }
        // A client that leaves before the answer.
        10 => {
            let body = json!({ "inputs": vec![["film ".repeat(60)]; 4] }).to_string();
            let _ = connection.send(&request("POST", "/predict", &[JSON], body.as_bytes()));
            None
        }
        // A body in pieces that break off, or do not come.
        11 => {
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc");
            let _ = connection.send(head.as_bytes());
            None
        }
        _ if random.next(20) > 0 => {
            status(&mut connection, &request("POST", path, &[("content-type", "text/html")], b"{}"))
        }
        _ => {
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{");
            status(&mut connection, head.as_bytes())
        }
    }
}

/// One at a time: memory is of all threads.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn windows_of_long_texts_are_counted_before_they_are_written() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let running = Running::sized(&["answers"], (32, 1, 512), |_| {});
    // One window for each token of the text, of 384 tokens each: as sequences these are some 750 MB.
    let inputs = json!({ "question": "who ?", "context": "film ".repeat(390_000) });
    let body = json!({ "inputs": inputs, "parameters": { "doc_stride": 1 } });
    let before = memory("VmHWM");
    let reply = post(running.address, "/answers", &body);
    assert_eq!(reply.status, 413);
    let message = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(message.contains("at most 32768 are taken at once"), "{message}");
    let more = memory("VmHWM").saturating_sub(before);
    eprintln!("{more} KiB more");
    assert!(more < 400 << 10, "{more} KiB");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "how many depends on who asks")]
fn hostile_requests_are_refused_and_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let wanted = std::env::var("SERVE_HOSTILE").ok().and_then(|count| count.parse().ok()).unwrap_or(600);
    let mut running = Running::of(&["labels"], |settings| {
        settings.limits.body = 50_000;
        settings.limits.body_time = Duration::from_secs(2);
        settings.limits.head_time = Duration::from_secs(2);
    });
    let address = running.address;
    let good = json!({ "inputs": "a quiet film" });
    let before = ok(address, "/predict", &good);
    let seen = Mutex::new(BTreeMap::<Option<u16>, usize>::new());
    let round = |count: usize, seed: u64| {
        std::thread::scope(|scope| {
            for client in 0..4 {
                let seen = &seen;
                scope.spawn(move || {
                    let mut random = Random(seed + client);
                    for _ in 0..count / 4 {
                        let status = attack(address, &mut random);
                        *seen.lock().unwrap().entry(status).or_default() += 1;
                    }
                });
            }
        });
    };
    // Buffers and stacks are there after some time.
    round(wanted / 2, 11);
    let memory = resident();
    round(wanted / 2, 99);
    assert_eq!(ok(address, "/predict", &good), before);
    assert_eq!(get(address, "/health").status, 200);
    let after = resident();
    // In KiB; the test's own threads are part of it.
    let more = after.saturating_sub(memory);
    assert!(more * 20 <= memory || more < 4096, "{memory} KiB became {after} KiB");
    running.stop();
    assert!(running.events_of("failed").is_empty());
    let seen = seen.into_inner().unwrap();
    eprintln!("{memory} KiB became {after} KiB; answers by status: {seen:?}");
    // A change of bytes may leave a good request, and a client that sends too much may not read why it is refused.
    let known = [200, 400, 404, 408, 413, 414, 415, 422, 424, 431];
    assert!(seen.keys().flatten().all(|status| known.contains(status)), "{seen:?}");
    assert!([400, 413, 415, 422, 431].into_iter().all(|status| seen.contains_key(&Some(status))), "{seen:?}");
}
