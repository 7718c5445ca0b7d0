//! One file from servers that misbehave.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Reply, Server, client, content, files_below, network};
use data_catalog::Error;
use data_catalog::download::{Downloaded, Event, download};
use data_catalog::manifest::Source;
use data_catalog::net::{Client, Network};

const ETAG: &str = "\"one\"";

fn source(urls: &[String], body: &[u8]) -> Source {
    Source {
        name: "data.bin".to_owned(),
        urls: urls.to_vec(),
        archive: None,
        bytes: Some(body.len() as u64),
        sha256: Some(run_store::hash::bytes(body)),
    }
}

/// A source of which the manifest knows nothing but the address.
fn unknown(url: String) -> Source {
    Source { bytes: None, sha256: None, ..source(&[url], b"") }
}

fn run(client: &Client, source: &Source, folder: &Path) -> (Result<Downloaded, Error>, Vec<String>) {
    let mut told = Vec::new();
    let final_name = folder.join(&source.name);
    let expected = source.sha256.clone();
    let result = download(client, source, folder, &AtomicBool::new(false), &mut |event: &Event<'_>| {
        // Nothing but the finished file is ever seen under its name.
        if let (Some(expected), true) = (&expected, final_name.exists()) {
            assert_eq!(run_store::hash::file(&final_name).unwrap(), *expected, "half a file is visible");
        }
        match event {
            Event::Retry { reason, .. } => told.push(format!("retry: {reason}")),
            Event::StartedAgain { reason, .. } => told.push(format!("again: {reason}")),
            Event::NextAddress { reason, .. } => told.push(format!("next: {reason}")),
            _ => {}
        }
    });
    (result, told)
}

/// Downloads and expects `body` under the final name and nothing beside it.
fn arrives(client: &Client, source: &Source, folder: &Path, body: &[u8]) -> Vec<String> {
    let (result, told) = run(client, source, folder);
    let got = result.unwrap_or_else(|e| panic!("{e}\n{told:#?}"));
    assert_eq!(std::fs::read(&got.path).unwrap(), body);
    assert_eq!((got.bytes, got.sha256), (body.len() as u64, run_store::hash::bytes(body)));
    assert_eq!(files_below(folder), ["data.bin"]);
    told
}

/// Downloads, expects an error, and nothing under the final name.
fn fails(client: &Client, source: &Source, folder: &Path) -> String {
    let error = run(client, source, folder).0.expect_err("the download must fail");
    assert!(!folder.join("data.bin").exists(), "something was placed");
    error.to_string()
}

#[test]
fn a_connection_that_drops_again_and_again_is_taken_up_where_it_broke() {
    let body = content(300_000);
    let served = body.clone();
    let server = Server::start(move |number, request| {
        let reply = Reply::ranged(request, &served).header("ETag", ETAG);
        if number < 3 { reply.dropped_after(70_000) } else { reply }
    });
    let dir = tempfile::tempdir().unwrap();
    let told = arrives(&client(), &source(&[server.url("a")], &body), dir.path(), &body);
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    let mut from = 0;
    for (number, request) in requests.iter().enumerate() {
        assert_eq!(request.headers.get("if-range").map(String::as_str), (number > 0).then_some(ETAG));
        assert!(number == 0 || request.from() > Some(from), "{requests:#?}");
        from = request.from().unwrap_or(0);
    }
    // What the network had in flight when it dropped may be lost, but most of it is not.
    assert!(from > 100_000, "only {from} bytes were kept");
    assert!(told[0].starts_with("retry: the connection"), "{told:?}");
}

#[test]
fn a_server_that_announces_more_than_it_sends_is_asked_again_and_then_given_up() {
    let body = content(1000);
    let served = body.clone();
    let server = Server::start(move |_, request| match request.from() {
        None => Reply::whole(&served).header("Content-Length", "5000"),
        Some(_) => Reply::status(500),
    });
    let dir = tempfile::tempdir().unwrap();
    let message = fails(&client(), &unknown(server.url("a")), dir.path());
    assert!(message.contains("(tried 5 times)") && message.contains("status 500"), "{message}");
    assert!(message.contains("1000 bytes are kept"), "{message}");
    assert!(message.contains("data fetch --from FOLDER"), "{message}");
    assert_eq!(server.requests().len(), 5);
}

