//! One message on the wire: a JSON value in one packet, bounded, with descriptors beside it.
//!
//! Both ends use it. A message too long, cut, or malformed is an error with words; the descriptors
//! it brought are closed. It does not know which message may follow which.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::MAX_MESSAGE_BYTES;

/// What can be wrong with a message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The value has no JSON form.
    #[error("cannot encode a message")]
    Encode(#[source] serde_json::Error),
    /// The packet is not the JSON value that was expected.
    #[error("malformed message: {0}")]
    Decode(serde_json::Error),
    /// Longer than [`MAX_MESSAGE_BYTES`], or too many descriptors.
    #[error("message of {len} bytes exceeds {MAX_MESSAGE_BYTES} bytes or brings too many fds")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Sending failed.
    #[error("cannot send a message")]
    Send(#[source] io::Error),
    /// Receiving failed.
    #[error("cannot receive a message")]
    Receive(#[source] io::Error),
}

impl FrameError {
    /// The connection is still in step after this error: the bad message was taken whole.
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        matches!(self, FrameError::Decode(_) | FrameError::TooLong { .. })
    }

    /// The peer did not answer within the time set.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, FrameError::Receive(e) if e.kind() == io::ErrorKind::WouldBlock)
    }
}

/// What one receive brought; `None` is the end of the connection.
pub type Received<T> = (Option<T>, Vec<OwnedFd>);

/// Sends one message.
///
/// # Errors
/// `TooLong` before anything is sent, `Send` with EAGAIN on a full non-blocking socket.
pub fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> Result<(), FrameError> {
    let bytes = serde_json::to_vec(message).map_err(FrameError::Encode)?;
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(FrameError::TooLong { len: bytes.len() });
    }
    sys::seqpacket::send(socket, &bytes, fds).map_err(FrameError::Send)
}

/// Receives one message, blocking as the socket does.
///
/// # Errors
/// See [`FrameError`].
pub fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> Result<Received<T>, FrameError> {
    let len = sys::seqpacket::next_len(socket).map_err(FrameError::Receive)?;
    if len == 0 {
        return Ok((None, Vec::new()));
    }
    // A packet longer than the bound is taken with a short buffer, which discards the rest.
    let mut buffer = vec![0u8; len.min(MAX_MESSAGE_BYTES)];
    let got = sys::seqpacket::recv(socket, &mut buffer).map_err(FrameError::Receive)?;
    if got.truncated || len > MAX_MESSAGE_BYTES {
        return Err(FrameError::TooLong { len });
    }
    let message = serde_json::from_slice(&buffer[..got.len]).map_err(FrameError::Decode)?;
    Ok((Some(message), got.fds))
}

/// Receives one message without blocking; `None` when there is none now.
///
/// # Errors
/// See [`FrameError`].
pub fn try_receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> Result<Option<Received<T>>, FrameError> {
    match sys::seqpacket::is_readable(socket) {
        Ok(true) => receive(socket).map(Some),
        Ok(false) => Ok(None),
        Err(source) => Err(FrameError::Receive(source)),
    }
}
