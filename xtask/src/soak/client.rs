//! A client in plain HTTP/1.1 that shows what goes over the wire.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Whether the connection ends with this answer.
    pub closes: bool,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Lost {
    /// The connection was not accepted.
    Refused,
    /// The connection was accepted, and ended without an answer.
    Unanswered(String),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused => f.write_str("the connection was refused"),
            Self::Unanswered(why) => write!(f, "no answer: {why}"),
        }
    }
}

/// A connection.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// # Errors
    /// Nobody listens.
    pub fn open(address: SocketAddr) -> Result<Self, Lost> {
        let open = || {
            let stream = TcpStream::connect(address)?;
            // Longer than the server takes to refuse anything, on a machine that is busy.
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            stream.set_write_timeout(Some(Duration::from_secs(60)))?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(stream)
        };
        open().map(|stream| Self(BufReader::new(stream))).map_err(|_| Lost::Refused)
    }

    /// Sends bytes as they are. The server may have closed the connection before it has all of them, and have answered.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The connection ended before it.
    pub fn reply(&mut self) -> Result<Reply, Lost> {
        self.read().map_err(|error| Lost::Unanswered(error.to_string()))
    }

    fn read(&mut self) -> std::io::Result<Reply> {
        let wrong = |what: &str, line: &str| std::io::Error::other(format!("{what}: {}", line.trim_end()));
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| wrong("no status line", &line))?;
        let (mut length, mut closes) = (0, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().map_err(|_| wrong("no length", &line))?;
            }
            closes |= name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close");
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Reply { status, closes, body })
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(std::io::Error::other("the connection was closed")),
            _ => Ok(line),
        }
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// As [`Connection::reply`].
    pub fn call(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Reply, Lost> {
        self.send(&request(method, path, body));
        self.reply()
    }
}

/// A request with JSON, as it goes over the wire.
pub fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: soak\r\ncontent-type: application/json\r\n");
    [format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A connection to what answers the bytes of `answer` and closes.
    fn answered(answer: &'static [u8]) -> Result<Reply, Lost> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer).unwrap();
        });
        let reply = Connection::open(address).unwrap().call("POST", "/predict", b"{}");
        server.join().unwrap();
        reply
    }

    #[test]
    fn answers_are_read_and_broken_ones_are_lost() {
        let reply = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]").unwrap();
        assert_eq!((reply.status, reply.closes, &reply.body[..]), (200, true, &b"[]"[..]));
        for broken in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[]", b"SSH-2.0\r\n\r\n"] {
            assert!(matches!(answered(broken), Err(Lost::Unanswered(_))), "{}", String::from_utf8_lossy(broken));
        }
    }
}
