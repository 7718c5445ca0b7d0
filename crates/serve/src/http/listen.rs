//! Connections, and their end.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Shared;
use super::stall::Stall;
use crate::Limits;
use crate::event::Event;

/// Most headers of a request, and bytes of all of them.
const HEADERS: usize = 128;
const HEAD_BYTES: usize = 64 << 10;
/// After the system has no more descriptors, the time until it is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a server that stops waits for the first request of a connection that it has accepted.
const FIRST: Duration = Duration::from_secs(2);

/// Accepts connections until `stop` changes, then for as long as clients need to learn of it, and answers all that was accepted.
pub(crate) async fn serve(listener: TcpListener, router: Router, app: Shared, mut stop: watch::Receiver<bool>) {
    let limits = *app.engine.limits();
    let server = Server {
        room: Arc::new(Semaphore::new(limits.connections)),
        graceful: GracefulShutdown::new(),
        silent: watch::Sender::new(()),
        router,
        app,
        limits,
    };
    let stopped = async {
        // Nobody who could stop it is left: so be it.
        let _ = stop.wait_for(|stopped| *stopped).await;
    };
    server.accept_until(&listener, pin!(stopped)).await;
    (server.app.events)(&Event::Stopping);
    server.app.stop();
    server.accept_until(&listener, pin!(tokio::time::sleep(limits.drain))).await;
    server.take_rest(listener);
    // The shutdown closes a connection whose first request was not read yet, without an answer.
    let first = FIRST.min(limits.stop_time);
    let _ = tokio::time::timeout(first, server.silent.closed()).await;
    let Server { graceful, app, .. } = server;
    if tokio::time::timeout(limits.stop_time, graceful.shutdown()).await.is_err() {
        let connections = usize::try_from(app.metrics.connections.get()).unwrap_or(0);
        (app.events)(&Event::Cut { connections });
    }
}

struct Server {
    room: Arc<Semaphore>,
    graceful: GracefulShutdown,
    /// Has a receiver for each connection without a request.
    silent: watch::Sender<()>,
    router: Router,
    app: Shared,
    limits: Limits,
}

impl Server {
    /// Accepts connections until `end`.
    async fn accept_until<T>(&self, listener: &TcpListener, mut end: impl Future<Output = T> + Unpin) {
        loop {
            // A connection that there is no room for stays with the system until there is.
            let accepted = async {
                let room = Arc::clone(&self.room).acquire_owned().await.ok();
                (listener.accept().await, room)
            };
            tokio::select! {
                biased;
                _ = &mut end => return,
                (accepted, room) = accepted => match accepted {
                    Ok((stream, _)) => self.connect(stream, room),
                    Err(error) if is_of_the_connection(error.kind()) => {}
                    Err(error) => {
                        (self.app.events)(&Event::Failed { message: &format!("cannot accept a connection: {error}") });
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    /// Accepts what the system has accepted meanwhile, and listens no more. The runtime may not know of these connections yet, so the
    /// system is asked.
    fn take_rest(&self, listener: TcpListener) {
        let failed = |cause: &std::io::Error| {
            (self.app.events)(&Event::Failed { message: &format!("cannot accept the last connections: {cause}") });
        };
        let listener = match listener.into_std() {
            Ok(listener) => listener,
            Err(cause) => return failed(&cause),
        };
        loop {
            let accepted = listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)
            });
            match accepted {
                Ok(stream) => self.connect(stream, None),
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
                Err(cause) if cause.kind() == ErrorKind::Interrupted || is_of_the_connection(cause.kind()) => {}
                Err(cause) => return failed(&cause),
            }
        }
    }

    fn connect(&self, stream: TcpStream, room: Option<OwnedSemaphorePermit>) {
        // Answers are written in one piece.
        let _ = stream.set_nodelay(true);
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_time)
            .max_headers(HEADERS)
            .max_buf_size(HEAD_BYTES);
        let (router, silent) =
            (TowerToHyperService::new(self.router.clone()), Mutex::new(Some(self.silent.subscribe())));
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            silent.lock().unwrap_or_else(PoisonError::into_inner).take();
            router.call(request)
        });
        let connection = self
            .graceful
            .watch(builder.serve_connection(TokioIo::new(Stall::new(stream, self.limits.body_time)), service));
        let app = Arc::clone(&self.app);
        app.metrics.connections.inc();
        tokio::spawn(async move {
            // A connection that breaks is its client's business.
            let _ = connection.await;
            app.metrics.connections.dec();
            drop(room);
        });
    }
}

fn is_of_the_connection(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
