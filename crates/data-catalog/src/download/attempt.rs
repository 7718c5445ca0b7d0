//! Requests until every byte is here.

use std::io::{ErrorKind, Read};
use std::path::Path;

use super::retry::Patience;
use super::{Event, Transfer};
use crate::error::{Error, Result};
use crate::net::{Answer, Failure};

/// Bytes are read and written in pieces of this size.
const PIECE: usize = 64 * 1024;

/// The largest file that is taken where neither manifest nor server says a size; more than any data set of today.
const MAX_BYTES: u64 = 1 << 40;

/// How one request ended.
enum End {
    /// Every byte is here.
    Whole,
    /// Another attempt may do better.
    Again { reason: String, server_asks: Option<u64> },
    /// What is here cannot be built upon; the attempt counts as failed.
    Afresh(String),
    /// This address will not do.
    GiveUp(Error),
}

impl Transfer<'_, '_> {
    /// Fetches what is missing of the source from `url`, in as many requests as patience allows. The content is not checked here. Says
    /// whether all of it came in one answer.
    pub(super) fn until_whole(&mut self, url: &str) -> Result<bool> {
        let mut patience = Patience::new(self.client.network());
        let name = &self.source.name;
        let mut in_one_piece = self.part.length() == 0;
        loop {
            self.check_stop()?;
            let before = self.part.length();
            let end = self.request(url);
            // Also after an error: what has arrived may be used by the next process.
            let safe = self.part.make_safe();
            let (reason, server_asks) = match end? {
                End::Whole => return safe.map(|()| in_one_piece),
                End::GiveUp(error) => return Err(error),
                End::Again { reason, server_asks } => (reason, server_asks),
                End::Afresh(reason) => {
                    (self.watch)(&Event::StartedAgain { name, reason: &reason });
                    self.part.clear()?;
                    (reason, None)
                }
            };
            safe?;
            in_one_piece = self.part.length() == 0;
            let progress = self.part.length().saturating_sub(before);
            let Some(wait) = patience.after_failure(progress, server_asks) else {
                return Err(self.unreachable(url, reason, patience.failures()));
            };
            (self.watch)(&Event::Retry { name, reason: &reason, wait: wait.as_secs_f64() });
            self.pause(wait)?;
        }
    }

    fn request(&mut self, url: &str) -> Result<End> {
        // The last byte may have arrived before the connection broke.
        if self.part.length() > 0 && self.part.total(self.source) == Some(self.part.length()) {
            return Ok(End::Whole);
        }
        let range = self.part.range();
        let answer = match self.client.get(url, range.as_ref()) {
            Ok(answer) => answer,
            Err(Failure::Passing(reason)) => return Ok(End::Again { reason, server_asks: None }),
            Err(Failure::Lasting(reason)) => return Ok(End::GiveUp(self.unreachable(url, reason, 1))),
            Err(Failure::Settings(error)) => return Err(error),
        };
        if let Some(end) = self.judge(&answer, url) {
            return Ok(end);
        }
        match self.begin(&answer, url)? {
            Ok(total) => self.receive(answer, url, total),
            Err(end) => Ok(end),
        }
    }

    /// What the status says; `None` where a body follows that is wanted.
    fn judge(&self, answer: &Answer, url: &str) -> Option<End> {
        let again = |reason| Some(End::Again { reason, server_asks: answer.retry_after });
        let give_up = |reason| Some(End::GiveUp(self.unreachable(url, reason, 1)));
        match answer.status {
            200 | 206 => {
                if let Some(encoding) = &answer.encoding {
                    return give_up(format!("the server packed the file with `{encoding}`, which was not asked for"));
                }
                if answer.media_type.as_deref() == Some("text/html") && !is_page(&self.source.name) {
                    let reason = "a web page came instead of the file; does a login page stand before the network, or has the file moved?";
                    return Some(End::GiveUp(Error::WrongContent { url: url.to_owned(), reason: reason.to_owned() }));
                }
                None
            }
            416 => match answer.content_range {
                Some((_, Some(total))) if total == self.part.length() => Some(End::Whole),
                _ => Some(End::Afresh("the server does not have the rest of what is here".to_owned())),
            },
            404 | 410 => give_up(format!("status {}: the file is not there (any more)", answer.status)),
            401 | 403 => give_up(format!("status {}: the server does not give the file to everybody", answer.status)),
            407 => {
                give_up("status 407: the proxy asks for a user and a password; write them into its address".to_owned())
            }
            408 | 425 | 429 | 500.. => again(format!("status {}", answer.status)),
            status => give_up(format!("status {status}")),
        }
    }

