//! Short questions to a server: the head of an answer, or an answer that fits in memory.

use std::io::Read;

use ureq::http::header::HeaderMap;

use super::client::Method;
use super::{Client, Failure};
use crate::error::{Error, Result, readable_bytes};

/// The headers of an answer.
#[derive(Debug, Clone, Default)]
pub struct Headers(HeaderMap);

impl Headers {
    /// The value of a header, by its name in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok().map(str::trim)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The address that answered, after redirects.
    pub address: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body; empty where only the head was asked for.
    pub body: Vec<u8>,
}

impl Client {
    /// The head of the answer of `url`: the first one that is no redirect, or that has all the headers `enough`. Any status is an answer.
    ///
    /// # Errors
    /// [`Error::Unreachable`] after one attempt, or wrong settings.
    pub fn head(&self, url: &str, enough: &[&str]) -> Result<Reply> {
        let is_enough = |headers: &HeaderMap| enough.iter().all(|name| headers.contains_key(*name));
        let found = self.follow((Method::Head, url), None, is_enough);
        let (response, uri) = found.map_err(|failure| unanswered(url, failure))?;
        let (head, _) = response.into_parts();
        let (address, headers) = (uri.to_string(), Headers(head.headers));
        Ok(Reply { status: head.status.as_u16(), address, headers, body: Vec::new() })
    }

    /// The answer of `url`, whose body has `most` bytes at most. Any status is an answer.
    ///
    /// # Errors
    /// [`Error::Unreachable`] after one attempt, [`Error::WrongContent`] for a longer body, or wrong settings.
    pub fn ask(&self, url: &str, most: u64) -> Result<Reply> {
        let found = self.follow((Method::Get, url), None, |_| false);
        let (response, uri) = found.map_err(|failure| unanswered(url, failure))?;
        let (head, body) = response.into_parts();
        let mut bytes = Vec::new();
        let read = body.into_reader().take(most + 1).read_to_end(&mut bytes);
        read.map_err(|e| unanswered(url, Failure::Passing(format!("the connection broke: {e}"))))?;
        if bytes.len() as u64 > most {
            let reason = format!("the answer has more than {}", readable_bytes(most));
            return Err(Error::WrongContent { url: url.to_owned(), reason });
        }
        let (address, headers) = (uri.to_string(), Headers(head.headers));
        Ok(Reply { status: head.status.as_u16(), address, headers, body: bytes })
    }
}

fn unanswered(url: &str, failure: Failure) -> Error {
    match failure {
        Failure::Passing(reason) | Failure::Lasting(reason) => {
            let name = url.rsplit('/').next().unwrap_or_default().to_owned();
            Error::Unreachable { url: url.to_owned(), name, reason, attempts: 1, kept: 0 }
        }
        Failure::Settings(error) => error,
    }
}
