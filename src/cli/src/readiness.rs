//! Waiting for a descriptor, in one place.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

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
pub fn wait_on(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}
