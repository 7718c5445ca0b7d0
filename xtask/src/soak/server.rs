//! The server of the soak: a process, its log, its memory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Connection;
use crate::command::cannot_start;

/// A running server; ends with this.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// The lines of its log that are no requests.
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `model` by `program` and waits until it listens.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path, model: &Path, options: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.args(["serve", "--port", "0", "--log", "events"]).args(options).arg("--model").arg(model);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| cannot_start(&program.display().to_string(), &e))?;
        let stderr = child.stderr.take().ok_or("the server has no standard error")?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, listening) = std::sync::mpsc::channel();
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                if event["event"] == "listening" {
                    let _ = sender.send(event["address"].as_str().and_then(|address| address.parse().ok()));
                }
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let address = listening.recv_timeout(Duration::from_secs(120)).ok().flatten();
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log };
        server.address = address.ok_or_else(|| format!("the server does not listen:\n{}", server.log()))?;
        Ok(server)
    }

    /// Its log.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It cannot be sent.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        match status.map_err(|e| cannot_start("kill", &e))?.success() {
            true => Ok(()),
            false => Err(format!("the server is gone:\n{}", self.log())),
        }
    }

    /// Its resident memory in KiB.
    ///
    /// # Errors
    /// It is gone, or the system does not say.
    pub fn resident(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        resident(&status).ok_or_else(|| format!("{path} has no VmRSS: the server is gone:\n{}", self.log()))
    }

    /// The value of a counter of `/metrics`.
    ///
    /// # Errors
    /// The server does not answer, or has no such counter.
    pub fn counter(&self, name: &str) -> Result<u64, String> {
        let reply = Connection::open(self.address).and_then(|mut connection| connection.call("GET", "/metrics", b""));
        let reply = reply.map_err(|lost| format!("/metrics: {lost}"))?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.ok_or_else(|| format!("/metrics has no {name}:\n{text}"))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It has not ended within `limit`.
    pub fn ended(&mut self, limit: Duration) -> Result<ExitStatus, String> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
                return Ok(status);
            }
            if begun.elapsed() > limit {
                return Err(format!("the server has not ended {} seconds after SIGTERM", limit.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_is_read_in_kibibytes() {
        assert_eq!(super::resident("VmHWM:\t  9 kB\nVmRSS:\t   61440 kB\nThreads:\t5\n"), Some(61440));
        assert_eq!(super::resident("Name:\tefficientbert\n"), None);
    }
}
