//! A process that is killed in the middle of a download.

#![allow(clippy::disallowed_methods, reason = "a copy of this test is told by the environment what to do")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use common::{Reply, Server, client, content, files_below};
use data_catalog::download::download;
use data_catalog::manifest::Source;

/// Tells the process that it is the one to be killed, and what to do: the address and the folder.
const CHILD: &str = "DATA_CATALOG_CHILD";

fn source(url: &str, body: Option<&[u8]>) -> Source {
    Source {
        name: "data.bin".to_owned(),
        urls: vec![url.to_owned()],
        archive: None,
        bytes: body.map(|body| body.len() as u64),
        sha256: body.map(run_store::hash::bytes),
    }
}

#[test]
fn a_killed_download_goes_on_where_it_stopped_and_shows_nothing_under_the_final_name() {
    let body = content(900_000);
    if let Ok(order) = std::env::var(CHILD) {
        let (url, folder) = order.split_once(' ').expect("an address and a folder");
        let _ = download(&client(), &source(url, Some(&body)), Path::new(folder), &AtomicBool::new(false), &mut |_| {});
        panic!("the download ended before the process was killed");
    }
    let served = body.clone();
    let server = Server::start(move |number, request| {
        let reply = Reply::ranged(request, &served).header("ETag", "\"one\"");
        // The first connection hangs in the middle, which is when the kill comes.
        if number == 0 { reply.stalled_after(600_000, Duration::from_secs(60)) } else { reply }
    });
    let dir = tempfile::tempdir().unwrap();
    let part: PathBuf = dir.path().join("data.bin.part");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_download_goes_on_where_it_stopped_and_shows_nothing_under_the_final_name"])
        .env(CHILD, format!("{} {}", server.url("a"), dir.path().display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while std::fs::metadata(&part).map_or(0, |m| m.len()) < 600_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the child did not get that far");
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
    // SIGKILL on Unix: no destructor runs, nothing is flushed, no lock is released by hand.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(files_below(dir.path()), ["data.bin.part", "data.bin.part.json"]);

    let got =
        download(&client(), &source(&server.url("a"), Some(&body)), dir.path(), &AtomicBool::new(false), &mut |_| {});
    assert_eq!(std::fs::read(got.unwrap().path).unwrap(), body);
    assert_eq!(server.requests()[1].from(), Some(600_000));
    assert_eq!(server.requests()[1].headers["if-range"], "\"one\"");
    assert_eq!(files_below(dir.path()), ["data.bin"]);
}
