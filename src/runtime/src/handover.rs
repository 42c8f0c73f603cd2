//! What a caller has asked for of a new process: its pid in a file; its terminal, its pidfd and its
//! filter's listener by sockets, as runc sends them.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci::runtime::Spec;
use oci::{Status, state::SPEC_VERSION};

use crate::error::{Error, Result};
use crate::spawn::Child;
use crate::store::Record;
use crate::{hooks, plan};

/// How long who listens at a socket may let this runtime wait.
const LISTENER_WITHIN: Duration = Duration::from_secs(5);
/// Tries to make a file whose name somebody else takes again and again.
const FRESH_TRIES: u32 = 8;

/// A file that is to hold a pid, whole or not at all, and without a line break, as runc's. It is
/// opened before the process is let go: what cannot be written down is not to have run.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
}

impl PidFile {
    /// Makes the file that becomes `path`, beside it.
    pub(crate) fn open(path: &Path) -> Result<PidFile> {
        let failed = Error::io("write pid file", path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Of its own, or another's that is being written would be taken from it.
        let unfinished = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let is_folder = || io::Error::from(ErrorKind::IsADirectory);
        let refused = if path.is_dir() { Err(is_folder()) } else { Ok(()) };
        let made = refused.and_then(|()| fresh(&unfinished));
        let file = made.map_err(failed)?;
        Ok(PidFile { path: path.to_owned(), unfinished, file })
    }

    /// Writes the pid.
    pub(crate) fn write(mut self, pid: i32) -> Result<()> {
        let written = self.file.write_all(pid.to_string().as_bytes());
        written
            .and_then(|()| fs::rename(&self.unfinished, &self.path))
            .map_err(Error::io("write pid file", &self.path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Once written it has the other name.
        let _ = fs::remove_file(&self.unfinished);
    }
}

/// A new file. What has its name (a link of somebody's, the file of a run that was killed) goes,
/// and is neither followed nor written to.
fn fresh(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    // With this, a link in the last place is a name that is taken.
    options.write(true).create_new(true).mode(0o644);
    for _ in 1..FRESH_TRIES {
        match options.open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::remove_file(path)?,
            other => return other,
        }
    }
    options.open(path)
}

/// Sends the pty's master as runc does: its name in the message, the descriptor beside it.
pub(crate) fn send_master(child: &mut Child, path: &Path) -> Result<()> {
    let Some(master) = child.master.take() else { return Ok(()) };
    send_terminal(&master, path)
}

/// Sends a terminal's master.
pub(crate) fn send_terminal(master: &OwnedFd, path: &Path) -> Result<()> {
    let socket = connect(path).map_err(Error::io("connect to", path))?;
    sys::tree::send_fd(socket.as_fd(), b"/dev/ptmx", master.as_fd())
        .map_err(in_time)
        .map_err(Error::io("send the terminal to", path))
}

/// Connects to a socket, to which also what is sent takes no longer than [`LISTENER_WITHIN`].
fn connect(path: &Path) -> io::Result<OwnedFd> {
    sys::tree::connect_stream_within(path, LISTENER_WITHIN).map_err(in_time)
}

/// A wait that was too long, in words.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => {
            let seconds = LISTENER_WITHIN.as_secs();
            io::Error::other(format!("who listens there took nothing within {seconds} s"))
        }
        _ => error,
    }
}

/// Sends the process's pidfd, under the name that runc gives it.
pub(crate) fn send_pidfd(child: &Child, path: &Path) -> Result<()> {
    let socket = connect(path).map_err(Error::io("connect to", path))?;
    sys::tree::send_fd(socket.as_fd(), b"pidfd", child.pidfd())
        .map_err(in_time)
        .map_err(Error::io("send the pidfd to", path))
}

/// Sends the filter's listener with the container's state to the profile's listenerPath.
/// Source: runtime-spec config-linux.md "Container Process State".
pub(crate) fn send_listener(spec: &Spec, record: &Record, fd: OwnedFd, pid: i32) -> Result<()> {
    let profile = plan::loads_filter(spec);
    let Some(path) = profile.and_then(|p| p.listener_path().as_ref()) else { return Ok(()) };
    let metadata = profile.and_then(|p| p.listener_metadata().as_deref()).unwrap_or_default();
    let document = serde_json::json!({
        "ociVersion": SPEC_VERSION,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": metadata,
        "state": hooks::state(record, Status::Creating, record.pid),
    });
    let failed = Error::io("failed to connect with seccomp agent", path);
    let socket = connect(path).map_err(failed)?;
    sys::tree::send_fd(socket.as_fd(), document.to_string().as_bytes(), fd.as_fd())
        .map_err(in_time)
        .map_err(Error::io("send the seccomp listener to", path))
}
