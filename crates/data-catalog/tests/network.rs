//! No network, and networks behind a proxy.

mod common;

use std::sync::atomic::AtomicBool;

use common::{Reply, Server, content, free_port, network, proxy};
use data_catalog::Error;
use data_catalog::download::download;
use data_catalog::manifest::Source;
use data_catalog::net::{Client, Network, Proxies};

fn fetch(proxies: Proxies, url: &str) -> Result<Vec<u8>, Error> {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::new(&Network { proxies, attempts: 2, ..network() })?;
    let source =
        Source { name: "data.bin".to_owned(), urls: vec![url.to_owned()], archive: None, bytes: None, sha256: None };
    let got = download(&client, &source, dir.path(), &AtomicBool::new(false), &mut |_| {});
    assert_eq!(got.is_ok(), dir.path().join("data.bin").exists());
    got.map(|got| std::fs::read(got.path).unwrap())
}

fn refused(proxies: Proxies, url: &str) -> String {
    fetch(proxies, url).expect_err("there is no way to this address").to_string()
}

#[test]
fn without_a_network_the_message_says_so_and_what_to_do() {
    let url = format!("http://127.0.0.1:{}/a", free_port());
    let message = refused(Proxies::default(), &url);
    for part in
        [url.as_str(), "no connection to 127.0.0.1", "none is set", "(tried 2 times)", "--from FOLDER", "data.bin"]
    {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    // A name that is kept free for this purpose (RFC 6761).
    let message = refused(Proxies::default(), "https://data.invalid/a");
    assert!(message.contains("data.invalid could not be resolved") && message.contains("online?"), "{message}");
}

#[test]
fn a_proxy_is_used_where_it_is_set_and_not_for_the_hosts_that_are_excepted() {
    let body = content(5000);
    let served = body.clone();
    let server = Server::start(move |_, request| Reply::ranged(request, &served));
    let (address, asked) = proxy(None);
    let through = Proxies { http_proxy: Some(address.clone()), ..Proxies::default() };
    assert_eq!(fetch(through.clone(), &server.url("a")).unwrap(), body);
    let host = server.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert_eq!(*asked.lock().unwrap(), [format!("CONNECT {host}")]);

    let direct = Proxies { no_proxy: Some("example.org,127.0.0.1".to_owned()), ..through };
    assert_eq!(fetch(direct, &server.url("a")).unwrap(), body);
    let other = Proxies { https_proxy: Some(address), ..Proxies::default() };
    assert_eq!(fetch(other, &server.url("a")).unwrap(), body);
    assert_eq!(asked.lock().unwrap().len(), 1, "the proxy was asked for what goes direct");
}

#[test]
fn a_proxy_that_refuses_or_is_away_is_named_without_its_password() {
    let (address, _) = proxy(Some(403));
    let message = refused(Proxies { https_proxy: Some(address), ..Proxies::default() }, "https://example.org/a");
    assert!(message.contains("the proxy would not connect to example.org"), "{message}");

    let away = format!("http://me:secret@127.0.0.1:{}", free_port());
    let message = refused(Proxies { all_proxy: Some(away), ..Proxies::default() }, "https://example.org/a");
    assert!(message.contains("through the proxy http://127.0.0.1:") && !message.contains("secret"), "{message}");

    let error = refused(Proxies { all_proxy: Some("gopher://x".to_owned()), ..Proxies::default() }, "https://a.org/");
    assert!(error.contains("proxy `gopher://x`: not understood"), "{error}");
}

#[test]
fn certificates_that_are_none_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, "no certificate").unwrap();
    let with = |path| Client::new(&Network { certificates: Some(path), ..network() }).err().unwrap().to_string();
    assert!(with(path).contains("holds no certificate in PEM form"));
    assert!(with(dir.path().join("none.pem")).contains("none.pem: the certificates cannot be read"));
}

#[test]
fn an_address_that_answers_in_clear_where_tls_is_expected_is_an_error() {
    let server = Server::start(|_, _| Reply::whole(b"x"));
    let url = server.url("a").replace("http://", "https://");
    let message = refused(Proxies::default(), &url);
    assert!(message.contains("no safe connection") || message.contains("no connection"), "{message}");
}