#[test]
fn an_announced_length_other_than_the_manifests_ends_the_matter_before_a_byte_is_read() {
    let body = content(1000);
    let served = body.clone();
    let server = Server::start(move |_, _| Reply::whole(&served[..999]));
    let dir = tempfile::tempdir().unwrap();
    let message = fails(&client(), &source(&[server.url("a")], &body), dir.path());
    assert!(message.contains("announces 999 bytes, but the file has 1000"), "{message}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_length_that_is_too_short_is_found_out_by_the_checksum() {
    let body = content(1000);
    let served = body.clone();
    let server = Server::start(move |_, _| Reply::whole(&served).header("Content-Length", "400"));
    let dir = tempfile::tempdir().unwrap();
    let of_unknown_size = Source { bytes: None, ..source(&[server.url("a")], &body) };
    let message = fails(&client(), &of_unknown_size, dir.path());
    assert!(message.contains("SHA-256") && message.contains("(400 bytes)"), "{message}");
}

#[test]
fn a_wrong_file_of_the_right_length_is_never_placed_and_the_next_address_is_tried() {
    let body = content(50_000);
    let (wrong, right) = (content(50_001)[1..].to_vec(), body.clone());
    let bad = Server::start(move |_, _| Reply::whole(&wrong));
    let good = Server::start(move |_, _| Reply::whole(&right));
    let dir = tempfile::tempdir().unwrap();
    let message = fails(&client(), &source(&[bad.url("a")], &body), dir.path());
    assert!(message.contains(&run_store::hash::bytes(&body)) && message.contains("nothing was placed"), "{message}");
    let told = arrives(&client(), &source(&[bad.url("a"), good.url("b")], &body), dir.path(), &body);
    assert!(told[0].starts_with("next: "), "{told:?}");
    // A whole wrong file is not asked for twice.
    assert_eq!(bad.requests().len(), 2);
}

#[test]
fn a_server_that_ignores_range_is_read_from_the_start() {
    let body = content(200_000);
    let served = body.clone();
    let server = Server::start(move |number, _| {
        let reply = Reply::whole(&served).header("ETag", ETAG);
        if number == 0 { reply.dropped_after(150_000) } else { reply }
    });
    let dir = tempfile::tempdir().unwrap();
    let told = arrives(&client(), &source(&[server.url("a")], &body), dir.path(), &body);
    assert!(told.iter().any(|t| t.starts_with("again: the server sends the whole file")), "{told:?}");
    assert!(server.requests()[1].from().is_some());
}

#[test]
fn redirects_are_followed_and_the_range_goes_along() {
    let body = content(100_000);
    let served = body.clone();
    let server = Server::start(move |number, request| match request.path.as_str() {
        "/a" => Reply::redirect("b/c?x=1"),
        "/b/c?x=1" => Reply::redirect("//HOST/d").header("Location", "/d"),
        _ => Reply::ranged(request, &served).dropped_after(if number < 3 { 60_000 } else { usize::MAX }),
    });
    let dir = tempfile::tempdir().unwrap();
    arrives(&client(), &source(&[server.url("a")], &body), dir.path(), &body);
    let paths: Vec<_> = server.requests().iter().map(|r| (r.path.clone(), r.from().is_some())).collect();
    let expected = [("/a", false), ("/b/c?x=1", false), ("/d", false), ("/a", true), ("/b/c?x=1", true), ("/d", true)];
    assert_eq!(paths, expected.map(|(path, ranged)| (path.to_owned(), ranged)));
}

#[test]
fn redirects_in_a_circle_end() {
    let server = Server::start(|_, _| Reply::redirect("/a"));
    let dir = tempfile::tempdir().unwrap();
    let message = fails(&client(), &unknown(server.url("a")), dir.path());
    assert!(message.contains("more than 10 redirects"), "{message}");
    assert_eq!(server.requests().len(), 11);
}

#[test]
fn a_busy_server_is_asked_again_and_a_missing_file_is_not() {
    let body = content(1000);
    let served = body.clone();
    let busy = Server::start(move |number, request| match number {
        0 => Reply::status(500),
        1 => Reply::status(503).header("Retry-After", "3600"),
        2 => Reply::status(429),
        _ => Reply::ranged(request, &served),
    });
    let gone = Server::start(|_, _| Reply::status(404));
    let dir = tempfile::tempdir().unwrap();
    let told = arrives(&client(), &source(&[gone.url("a"), busy.url("b")], &body), dir.path(), &body);
    assert!(told[0].contains("status 404: the file is not there"), "{told:?}");
    assert_eq!(told[1..], ["retry: status 500", "retry: status 503", "retry: status 429"]);
    assert_eq!(gone.requests().len(), 1);
}

#[test]
fn when_every_address_fails_each_reason_is_told() {
    let gone = Server::start(|_, _| Reply::status(404));
    let shut = Server::start(|_, _| Reply::status(403));
    let dir = tempfile::tempdir().unwrap();
    let message = fails(&client(), &source(&[gone.url("a"), shut.url("b")], b"x"), dir.path());
    assert!(message.contains("any of its 2 addresses"), "{message}");
    assert!(message.contains("status 404") && message.contains("status 403"), "{message}");
}

#[test]
fn a_file_that_changed_on_the_server_is_not_glued_to_its_old_beginning() {
    let (old, new) = (content(100_000), content(100_001)[1..].to_vec());
    for honors_if_range in [true, false] {
        let (first, second) = (old.clone(), new.clone());
        let server = Server::start(move |number, request| match number {
            0 => Reply::whole(&first).header("ETag", ETAG).dropped_after(70_000),
            _ if honors_if_range => Reply::whole(&second).header("ETag", "\"two\""),
            _ => Reply::ranged(request, &second).header("ETag", "\"two\""),
        });
        let dir = tempfile::tempdir().unwrap();
        let told = arrives(&client(), &unknown(server.url("a")), dir.path(), &new);
        assert!(told.iter().any(|t| t.starts_with("again: ")), "{told:?}");
    }
}

#[test]
fn pieces_that_do_not_fit_together_are_fetched_once_more_as_a_whole() {
    // No validator: only the checksum can tell that the server swapped the file between two requests.
    let (old, new) = (content(100_001)[1..].to_vec(), content(100_000));
    let right = new.clone();
    let server = Server::start(move |number, request| match number {
        0 => Reply::whole(&old).dropped_after(70_000),
        _ => Reply::ranged(request, &new),
    });
    let dir = tempfile::tempdir().unwrap();
    let told = arrives(&client(), &source(&[server.url("a")], &right), dir.path(), &right);
    assert!(told[1].contains("the pieces do not make the right file"), "{told:?}");
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_login_page_in_front_of_the_network_is_named_as_such() {
    let server = Server::start(|_, _| Reply::whole(b"<html>").header("Content-Type", "text/html; charset=utf-8"));
    let dir = tempfile::tempdir().unwrap();
    let message = fails(&client(), &unknown(server.url("a")), dir.path());
    assert!(message.contains("a web page came instead of the file"), "{message}");
}

#[test]
fn a_server_that_falls_silent_is_not_waited_for_for_ever() {
    let body = content(100_000);
    let served = body.clone();
    let server = Server::start(move |number, request| {
        let reply = Reply::ranged(request, &served);
        if number == 0 { reply.stalled_after(50_000, Duration::from_secs(30)) } else { reply }
    });
    let impatient = Client::new(&Network { idle_timeout: Duration::from_millis(200), ..network() }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let begun = std::time::Instant::now();
    arrives(&impatient, &source(&[server.url("a")], &body), dir.path(), &body);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_body_without_an_end_stops_at_the_size_of_the_file() {
    let body = content(1000);
    let endless = content(3_000_000);
    let server = Server::start(move |_, _| Reply::whole(&endless).without("Content-Length"));
    let dir = tempfile::tempdir().unwrap();
    let message = fails(&client(), &source(&[server.url("a")], &body), dir.path());
    assert!(message.contains("sends more than the 1000 bytes"), "{message}");
    assert_eq!(std::fs::metadata(dir.path().join("data.bin.part")).unwrap().len(), 0);
}

#[test]
fn a_body_without_a_length_is_taken_if_the_checksum_is_right() {
    let body = content(100_000);
    let served = body.clone();
    let server = Server::start(move |_, _| Reply::whole(&served).without("Content-Length"));
    let dir = tempfile::tempdir().unwrap();
    arrives(&client(), &Source { bytes: None, ..source(&[server.url("a")], &body) }, dir.path(), &body);
}

#[test]
fn packed_bytes_are_not_mistaken_for_the_file() {
    let server = Server::start(|_, _| Reply::whole(b"\x1f\x8b").header("Content-Encoding", "gzip"));
    let dir = tempfile::tempdir().unwrap();
    let message = fails(&client(), &unknown(server.url("a")), dir.path());
    assert!(message.contains("packed the file with `gzip`"), "{message}");
    assert_eq!(server.requests()[0].headers["accept-encoding"], "identity");
}

#[test]
fn a_request_to_stop_keeps_what_has_arrived_for_the_next_fetch() {
    let body = content(2_000_000);
    let served = body.clone();
    let server = Server::start(move |_, request| Reply::ranged(request, &served).header("ETag", ETAG));
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    // Without a checksum only what was flushed counts, so this also shows that it was.
    let source = unknown(server.url("a"));
    let error = download(&client(), &source, dir.path(), &stop, &mut |event: &Event<'_>| {
        if matches!(event, Event::Progress { done, .. } if *done > 500_000) {
            stop.store(true, Ordering::Relaxed);
        }
    })
    .expect_err("the download was stopped");
    let Error::Stopped { kept, .. } = error else { panic!("{error}") };
    assert!(kept > 500_000 && kept < 2_000_000);
    assert_eq!(files_below(dir.path()), ["data.bin.part", "data.bin.part.json"]);
    arrives(&client(), &source, dir.path(), &body);
    assert_eq!(server.requests()[1].from(), Some(usize::try_from(kept).unwrap()));
}

#[test]
fn bytes_that_may_not_have_reached_the_disk_are_fetched_again() {
    let body = content(300_000);
    let once = Client::new(&Network { attempts: 1, ..network() }).unwrap();
    for knows_checksum in [false, true] {
        let served = body.clone();
        let server = Server::start(move |number, request| {
            let reply = Reply::ranged(request, &served).header("ETag", ETAG);
            if number == 0 { reply.dropped_after(100_000) } else { reply }
        });
        let dir = tempfile::tempdir().unwrap();
        let source = if knows_checksum { source(&[server.url("a")], &body) } else { unknown(server.url("a")) };
        run(&once, &source, dir.path()).0.expect_err("one attempt is not enough");
        // As after a power failure: the file has its new length, but not all of its content.
        let part = dir.path().join("data.bin.part");
        let mut bytes = std::fs::read(&part).unwrap();
        let safe = bytes.len();
        bytes.resize(safe + 50_000, 0);
        std::fs::write(&part, bytes).unwrap();
        arrives(&client(), &source, dir.path(), &body);
        // Without a checksum only what was flushed is built upon; with one, it finds the gap, and all is fetched anew.
        let from: Vec<_> = server.requests()[1..].iter().map(common::Request::from).collect();
        let expected = if knows_checksum { vec![Some(safe + 50_000), None] } else { vec![Some(safe)] };
        assert_eq!(from, expected);
    }
}

#[test]
fn two_downloads_of_one_file_do_not_meet() {
    let body = content(200_000);
    let served = body.clone();
    let server = Server::start(move |_, request| {
        Reply::ranged(request, &served).stalled_after(100_000, Duration::from_millis(1500))
    });
    let dir = tempfile::tempdir().unwrap();
    let source = source(&[server.url("a")], &body);
    let mut second = None;
    let _ = download(&client(), &source, dir.path(), &AtomicBool::new(false), &mut |event: &Event<'_>| {
        if matches!(event, Event::Progress { .. }) && second.is_none() {
            second = Some(run(&client(), &source, dir.path()).0);
        }
    });
    let error = second.expect("the first download made progress").expect_err("the second must be refused");
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert!(error.to_string().contains("another process is downloading this file"), "{error}");
}

#[test]
fn a_finished_download_is_checked_and_not_fetched_again() {
    let body = content(1000);
    let served = body.clone();
    let server = Server::start(move |_, request| Reply::ranged(request, &served));
    let dir = tempfile::tempdir().unwrap();
    let source = source(&[server.url("a")], &body);
    arrives(&client(), &source, dir.path(), &body);
    arrives(&client(), &source, dir.path(), &body);
    assert_eq!(server.requests().len(), 1);
    std::fs::write(dir.path().join("data.bin"), content(1001)).unwrap();
    arrives(&client(), &source, dir.path(), &body);
    assert_eq!(server.requests().len(), 2);
}
