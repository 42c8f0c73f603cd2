//! Streams as the client reads them: bytes of a log, events of a watch.

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};

use super::{ClientError, broken};
use crate::wire::{Change, Status, WatchEvent};

/// Bytes as they come.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
}

impl Lines {
    pub(super) fn new(body: Incoming) -> Lines {
        Lines { body }
    }

    /// The next piece, `None` at the end.
    ///
    /// # Errors
    /// [`ClientError::Broken`]
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// Events of a watch.
#[derive(Debug)]
pub struct WatchStream {
    lines: Lines,
    pending: Vec<u8>,
}

impl WatchStream {
    pub(super) fn new(lines: Lines) -> WatchStream {
        WatchStream { lines, pending: Vec::new() }
    }

    /// The next event, `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError`]; an error event of the server is `Refused`.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, ClientError> {
        loop {
            if let Some(end) = self.pending.iter().position(|&b| b == b'\n') {
                let rest = self.pending.split_off(end + 1);
                let line = std::mem::replace(&mut self.pending, rest);
                let event: WatchEvent =
                    serde_json::from_slice(&line).map_err(|error| broken(&error))?;
                if event.change != Change::Error {
                    return Ok(Some(event));
                }
                let status: Status =
                    serde_json::from_value(event.object).map_err(|error| broken(&error))?;
                return Err(ClientError::Refused(Box::new(status)));
            }
            match self.lines.next().await? {
                Some(bytes) => self.pending.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}