    /// Makes the part ready for the body of an answer; the size of the whole file, where known.
    fn begin(&mut self, answer: &Answer, url: &str) -> Result<Result<Option<u64>, End>> {
        let (part, source) = (&mut self.part, self.source);
        let announced = if answer.status == 206 {
            let (first, total) = answer.content_range.unwrap_or((None, None));
            if first != Some(part.length()) {
                return Ok(Err(End::Afresh("the server sent another piece than the one asked for".to_owned())));
            }
            if part.contradicts(answer) {
                return Ok(Err(End::Afresh("the file has changed on the server".to_owned())));
            }
            total.or_else(|| Some(part.length() + answer.length?))
        } else {
            answer.length
        };
        // Before anything is given up: what is here may be the right beginning, and the next address a better one.
        if let (Some(expected), Some(announced)) = (source.bytes, announced)
            && expected != announced
        {
            let reason = format!("the server announces {announced} bytes, but the file has {expected}");
            return Ok(Err(End::GiveUp(Error::WrongContent { url: url.to_owned(), reason })));
        }
        if answer.status == 200 && part.length() > 0 {
            let reason = "the server sends the whole file: it does not resume, or the file has changed";
            (self.watch)(&Event::StartedAgain { name: &source.name, reason });
            part.clear()?;
        }
        part.describe(answer, announced)?;
        let total = source.bytes.or(announced);
        (self.watch)(&Event::Begun { name: &source.name, url: &answer.address, from: part.length(), total });
        Ok(Ok(total))
    }

    fn receive(&mut self, mut answer: Answer, url: &str, total: Option<u64>) -> Result<End> {
        let limit = total.unwrap_or(MAX_BYTES);
        let mut piece = vec![0; PIECE];
        loop {
            if let Err(stopped) = self.check_stop() {
                self.part.make_safe()?;
                return Err(stopped);
            }
            let count = match answer.body.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => {
                    let of = total.map_or_else(String::new, |total| format!(" of {total}"));
                    let reason = format!("the connection broke after {}{of} bytes: {e}", self.part.length());
                    return Ok(End::Again { reason, server_asks: None });
                }
            };
            if self.part.length() + count as u64 > limit {
                // Not the file; what is here of it is no beginning of the right one either.
                self.part.clear()?;
                let reason = format!("the server sends more than the {limit} bytes of the file");
                return Ok(End::GiveUp(Error::WrongContent { url: url.to_owned(), reason }));
            }
            self.part.append(&piece[..count])?;
            (self.watch)(&Event::Progress { name: &self.source.name, done: self.part.length(), total });
        }
        match total {
            Some(total) if self.part.length() < total => {
                let reason = format!("the connection ended after {} of {total} bytes", self.part.length());
                Ok(End::Again { reason, server_asks: None })
            }
            _ => Ok(End::Whole),
        }
    }

    fn unreachable(&self, url: &str, reason: String, attempts: u32) -> Error {
        let (url, name) = (url.to_owned(), self.source.name.clone());
        Error::Unreachable { url, name, reason, attempts, kept: self.part.length() }
    }
}

fn is_page(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default();
    matches!(extension.to_ascii_lowercase().as_str(), "html" | "htm")
}
