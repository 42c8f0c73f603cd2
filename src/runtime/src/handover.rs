//! What a caller has asked for of a new process: its pid in a file; its terminal, its pidfd and its
//! filter's listener by sockets, as runc sends them.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci::runtime::Spec;
use oci::{Status, state::SPEC_VERSION};

use crate::error::{Error, Result};
use crate::spawn::Child;
use crate::store::Record;
use crate::{hooks, plan};

/// Writes a pid, whole or not at all, and without a line break, as runc does.
pub(crate) fn write_pid(path: &Path, pid: i32) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!(".{name}"));
    fs::write(&unfinished, pid.to_string())
        .and_then(|()| fs::rename(&unfinished, path))
        .map_err(Error::io("write pid file", path))
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
