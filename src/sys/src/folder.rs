//! A folder that says when something in it has changed (inotify(7)).
//!
//! Only the fact is kept, not what changed: whoever is woken looks for itself. An overflow of the
//! kernel's queue is a change like any other.

use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Readable when something in the folder has changed.
#[derive(Debug)]
pub struct Folder(Inotify);

impl Folder {
    /// Watches a folder: files in it written, made, renamed, removed.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, EMFILE (too many watches of this user), ENOSPC (fs.inotify limits).
    pub fn watch(path: &Path) -> Result<Folder> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let events = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(path, events)?;
        Ok(Folder(inotify))
    }

    /// Forgets what has been told; whether there was anything.
    ///
    /// # Errors
    /// Whatever read says.
    pub fn drain(&self) -> Result<bool> {
        let mut any = false;
        loop {
            match self.0.read_events() {
                Ok(_) => any = true,
                Err(Errno::EAGAIN) => return Ok(any),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let path = scope::Folder::new("watched");
        let folder = Folder::watch(&path).unwrap();
        assert!(!folder.drain().unwrap());
        std::fs::write(path.join("0.log"), "x").unwrap();
        assert!(folder.drain().unwrap());
        assert!(!folder.drain().unwrap());
        std::fs::rename(path.join("0.log"), path.join("0.log.1")).unwrap();
        assert!(folder.drain().unwrap());
        std::fs::remove_dir_all(&path).unwrap();
        assert!(Folder::watch(&path).is_err());
    }
}
