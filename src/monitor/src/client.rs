//! The blocking client of a monitor: one connection, requests answered in order.
//!
//! Invariants: a message is whole or an error; events that arrive between a request and its answer
//! are kept, in order, for [`Client::try_next_event`]. It never reconnects: whoever holds it knows
//! better what a lost connection means.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::frame::{self, FrameError};
use crate::protocol::{ContainerRecord, Request, Response, VERSION};

/// Why a client could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or the path does not exist.
    #[error("cannot connect to the monitor at {}", path.display())]
    Connect {
        /// Socket path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The connection failed or a message is malformed.
    #[error("cannot speak to the monitor")]
    Frame(#[from] FrameError),
    /// The monitor ended the connection: it is gone, or it dropped a client too slow.
    #[error("the monitor closed the connection")]
    Closed,
    /// The monitor speaks another version.
    #[error("the monitor speaks protocol version {theirs}, this program version {VERSION}")]
    Version {
        /// The monitor's version.
        theirs: u32,
    },
    /// The monitor answered something else than a greeting.
    #[error("the monitor refused the connection: {message}")]
    Refused {
        /// Its words.
        message: String,
    },
}

impl ClientError {
    /// What to try next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("the pod has no monitor (yet); is its supervisor running?".into())
            }
            ClientError::Connect { .. } => {
                Some("the pod's monitor has died; the supervisor starts a new one".into())
            }
            ClientError::Version { .. } => {
                Some("use the podvisor that started this pod, or recreate the pod".into())
            }
            ClientError::Frame(_) | ClientError::Closed | ClientError::Refused { .. } => None,
        }
    }
}

/// An answer with the descriptors that came with it.
pub type Answer = (Response, Vec<OwnedFd>);

/// One connection to a monitor.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    events: VecDeque<ContainerRecord>,
    pid: i32,
}

impl Client {
    /// Connects to `socket` (a pod folder's `monitor.sock`) and exchanges greetings.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn connect(socket: &Path) -> Result<Client, ClientError> {
        let fd = sys::seqpacket::connect(socket, None)
            .map_err(|source| ClientError::Connect { path: socket.to_path_buf(), source })?;
        let mut client = Client { socket: fd, events: VecDeque::new(), pid: 0 };
        match client.call(&Request::Hello { version: VERSION }, &[])?.0 {
            Response::Hello { version, pid } if version == VERSION => client.pid = pid,
            Response::Hello { version, .. } => {
                return Err(ClientError::Version { theirs: version });
            }
            Response::Error { message, .. } => return Err(ClientError::Refused { message }),
            _ => return Err(ClientError::Refused { message: "no greeting".into() }),
        }
        Ok(client)
    }

    /// The monitor's pid, as it told it.
    #[must_use]
    pub fn monitor_pid(&self) -> i32 {
        self.pid
    }

    /// Sends a request with descriptors and waits for its (first) answer.
    ///
    /// # Errors
    /// See [`ClientError`]; an error of the monitor itself is `Ok(Response::Error)`.
    pub fn call(
        &mut self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Answer, ClientError> {
        self.send(request, fds)?;
        self.next_answer()
    }

    /// Sends a request without waiting.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn send(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        Ok(frame::send(self.socket.as_fd(), request, fds)?)
    }

    /// Waits for the next answer: the `Exited` after `Exec` or `Attach`. Events are kept aside.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn next_answer(&mut self) -> Result<Answer, ClientError> {
        loop {
            match self.receive()? {
                (Response::Event(record), _) => self.events.push_back(record),
                answer => return Ok(answer),
            }
        }
    }

    /// Takes the next event of a subscribed connection without blocking, `None` when there is
    /// none now. Call it after [`Client::as_fd`] became readable until it returns `None`.
    ///
    /// # Errors
    /// See [`ClientError`]; an answer that nobody waits for is `Refused`.
    pub fn try_next_event(&mut self) -> Result<Option<ContainerRecord>, ClientError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        match frame::try_receive::<Response>(self.socket.as_fd())? {
            None => Ok(None),
            Some((None, _)) => Err(ClientError::Closed),
            Some((Some(Response::Event(record)), _)) => Ok(Some(record)),
            Some((Some(other), _)) => {
                Err(ClientError::Refused { message: format!("unexpected answer {other:?}") })
            }
        }
    }

    /// Bounds every later wait for an answer; `None` waits for ever. After a time-out
    /// ([`FrameError::is_timeout`]) the connection is of no more use: answers would be mismatched.
    ///
    /// # Errors
    /// Whatever setsockopt says.
    pub fn set_timeout_ms(&self, timeout_ms: Option<u64>) -> Result<(), ClientError> {
        sys::seqpacket::set_recv_timeout_ms(self.socket.as_fd(), timeout_ms)
            .map_err(|source| ClientError::Frame(FrameError::Receive(source)))
    }

    fn receive(&mut self) -> Result<Answer, ClientError> {
        match frame::receive::<Response>(self.socket.as_fd())? {
            (Some(response), fds) => Ok((response, fds)),
            (None, _) => Err(ClientError::Closed),
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
