//! Work within another network namespace.

use std::io;
use std::os::fd::BorrowedFd;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Calls `inside` within the network namespace and returns its result. Sockets made there stay in
/// that namespace for ever, so making them is all that needs to be done inside.
///
/// It runs on a thread of its own: namespaces belong to threads, and a thread that has left can
/// fail to come back. This one need not.
///
/// # Errors
/// EINVAL when `netns` is no network namespace, EPERM without `CAP_SYS_ADMIN`; EAGAIN when there
/// can be no thread.
///
/// # Panics
/// When `inside` does.
pub fn in_namespace<T: Send>(
    netns: BorrowedFd<'_>,
    inside: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, || {
            setns(netns, CloneFlags::CLONE_NEWNET)?;
            Ok(inside())
        })?;
        match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
