//! Bodies of requests that are refused before anybody reads them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

/// What is left of a body when the request is dropped.
#[derive(Default)]
pub(super) struct Unread(Arc<Mutex<Option<Body>>>);

/// A body that leaves its rest to [`Unread`].
struct Lent {
    body: Body,
    rest: Arc<Mutex<Option<Body>>>,
}

impl Unread {
    /// The request, and what will be left of its body: nothing where it has none, and where the client waits to be asked for it.
    pub fn of(request: Request) -> (Request, Self) {
        let unread = Self::default();
        if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
            return (request, unread);
        }
        let rest = Arc::clone(&unread.0);
        (request.map(|body| Body::new(Lent { body, rest })), unread)
    }

    /// Reads up to `limit` bytes of it and throws them away: a client that is still sending does not read the answer before.
    pub async fn drain(self, limit: usize, time: Duration) {
        let Some(mut body) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let drain = async {
            let mut read = 0;
            while read < limit
                && let Some(Ok(frame)) = body.frame().await
            {
                read += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        // Whatever comes of it, the answer is sent.
        let _ = tokio::time::timeout(time, drain).await;
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let body = std::mem::take(&mut self.body);
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
