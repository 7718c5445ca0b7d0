//! An HTTP server that misbehaves as told, and a proxy.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as the server saw it; names of headers in lower case.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
}

impl Request {
    /// The first byte of the `Range` header.
    pub fn from(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Bytes of the body after which the connection is closed or stalls.
    send: usize,
    stall: Option<Duration>,
}

impl Reply {
    /// A status and nothing else.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), send: usize::MAX, stall: None }
            .header("Content-Length", "0")
    }

    /// The whole of `body`, or the rest of it where the request asks for that.
    pub fn ranged(request: &Request, body: &[u8]) -> Self {
        match request.from() {
            Some(from) if from < body.len() => {
                let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
                let rest = body[from..].to_vec();
                Self { body: rest, ..Self::status(206) }.sized().header("Content-Range", &range)
            }
            Some(_) => Self::status(416).header("Content-Range", &format!("bytes */{}", body.len())),
            None => Self::whole(body),
        }
    }

    /// The whole of `body`, whatever was asked for.
    pub fn whole(body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..Self::status(200) }.sized()
    }

    pub fn redirect(to: &str) -> Self {
        Self::status(302).header("Location", to)
    }

    fn sized(self) -> Self {
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    /// Sets a header; the length may be made a lie.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a header out.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Closes the connection after so many bytes of the body.
    pub fn dropped_after(mut self, bytes: usize) -> Self {
        self.send = bytes;
        self
    }

    /// Says nothing more after so many bytes of the body.
    pub fn stalled_after(mut self, bytes: usize, long: Duration) -> Self {
        (self.send, self.stall) = (bytes, Some(long));
        self
    }

    fn write(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Reply\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        let sent = &self.body[..self.send.min(self.body.len())];
        stream.write_all(sent)?;
        stream.flush()?;
        if let Some(long) = self.stall {
            std::thread::sleep(long);
        }
        Ok(())
    }
}

/// Answers until it is dropped; remembers every request.
pub struct Server {
    port: u16,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers the `n`-th request, from 0, with `reply(n, request)`.
    pub fn start(reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a port").port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (log_of_thread, reply) = (Arc::clone(&log), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                let (log, reply) = (Arc::clone(&log_of_thread), Arc::clone(&reply));
                std::thread::spawn(move || {
                    let Some((_, request)) = read_request(&stream) else { return };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    // The client may have left; that is part of the play.
                    let answer = reply(number, &request);
                    let answer = if request.method == "HEAD" { answer.dropped_after(0) } else { answer };
                    let _ = answer.write(&mut stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, log }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

/// Method and request.
fn read_request(stream: &TcpStream) -> Option<(String, Request)> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
    Some((method.clone(), Request { method, path, headers }))
}

/// A proxy that connects where it is told, or refuses with a status; the places that it was asked for.
pub fn proxy(refuse: Option<u16>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("a port"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || tunnel(stream, refuse, &log));
        }
    });
    (address, asked)
}

fn tunnel(mut client: TcpStream, refuse: Option<u16>, log: &Mutex<Vec<String>>) -> Option<()> {
    let (method, request) = read_request(&client)?;
    log.lock().unwrap().push(format!("{method} {}", request.path));
    if let Some(status) = refuse {
        let _ = write!(client, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        return None;
    }
    let mut target = TcpStream::connect(&request.path).ok()?;
    write!(client, "HTTP/1.1 200 Connected\r\n\r\n").ok()?;
    let (mut from_client, mut to_target) = (client.try_clone().ok()?, target.try_clone().ok()?);
    let up = std::thread::spawn(move || pipe(&mut from_client, &mut to_target));
    pipe(&mut target, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = up.join();
    Some(())
}

fn pipe(from: &mut TcpStream, to: &mut TcpStream) {
    let mut piece = [0; 4096];
    while let Ok(count) = from.read(&mut piece) {
        if count == 0 || to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
}

/// A port where nobody listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
