//! The commands of `docs/serve.md`.

use std::collections::BTreeSet;

use crate::client::{Connection, get};
use crate::model::Running;

/// The words of a command, as a shell divides it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words
}

#[test]
fn every_route_has_a_command_that_works() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/serve.md");
    // A published crate stands alone.
    let Ok(page) = std::fs::read_to_string(&path) else { return };
    let running = Running::of(&["labels", "vectors", "number", "tokens", "answers"], |_| {});
    let mut called = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("curl ")) {
        let words = words(line);
        let route = words[1].strip_prefix("127.0.0.1:8080").expect("the address of the page").to_owned();
        // What curl sends where it is told nothing.
        let (mut method, mut body, mut kind) = ("GET", "", "application/x-www-form-urlencoded");
        for pair in words[2..].chunks(2) {
            match pair[0].as_str() {
                "-d" => (method, body) = ("POST", pair[1].as_str()),
                "-H" => kind = pair[1].strip_prefix("Content-Type: ").expect("the one header of the page"),
                other => panic!("{line}: {other}"),
            }
        }
        let mut connection = Connection::open(running.address);
        let reply = connection.call(method, &route, &[("content-type", kind)], body.as_bytes()).expect("an answer");
        assert_eq!(reply.status, 200, "{line}: {}", String::from_utf8_lossy(&reply.body));
        for kind in ["labels", "vectors", "number", "tokens", "answers"] {
            let plain = route.replace(&format!("/v2/models/{kind}"), "/v2/models/{model}");
            called.insert(plain.replace(&format!("/models/{kind}/"), "/"));
            called.insert(plain);
        }
    }
    let document = get(running.address, "/openapi.json").json();
    let missing: Vec<&String> =
        document["paths"].as_object().unwrap().keys().filter(|path| !called.contains(*path)).collect();
    assert!(missing.is_empty(), "without an example: {missing:?}");
}
