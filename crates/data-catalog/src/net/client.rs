//! One request: through the right proxy, along redirects, with time limits.

use std::io::Read;
use std::sync::Arc;

use ureq::http::Uri;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    IF_RANGE, LAST_MODIFIED, LOCATION, RANGE, RETRY_AFTER,
};
use ureq::tls::{PemItem, RootCerts, TlsConfig};

use super::{Network, address, proxy};
use crate::error::{Error, Result};

/// Redirects that are followed; browsers stop at 20.
const MAX_REDIRECTS: usize = 10;

/// Makes requests.
pub struct Client {
    network: Network,
    tls: TlsConfig,
    bearer: Option<Bearer>,
}

/// What says who asks, and the only server that is told.
struct Bearer {
    home: Uri,
    token: String,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// The head of an answer.
    Head,
    /// All of it.
    Get,
}

/// The rest of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first byte that is wanted.
    pub from: u64,
    /// What the file was called when its beginning was fetched (an entity tag or a date): the server sends all of it where that has
    /// changed.
    pub if_still: Option<String>,
}

/// The answer to a request; its body is still to be read.
pub(crate) struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The address that answered, after redirects.
    pub address: String,
    /// The bytes that the body is announced to have.
    pub length: Option<u64>,
    /// First byte and size of the whole file, from `Content-Range`; the size of `*` is `None`.
    pub content_range: Option<(Option<u64>, Option<u64>)>,
    /// The entity tag, if it promises equal bytes.
    pub etag: Option<String>,
    /// The date of last change.
    pub last_modified: Option<String>,
    /// The media type, in lower case and without parameters.
    pub media_type: Option<String>,
    /// A content encoding other than `identity`.
    pub encoding: Option<String>,
    /// The seconds that the server asks to wait.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Box<dyn Read + Send>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt may do better.
    Passing(String),
    /// It will not.
    Lasting(String),
    /// The settings are wrong.
    Settings(Error),
}

impl Client {
    /// A client for these settings.
    ///
    /// # Errors
    /// The certificates cannot be read, or a proxy is not understood.
    pub fn new(network: &Network) -> Result<Self> {
        for given in [&network.proxies.https_proxy, &network.proxies.http_proxy, &network.proxies.all_proxy] {
            if let Some(given) = given.as_deref().map(str::trim).filter(|given| !given.is_empty()) {
                proxy::parse(given)?;
            }
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = &network.certificates {
            let pem = std::fs::read(path).map_err(Error::io(path, "the certificates cannot be read"))?;
            let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                let reason = std::io::Error::other("it holds no certificate in PEM form");
                return Err(Error::io(path, "the certificates cannot be used")(reason));
            }
            tls = tls.root_certs(RootCerts::Specific(Arc::new(certificates)));
        }
        Ok(Self { network: network.clone(), tls: tls.build(), bearer: None })
    }

    /// The same client, which says who asks: `token` goes to the server of the address `home`, and to no other one that a redirect
    /// leads to.
    ///
    /// # Errors
    /// `home` is no address, or the token cannot stand in a request.
    pub fn with_token(mut self, home: &str, token: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::Address { url: home.to_owned(), reason: reason.to_owned() };
        let uri: Uri = home.parse().map_err(|_| wrong("it is no address"))?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("the token for it holds characters that no token has"));
        }
        self.bearer = Some(Bearer { home: uri, token: token.to_owned() });
        Ok(self)
    }

    /// The settings.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Asks for a file or the rest of it. Statuses other than redirects are answers, not failures.
    pub(crate) fn get(&self, url: &str, range: Option<&Range>) -> Result<Answer, Failure> {
        let (response, uri) = self.follow((Method::Get, url), range, |_| false)?;
        Ok(Answer::new(response, &uri))
    }

    /// The first answer that is no redirect, or that `is_enough`; and the address that gave it.
    pub(super) fn follow(
        &self,
        (method, url): (Method, &str),
        range: Option<&Range>,
        is_enough: impl Fn(&HeaderMap) -> bool,
    ) -> Result<(ureq::http::Response<ureq::Body>, Uri), Failure> {
        let mut uri: Uri = url.parse().map_err(|_| Failure::Lasting("it is no address".to_owned()))?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(method, &uri, range)?;
            let status = response.status().as_u16();
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match (status, location) {
                (301 | 302 | 303 | 307 | 308, _) if is_enough(response.headers()) => return Ok((response, uri)),
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    uri = address::resolve(&uri, location).map_err(Failure::Lasting)?;
                }
                (301 | 302 | 303 | 307 | 308, None) => {
                    return Err(Failure::Lasting(format!("status {status} without saying where to go")));
                }
                _ => return Ok((response, uri)),
            }
        }
        Err(Failure::Lasting(format!("more than {MAX_REDIRECTS} redirects; the last leads to {uri}")))
    }

    fn request(
        &self,
        method: Method,
        uri: &Uri,
        range: Option<&Range>,
    ) -> Result<ureq::http::Response<ureq::Body>, Failure> {
        let through = self.network.proxies.choose(uri);
        let proxy = through.map(proxy::parse).transpose().map_err(Failure::Settings)?;
        // An agent per request: downloads are few and long, and the proxy depends on the address.
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .tls_config(self.tls.clone())
            .user_agent(&self.network.user_agent)
            .timeout_resolve(Some(self.network.connect_timeout))
            .timeout_connect(Some(self.network.connect_timeout))
            .timeout_recv_response(Some(self.network.idle_timeout))
            .timeout_per_read(Some(self.network.idle_timeout))
            .build();
        let agent = config.new_agent();
        let request = match method {
            Method::Head => agent.head(uri),
            Method::Get => agent.get(uri),
        };
        let mut request = request.header(ACCEPT_ENCODING, "identity");
        if let Some(bearer) = self.bearer.as_ref().filter(|bearer| address::same_server(&bearer.home, uri)) {
            request = request.header(AUTHORIZATION, format!("Bearer {}", bearer.token));
        }
        if let Some(range) = range {
            request = request.header(RANGE, format!("bytes={}-", range.from));
            if let Some(validator) = &range.if_still {
                request = request.header(IF_RANGE, validator);
            }
        }
        request.call().map_err(|error| failure(&error, uri, through))
    }
}

