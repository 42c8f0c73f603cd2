//! Bodies of answers: a whole one, or a stream that a task feeds.
//!
//! A stream ends when its [`Feed`] is dropped. A reader too slow to take a piece within
//! [`SLOW_READER_MS`] is dropped: the feed says so to its task.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use hyper::{Response, StatusCode, header};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::error::ApiError;

/// How long a streaming reader may leave a piece untaken, milliseconds.
pub const SLOW_READER_MS: u64 = 30_000;

/// Pieces that wait for a reader.
const PIECES_MAX: usize = 16;

/// The body of an answer.
#[derive(Debug)]
pub enum Reply {
    /// All of it; `None` once taken.
    Whole(Option<Bytes>),
    /// Pieces as they come.
    Pieces(mpsc::Receiver<Bytes>),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Reply::Whole(bytes) => {
                let bytes = bytes.take().filter(|b| !b.is_empty());
                Poll::Ready(bytes.map(|b| Ok(Frame::data(b))))
            }
            Reply::Pieces(pieces) => {
                pieces.poll_recv(context).map(|piece| piece.map(|b| Ok(Frame::data(b))))
            }
        }
    }
}

/// The writing end of a stream.
#[derive(Debug)]
pub struct Feed(mpsc::Sender<Bytes>);

/// The reader has gone or is too slow: the stream's task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Feed {
    /// A stream and its writing end.
    #[must_use]
    pub fn new() -> (Feed, Reply) {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        (Feed(sender), Reply::Pieces(receiver))
    }

    /// Hands a piece over.
    ///
    /// # Errors
    /// [`Gone`]: nobody reads any more.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), Gone> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Ok(());
        }
        let patience = Duration::from_millis(SLOW_READER_MS);
        match tokio::time::timeout(patience, self.0.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// Hands one JSON line over.
    ///
    /// # Errors
    /// [`Gone`]: nobody reads any more.
    pub async fn send_line(&self, value: &impl Serialize) -> Result<(), Gone> {
        let mut line = serde_json::to_vec(value).map_err(|_| Gone)?;
        line.push(b'\n');
        self.send(line).await
    }

    /// Returns when nobody reads any more.
    pub async fn gone(&self) {
        self.0.closed().await;
    }
}

/// A whole JSON answer.
#[must_use]
pub fn json(code: u16, value: &impl Serialize) -> Response<Reply> {
    match serde_json::to_vec(value) {
        Ok(bytes) => respond(code, "application/json", Reply::Whole(Some(bytes.into()))),
        Err(error) => {
            let words = format!("{{\"kind\":\"Status\",\"code\":500,\"message\":\"{error}\"}}");
            respond(500, "application/json", Reply::Whole(Some(words.into())))
        }
    }
}

/// The answer for a failure.
#[must_use]
pub fn failure(error: &ApiError) -> Response<Reply> {
    json(error.code, &error.status())
}

/// An answer with this body.
#[must_use]
pub fn respond(code: u16, content_type: &'static str, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let value = header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}
