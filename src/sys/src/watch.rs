//! Waiting for many descriptors at once: a thin epoll with a token for each.
//!
//! Level-triggered. An error or a hang-up is reported as readable and writable, so that whoever
//! waits for either reads or writes and meets it there.

use std::io::Result;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the end.
    Read,
    /// Room to write, or nobody to read it.
    Write,
}

/// What happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// The token given with the descriptor.
    pub token: u64,
}

/// Most events that one [`Watch::wait`] returns.
pub const BATCH: usize = 16;

/// A set of descriptors.
#[derive(Debug)]
pub struct Watch {
    epoll: Epoll,
}

impl Watch {
    /// An empty set, close-on-exec.
    ///
    /// # Errors
    /// Whatever epoll_create1 says.
    pub fn new() -> Result<Watch> {
        Ok(Watch { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    /// Adds a descriptor; `false` when it is of a kind that cannot be waited for (a regular file,
    /// /dev/null) and is always ready.
    ///
    /// # Errors
    /// EEXIST when it is in the set.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> Result<bool> {
        let flags = match interest {
            Interest::Read => EpollFlags::EPOLLIN,
            Interest::Write => EpollFlags::EPOLLOUT,
        };
        match self.epoll.add(fd, EpollEvent::new(flags, token)) {
            Ok(()) => Ok(true),
            Err(Errno::EPERM) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes a descriptor out; one that is not in the set is fine.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // ENOENT and EPERM say that it is not in the set; there is no other failure to act on.
        let _ = self.epoll.delete(fd);
    }

    /// Waits until something is ready or `timeout_ms` has passed (`None`: for ever); returns how
    /// many of `ready` were filled, 0 after a time-out or a signal.
    ///
    /// # Errors
    /// Whatever epoll_wait says.
    pub fn wait(&self, ready: &mut [Ready; BATCH], timeout_ms: Option<u64>) -> Result<usize> {
        let mut events = [EpollEvent::empty(); BATCH];
        let timeout = match timeout_ms {
            None => EpollTimeout::NONE,
            Some(ms) => EpollTimeout::from(u16::try_from(ms).unwrap_or(u16::MAX)),
        };
        match self.epoll.wait(&mut events, timeout) {
            Ok(count) => {
                for (slot, event) in ready.iter_mut().zip(&events[..count]) {
                    *slot = Ready { token: event.data() };
                }
                Ok(count)
            }
            Err(Errno::EINTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }
}
