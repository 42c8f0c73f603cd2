//! The caller's service manager is told that a container is ready: sd_notify(3).
//!
//! As with runc and crun only `READY=1` is passed on. Who stays with the container tells it beside;
//! who does not waits for it, or for the container's end, and says which process is the main one.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runtime::Readiness;
use sys::foreground::{Wanted, any_ready};

/// Longest message that is looked at, in bytes.
const MESSAGE_MAX: usize = 4096;

/// Most messages that are taken before others are looked after.
const MESSAGES_AT_ONCE: u32 = 16;

/// Longest wait for the manager to have taken a message.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Where the socket's folder is in the container when the manager's has no path.
const PLACE: &str = "/run/notify";

/// The service manager that NOTIFY_SOCKET names.
#[derive(Debug)]
pub(crate) struct Manager {
    address: SocketAddr,
    place: PathBuf,
}

impl Manager {
    /// The caller's, if it has one.
    pub(crate) fn of_caller() -> Option<Manager> {
        let name = std::env::var_os("NOTIFY_SOCKET")?;
        let (address, place) = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => (SocketAddr::from_abstract_name(name), Path::new(PLACE)),
            None => (SocketAddr::from_pathname(&name), Path::new(&name)),
        };
        // Anything else is none, as sd_notify(3) has it.
        let address = address.ok().filter(|_| place.is_absolute())?;
        Some(Manager { address, place: place.to_owned() })
    }

    /// Where the socket's folder is in the container.
    pub(crate) fn place(&self) -> PathBuf {
        self.place.clone()
    }

    fn tell(&self, main: Option<i32>) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&self.address)?;
        let Some(pid) = main else { return socket.send(b"READY=1").map(drop) };
        socket.send(format!("MAINPID={pid}\nREADY=1").as_bytes())?;
        // It asks by our pid which unit this is: we must not be gone before.
        let (taken, theirs) = io::pipe()?;
        sys::seqpacket::send(socket.as_fd(), b"BARRIER=1", &[theirs.as_fd()])?;
        drop(theirs);
        sys::teardown::readable(taken.as_fd(), Instant::now() + TAKEN_WITHIN).map(drop)
    }
}

/// A container that has not yet said that it is ready.
#[derive(Debug)]
pub(crate) struct Awaited {
    manager: Manager,
    socket: UnixDatagram,
}

impl Awaited {
    pub(crate) fn of(manager: Option<Manager>, socket: Option<UnixDatagram>) -> Option<Awaited> {
        Some(Awaited { manager: manager?, socket: socket? })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes the messages that have come; once one says so, the manager is told, with the main
    /// process's pid if that is given. Returns whether it was. A manager that does not listen
    /// decides by its own time-out. Some messages a time: who sends without end holds up nothing.
    pub(crate) fn hear(&self, main: Option<i32>) -> io::Result<bool> {
        let mut message = [0; MESSAGE_MAX];
        for _ in 0..MESSAGES_AT_ONCE {
            match self.socket.recv(&mut message) {
                Ok(length) if is_ready(&message[..length]) => {
                    let _ = self.manager.tell(main);
                    return Ok(true);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// Waits until a started container is ready, or has ended.
pub(crate) fn wait(manager: Manager, started: Readiness) -> io::Result<()> {
    let Readiness { socket, pid, process } = started;
    let awaited = Awaited { manager, socket };
    loop {
        let wanted = [awaited.as_fd(), process.as_fd()].map(|fd| Wanted { fd, write: false });
        let ended = any_ready(&wanted)?[1];
        if awaited.hear(Some(pid))? || ended {
            return Ok(());
        }
    }
}

fn is_ready(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    use super::is_ready;

    #[test]
    fn ready_is_a_line() {
        for ready in ["READY=1", "STATUS=up\nREADY=1", "READY=1\n"] {
            assert!(is_ready(ready.as_bytes()), "{ready:?}");
        }
        for other in ["", "READY=10", "STATUS=READY=1", "READY=0", "RELOADING=1"] {
            assert!(!is_ready(other.as_bytes()), "{other:?}");
        }
    }
}
