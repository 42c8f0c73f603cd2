//! A connection to a monitor that never blocks the loop.
//!
//! The blocking client of crate `monitor` is for programs that have nothing else to do. Here every
//! wait has a limit: a monitor that is stuck costs its own pod time, and no thread.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use monitor::frame::{self, FrameError};
use monitor::protocol::{ContainerRecord, Request, Response, VERSION};
use monitor::sandbox_config::SOCKET_FILE;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

/// Longest wait for a greeting.
const GREETING: Duration = Duration::from_secs(5);
/// Pause before a monitor with a full backlog is tried again.
const BACKLOG_PAUSE: Duration = Duration::from_millis(20);

/// Why a monitor could not be spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TalkError {
    /// Nobody listens.
    #[error("cannot connect to the pod's monitor")]
    Connect(#[source] io::Error),
    /// The connection cannot be waited for.
    #[error("cannot wait for the pod's monitor")]
    Wait(#[source] io::Error),
    /// A message could not be sent or read.
    #[error("cannot speak to the pod's monitor")]
    Frame(#[from] FrameError),
    /// The monitor is gone, or has dropped this connection.
    #[error("the pod's monitor closed the connection")]
    Closed,
    /// It did not answer in time.
    #[error("the pod's monitor did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// It is of another version.
    #[error("the pod's monitor speaks protocol version {0}, this podvisor version {VERSION}")]
    Version(u32),
    /// It answered something else than what was asked.
    #[error("the pod's monitor answered {0}")]
    Unexpected(String),
}

impl TalkError {
    /// Nobody listens: the monitor has died, or has never been.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, TalkError::Connect(_))
    }
}

/// A greeted connection.
#[derive(Debug)]
pub(crate) struct Talk {
    socket: AsyncFd<OwnedFd>,
}

impl Talk {
    /// Connects to the monitor of a pod folder and exchanges greetings.
    ///
    /// # Errors
    /// See [`TalkError`].
    pub(crate) async fn open(pod_dir: &Path) -> Result<Talk, TalkError> {
        let path = pod_dir.join(SOCKET_FILE);
        let connected = timeout(GREETING, connect(&path)).await;
        let socket = connected.map_err(|_| TalkError::Late(GREETING))??;
        let mut talk = Talk { socket: wait_on(socket).map_err(TalkError::Wait)? };
        match talk.ask(&Request::Hello { version: VERSION }, GREETING).await? {
            Response::Hello { version: VERSION, .. } => Ok(talk),
            Response::Hello { version, .. } => Err(TalkError::Version(version)),
            other => Err(unexpected(other)),
        }
    }

    /// Asks and waits for the answer, at most for `limit`. On a subscribed connection events would
    /// be taken for answers: ask on another.
    ///
    /// # Errors
    /// See [`TalkError`]; an error of the monitor itself is `Ok(Response::Error)`.
    pub(crate) async fn ask(
        &mut self,
        request: &Request,
        limit: Duration,
    ) -> Result<Response, TalkError> {
        frame::send(self.socket.get_ref().as_fd(), request, &[])?;
        timeout(limit, self.next()).await.map_err(|_| TalkError::Late(limit))?
    }

    /// Subscribes: the containers as they are now; their changes come from [`Talk::next_event`].
    ///
    /// # Errors
    /// See [`TalkError`].
    pub(crate) async fn subscribe(&mut self) -> Result<Vec<ContainerRecord>, TalkError> {
        match self.ask(&Request::Subscribe, GREETING).await? {
            Response::Containers(list) => Ok(list),
            other => Err(unexpected(other)),
        }
    }

    /// Waits for the next change of a container, without limit.
    ///
    /// # Errors
    /// See [`TalkError`]; `Closed` is how it ends.
    pub(crate) async fn next_event(&mut self) -> Result<ContainerRecord, TalkError> {
        match self.next().await? {
            Response::Event(record) => Ok(record),
            other => Err(unexpected(other)),
        }
    }

    /// Waits until the monitor closes the connection.
    pub(crate) async fn closed(&mut self) {
        while self.next().await.is_ok() {}
    }

    async fn next(&mut self) -> Result<Response, TalkError> {
        loop {
            let mut ready = self.socket.readable().await.map_err(TalkError::Wait)?;
            match frame::try_receive::<Response>(ready.get_ref().get_ref().as_fd())? {
                None => ready.clear_ready(),
                Some((None, _)) => return Err(TalkError::Closed),
                Some((Some(response), _)) => return Ok(response),
            }
        }
    }
}

async fn connect(path: &Path) -> Result<OwnedFd, TalkError> {
    loop {
        match sys::seqpacket::connect_now(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(BACKLOG_PAUSE).await,
            other => return other.map_err(TalkError::Connect),
        }
    }
}

/// An answer that does not belong to the question.
pub(crate) fn unexpected(response: Response) -> TalkError {
    TalkError::Unexpected(match response {
        Response::Error { message, .. } => message,
        other => format!("{other:?}"),
    })
}

/// A descriptor that can be waited for; it is registered until it is dropped, and it owns what it
/// registers.
///
/// # Errors
/// EPERM for what epoll refuses, such as a regular file.
#[allow(
    deprecated,
    reason = "tokio calls it unsound for types that may close or swap their fd; an OwnedFd does not, \
              and the successor is unsafe to call"
)]
pub(crate) fn wait_on(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}