impl Answer {
    fn new(response: ureq::http::Response<ureq::Body>, uri: &Uri) -> Self {
        let (head, body) = response.into_parts();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let media_type = text(CONTENT_TYPE)
            .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
            .filter(|value| !value.is_empty());
        Self {
            status: head.status.as_u16(),
            address: uri.to_string(),
            length: number(&head.headers, CONTENT_LENGTH),
            content_range: text(CONTENT_RANGE).and_then(content_range),
            // A weak tag promises the same meaning, not the same bytes.
            etag: text(ETAG).filter(|tag| tag.starts_with('"')).map(str::to_owned),
            last_modified: text(LAST_MODIFIED).map(str::to_owned),
            media_type,
            encoding: text(CONTENT_ENCODING)
                .filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("identity"))
                .map(str::to_owned),
            retry_after: number(&head.headers, RETRY_AFTER),
            body: Box::new(body.into_reader()),
        }
    }
}

fn number(headers: &HeaderMap, name: ureq::http::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Reads `bytes 10-99/100`, `bytes 10-99/*` and `bytes */100`.
fn content_range(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes")?.trim().split_once('/')?;
    let total = match total.trim() {
        "*" => None,
        digits => Some(digits.parse().ok()?),
    };
    let first = match range.trim() {
        "*" => None,
        range => Some(range.split_once('-')?.0.trim().parse().ok()?),
    };
    Some((first, total))
}

/// What a failed request means, in words that say what to do.
fn failure(error: &ureq::Error, uri: &Uri, through: Option<&str>) -> Failure {
    let host = uri.host().unwrap_or("the server");
    let via = match through {
        Some(proxy) => format!(" through the proxy {}", proxy::without_password(proxy)),
        None => " without a proxy (none is set for this address)".to_owned(),
    };
    match error {
        ureq::Error::HostNotFound => Failure::Passing(format!(
            "the name {} could not be resolved; is this machine online? It was tried{via}",
            through.map_or_else(|| host.to_owned(), |proxy| format!("of the proxy {}", proxy::without_password(proxy)))
        )),
        ureq::Error::Timeout(what) => {
            Failure::Passing(format!("{host} did not answer in time ({what}); it was tried{via}"))
        }
        ureq::Error::ConnectionFailed => Failure::Passing(format!("no connection to {host}{via}")),
        ureq::Error::ConnectProxyFailed(answer) => {
            Failure::Passing(format!("the proxy would not connect to {host}: {}", answer.trim()))
        }
        ureq::Error::Io(cause) if is_lookup(cause) => Failure::Passing(format!(
            "the name {host} could not be resolved ({cause}); is this machine online? It was tried{via}"
        )),
        ureq::Error::Io(cause) => Failure::Passing(format!("no connection to {host}{via}: {cause}")),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Failure::Lasting(format!(
            "no safe connection to {host}{via}: {error}; where a proxy reads along, name its certificates in SSL_CERT_FILE"
        )),
        ureq::Error::BadUri(reason) => Failure::Lasting(format!("it is no address: {reason}")),
        other => Failure::Passing(format!("{host}{via}: {other}")),
    }
}

/// The standard library has no kind of its own for a name that is not found.
fn is_lookup(cause: &std::io::Error) -> bool {
    cause.to_string().contains("lookup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(content_range("bytes 10-99/100"), Some((Some(10), Some(100))));
        assert_eq!(content_range("bytes 10-99/*"), Some((Some(10), None)));
        assert_eq!(content_range("bytes */100"), Some((None, Some(100))));
        for bad in ["10-99/100", "bytes 10/100", "bytes 10-99", "bytes x-9/10", "lines 1-2/3", ""] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
