//! What a caller has asked for of a new process: its pid in a file; its terminal, its pidfd and its
//! filter's listener by sockets, as runc sends them.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci::runtime::Spec;
use oci::{Status, state::SPEC_VERSION};

use crate::error::{Error, Result};
use crate::spawn::Child;
use crate::store::Record;
use crate::{hooks, plan};

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
        let is_folder = || std::io::Error::from(ErrorKind::IsADirectory);
        let refused = if path.is_dir() { Err(is_folder()) } else { Ok(()) };
        // Made anew, so that a link in its place leads nowhere.
        let made = refused.and_then(|()| match File::create_new(&unfinished) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&unfinished)?;
                File::create_new(&unfinished)
            }
            other => other,
        });
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

/// Sends the pty's master as runc does: its name in the message, the descriptor beside it.
pub(crate) fn send_master(child: &mut Child, path: &Path) -> Result<()> {
    let Some(master) = child.master.take() else { return Ok(()) };
    send_terminal(&master, path)
}

/// Sends a terminal's master.
pub(crate) fn send_terminal(master: &OwnedFd, path: &Path) -> Result<()> {
    let socket = sys::tree::connect_stream(path).map_err(Error::io("connect to", path))?;
    sys::tree::send_fd(socket.as_fd(), b"/dev/ptmx", master.as_fd())
        .map_err(Error::io("send the terminal to", path))
}

/// Sends the process's pidfd, under the name that runc gives it.
pub(crate) fn send_pidfd(child: &Child, path: &Path) -> Result<()> {
    let socket = sys::tree::connect_stream(path).map_err(Error::io("connect to", path))?;
    sys::tree::send_fd(socket.as_fd(), b"pidfd", child.pidfd())
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
    let connected = sys::tree::connect_stream(path);
    let failed = Error::io("failed to connect with seccomp agent", path);
    let socket = connected.map_err(failed)?;
    sys::tree::send_fd(socket.as_fd(), document.to_string().as_bytes(), fd.as_fd())
        .map_err(Error::io("send the seccomp listener to", path))
}
