//! A socket in a step's container that leads to the caller's SSH agent.
//!
//! The agent's own socket belongs to the caller, so a step's user could not open it; this one has
//! the owner and rights that the mount asks for. Bytes are passed on as they are. It ends with the
//! step: nobody is accepted after that, and those who are connected have gone with the container.

use std::fs::{self, File};
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Whom a socket belongs to: user, group, permission bits.
pub(crate) type Owner = (u32, u32, u32);

/// A socket that is listened on until its drop.
pub(crate) struct Agent {
    /// A short way to it: a socket's address has 108 bytes.
    near: PathBuf,
    _folder: File,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Listens on a new socket `name` in `folder`, for the agent at `socket`.
    pub(crate) fn new(folder: &Path, name: &str, socket: &Path, owner: Owner) -> io::Result<Agent> {
        let opened = File::open(folder)?;
        let near = PathBuf::from(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd()));
        let listener = UnixListener::bind(&near)?;
        let (uid, gid, mode) = owner;
        let path = folder.join(name);
        chown(&path, Some(uid), Some(gid))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        let ended = Arc::new(AtomicBool::new(false));
        let (over, socket) = (Arc::clone(&ended), socket.to_owned());
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // Without an agent the client finds its connection closed.
                if let Ok(agent) = UnixStream::connect(&socket) {
                    let _ = join(stream, agent);
                }
            }
        });
        Ok(Agent { near, _folder: opened, ended, thread: Some(thread) })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let woken = UnixStream::connect(&self.near);
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok()) {
            let _ = thread.join();
        }
    }
}

/// Passes bytes on, both ways, until either side ends.
fn join(client: UnixStream, agent: UnixStream) -> io::Result<()> {
    for (mut from, mut to) in [(client.try_clone()?, agent.try_clone()?), (agent, client)] {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn bytes_go_both_ways_until_the_end() {
        let folder = scope::Folder::new(&"d".repeat(120));
        let opened = File::open(&folder).unwrap();
        let own = PathBuf::from(format!("/proc/self/fd/{}/own", opened.as_raw_fd()));
        let listener = UnixListener::bind(&own).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = [0; 5];
            stream.read_exact(&mut text).unwrap();
            stream.write_all(b"and back").unwrap();
            text
        });
        let meta = fs::metadata(&folder).unwrap();
        let owner = (meta.uid(), meta.gid(), 0o640);
        let agent = Agent::new(&folder, "a", &own, owner).unwrap();
        let mode = fs::metadata(folder.join("a")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o640);
        let mut client = UnixStream::connect(&agent.near).unwrap();
        client.write_all(b"there").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!((answer.as_str(), &server.join().unwrap()), ("and back", b"there"));
        drop(agent);
        let near = PathBuf::from(format!("/proc/self/fd/{}/a", opened.as_raw_fd()));
        assert!(UnixStream::connect(near).is_err(), "nobody listens any more");
    }
}
