//! Helpers of the behavior tests.
#![allow(dead_code, unused_imports)]

mod server;

use std::path::Path;
use std::time::Duration;

use data_catalog::net::{Client, Network};

pub use test_support::shared;

pub use server::{Reply, Request, Server, free_port, proxy};

/// Settings without a proxy and without long waits.
pub fn network() -> Network {
    Network {
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        first_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(10),
        ..Network::default()
    }
}

pub fn client() -> Client {
    Client::new(&network()).expect("plain settings are right")
}

/// Bytes that do not repeat in any short period, so that pieces in a wrong order are noticed.
pub fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    })
    .take(length)
    .collect()
}

/// Every file below a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}
