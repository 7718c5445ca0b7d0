//! SIGHUP reads models again, SIGTERM stops. Alone in its process, as signals are for all of it.

#![cfg(unix)]

#[path = "serve/client.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod client;
#[path = "serve/model.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod model;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

#[test]
fn a_hang_up_reads_models_again_and_a_termination_answers_what_was_accepted() {
    let mut running = model::Running::of(&["labels"], |_| {});
    let server = running.server.take().unwrap();
    server.listen_to_signals().unwrap();
    let address = running.address;
    let signal = |name: &str| {
        let id = std::process::id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    };
    let asked = json!({ "inputs": "a quiet film" });
    let first = client::ok(address, "/predict", &asked);
    model::write(&running.dir("labels"), model::heads("labels"), (32, 2, 64), 2);
    signal("HUP");
    let begun = Instant::now();
    while client::ok(address, "/predict", &asked) == first {
        assert!(begun.elapsed() < Duration::from_secs(20), "the model does not change");
        std::thread::sleep(Duration::from_millis(10));
    }
    let load = std::thread::spawn(move || {
        let mut answered = 0;
        let mut connection = client::Connection::open(address);
        loop {
            let body = asked.to_string();
            let reply = connection.call("POST", "/predict", &[client::JSON], body.as_bytes());
            let reply = reply.expect("an accepted request is answered");
            assert_eq!(reply.status, 200);
            answered += 1;
            if reply.header("connection") == Some("close") {
                return answered;
            }
        }
    });
    std::thread::sleep(Duration::from_millis(200));
    signal("TERM");
    server.wait();
    assert!(load.join().unwrap() > 1);
    assert_eq!(running.events_of("stopped").len(), 1);
}
