//! Waiting on what the kernel announces about processes and cgroups, always with a deadline.
//!
//! Not here: an event loop. These are the three waits of tearing a cgroup down.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until `fd` (a `cgroup.events` file, for one) announces a change, or until `deadline`.
/// Returns whether it changed.
///
/// # Errors
/// The kernel's, but for EINTR.
pub fn changed(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    wait(&mut [PollFd::new(fd, PollFlags::POLLPRI)], deadline)
}

/// Waits until one of the processes has ended, or until `deadline`. Returns whether one has.
///
/// # Errors
/// The kernel's, but for EINTR.
pub fn any_ended(pidfds: &[OwnedFd], deadline: Instant) -> io::Result<bool> {
    let mut fds: Vec<PollFd<'_>> =
        pidfds.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    wait(&mut fds, deadline)
}

/// As [`any_ended`], for a single one.
///
/// # Errors
/// The kernel's, but for EINTR.
pub fn wait_for_end(pidfd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    readable(pidfd, deadline)
}

/// Waits until a read of `fd` would not wait, or until `deadline`. Returns whether it would not.
///
/// # Errors
/// The kernel's, but for EINTR.
pub fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    wait(&mut [PollFd::new(fd, PollFlags::POLLIN)], deadline)
}

/// Lets `deadline` come: for what the kernel announces in no other way.
pub fn until(deadline: Instant) {
    let _ = wait(&mut [], deadline);
}

fn wait(fds: &mut [PollFd<'_>], deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Round up: a wait of a part of a millisecond must not become a spin.
        let left = left.saturating_add(Duration::from_micros(999)).as_millis();
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(fds, timeout) {
            Ok(0) if deadline > Instant::now() => {}
            Ok(ready) => return Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A pidfd for a process that this one need not be the parent of.
///
/// # Errors
/// ESRCH when there is no such process.
pub fn open_process(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    let raw = RawFd::try_from(raw).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel has just made this fd for us and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Sends `signal` to exactly the process that `pidfd` names.
///
/// # Errors
/// ESRCH when it has ended.
pub fn signal_process(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    let fd = pidfd.as_raw_fd();
    // SAFETY: a null siginfo is what the call documents for "as kill(2)"; the rest are integers.
    let got = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
