//! The network as this machine reaches it, and downloads as a person sees them.

use std::path::PathBuf;

use data_catalog::download::Event;
use data_catalog::net::{Network, Proxies};
use data_catalog::readable_bytes;

use crate::progress::Progress;

/// How this machine reaches the network. Lower-case names win, as they do for other programs.
pub fn network() -> Network {
    let variable = |name: &str| {
        [name.to_ascii_lowercase(), name.to_owned()]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    };
    Network {
        proxies: Proxies {
            https_proxy: variable("HTTPS_PROXY"),
            http_proxy: variable("HTTP_PROXY"),
            all_proxy: variable("ALL_PROXY"),
            no_proxy: variable("NO_PROXY"),
        },
        certificates: std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()).map(PathBuf::from),
        ..Network::default()
    }
}

/// Tells the person who watches. Progress counts kilobytes.
pub fn show(event: &Event<'_>, progress: &Progress) {
    const UNIT: u64 = 1000;
    match event {
        Event::Begun { name, url, from, total } => {
            let host = url.split('/').nth(2).unwrap_or(url);
            let going_on = if *from > 0 { format!(", continuing at {}", readable_bytes(*from)) } else { String::new() };
            progress.message(&format!("{name} from {host}{going_on}"));
            progress.start(name, total.unwrap_or(0).div_ceil(UNIT), "kB");
        }
        Event::Progress { done, .. } => progress.step(done.div_ceil(UNIT), &[]),
        Event::Retry { name, reason, wait } => {
            progress.message(&format!("{name}: {reason}; trying again in {wait:.0} s"));
        }
        Event::StartedAgain { name, reason } => progress.message(&format!("{name}: starting again: {reason}")),
        Event::NextAddress { name, reason } => progress.warn(&format!("{name}: {reason}; trying the next address")),
        Event::Fetched { name, bytes, sha256, verified } => {
            progress.finish();
            let size = readable_bytes(*bytes);
            if *verified {
                progress.message(&format!("{name}: {size}, checksum right"));
            } else {
                progress.warn(&format!(
                    "{name}: {size}; the manifest knows no checksum, so SHA-256 {sha256} is recorded, and later fetches must match it"
                ));
            }
        }
        Event::Placed { path, .. } => progress.message(&format!("placed {}", path.display())),
        // What later versions of the library tell beyond this is not needed here.
        _ => {}
    }
}
