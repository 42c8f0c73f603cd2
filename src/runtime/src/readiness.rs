//! Where a container says that it is ready: sd_notify(3).
//!
//! A folder of the container's state is bound read-only into it, with a datagram socket in it that
//! is bound before the process runs: by `run`, or by `start`. What comes there is for whoever
//! called to pass on; the service manager's own socket is never in the container's reach. Not here:
//! what a message means.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use sys::survey::Form;

use crate::error::{Error, Result};

/// Name of the folder in the container's state, and of the socket in it.
const NAME: &str = "notify";

/// A container that was started and says here that it is ready.
#[derive(Debug)]
pub struct Readiness {
    /// Where its words come.
    pub socket: UnixDatagram,
    /// Its first process's pid.
    pub pid: i32,
    /// That process, as a pidfd.
    pub process: OwnedFd,
}

/// The folder of a container whose state is in `state`.
pub(crate) fn folder(state: &Path) -> PathBuf {
    state.join(NAME)
}

/// The socket's path where the folder is mounted at `place`.
pub(crate) fn socket(place: &Path) -> PathBuf {
    place.join(NAME)
}

/// Makes the folder, which any user of the container may enter.
pub(crate) fn prepare(state: &Path) -> Result<()> {
    let folder = folder(state);
    let made = DirBuilder::new().mode(0o755).create(&folder);
    // The caller's umask may have taken bits away.
    let made = made.and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o755)));
    made.map_err(Error::io("make", folder))
}

/// Binds the socket, which any user of the container may write to. None when the container was made
/// without the folder.
pub(crate) fn listen(state: &Path) -> Result<Option<UnixDatagram>> {
    let folder = folder(state);
    match bind(&folder) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("listen in", folder)(error)),
    }
}

fn bind(folder: &Path) -> io::Result<UnixDatagram> {
    let open = File::open(folder)?;
    // The path of a socket has 108 bytes, that of a container's state may have more.
    let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd()));
    // A start that failed has left one.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixDatagram::bind(&path)?;
    open_to_all(&path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Lets any user write to the socket: to what stands there now, should it be a socket. Who has been
/// in the container may have put a link in its place.
fn open_to_all(path: &Path) -> io::Result<()> {
    let file = sys::tree::handle(path)?;
    if sys::survey::look_fd(&file)?.form != Form::Socket {
        return Err(io::Error::from(ErrorKind::AlreadyExists));
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(path, Permissions::from_mode(0o666))
}

/// Removes the folder with whatever the container may have put into it.
pub(crate) fn remove(state: &Path) -> Result<()> {
    let folder = folder(state);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}
