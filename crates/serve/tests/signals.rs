//! SIGHUP reads models again, SIGTERM stops. Alone in its process, as signals are for all of it.

#![cfg(unix)]

#[path = "serve/client.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod client;
#[path = "serve/model.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod model;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use serve::{Event, ModelSource, Server, Settings};

fn signal(name: &str) {
    let id = std::process::id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

#[test]
fn a_hang_up_reads_models_again_and_a_termination_answers_what_was_accepted() {
    // First, while nothing in this process listens to signals: whoever hears that the server listens may end it.
    terminated_when_it_listens();

    let mut running = model::Running::of(&["labels"], |settings| {
        settings.signals = true;
        settings.limits.drain = Duration::from_secs(2);
    });
    let address = running.address;
    let asked = json!({ "inputs": "a quiet film" });
    let first = client::ok(address, "/predict", &asked);
    model::write(&running.dir("labels"), model::heads("labels"), (32, 2, 64), 2);
    signal("HUP");
    client::until(|| client::ok(address, "/predict", &asked) != first);
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    let load = std::thread::spawn(move || {
        let mut connection = client::Connection::open(address);
        loop {
            let body = asked.to_string();
            let reply = connection.call("POST", "/predict", &[client::JSON], body.as_bytes());
            let reply = reply.expect("an accepted request is answered");
            assert_eq!(reply.status, 200);
            count.fetch_add(1, Ordering::Relaxed);
            if reply.header("connection") == Some("close") {
                return;
            }
        }
    });
    client::until(|| answered.load(Ordering::Relaxed) >= 2);
    signal("TERM");
    running.server.take().unwrap().wait();
    load.join().unwrap();
    assert_eq!(running.events_of("stopped").len(), 1);
}

fn terminated_when_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("labels");
    model::write(&dir, model::heads("labels"), (32, 2, 64), 1);
    let mut settings = Settings::new(vec![ModelSource { name: "labels".into(), dir }]);
    settings.signals = true;
    settings.limits.drain = Duration::ZERO;
    let events = |event: &Event<'_>| {
        if matches!(event, Event::Listening { .. }) {
            signal("TERM");
        }
    };
    Server::start(settings, Arc::new(events)).expect("the server starts").wait();
}
