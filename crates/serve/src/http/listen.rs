//! Connections, and their end.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
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

/// Accepts connections until `stop` changes, then for as long as clients need to learn of it, and answers all that was accepted.
pub(crate) async fn serve(listener: TcpListener, router: Router, app: Shared, mut stop: watch::Receiver<bool>) {
    let limits = *app.engine.limits();
    let server = Server {
        room: Arc::new(Semaphore::new(limits.connections)),
        graceful: GracefulShutdown::new(),
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
    // What the system has accepted meanwhile.
    while let Some(stream) = poll_fn(|context| Poll::Ready(waiting(&listener, context))).await {
        server.connect(stream, None);
    }
    drop(listener);
    let Server { graceful, app, .. } = server;
    let rest = graceful.count();
    if tokio::time::timeout(limits.stop_time, graceful.shutdown()).await.is_err() {
        (app.events)(&Event::Cut { connections: rest });
    }
}

/// A connection that is there already.
fn waiting(listener: &TcpListener, context: &mut Context<'_>) -> Option<TcpStream> {
    match listener.poll_accept(context) {
        Poll::Ready(Ok((stream, _))) => Some(stream),
        _ => None,
    }
}

struct Server {
    room: Arc<Semaphore>,
    graceful: GracefulShutdown,
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

    fn connect(&self, stream: TcpStream, room: Option<OwnedSemaphorePermit>) {
        // Answers are written in one piece.
        let _ = stream.set_nodelay(true);
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_time)
            .max_headers(HEADERS)
            .max_buf_size(HEAD_BYTES);
        let service = TowerToHyperService::new(self.router.clone());
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
