//! Which proxy an address goes through.

use ureq::http::Uri;

use crate::error::{Error, Result};

/// The usual proxy settings; the program reads them from the environment variables of the same names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `https://` addresses.
    pub https_proxy: Option<String>,
    /// For `http://` addresses.
    pub http_proxy: Option<String>,
    /// For those that the other two leave.
    pub all_proxy: Option<String>,
    /// Hosts that are reached without a proxy: `example.org` and everything below it, with or without a leading dot or `*.`;
    /// `host:port`; `*` for all. Separated by commas.
    pub no_proxy: Option<String>,
}

impl Proxies {
    /// The proxy for an address; `None` where it is reached directly.
    pub fn choose(&self, address: &Uri) -> Option<&str> {
        let (own, default_port) = match address.scheme_str() {
            Some("http") => (&self.http_proxy, 80),
            _ => (&self.https_proxy, 443),
        };
        let given = |proxy: &'_ Option<String>| proxy.as_deref().map(str::trim).is_some_and(|text| !text.is_empty());
        let proxy = [own, &self.all_proxy].into_iter().find(|proxy| given(proxy))?.as_deref()?.trim();
        let host = address.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let port = address.port_u16().unwrap_or(default_port);
        let direct = self.no_proxy.as_deref().unwrap_or_default().split(',').any(|rule| excepts(rule, &host, port));
        (!direct).then_some(proxy)
    }
}

/// Whether one entry of `no_proxy` names the host.
fn excepts(rule: &str, host: &str, port: u16) -> bool {
    let rule = rule.trim().to_ascii_lowercase();
    if rule == "*" {
        return true;
    }
    // An IPv6 address has colons of its own; a port can only follow its bracket.
    let (name, only_port) = match rule.rsplit_once(':') {
        Some((name, digits)) if name.ends_with(']') || !name.contains(':') => match digits.parse::<u16>() {
            Ok(port) => (name.to_owned(), Some(port)),
            Err(_) => (rule.clone(), None),
        },
        _ => (rule.clone(), None),
    };
    let name = name.trim_matches(['[', ']']).trim_start_matches('*').trim_start_matches('.');
    if name.is_empty() || only_port.is_some_and(|only| only != port) {
        return false;
    }
    host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

/// A proxy as the HTTP library takes it.
pub(super) fn parse(given: &str) -> Result<ureq::Proxy> {
    ureq::Proxy::new(given).map_err(|_| Error::Proxy {
        given: without_password(given),
        reason: "not understood; write http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ \
                 before the host where it asks for them"
            .to_owned(),
    })
}

/// A proxy for a message: who may read the screen need not know the password.
pub(super) fn without_password(given: &str) -> String {
    let (scheme, rest) = given.split_once("://").map_or(("", given), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        Proxies {
            https_proxy: Some("http://secure:3128".to_owned()),
            http_proxy: Some("plain:8080".to_owned()),
            all_proxy: Some("socks5://other".to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
        }
    }

    fn chosen(proxies: &Proxies, address: &str) -> Option<String> {
        proxies.choose(&address.parse().unwrap()).map(str::to_owned)
    }

    #[test]
    fn the_scheme_of_the_address_decides_and_all_proxy_fills_the_gaps() {
        let mut given = proxies("");
        assert_eq!(chosen(&given, "https://a.org/x").as_deref(), Some("http://secure:3128"));
        assert_eq!(chosen(&given, "http://a.org/x").as_deref(), Some("plain:8080"));
        given.http_proxy = Some(" ".to_owned());
        assert_eq!(chosen(&given, "http://a.org/x").as_deref(), Some("socks5://other"));
        assert_eq!(chosen(&Proxies::default(), "https://a.org/x"), None);
    }

    #[test]
    fn no_proxy_names_hosts_their_subdomains_and_ports() {
        for (rule, address, direct) in [
            ("a.org", "https://a.org/", true),
            ("a.org", "https://data.A.org/", true),
            ("a.org", "https://nota.org/", false),
            (".a.org", "https://data.a.org/", true),
            ("*.a.org", "https://data.a.org/", true),
            ("b.org, a.org", "https://a.org/", true),
            ("a.org:8443", "https://a.org:8443/", true),
            ("a.org:8443", "https://a.org/", false),
            ("a.org:443", "https://a.org/", true),
            ("127.0.0.1", "http://127.0.0.1:99/", true),
            ("::1", "http://[::1]:99/", true),
            ("[::1]:99", "http://[::1]:99/", true),
            ("*", "https://a.org/", true),
            ("", "https://a.org/", false),
            (",", "https://a.org/", false),
        ] {
            assert_eq!(chosen(&proxies(rule), address).is_none(), direct, "{rule} for {address}");
        }
    }

    #[test]
    fn a_proxy_that_is_not_understood_is_an_error_without_its_password() {
        let message = parse("gopher://me:secret@host:1").unwrap_err().to_string();
        assert!(message.starts_with("proxy `gopher://host:1`") && !message.contains("secret"), "{message}");
        assert!(parse("http://me:secret@host:1").is_ok() && parse("host:1").is_ok() && parse("socks5://host").is_ok());
    }
}
