//! The socket: who may speak, how much, how long. One task a connection.
//!
//! Invariants: under its name the socket is never seen with another mode than 0600 (it is made
//! beside its place and renamed); a peer that is neither root nor the server's own user is
//! refused before a byte of it is read; connections, headers, bodies and waits have limits
//! ([`Limits`]).

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::answer::{self, Answering};
use crate::backend::Backend;
use crate::error::ApiError;
use crate::logs::WatchFolder;
use crate::reply::Reply;

/// What one server bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once, streams included.
    pub connections: usize,
    /// Time for a request's head, and for its body, milliseconds.
    pub request_ms: u64,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Time that open connections get when the server ends, milliseconds.
    pub farewell_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: 256, request_ms: 10_000, head_bytes: 16 * 1024, farewell_ms: 2_000 }
    }
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}", path.display())]
pub struct ListenError {
    /// The socket.
    pub path: PathBuf,
    /// Cause.
    pub source: io::Error,
}

/// A bound socket.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    listener: UnixListener,
    owner: u32,
    inode: u64,
    limits: Limits,
}

impl Server {
    /// Binds the socket, in place of a stale one: whoever calls holds the supervisor's lock.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn bind(path: &Path, limits: Limits) -> Result<Server, ListenError> {
        let failed = |source| ListenError { path: path.to_path_buf(), source };
        let fresh = path.with_extension("sock.new");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&fresh, mode).map_err(failed)?;
        let made = std::fs::metadata(&fresh).map_err(failed)?;
        std::fs::rename(&fresh, path).map_err(failed)?;
        let (owner, inode) = (made.uid(), made.ino());
        Ok(Server { path: path.to_path_buf(), listener, owner, inode, limits })
    }

    /// Serves until `stop` is true, then takes the socket away and sees its connections off.
    pub async fn run(
        self,
        backend: impl Backend,
        watch_folder: WatchFolder,
        mut stop: watch::Receiver<bool>,
    ) {
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let Ok((stream, _)) = accepted else {
                        // Out of descriptors: let some go first.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    };
                    if !self.may_speak(&stream) {
                        continue;
                    }
                    let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                        tasks.spawn(refuse(stream));
                        continue;
                    };
                    let answering = Answering {
                        backend: backend.clone(),
                        watch_folder,
                        stop: stop.clone(),
                        limits: self.limits,
                    };
                    tasks.spawn(async move {
                        serve(stream, answering).await;
                        drop(permit);
                    });
                }
                Some(_) = tasks.join_next() => {}
                () = stopped(&mut stop) => break,
            }
        }
        // Connections go on while nobody new can come. The next supervisor may have its own socket
        // in this place by now.
        if std::fs::metadata(&self.path).is_ok_and(|now| now.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
        let farewell = Duration::from_millis(self.limits.farewell_ms);
        let _ =
            tokio::time::timeout(farewell, async { while tasks.join_next().await.is_some() {} })
                .await;
    }

    fn may_speak(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == self.owner)
    }
}

/// Returns once the server is to end.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender means the host has gone: end, too.
    let _ = stop.wait_for(|&now| now).await;
}

async fn refuse(mut stream: UnixStream) {
    let error = ApiError::unavailable("too many connections").hint("try again in a moment");
    let body = serde_json::to_string(&error.status()).unwrap_or_default();
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(text.as_bytes())).await;
}

async fn serve<B: Backend>(stream: UnixStream, answering: Answering<B>) {
    let mut stop = answering.stop.clone();
    let limits = answering.limits;
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = answering.clone();
        async move { Ok::<Response<Reply>, Infallible>(answer::answer(&answering, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.request_ms))
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ended is the peer's affair: it sees it.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
